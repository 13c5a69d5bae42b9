"""Streams, claims, marks, leases, keys and the hub itself as snapshots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from durastream.inspect.fsck import entries
from durastream.inspect.fsck.layout import Layout
from durastream.inspect.fsck.subjects import ClaimsOf, EntryAt, Hub, KeyAt, LeaseAt, Look, MarksOf, StreamAt
from durastream.inspect.hub import LEASE_MS
from durastream.inspect.invariants import hub as hub_rules
from durastream.inspect.invariants import streams
from durastream.inspect.invariants.snapshots import (
    ClaimSnapshot,
    EntrySnapshot,
    HubSnapshot,
    KeySnapshot,
    LeaseSnapshot,
    MarkSnapshot,
    RouterSnapshot,
    StreamSnapshot,
)
from durastream.inspect.invariants.values import natural
from durastream.inspect.invariants.violation import Violation, check
from durastream.store.keys import SCHEMA
from durastream.store.redis.fsck import RawHub


class Others:
    """Looks at everything that is neither an instance, nor an entity, nor a timer."""

    def __init__(self, hub: RawHub, layout: Layout) -> None:
        self._hub = hub
        self._layout = layout

    # -- streams

    async def streams(self, subjects: Sequence[StreamAt]) -> dict[StreamAt, Look]:
        now = await self._hub.now()
        states = await self._hub.stream_states([one.key for one in subjects])
        found: dict[StreamAt, Look] = {}
        for one, state in zip(subjects, states, strict=True):
            if state is None:
                found[one] = Look()
                continue
            epoch, listed = 0, True
            if one.partition >= 0:
                names = self._hub.keys.partitions[one.partition]
                (held,) = await self._hub.values([(names.lease, "epoch")])
                epoch = natural(held) or 0
                listed = one.role != "activities" or one.queue.encode() in await self._hub.members(names.queues)
            snapshot = StreamSnapshot(
                one.key, one.role, state.length, state.last_id, now, epoch=epoch, queue=one.queue, listed=listed
            )
            found[one] = Look(check(snapshot, streams.STREAM))
        return found

    async def entries(self, subjects: Sequence[EntryAt]) -> dict[EntryAt, Look]:
        found: dict[EntryAt, Look] = {}
        for one in subjects:
            fields = await self._hub.entry(one.key, one.entry_id)
            why = None if fields is None else entries.problem(one.role, fields, self._hub.hub.partitions)
            snapshot = EntrySnapshot(one.key, one.entry_id, why or "", one.role)
            found[one] = Look(check(snapshot, streams.ENTRY) if why else ())
        return found

    async def claims(self, subjects: Sequence[ClaimsOf]) -> dict[ClaimsOf, Look]:
        now = await self._hub.now()
        seen, _ = await self._hub.workers()
        alive = {worker for worker, at in seen.items() if at > now - LEASE_MS}
        found: dict[ClaimsOf, Look] = {}
        for one in subjects:
            (until,) = await self._hub.values([(self._hub.keys.partitions[one.partition].lease, "until")])
            owned = (natural(until) or 0) > now
            violations: list[Violation] = []
            async for page in self._hub.claims(one.key):
                for claim in page:
                    worker_alive = claim.consumer in alive
                    snapshot = ClaimSnapshot(one.key, *_claim(claim), worker_alive=worker_alive, owned=owned)
                    violations += check(snapshot, streams.CLAIM)
            found[one] = Look(violations)
        return found

    # -- ownership and transfer

    async def marks(self, subjects: Sequence[MarksOf]) -> dict[MarksOf, Look]:
        """Marks before what the sources have sent: that grows first."""
        found: dict[MarksOf, Look] = {}
        for one in subjects:
            violations: list[Violation] = []
            async for page in self._hub.walk_hash(self._hub.keys.partitions[one.partition].marks):
                for source, mark in page:
                    violations += check(await self._mark(one.partition, source, mark), hub_rules.MARK)
            found[one] = Look(violations)
        return found

    async def _mark(self, partition: int, source: bytes, mark: bytes) -> MarkSnapshot:
        hub = self._hub
        key, width = hub.keys.partitions[partition].marks, hub.hub.partitions
        number = natural(source[1:]) if source[:1] == b"p" else None
        if number is None or number >= width:
            return MarkSnapshot(key, source, mark, width)
        names = hub.keys.partitions[number]
        (state,) = await hub.stream_states([names.outbox])
        (epoch,) = await hub.values([(names.lease, "epoch")])
        last = None if state is None or state.last_id == "0-0" else state.last_id
        return MarkSnapshot(key, source, mark, width, last, natural(epoch) or 0)

    async def leases(self, subjects: Sequence[LeaseAt]) -> dict[LeaseAt, Look]:
        now = await self._hub.now()
        found: dict[LeaseAt, Look] = {}
        for one in subjects:
            keys = self._hub.keys
            key = keys.lease if one.partition < 0 else keys.partitions[one.partition].lease
            violations = check(LeaseSnapshot(key, await self._hub.whole(key), now), hub_rules.LEASE)
            if one.partition >= 0:
                routed = keys.partitions[one.partition].routed
                (epoch,) = await self._hub.values([(routed, "epoch")])
                violations += check(RouterSnapshot(routed, epoch, now), hub_rules.ROUTER)
            found[one] = Look(violations)
        return found

    # -- keys and hub

    async def keys(self, subjects: Sequence[KeyAt]) -> dict[KeyAt, Look]:
        found: dict[KeyAt, Look] = {one: Look() for one in subjects}
        for key in await self._hub.describe([one.name for one in subjects]):
            wanted, why = self._layout.wanted(key.name)
            name = key.name.decode("utf-8", "backslashreplace")
            snapshot = KeySnapshot(name, key.kind, key.ttl_ms, wanted, why)
            found[KeyAt(key.name)] = Look(check(snapshot, hub_rules.KEY))
        return found

    async def hub(self, subjects: Sequence[Hub]) -> dict[Hub, Look]:
        hub = self._hub
        seen, about = await hub.workers()
        snapshot = HubSnapshot(
            hub.keys.settings,
            hub.hub.name,
            await hub.settings(),
            await hub.listed(),
            await hub.server(),
            SCHEMA,
            hub.keys.workers,
            hub.keys.about,
            seen,
            about,
            await hub.now(),
        )
        return {one: Look(check(snapshot, hub_rules.HUB)) for one in subjects}


def _claim(claim: Any) -> tuple[str, str, int, bool]:
    return claim.entry_id, claim.consumer, claim.idle_ms, claim.there
