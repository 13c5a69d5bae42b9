"""Newest-first pages over many sorted sets at once: each is read from one common position, then merged."""

from __future__ import annotations

import base64
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from durastream.errors import Refused
from durastream.store.connection import ReplyError

log = logging.getLogger("durastream.store")

T = TypeVar("T")
Call = Callable[..., Awaitable[Any]]
_TIES = 200  # entries of the same millisecond read at a time while looking for the position


class Position(NamedTuple):
    """Order of entries: newest first, and by id, descending, within a millisecond. `minus_score` makes tuples sort so."""

    minus_score: int
    id_descending: bytes  # bytes of the id, inverted, closed by 0xff

    @property
    def instance_id(self) -> str:
        return bytes(255 - b for b in self.id_descending[:-1]).decode()

    @classmethod
    def of(cls, score: int, member: bytes) -> Position:
        return cls(-score, bytes(255 - b for b in member) + b"\xff")

    @classmethod
    def newest(cls, created_before: int) -> Position:
        """Before everything created at `created_before` (0: no bound)."""
        return cls(-created_before if created_before else -(2**53), b"")

    @classmethod
    def parse(cls, cursor: str) -> Position:
        score, _, member = cursor.partition("~")
        return cls.of(int(score), base64.urlsafe_b64decode(member))

    def __str__(self) -> str:
        member = base64.urlsafe_b64encode(self.instance_id.encode()).decode()
        return f"{-self.minus_score}~{member}"


async def read_index(call: Call, index: str, after: Position, oldest: int, count: int) -> list[Position]:
    """The first `count` entries of one index that come after a position, not older than `oldest` ms."""
    found: list[Position] = []
    offset = 0
    while len(found) < count:
        flat = await call(
            "ZREVRANGEBYSCORE", index, -after.minus_score, oldest, "WITHSCORES", "LIMIT", offset, max(count, _TIES)
        )
        walk = iter(flat)
        entries = [Position.of(int(float(score)), member) for member, score in zip(walk, walk, strict=False)]
        found += [entry for entry in entries if entry > after]
        if len(entries) < max(count, _TIES):
            break
        offset += len(entries)
    return found[:count]


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
