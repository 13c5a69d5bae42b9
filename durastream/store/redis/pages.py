"""Newest-first pages over many sorted sets at once: each is read from one common position, then merged."""

from __future__ import annotations

import asyncio
import base64
import heapq
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from durastream.core.limits import QUOTE_CHARS_MAX
from durastream.errors import Refused
from durastream.store.connection import ReplyError
from durastream.store.redis import decode

log = logging.getLogger("durastream.store")

T = TypeVar("T")
Call = Callable[..., Awaitable[Any]]
_PIECE_MIN = 8  # entries of one index read at first
_INVERTED = bytes(255 - byte for byte in range(256))


class Position(NamedTuple):
    """Order of entries: newest first, and by id, descending, within a millisecond. `minus_score` makes tuples sort so."""

    minus_score: int
    id_descending: bytes  # bytes of the id, inverted, closed by 0xff

    @property
    def instance_id(self) -> str:
        return self.id_descending[:-1].translate(_INVERTED).decode()

    @property
    def readable(self) -> bool:
        """False for bytes that are no UTF-8, written into the index by hand: they name no instance."""
        try:
            return bool(self.instance_id)
        except UnicodeDecodeError:
            return False

    @classmethod
    def of(cls, score: int, member: bytes) -> Position:
        return cls(-score, member.translate(_INVERTED) + b"\xff")

    @classmethod
    def newest(cls, created_before: int) -> Position:
        """Before everything created at `created_before` (0: no bound)."""
        return cls(-created_before if created_before else -(2**53), b"")

    @classmethod
    def parse(cls, cursor: str) -> Position:
        """The position that `str` wrote. Raises Refused."""
        score, _, member = cursor.partition("~")
        try:
            return cls.of(int(score), base64.urlsafe_b64decode(member).decode().encode())
        except ValueError:
            raise no_cursor(cursor) from None

    def __str__(self) -> str:
        member = base64.urlsafe_b64encode(self.instance_id.encode()).decode()
        return f"{-self.minus_score}~{member}"


def no_cursor(cursor: str) -> Refused:
    """For what is given as the cursor of a page, and came with none."""
    return Refused(f"{cursor[:QUOTE_CHARS_MAX]!a} is no cursor of a page: begin with the first one")


class _Index:
    """One sorted set, read in pieces from a position on."""

    def __init__(self, call: Call, key: str, after: Position, oldest: int) -> None:
        self.entries: list[Position] = []
        self.more = True  # there may be entries behind those
        self._call = call
        self._key = key
        self._after = after
        self._oldest = oldest

    async def read(self, count: int) -> None:
        """At least `count` more entries, or all there are."""
        after = self.entries[-1] if self.entries else self._after
        offset, window, wanted = 0, count + 1, len(self.entries) + count
        while self.more and len(self.entries) < wanted:
            newest = -after.minus_score
            limits = ("LIMIT", offset, window)
            flat = await self._call("ZREVRANGEBYSCORE", self._key, newest, self._oldest, "WITHSCORES", *limits)
            walk = iter(flat)
            found = [Position.of(decode.score(score), member) for member, score in zip(walk, walk, strict=False)]
            self.entries += [entry for entry in found if entry > after and entry.readable]
            self.more = len(found) == window
            offset, window = offset + window, 4 * window  # many may share the millisecond of the position


async def newest(call: Call, keys: Sequence[str], after: Position, oldest: int, count: int) -> list[Position]:
    """The first `count` entries of all these sorted sets that come after a position, not older than `oldest` ms.

    Little is read of each at first, and more of those that the page turns out to be made of.
    """
    if not keys:
        return []
    indexes = [_Index(call, key, after, oldest) for key in keys]
    piece = max(_PIECE_MIN, 2 * count // len(keys))
    wanting = indexes
    while True:
        await asyncio.gather(*(index.read(piece) for index in wanting))
        merged = heapq.nsmallest(count, (entry for index in indexes for entry in index.entries))
        full = len(merged) == count
        wanting = [index for index in indexes if index.more and not (full and index.entries[-1] >= merged[-1])]
        if not wanting:
            return merged
        piece *= 2


async def readable(
    read: Callable[[Sequence[str]], Awaitable[list[T | None]]], ids: Sequence[str], what: str
) -> list[T | None]:
    """Records for a list, which one that was spoilt by hand must not hide: that one is left out."""
    try:
        return await read(ids)
    except (ReplyError, Refused) as error:
        if len(ids) == 1:
            log.error("%s %s cannot be read and is not listed: %s", what, ids[0], error)
            return [None]
    return [record for one in ids for record in await readable(read, [one], what)]
