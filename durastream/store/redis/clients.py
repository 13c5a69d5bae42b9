"""Verbs that clients and inspectors use."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from typing import Any

import orjson

from durastream.core.ids import partition_of
from durastream.core.status import ALL, Status
from durastream.store.protocol import LeaseInfo, NewInstance, Page, Record, Started, WorkerInfo
from durastream.store.redis import decode
from durastream.store.redis.base import Base
from durastream.store.redis.pages import Position, newest, readable
from durastream.store.redis.subscribe import subscribed

_BATCH = 500  # instances of one script call
_HEAD = tuple(name for name in Record._fields if name not in ("instance_id", "input", "output"))


def creation(new: NewInstance) -> list[Any]:
    """Arguments of one item for `_create.lua`."""
    fields: list[Any] = ["name", new.name]
    for name, value in (
        ("version", new.version),
        ("input", new.input),
        ("tags", new.tags),
        ("notify", new.notify),
        ("reply", new.reply),
        ("start_at", new.start_at),
    ):
        if value is not None:
            fields += (name, value)
    token = new.execution_id.partition(".")[0]
    at = "" if new.start_at is None else new.start_at
    return [new.instance_id, new.execution_id, token, at, new.message, len(fields), *fields]


class ClientVerbs(Base):
    async def now(self) -> int:
        seconds, micros = await self._call("TIME")
        return int(seconds) * 1_000 + int(micros) // 1_000

    async def start(self, partition: int, batch: Sequence[NewInstance]) -> list[Started]:
        names, run = self.keys.partitions[partition], self._acknowledged
        results: list[Started] = []
        for first in range(0, len(batch), _BATCH):
            part = batch[first : first + _BATCH]
            keys = [names.inbox, names.timers, names.status["Pending"]]
            keys += [names.instance(new.instance_id) for new in part]
            reply = await run("start", keys, [x for new in part for x in creation(new)])
            results += [decode.started(new.instance_id, item) for new, item in zip(part, reply, strict=True)]
        return results

    async def deliver(
        self, partition: int, source: str, incarnation: tuple[int, str], batch: Sequence[tuple[int, bytes]]
    ) -> None:
        names, run = self.keys.partitions[partition], self._acknowledged
        for first in range(0, len(batch), _BATCH):
            part = batch[first : first + _BATCH]
            args = [source, *incarnation, len(part), *(x for item in part for x in item)]
            await run("deliver", [names.inbox, names.marks], args)

    async def records(self, ids: Sequence[str], *, payloads: bool = True) -> list[Record | None]:
        partitions, count = self.keys.partitions, self.hub.partitions
        names = [partitions[partition_of(one, count)].instance(one) for one in ids]
        if payloads:
            flats = await self._calls(("HGETALL", name) for name in names)
        else:
            flats = [decode.flat(_HEAD, found) for found in await self._calls(("HMGET", n, *_HEAD) for n in names)]
        return [decode.record(one, flat) for one, flat in zip(ids, flats, strict=True)]

    async def history(self, instance_id: str, first: int, count: int) -> list[bytes]:
        names = self.keys.partitions[partition_of(instance_id, self.hub.partitions)]
        found = await self._call("HMGET", names.history(instance_id), *range(first, first + count))
        return [event for event in found if event is not None]

    async def watch(self, partition: int, channel: str, ids: Sequence[str]) -> list[Record | None]:
        names = self.keys.partitions[partition]
        found: list[Record | None] = []
        for first in range(0, len(ids), _BATCH):
            part = ids[first : first + _BATCH]
            keys = [names.watch, *(names.instance(one) for one in part)]
            reply = await self._run("watch", keys, [channel, *part])
            found += [decode.record(one, flat) for one, flat in zip(part, reply, strict=True)]
        return found

    def notifications(self, channel: str) -> AsyncIterator[bytes | None]:
        return subscribed(self.place, self._commands, channel)

    async def page(
        self,
        statuses: Sequence[Status],
        *,
        cursor: str | None,
        limit: int,
        created_after: int = 0,
        created_before: int = 0,
        payloads: bool = True,
    ) -> Page:
        position = Position.parse(cursor) if cursor else Position.newest(created_before)
        wanted = set(statuses)
        indexes = [names.status[status] for names in self.keys.partitions for status in wanted]
        merged = await newest(self._call, indexes, position, created_after, limit + 1)
        shown = merged[:limit]
        found = await readable(
            partial(self.records, payloads=payloads), [entry.instance_id for entry in shown], "instance"
        )
        records = [one for one in found if one is not None and one.status in wanted]
        more = len(merged) > limit and shown
        return Page(records, str(shown[-1]) if more else None)

    async def counts(self) -> dict[Status, int]:
        cards = await self._calls(("ZCARD", names.status[word]) for word in ALL for names in self.keys.partitions)
        width = self.hub.partitions
        return {word: sum(cards[k * width : (k + 1) * width]) for k, word in enumerate(ALL)}

    async def workers(self) -> list[WorkerInfo]:
        seen, about = await self._calls(
            [("ZRANGE", self.keys.workers, 0, -1, "WITHSCORES"), ("HGETALL", self.keys.about)]
        )
        known = decode.pairs(about)
        return [
            worker_info(worker_id, decode.score(at), known.get(worker_id, b"{}"))
            for worker_id, at in decode.pairs(seen).items()
        ]

    async def leases(self) -> list[LeaseInfo]:
        return list(await asyncio.gather(*(self._lease(p) for p in range(self.hub.partitions))))

    async def _lease(self, partition: int) -> LeaseInfo:
        names = self.keys.partitions[partition]
        held, backlog, timers, outbox, queues = await self._calls(
            [
                ("HMGET", names.lease, "owner", "epoch", "until"),
                ("XLEN", names.inbox),
                ("ZCARD", names.timers),
                ("XLEN", names.outbox),
                ("SMEMBERS", names.queues),
            ]
        )
        lengths = await self._calls(("XLEN", names.activities(queue)) for queue in decode.names(queues))
        owner, epoch, until = held
        return LeaseInfo(
            partition,
            decode.text(owner) or None,
            int(epoch or 0),
            int(until or 0),
            backlog,
            timers,
            outbox,
            sum(lengths),
        )

    async def queues(self, partition: int) -> list[str]:
        return decode.names(await self._call("SMEMBERS", self.keys.partitions[partition].queues))

    async def parked(self, partition: int) -> dict[str, bytes]:
        flat = await self._call("HGETALL", self.keys.partitions[partition].parked)
        reasons = decode.pairs(flat)
        return {one: reasons[one.encode()] for one in decode.names(reasons)}


def worker_info(worker_id: bytes, seen_at: int, about: bytes) -> WorkerInfo:
    """Whatever stands there: all workers read it with each heartbeat, and what one wrote by hand must not stop them."""
    return WorkerInfo(worker_id.decode(errors="replace"), seen_at, _known(about))


def _known(about: bytes) -> Mapping[str, object]:
    try:
        known = orjson.loads(about)
    except ValueError:
        return {}
    return known if isinstance(known, dict) else {}
