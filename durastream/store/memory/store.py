"""A handle on a hub in memory: the verbs of `store.protocol`, each a few lines over plain state."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from heapq import nlargest, nsmallest
from typing import TYPE_CHECKING, Final, TypeVar

from durastream.core.status import ALL, TERMINAL, Status
from durastream.errors import Fenced, StoreUnavailable
from durastream.store.memory import claims, committing, creating, inspection
from durastream.store.memory.state import Hub, Partition
from durastream.store.memory.waiting import Listener, Reader
from durastream.store.protocol import (
    NONE_APPLIED,
    Activity,
    Commit,
    EntityPage,
    EntityRecord,
    InboxEntry,
    IndexPage,
    Lease,
    LeaseInfo,
    NewInstance,
    Outbound,
    Outcome,
    Page,
    Parcel,
    PartitionLoad,
    Record,
    ServerInfo,
    Started,
    WorkerInfo,
)

if TYPE_CHECKING:
    from durastream.store.memory.server import MemoryServer

T = TypeVar("T")

DEAD_MAX: Final = 10_000  # dead letters kept
REPLY_TTL_MS: Final = 3_600_000
FORGET_SILENT_MS: Final = 3_600_000  # a worker that said nothing for so long is no longer listed


class ClientVerbs:
    """What clients and inspectors use."""

    def __init__(self, server: MemoryServer, state: Hub) -> None:
        self.hub = state.info
        self._server = server
        self._state = state
        self._reader = Reader(server.bell)
        self._listeners: list[Listener] = []
        self._turn = 0  # which partition is asked first for activities
        self._closed = False

    async def _enter(self) -> int:
        """Every verb begins here: others get their turn, as they would during a round trip. Returns the time."""
        await asyncio.sleep(0)
        if self._closed:
            raise StoreUnavailable("this handle of the store was closed: open another")
        return self._server.clock()

    async def now(self) -> int:
        return await self._enter()

    async def start(self, partition: int, batch: Sequence[NewInstance]) -> list[Started]:
        now = await self._enter()
        place = self._state.partitions[partition]
        return self._arrived([creating.start(place, new, now) for new in batch])

    def _arrived(self, answer: T) -> T:
        """Something may have been put where blocked reads look."""
        self._server.bell.ring()
        return answer

    async def deliver(
        self, partition: int, source: str, incarnation: tuple[int, str], batch: Sequence[tuple[int, bytes]]
    ) -> None:
        now = await self._enter()
        self._state.partitions[partition].deliver(source, incarnation, batch, now=now)
        self._arrived(None)

    async def records(self, ids: Sequence[str], *, payloads: bool = True) -> list[Record | None]:
        await self._enter()
        return self._records(ids, payloads)

    def _records(self, ids: Sequence[str], payloads: bool) -> list[Record | None]:
        found = [self._state.home(one).record(one) for one in ids]
        return found if payloads else [one and one._replace(input=None, output=None) for one in found]

    async def history(self, instance_id: str, first: int, count: int) -> list[bytes]:
        await self._enter()
        held = self._state.home(instance_id).instances.get(instance_id)
        events = {} if held is None else held.history
        return [events[number] for number in range(first, first + count) if number in events]

    async def watch(self, partition: int, channel: str, ids: Sequence[str]) -> list[Record | None]:
        await self._enter()
        place = self._state.partitions[partition]
        return [place.watched(one, channel) for one in ids]

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
        await self._enter()
        entries = (
            (created_at, instance_id)
            for place in self._state.partitions
            for status in set(statuses)
            for instance_id, created_at in place.index[status].items()
            if created_after <= created_at and (not created_before or created_at <= created_before)
        )
        below = _position(cursor)
        found = nlargest(limit + 1, (entry for entry in entries if below is None or entry < below))
        shown = found[:limit]
        records = self._records([one for _, one in shown], payloads)
        more = len(found) > limit and shown
        return Page([record for record in records if record is not None], _cursor(shown[-1]) if more else None)

    async def counts(self) -> dict[Status, int]:
        await self._enter()
        return {status: sum(len(place.index[status]) for place in self._state.partitions) for status in ALL}

    def notifications(self, channel: str) -> AsyncIterator[bytes | None]:
        listener = Listener(self._server.channels, channel)
        self._listeners.append(listener)
        return listener.blobs()

    async def workers(self) -> list[WorkerInfo]:
        await self._enter()
        return self._workers(since=0)

    def _workers(self, *, since: int) -> list[WorkerInfo]:
        known = sorted((seen_at, worker_id) for worker_id, (seen_at, _) in self._state.workers.items())
        return [WorkerInfo(one, seen_at, self._state.workers[one][1]) for seen_at, one in known if seen_at >= since]

    async def leases(self) -> list[LeaseInfo]:
        await self._enter()
        return [place.info() for place in self._state.partitions]

    async def queues(self, partition: int) -> list[str]:
        await self._enter()
        return list(self._state.partitions[partition].activities)

    async def parked(self, partition: int) -> dict[str, bytes]:
        await self._enter()
        return dict(self._state.partitions[partition].parked)

    async def scan_ids(self, prefix: str, *, statuses: Sequence[Status], cursor: str | None, budget: int) -> IndexPage:
        await self._enter()
        return inspection.scan_ids(self._state, prefix, statuses, cursor=cursor, budget=budget)

    async def loads(self) -> list[PartitionLoad]:
        await self._enter()
        return [inspection.load_of(place) for place in self._state.partitions]

    async def timers_set(self, instance_id: str, execution_id: str, tasks: Sequence[int]) -> list[bool]:
        await self._enter()
        return inspection.timers_set(self._state.home(instance_id), instance_id, execution_id, tasks)

    async def server_info(self) -> ServerInfo:
        return ServerInfo(await self._enter())

    async def entities(self, ids: Sequence[str]) -> list[EntityRecord | None]:
        await self._enter()
        return [self._state.home(one).entity(one) for one in ids]

    async def entity_page(self, prefix: str, *, cursor: str | None, limit: int) -> EntityPage:
        await self._enter()
        after = cursor or ""
        texts = (one for place in self._state.partitions for one in place.entities if one.startswith(prefix))
        found = nsmallest(limit + 1, (one for one in texts if one > after))
        shown = found[:limit]
        records = [self._state.home(one).entity(one) for one in shown]
        more = len(found) > limit and shown
        return EntityPage([record for record in records if record is not None], shown[-1] if more else None)

    async def entity_queue(self, entity: str, count: int) -> list[tuple[int, bytes]]:
        await self._enter()
        return self._state.home(entity).waiting(entity)[:count]

    async def locks(self, partition: int) -> dict[str, str]:
        await self._enter()
        place = self._state.partitions[partition]
        records = (place.entity(one) for one in place.entities)
        return {one.entity: one.lock for one in records if one is not None and one.lock is not None}

    async def stalled(self, partition: int) -> dict[str, bytes]:
        await self._enter()
        return dict(self._state.partitions[partition].stalled)

    async def close(self) -> None:
        """End blocked reads and subscriptions of this handle. The state stays with the server."""
        self._closed = True
        self._reader.interrupt()
        for listener in self._listeners:
            listener.end()


def _position(cursor: str | None) -> tuple[int, str] | None:
    if cursor is None:
        return None
    created_at, _, instance_id = cursor.partition(" ")
    return int(created_at), instance_id


def _cursor(entry: tuple[int, str]) -> str:
    created_at, instance_id = entry
    return f"{created_at} {instance_id}"


class OwnerVerbs(ClientVerbs):
    """Membership, ownership, and the work of a partition's owner."""

    async def heartbeat(self, worker_id: str, about: Mapping[str, object], ttl_ms: int) -> tuple[int, list[WorkerInfo]]:
        now = await self._enter()
        workers = self._state.workers
        workers[worker_id] = (now, json.loads(json.dumps(about)))  # as it would come back from a server
        for silent in [one for one, (seen_at, _) in workers.items() if seen_at <= now - FORGET_SILENT_MS]:
            del workers[silent]
        for ahead in [one for one, (seen_at, _) in workers.items() if seen_at > now]:  # the clock was set back
            workers[ahead] = (now, workers[ahead][1])
        return now, self._workers(since=now - ttl_ms)

    async def leave(self, worker_id: str) -> None:
        await self._enter()
        self._state.workers.pop(worker_id, None)

    async def acquire(self, partition: int, worker_id: str, nonce: str, ttl_ms: int) -> Lease | None:
        now = await self._enter()
        epoch = self._state.lease(partition).acquire(worker_id, nonce, now=now, ttl_ms=ttl_ms)
        return None if epoch is None else Lease(partition, epoch, nonce)

    async def renew(
        self, leases: Sequence[Lease], worker_id: str, ttl_ms: int, applied: Mapping[Lease, int] = NONE_APPLIED
    ) -> list[Lease]:
        now = await self._enter()
        del worker_id  # the nonce says who it is
        return [
            one
            for one in leases
            if self._state.lease(one.partition).renew(one, now=now, ttl_ms=ttl_ms, applied=applied.get(one, 0))
        ]

    async def release(self, lease: Lease) -> None:
        await self._enter()
        self._state.lease(lease.partition).release(lease)

    async def read_inboxes(
        self, cursors: Mapping[int, str], count: int, block_ms: int
    ) -> list[tuple[int, list[InboxEntry]]]:
        await self._enter()
        return await self._reader.read(partial(self._inboxes, cursors, count), block_ms)

    def _inboxes(self, cursors: Mapping[int, str], count: int) -> list[tuple[int, list[InboxEntry]]]:
        found = (
            (number, self._state.partitions[number].inbox.after(cursor, count)) for number, cursor in cursors.items()
        )
        return [(number, [InboxEntry(one, *entry) for one, entry in entries]) for number, entries in found if entries]

    def interrupt(self) -> None:
        self._reader.interrupt()

    async def load(self, lease: Lease, ids: Sequence[str]) -> list[tuple[Record, list[bytes]] | None]:
        place = await self._read(lease)
        return [_loaded(place, one) for one in ids]

    async def load_entities(
        self, lease: Lease, ids: Sequence[str]
    ) -> list[tuple[EntityRecord, list[tuple[int, bytes]]] | None]:
        place = await self._read(lease)
        found = ((place.entity(one), place.waiting(one)) for one in ids)
        return [None if record is None else (record, queue) for record, queue in found]

    async def _read(self, lease: Lease) -> Partition:
        """The partition of a lease, for a verb that reads only: it answers anybody."""
        await self._enter()
        return self._state.partitions[lease.partition]

    async def _owned(self, lease: Lease) -> tuple[Partition, int]:
        """The partition of a lease and the time; Fenced when someone else owns it."""
        now = await self._enter()
        place = self._state.partitions[lease.partition]
        place.lease.check(lease)
        return place, now

    async def commit(self, lease: Lease, sequence: int, commit: Commit) -> None:
        place, _ = await self._owned(lease)
        for channel, blob in committing.apply(place, lease, sequence, commit).items():
            self._server.channels.publish(channel, blob)
        self._arrived(None)

    async def deaths(self, lease: Lease) -> int:
        return (await self._read(lease)).lease.deaths

    async def mend(self, lease: Lease) -> tuple[bool, list[bytes]]:
        await self._owned(lease)
        return False, []  # nobody can spoil the ids of this store

    async def tried(self, lease: Lease, entry: str) -> tuple[str, ...]:
        return (await self._read(lease)).lease.died.get(entry, ())

    async def attempt(self, lease: Lease, entry: str) -> None:
        place, _ = await self._owned(lease)
        place.lease.attempt(entry)

    async def due(self, lease: Lease, limit: int) -> tuple[list[str], int | None]:
        place, now = await self._owned(lease)
        timers = [(due, member) for member, due in place.timers.items()]
        reached = nsmallest(limit, (timer for timer in timers if timer[0] <= now))
        return [member for _, member in reached], min((due for due, _ in timers if due > now), default=None)

    async def outbox(self, lease: Lease, after: tuple[int, int], count: int) -> list[Outbound]:
        place = await self._read(lease)
        return [place.outbox[one] for one in nsmallest(count, (one for one in place.outbox if one > after))]

    async def deliver_all(self, partition: int, parcels: Sequence[Parcel]) -> None:
        now = await self._enter()
        for source, incarnation, batch in parcels:
            self._state.partitions[partition].deliver(source, incarnation, batch, now=now)
        self._arrived(None)

    async def forget(self, lease: Lease, numbers: Sequence[tuple[int, int]]) -> None:
        place, _ = await self._owned(lease)
        for number in numbers:
            place.outbox.pop(number, None)

    async def tidy(self, lease: Lease, silent_ms: int) -> int:
        place, now = await self._owned(lease)
        clients = {source: mark for source, mark in place.marks.items() if source.startswith("c:")}
        gone = [source for source, mark in clients.items() if mark.seen < now - silent_ms]
        for source in gone:
            del place.marks[source]
        return len(gone)

    async def dead_letter(self, batch: Sequence[tuple[str, bytes]]) -> None:
        await self._enter()
        self._state.dead = [*self._state.dead, *batch][-DEAD_MAX:]

    async def reply(self, batch: Sequence[tuple[str, bytes]]) -> None:
        await self._enter()
        for key, answer in batch:
            self._server.push_reply(key, answer, REPLY_TTL_MS)


def _loaded(place: Partition, instance_id: str) -> tuple[Record, list[bytes]] | None:
    record = place.record(instance_id)
    if record is None:
        return None
    events = {} if record.status in TERMINAL else place.instances[instance_id].history
    return record, [events[number] for number in sorted(events)]


class MemoryStore(OwnerVerbs):
    """One process's handle; made by `MemoryServer.store`. Implements `store.protocol.WorkerStore`."""

    async def claim_activities(self, worker_id: str, queues: Sequence[str], free: int, block_ms: int) -> list[Activity]:
        await self._enter()
        if free <= 0:
            return []
        return await self._reader.read(self._claim(worker_id, tuple(queues), free), block_ms)

    def _claim(self, worker_id: str, queues: Sequence[str], free: int) -> Callable[[], list[Activity]]:
        start = self._turn = (self._turn + 1) % len(self._state.partitions)
        order = self._state.partitions[start:] + self._state.partitions[:start]
        return lambda: claims.claim(order, queues, worker_id, free)

    async def claimed(self, worker_id: str, queues: Sequence[str]) -> list[Activity]:
        await self._enter()
        return claims.claimed(self._state.partitions, queues, worker_id)

    async def complete(self, partition: int, worker_id: str, outcomes: Sequence[Outcome]) -> int:
        await self._enter()
        del worker_id  # the entry itself is the claim
        return self._arrived(claims.complete(self._state.partitions[partition], outcomes))

    async def put_back(self, partition: int, worker_id: str, entries: Sequence[tuple[str, str, str]]) -> None:
        await self._enter()
        del worker_id
        claims.put_back(self._state.partitions[partition], entries)
        self._arrived(None)

    async def claimants(self, partition: int) -> set[str]:
        await self._enter()
        return claims.claimants(self._state.partitions[partition])

    async def begin(self, worker_id: str, activity: Activity) -> bool:
        await self._enter()
        return claims.begin(self._state.partitions[activity.partition], worker_id, activity)

    async def reclaim(self, lease: Lease, dead: Sequence[str], limit: int) -> list[Activity]:
        place, _ = await self._owned(lease)
        return self._arrived(claims.reclaim(place, dead, limit))

    # -- ingress

    async def acquire_ingress(self, worker_id: str, nonce: str, ttl_ms: int) -> Lease | None:
        return await self.acquire(-1, worker_id, nonce, ttl_ms)

    async def read_ingress(self, cursor: str, count: int, block_ms: int) -> list[tuple[str, dict[bytes, bytes]]]:
        await self._enter()
        return await self._reader.read(partial(self._state.ingress.after, cursor, count), block_ms)

    async def route(
        self,
        partition: int,
        lease: Lease,
        batch: Sequence[tuple[str, NewInstance | bytes]],
        forget: Sequence[str],
        *,
        turn: int = 0,
    ) -> list[Started | None]:
        now = await self._enter()
        place = self._state.partitions[partition]
        if lease.epoch < place.router_epoch:
            raise Fenced(f"the ingress is routed by epoch {place.router_epoch}, not by epoch {lease.epoch}: stop")
        if lease.epoch == place.router_epoch and turn < place.router_turn:
            raise Fenced(f"turn {turn} comes after turn {place.router_turn}")
        place.router_epoch, place.router_turn = lease.epoch, turn
        place.routed -= set(forget)
        return self._arrived([_routed(place, entry_id, item, now) for entry_id, item in batch])

    async def drop_ingress(self, entry_ids: Sequence[str]) -> None:
        await self._enter()
        for entry_id in entry_ids:
            self._state.ingress.remove(entry_id)


def _routed(place: Partition, entry_id: str, item: NewInstance | bytes, now: int) -> Started | None:
    """Take one ingress entry, once. A start that is repeated is answered as it stands now."""
    again = entry_id in place.routed
    place.routed.add(entry_id)
    if isinstance(item, bytes):
        if not again:
            place.inbox.append((item, 0))
        return None
    return creating.start_again(place, item) if again else creating.start(place, item, now)
