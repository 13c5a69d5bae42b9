"""Verbs of activities: claimed by any worker through the consumer group, exchanged for their outcome once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

from durastream.errors import StoreUnavailable
from durastream.store.connection import ReplyError
from durastream.store.keys import GROUP
from durastream.store.protocol import SUSPECT, Activity, Lease, Outcome
from durastream.store.redis import decode
from durastream.store.redis.base import Base
from durastream.store.redis.claims import Claims, Streams

_CLAIMED_PAGE = 500
_READS_MAX = 3  # somebody may destroy the groups, also while a read is blocked
_BEGUN = 1_000  # delivery count of a suspect that has begun; `reclaim.lua` looks for it


class ActivityVerbs(Base):
    _turn: int = 0  # which stream is asked first when there are fewer free slots than streams
    _apart: Claims | None = None  # in a Cluster

    async def claim_activities(self, worker_id: str, queues: Sequence[str], free: int, block_ms: int) -> list[Activity]:
        if free <= 0:
            return []
        streams = self._streams(queues)
        if self.place.kind == "cluster":
            return await self._claims().claim(worker_id, streams, free, block_ms)
        if free >= len(streams):
            each = free // max(len(streams), 1)
            return await self._group_read(worker_id, streams, ">", each, block_ms)
        found = await self._sweep(worker_id, streams, free)
        if found or not block_ms:
            return found
        if await self._anything(streams, block_ms):
            return await self._sweep(worker_id, streams, free)
        return []

    def _claims(self) -> Claims:
        if self._apart is None:
            self._apart = Claims(
                lambda worker_id, streams, each: self._group_read(worker_id, streams, ">", each, 0),
                self._last_delivered,
                lambda block_ms, cursors: self._read_streams("activity", block_ms, ("XREAD", "COUNT", 1), cursors),
            )
        return self._apart

    def _streams(self, queues: Sequence[str]) -> dict[str, tuple[int, str]]:
        return {
            names.activities(queue): (partition, queue)
            for partition, names in enumerate(self.keys.partitions)
            for queue in queues
        }

    async def _sweep(self, worker_id: str, streams: dict[str, tuple[int, str]], free: int) -> list[Activity]:
        """Ask the streams in turn, as many at once as there are free slots: COUNT holds for each stream by itself."""
        names = list(streams)
        start = self._turn % len(names)
        self._turn += 1
        names = names[start:] + names[:start]
        found: list[Activity] = []
        asked = 0
        while asked < len(names) and len(found) < free:
            part = names[asked : asked + free - len(found)]
            asked += len(part)
            found += await self._group_read(worker_id, {name: streams[name] for name in part}, ">", 1, 0)
        return found

    async def _anything(self, streams: dict[str, tuple[int, str]], block_ms: int) -> bool:
        """Wait, claiming nothing, until an entry lies beyond what the groups have handed out."""
        cursors = await asyncio.gather(*(self._last_delivered(name) for name in streams))
        places = dict(zip(streams, cursors, strict=True))
        return bool(await self._read_streams("activity", block_ms, ("XREAD", "COUNT", 1), places))

    async def _last_delivered(self, stream: str) -> str:
        try:
            groups = await self._call("XINFO", "GROUPS", stream)
        except ReplyError:  # no such key: nothing was ever sent there
            return "0"
        for flat in groups:
            group = decode.pairs(flat)
            if group.get(b"name") == GROUP.encode():
                return group[b"last-delivered-id"].decode()
        return "0"

    async def _group_read(
        self, worker_id: str, streams: Streams, from_id: str, count: int, block_ms: int
    ) -> list[Activity]:
        names = dict.fromkeys(streams, from_id)
        command = ("XREADGROUP", "GROUP", GROUP, worker_id, "COUNT", count)
        for _ in range(_READS_MAX):
            try:
                reply = await self._read_streams("activity", block_ms, command, names)
            except ReplyError as error:
                if "NOGROUP" not in f"{error.code} {error}" and "key to exist" not in str(error):
                    raise
                await asyncio.gather(*(self._make_group(name) for name in streams))
            else:
                found = [_activities(streams[name.decode()], entries) for name, entries in reply or ()]
                return [activity for some in found for activity in some]
        raise StoreUnavailable("the consumer groups of activity streams are destroyed as fast as they are made")

    async def _make_group(self, stream: str) -> None:
        """From id 0: messages that came before the first worker count too."""
        try:
            await self._call("XGROUP", "CREATE", stream, GROUP, "0", "MKSTREAM")
        except ReplyError as error:
            if error.code not in ("BUSYGROUP", "WRONGTYPE"):
                raise

    async def claimed(self, worker_id: str, queues: Sequence[str]) -> list[Activity]:
        found: list[Activity] = []
        for name, place in self._streams(queues).items():
            after = "0"
            while True:
                page = await self._group_read(worker_id, {name: place}, after, _CLAIMED_PAGE, 0)
                found += page
                if not page:
                    break
                after = page[-1].entry_id
        return found

    async def complete(self, partition: int, worker_id: str, outcomes: Sequence[Outcome]) -> int:
        del worker_id  # the entry itself is the claim: whoever deletes it first has completed it
        names = self.keys.partitions[partition]
        keys, position = [names.inbox, names.stats], dict[str, int]()
        args: list[Any] = []
        for queue, entry_id, message in outcomes:
            if queue not in position:
                keys.append(names.activities(queue))
                position[queue] = len(keys)
            args += (position[queue], entry_id, message)
        counted: int = await self._run("complete", keys, args)
        return counted

    async def put_back(self, partition: int, worker_id: str, entries: Sequence[tuple[str, str, str]]) -> None:
        del worker_id
        names = self.keys.partitions[partition]
        keys, args = [names.queues], list[Any]()
        for queue, entry_id, to in entries:
            keys += (names.activities(queue), names.activities(to))
            args += (entry_id, to)
        await self._run("put_back", keys, args)

    async def claimants(self, partition: int) -> set[str]:
        names = self.keys.partitions[partition]
        found: set[str] = set()
        for queue in decode.names(await self._call("SMEMBERS", names.queues)):
            try:
                consumers = await self._call("XINFO", "CONSUMERS", names.activities(queue), GROUP)
            except ReplyError:  # nobody has ever read this queue
                continue
            found |= {decode.member(decode.pairs(flat)[b"name"]) for flat in consumers}
        return found

    async def begin(self, worker_id: str, activity: Activity) -> bool:
        stream = self.keys.partitions[activity.partition].activities(activity.queue)
        mark = ("RETRYCOUNT", _BEGUN, "JUSTID")
        try:
            return bool(await self._call("XCLAIM", stream, GROUP, worker_id, 0, activity.entry_id, *mark))
        except ReplyError as error:
            if error.code != "NOGROUP":  # the stream was lost with all its claims
                raise
            return False

    async def reclaim(self, lease: Lease, dead: Sequence[str], limit: int) -> list[Activity]:
        names = self.keys.partitions[lease.partition]
        queues = sorted(decode.names(await self._call("SMEMBERS", names.queues)))
        keys = [names.lease, *(names.activities(queue) for queue in queues)]
        reply = await self._run(
            "reclaim", keys, [lease.epoch, lease.nonce, limit, SUSPECT, *map(decode.member_bytes, dead)]
        )
        return [
            Activity(lease.partition, queues[n - 1], e.decode(), blob, decode.workers(d)) for n, e, blob, d in reply
        ]


def _activities(place: tuple[int, str], entries: list[Any]) -> Iterator[Activity]:
    partition, queue = place
    for entry_id, fields in entries:
        if fields is None:  # deleted while claimed: nothing is left to do
            continue
        if len(fields) == 2 and fields[0] == b"m":
            yield Activity(partition, queue, entry_id.decode(), fields[1])
            continue
        known = decode.pairs(fields)
        yield Activity(partition, queue, entry_id.decode(), decode.blob(known), decode.workers(known.get(b"d")))
