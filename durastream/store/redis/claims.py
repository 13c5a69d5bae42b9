"""Claiming activities in a Cluster, where one command can name the streams of one partition only.

A stream is *quiet* once a claim has found nothing more in it. For quiet streams the worker waits with XREAD, from where the
group's last delivery is, and claims nothing by that: so no claim can be lost when the wait is ended, and a worker with three free
slots can wait for all partitions. What wakes it is claimed by the commands that follow, which do not block. It costs one round
trip more than a blocked XREADGROUP, and each entry wakes one wait of every worker that reads its queue.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from durastream.errors import StoreUnavailable
from durastream.store.cluster import NotSent
from durastream.store.protocol import Activity

Streams: TypeAlias = Mapping[str, tuple[int, str]]
"""Key of an activity stream → partition and queue."""

_UNWATCHED_MAX: Final = 16  # claims from streams that have something, before quiet ones are asked as well
_AWAY_S: Final = 0.5  # for which the streams of a node that is down are left alone


class Claims:
    """`read(streams of one partition, count of each)` claims; `delivered(stream)` is the id up to which the group has handed out;
    `wait(block_ms, cursors)` tells of streams that have more."""

    def __init__(
        self,
        read: Callable[[str, Streams, int], Awaitable[list[Activity]]],
        delivered: Callable[[str], Awaitable[str]],
        wait: Callable[[int, Mapping[str, str]], Awaitable[Any]],
    ) -> None:
        self._read = read
        self._delivered = delivered
        self._wait = wait
        self._quiet: dict[str, str] = {}  # stream → last id handed out
        self._away: dict[str, float] = {}  # stream → until when it is left alone
        self._turn = 0  # which stream is asked first
        self._failed: BaseException | None = None
        self._unwatched = 0  # claims since somebody waited for the quiet streams

    def _listen_again(self) -> None:
        """Ask all streams once more: one that always has something must not keep the others from being asked."""
        self._quiet.clear()
        self._unwatched = 0

    async def claim(self, worker_id: str, streams: Streams, free: int, block_ms: int) -> list[Activity]:
        """At most `free`; waits for `block_ms` when there are none. 0: asks every stream, whatever is known of it."""
        failed, self._failed = self._failed, None
        if failed is not None:  # beside claims that had to be handed on first
            raise failed
        self._quiet = {name: last for name, last in self._quiet.items() if block_ms and name in streams}
        found = await self._claim_loud(worker_id, streams, free)
        if found or not block_ms:
            self._unwatched += 1
            if self._unwatched >= _UNWATCHED_MAX:
                self._listen_again()
            return found
        self._unwatched = 0
        for name, _ in await self._wait(block_ms, self._quiet):
            self._quiet.pop(name.decode(), None)
        return await self._claim_loud(worker_id, streams, free)

    async def _claim_loud(self, worker_id: str, streams: Streams, free: int) -> list[Activity]:
        """From streams that may have something, one after the other taking the first turn."""
        now = asyncio.get_running_loop().time()
        loud = [name for name in streams if name not in self._quiet and self._away.get(name, 0.0) <= now]
        self._turn += 1
        start = self._turn % max(len(loud), 1)
        loud = loud[start:] + loud[:start]
        found: list[Activity] = []
        while loud and len(found) < free and self._failed is None:
            room = free - len(found)
            part, loud = loud[:room], loud[room:]
            found += await self._claim_part(worker_id, {name: streams[name] for name in part}, room // len(part))
        if self._failed is not None and not found:
            failed, self._failed = self._failed, None
            raise failed
        return found

    async def _claim_part(self, worker_id: str, part: Streams, each: int) -> list[Activity]:
        pieces: dict[int, dict[str, tuple[int, str]]] = {}
        for name, place in part.items():
            pieces.setdefault(place[0], {})[name] = place
        answers = await asyncio.gather(
            *(self._read(worker_id, piece, each) for piece in pieces.values()), return_exceptions=True
        )
        found: list[Activity] = []
        drained: list[str] = []
        for piece, answer in zip(pieces.values(), answers, strict=True):
            if isinstance(answer, BaseException):
                self._note(answer, piece)
                continue
            counts = Counter((one.partition, one.queue) for one in answer)
            drained += [name for name, place in piece.items() if counts[place] < each]
            found += answer
        await self._hush(drained)
        return found

    def _note(self, error: BaseException, piece: Streams) -> None:
        if isinstance(error, NotSent):
            until = asyncio.get_running_loop().time() + _AWAY_S
            self._away.update(dict.fromkeys(piece, until))
        else:
            self._failed = error  # claims may have been made that we do not know of
            self._quiet.clear()

    async def _hush(self, names: Sequence[str]) -> None:
        lasts = await asyncio.gather(*(self._delivered(name) for name in names), return_exceptions=True)
        for name, last in zip(names, lasts, strict=True):
            if isinstance(last, str):
                self._quiet[name] = last
            elif not isinstance(last, StoreUnavailable):
                raise last
