"""Verbs of membership, ownership, and of the owner of a partition."""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

from durastream.core.status import TERMINAL
from durastream.errors import AccessDenied, Refused, StoreError, StoreUnavailable
from durastream.store.connection import ReplyError
from durastream.store.keys import HUBS
from durastream.store.protocol import (
    NONE_APPLIED,
    Commit,
    HubInfo,
    InboxEntry,
    Lease,
    Outbound,
    Parcel,
    Record,
    WorkerInfo,
)
from durastream.store.redis import decode
from durastream.store.redis.base import Base
from durastream.store.redis.clients import worker_info
from durastream.store.redis.ops import CommitBuilder

log = logging.getLogger("durastream.store")

_HISTORY_PAGE = 1_000  # events of one HMGET
_DELIVER_MESSAGES_MAX = 500  # of one source in one call
_DELIVER_ARGS_MAX = 2_000  # arguments after which a call is made
_FORGET_SILENT_MS = 3_600_000
_DEAD_MAX = 10_000  # dead letters kept
_TIDY_COUNT = 200
_REPLY_TTL_S = 3_600
_AHEAD_MS = 86_400_000  # ids of entries that are further ahead of the clock were not given by the server


class OwnerVerbs(Base):
    _tidy_cursors: dict[Lease, bytes]  # where the walk through the marks goes on

    async def heartbeat(self, worker_id: str, about: Mapping[str, object], ttl_ms: int) -> tuple[int, list[WorkerInfo]]:
        hub = self.hub
        settings = [part for name in HubInfo._fields[1:] for part in (name, getattr(hub, name))]
        args = [worker_id, json.dumps(about), ttl_ms, _FORGET_SILENT_MS, hub.partitions, *settings]
        keys = [self.keys.workers, self.keys.about, self.keys.settings]
        now, made, *flat = await self._run("heartbeat", keys, args)
        if made:
            log.error(
                "hub %r was gone (FLUSHALL, or its keys were deleted): it is made again, empty, with the same settings."
                " What was in it is lost but for what a backup holds",
                hub.name,
            )
            await self._call("SADD", HUBS, hub.name)
        live = [worker_info(flat[k], decode.score(flat[k + 1]), flat[k + 2]) for k in range(0, len(flat), 3)]
        return int(now), live

    async def leave(self, worker_id: str) -> None:
        # In this order: who is still listed is forgotten after an hour, with what is told of it.
        await self._calls([("HDEL", self.keys.about, worker_id), ("ZREM", self.keys.workers, worker_id)])

    async def acquire(self, partition: int, worker_id: str, nonce: str, ttl_ms: int) -> Lease | None:
        # What the last owner left in the outbox will be delivered elsewhere: it must not be taken back here after that.
        epoch = await self._handed_over("acquire", [self.keys.partitions[partition].lease], [worker_id, nonce, ttl_ms])
        return None if epoch is None else Lease(partition, int(epoch), nonce)

    async def renew(
        self, leases: Sequence[Lease], worker_id: str, ttl_ms: int, applied: Mapping[Lease, int] = NONE_APPLIED
    ) -> list[Lease]:
        del worker_id  # the nonce says who it is
        calls = (
            self._run("renew", [self._lease_key(one)], [one.epoch, one.nonce, ttl_ms, applied.get(one, 0)])
            for one in leases
        )
        answers = await asyncio.gather(*calls, return_exceptions=True)
        errors = [one for one in answers if isinstance(one, BaseException)]
        if errors and (len(errors) == len(answers) or not isinstance(errors[0], StoreUnavailable)):
            raise errors[0]
        return [one for one, held in zip(leases, answers, strict=True) if held]  # an error: not known, and not given up

    async def release(self, lease: Lease) -> None:
        await self._run("release", [self._lease_key(lease)], [lease.epoch, lease.nonce])

    def _lease_key(self, lease: Lease) -> str:
        return self.keys.lease if lease.partition < 0 else self.keys.partitions[lease.partition].lease

    async def read_inboxes(
        self, cursors: Mapping[int, str], count: int, block_ms: int
    ) -> list[tuple[int, list[InboxEntry]]]:
        streams = {self.keys.partitions[p].inbox: cursor for p, cursor in cursors.items()}
        reply = await self._read_streams("inbox", block_ms, ("XREAD", "COUNT", count), streams)
        if not reply:
            return []
        place = dict(zip((name.encode() for name in streams), cursors, strict=True))
        # A blocked read is woken by an entry that is gone by the time it is served: then the server names the stream alone.
        return [(place[name], [decode.inbox_entry(entry) for entry in entries]) for name, entries in reply if entries]

    async def load(self, lease: Lease, ids: Sequence[str]) -> list[tuple[Record, list[bytes]] | None]:
        names = self.keys.partitions[lease.partition]
        try:
            flats = await self._calls(("HGETALL", names.instance(one)) for one in ids)
        except ReplyError as error:
            raise Refused(f"an instance cannot be read: {error}") from None
        records = [decode.record(one, flat) for one, flat in zip(ids, flats, strict=True)]
        open_ones = [one for one in records if one is not None and one.status not in TERMINAL]
        histories = await self._histories(lease.partition, open_ones)
        return [None if one is None else (one, histories.get(one.instance_id, [])) for one in records]

    async def _histories(self, partition: int, records: Sequence[Record]) -> dict[str, list[bytes]]:
        names = self.keys.partitions[partition]
        pages = [
            (one.instance_id, range(first, min(first + _HISTORY_PAGE, one.events)))
            for one in records
            for first in range(0, one.events, _HISTORY_PAGE)
        ]
        try:
            replies = await self._calls(("HMGET", names.history(one), *numbers) for one, numbers in pages)
        except ReplyError as error:
            if len(records) > 1:
                raise Refused(f"a history cannot be read: {error}") from None
            return {}  # an instance whose history is gone: for the caller to tell
        histories: dict[str, list[bytes]] = {}
        for (one, _), events in zip(pages, replies, strict=True):
            histories.setdefault(one, []).extend(event for event in events if event is not None)
        return histories

    async def commit(self, lease: Lease, sequence: int, commit: Commit) -> None:
        builder = CommitBuilder(self.keys.partitions[lease.partition])
        builder.build(commit, lease.epoch)
        args = builder.arguments(commit, (lease.epoch, lease.nonce), sequence)
        await self._handed_over("commit", builder.keys, args)

    async def deaths(self, lease: Lease) -> int:
        return decode.count(await self._call("HGET", self._lease_key(lease), "deaths"))

    async def mend(self, lease: Lease) -> tuple[bool, list[bytes]]:
        names = self.keys.partitions[lease.partition]
        args = [lease.epoch, lease.nonce, _AHEAD_MS, _TIDY_COUNT]
        inbox, foreign = await self._run("mend", [names.lease, names.inbox, names.outbox], args)
        return inbox == 1, [decode.outbound(entry).blob for entry in foreign]

    async def tried(self, lease: Lease, entry: str) -> tuple[str, ...]:
        return decode.workers(await self._call("HGET", self._lease_key(lease), decode.member_bytes("died:" + entry)))

    async def attempt(self, lease: Lease, entry: str) -> None:
        args = [lease.epoch, lease.nonce, decode.member_bytes(entry)]
        await self._run("attempt", [self._lease_key(lease)], args)

    async def due(self, lease: Lease, limit: int) -> tuple[list[str], int | None]:
        names = self.keys.partitions[lease.partition]
        members, following = await self._run("due", [names.lease, names.timers], [lease.epoch, lease.nonce, limit])
        return [decode.member(one) for one in members], _due(following)

    async def outbox(self, lease: Lease, after: tuple[int, int], count: int) -> list[Outbound]:
        names = self.keys.partitions[lease.partition]
        entries = await self._call("XRANGE", names.outbox, f"({after[0]}-{after[1]}", "+", "COUNT", count)
        return [decode.outbound(entry) for entry in entries]

    async def deliver_all(self, partition: int, parcels: Sequence[Parcel]) -> None:
        names, args, run = self.keys.partitions[partition], list[Any](), self._handed_over
        for source, incarnation, batch in parcels:
            for first in range(0, len(batch), _DELIVER_MESSAGES_MAX):
                part = batch[first : first + _DELIVER_MESSAGES_MAX]
                args += (source, *incarnation, len(part))
                for item in part:
                    args += item
                if len(args) > _DELIVER_ARGS_MAX:
                    await run("deliver", [names.inbox, names.marks], args)
                    args = []
        if args:
            await run("deliver", [names.inbox, names.marks], args)

    async def forget(self, lease: Lease, numbers: Sequence[tuple[int, int]]) -> None:
        names = self.keys.partitions[lease.partition]
        ids = [f"{epoch}-{sequence}" for epoch, sequence in numbers]
        await self._run("forget", [names.lease, names.outbox], [lease.epoch, lease.nonce, *ids])

    async def tidy(self, lease: Lease, silent_ms: int) -> int:
        names = self.keys.partitions[lease.partition]
        cursor = self._tidy_cursors.get(lease, b"0")
        args = [lease.epoch, lease.nonce, silent_ms, cursor, _TIDY_COUNT]
        self._tidy_cursors[lease], gone = await self._run("tidy", [names.lease, names.marks], args)
        return int(gone)

    async def dead_letter(self, batch: Sequence[tuple[str, bytes]]) -> None:
        trim = ("MAXLEN", "~", _DEAD_MAX)
        await self._calls(("XADD", self.keys.dead, *trim, "*", "reason", reason, "m", blob) for reason, blob in batch)

    async def reply(self, batch: Sequence[tuple[str, bytes]]) -> None:
        try:
            await self._calls(
                (
                    command
                    for key, answer in batch
                    for command in (("RPUSH", key, answer), ("EXPIRE", key, _REPLY_TTL_S))
                ),
                of_others=True,
            )
        except AccessDenied as error:  # of lists that others have named: no reason to stop
            raise StoreError(
                f"{error}: `durastream acl --role worker --replies PATTERN` opens lists to answers"
            ) from None


def _due(score: bytes) -> int | None:
    """A timer that was put there by hand may be due never."""
    due = float(score) if score else math.inf
    return int(due) if math.isfinite(due) else None
