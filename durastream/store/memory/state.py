"""What the store holds: plain data, nothing that waits or runs. Two states that compare equal are equal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, cast

from durastream.core.ids import partition_of
from durastream.core.status import ALL, PENDING, TERMINAL, Status
from durastream.errors import Fenced
from durastream.store.memory.stream import Stream
from durastream.store.protocol import EntityRecord, HubInfo, Lease, LeaseInfo, NewInstance, Outbound, Record

Value: TypeAlias = bytes | str | int

_OPTIONAL = ("version", "input", "tags", "notify", "reply", "start_at")  # of a new instance


@dataclass(slots=True)
class Instance:
    """One instance: its fields as a commit gives them, and its history by event number."""

    fields: dict[str, Value]
    revision: int = 0
    history: dict[int, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class Entity:
    """One entity: its fields as a commit gives them, and what waits for it by number."""

    fields: dict[str, Value] = field(default_factory=dict)
    revision: int = 0
    queue: dict[int, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class LeaseState:
    """Who owns a partition (or the ingress). `owner` is None before the first acquisition and after a release."""

    owner: str | None = None
    nonce: str = ""
    epoch: int = 0
    until: int = 0
    sequence: int = 0  # number of the last commit applied under this epoch
    sent: int = 0  # sequence of the last outbox entry written under this epoch
    deaths: int = 0  # owners in a row that died young
    trying: str = ""  # the entry that the owner tries
    died: dict[str, tuple[str, ...]] = field(
        default_factory=dict
    )  # entry → owners that fell silent while they tried it

    def check(self, lease: Lease) -> None:
        """Raise Fenced unless the lease is the present one. One that ran out stays good until another takes it."""
        if not self.holds(lease):
            raise Fenced(
                f"partition {lease.partition} is owned by epoch {self.epoch}, not by epoch {lease.epoch}: stop"
            )

    def acquire(self, worker_id: str, nonce: str, *, now: int, ttl_ms: int) -> int | None:
        """The epoch; None when another holds it. The holder's own nonce means that the call is repeated."""
        if self.owner is not None and self.until > now:
            return self.epoch if self.nonce == nonce else None
        if self.owner is None:
            self.deaths = 0
        else:
            young = self.until - self.epoch <= 2 * ttl_ms
            self.deaths = 1 + (self.deaths if young else 0)
            if self.trying:
                self.died[self.trying] = with_name(self.died.get(self.trying, ()), self.owner)
        self.trying = ""
        # At least the clock: after a failover that forgot an acquisition the next epoch is still a new one.
        self.epoch = max(self.epoch + 1, now)
        self.owner, self.nonce, self.until = worker_id, nonce, now + ttl_ms
        self.sequence = self.sent = 0
        return self.epoch

    def renew(self, lease: Lease, *, now: int, ttl_ms: int, applied: int) -> bool:
        if not self.holds(lease) or self.until <= now or self.sequence < applied:
            return False
        self.until = now + ttl_ms
        return True

    def release(self, lease: Lease) -> None:
        """Free it for others. Not this lease any more: nothing to do, so that the call may be repeated."""
        if self.holds(lease):
            self.owner, self.nonce, self.until, self.trying = None, "", 0, ""

    def attempt(self, entry: str) -> None:
        if self.trying and self.trying != entry:
            self.died.pop(self.trying, None)  # the caller got over it
        self.trying = entry

    def holds(self, lease: Lease) -> bool:
        return self.owner is not None and (self.epoch, self.nonce) == (lease.epoch, lease.nonce)


@dataclass(slots=True)
class Queued:
    """An entry of an activity stream; `worker` is who claimed it."""

    blob: bytes
    died: tuple[str, ...] = ()  # workers that had claimed it and fell silent
    worker: str | None = None
    begun: bool = False  # of a suspect: it has been told that it runs


@dataclass(slots=True)
class Mark:
    """The last message taken from one source."""

    epoch: int
    nonce: str
    sequence: int
    seen: int  # ms


@dataclass(slots=True)
class Partition:
    number: int
    lease: LeaseState = field(default_factory=LeaseState)
    instances: dict[str, Instance] = field(default_factory=dict)
    index: dict[Status, dict[str, int]] = field(default_factory=lambda: {status: {} for status in ALL})
    inbox: Stream[tuple[bytes, int]] = field(default_factory=Stream[tuple[bytes, int]])
    timers: dict[str, int] = field(default_factory=dict)
    outbox: dict[tuple[int, int], Outbound] = field(default_factory=dict)
    activities: dict[str, Stream[Queued]] = field(default_factory=dict)
    marks: dict[str, Mark] = field(default_factory=dict)
    watch: dict[str, list[str]] = field(default_factory=dict)  # instance id → channels
    parked: dict[str, bytes] = field(default_factory=dict)
    entities: dict[str, Entity] = field(default_factory=dict)
    stalled: dict[str, bytes] = field(default_factory=dict)
    routed: set[str] = field(default_factory=set)  # ingress entries taken and not yet forgotten
    router_epoch: int = 0
    router_turn: int = 0

    def queue(self, name: str) -> Stream[Queued]:
        return self.activities.setdefault(name, Stream())

    def create(self, new: NewInstance, now: int) -> None:
        """The record (Pending) and its first message, or a timer member that stands for the message."""
        optional = {name: getattr(new, name) for name in _OPTIONAL}
        self.instances[new.instance_id] = Instance(
            {
                "execution_id": new.execution_id,
                "status": PENDING,
                "created_at": now,
                "updated_at": now,
                "name": new.name,
                **{name: value for name, value in optional.items() if value is not None},
            }
        )
        self.index[PENDING][new.instance_id] = now
        if new.start_at is None:
            self.inbox.append((new.message, now))
        else:
            self.inbox.append((b"", new.start_at))
            self.timers[f"S\n0\n{new.execution_id}\n{new.instance_id}"] = new.start_at

    def deliver(
        self, source: str, incarnation: tuple[int, str], batch: Sequence[tuple[int, bytes]], *, now: int
    ) -> None:
        """Append each message of one source once. Equal epochs with other nonces come from a failover: all is new."""
        epoch, nonce = incarnation
        mark = self.marks.get(source, Mark(0, "", 0, now))
        if epoch < mark.epoch:
            return
        seen = mark.sequence if (mark.epoch, mark.nonce) == incarnation else 0
        for sequence, blob in batch:
            if sequence > seen:
                self.inbox.append((blob, 0))
                self.marks[source] = Mark(epoch, nonce, sequence, now)

    def watched(self, instance_id: str, channel: str) -> Record | None:
        """The record as it is now; one that has not ended is watched from now on."""
        record = self.record(instance_id)
        if record is not None and record.status not in TERMINAL:
            channels = self.watch.setdefault(instance_id, [])
            if channel not in channels:
                channels.append(channel)
        return record

    def record(self, instance_id: str) -> Record | None:
        held = self.instances.get(instance_id)
        return None if held is None else _record(instance_id, held)

    def entity(self, entity: str) -> EntityRecord | None:
        held = self.entities.get(entity)
        return None if held is None else _entity_record(entity, held)

    def waiting(self, entity: str) -> list[tuple[int, bytes]]:
        """The queue of an entity, oldest first."""
        held = self.entities.get(entity)
        return [] if held is None else sorted(held.queue.items())

    def info(self) -> LeaseInfo:
        return LeaseInfo(
            partition=self.number,
            owner=self.lease.owner,
            epoch=self.lease.epoch,
            until=self.lease.until,
            backlog=len(self.inbox),
            timers=len(self.timers),
            outbox=len(self.outbox),
            activities=sum(map(len, self.activities.values())),
        )


@dataclass(slots=True)
class Hub:
    info: HubInfo
    partitions: list[Partition]
    workers: dict[str, tuple[int, Mapping[str, object]]] = field(default_factory=dict)  # id → (seen at, about)
    ingress: Stream[dict[bytes, bytes]] = field(default_factory=Stream[dict[bytes, bytes]])
    ingress_lease: LeaseState = field(default_factory=LeaseState)
    dead: list[tuple[str, bytes]] = field(default_factory=list)

    def lease(self, partition: int) -> LeaseState:
        """The lease of a partition; -1 is the hub's ingress."""
        return self.ingress_lease if partition < 0 else self.partitions[partition].lease

    def home(self, place: str) -> Partition:
        """The partition of an instance or entity."""
        return self.partitions[partition_of(place, len(self.partitions))]


def with_name(names: tuple[str, ...], name: str) -> tuple[str, ...]:
    """Each is named once, however often it was seen to fall silent."""
    return names if name in names else (*names, name)


def _record(instance_id: str, held: Instance) -> Record:
    fields = held.fields
    return Record(
        instance_id=instance_id,
        execution_id=_text(fields.get("execution_id")) or "",
        name=_text(fields.get("name")) or "",
        status=cast(Status, _text(fields.get("status"))),
        revision=held.revision,
        events=len(held.history),
        created_at=_number(fields.get("created_at")) or 0,
        updated_at=_number(fields.get("updated_at")) or 0,
        completed_at=_number(fields.get("completed_at")),
        version=_text(fields.get("version")),
        input=_json(fields.get("input")),
        output=_json(fields.get("output")),
        failure=_json(fields.get("failure")),
        custom_status=_json(fields.get("custom_status")),
        tags=_json(fields.get("tags")),
        parent=_text(fields.get("parent")),
        notify=_text(fields.get("notify")),
        reply=_text(fields.get("reply")),
        problem=_json(fields.get("problem")),
        start_at=_number(fields.get("start_at")),
    )


def _entity_record(entity: str, held: Entity) -> EntityRecord:
    fields = held.fields
    return EntityRecord(
        entity=entity,
        revision=held.revision,
        state=_json(fields.get("state")),
        created_at=_number(fields.get("created_at")) or 0,
        updated_at=_number(fields.get("updated_at")) or 0,
        lock=_text(fields.get("lock")),
        locked_at=_number(fields.get("locked_at")),
        queued=len(held.queue),
    )


# A server keeps every field as bytes: whichever type it was written in, it is read in the type of the record.


def _json(value: Value | None) -> bytes | None:
    return value if value is None or isinstance(value, bytes) else str(value).encode()


def _text(value: Value | None) -> str | None:
    return value.decode() if isinstance(value, bytes) else None if value is None else str(value)


def _number(value: Value | None) -> int | None:
    return None if value is None else int(value)
