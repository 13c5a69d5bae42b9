"""What the invariants are functions of: plain values, read by `inspect.fsck` or made up by a test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import TypeAlias

from durastream.core.events import Event, Parent
from durastream.core.status import Status
from durastream.inspect.invariants.needs import Need
from durastream.store.protocol import ServerInfo


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands for something that cannot be decoded; `why` says so."""

    why: str


Slot: TypeAlias = Event | Unreadable | None
"""A place in a history; None: nothing stands there. Payloads of events are left out (empty)."""


@dataclass(frozen=True, slots=True)
class ChildView:
    """The sub-orchestration of an open event, as its record says; `status` is empty where there is none."""

    status: str = ""
    parent: Parent | None = None


@dataclass(frozen=True, slots=True)
class InstanceSnapshot:
    """One instance: its record, history, and everything that refers to it. No `fields`: there is no record."""

    instance_id: str
    partition: int
    home: int  # the partition that its id belongs to
    key: str
    fields: Mapping[str, bytes] = field(default_factory=dict)  # without input and output
    sizes: Mapping[str, int] = field(default_factory=dict)  # of input and output, 0 = absent
    bad_payloads: tuple[str, ...] = ()  # of input and output, those that are no JSON
    events: Sequence[Slot] = ()  # as many as the record says, or more where there are
    history_length: int = 0
    indexed: Mapping[Status, float] = field(default_factory=dict)
    parked: bytes | None = None
    watched: bool = False
    timers: Mapping[str, float] = field(default_factory=dict)  # those of its members that are set, by due time
    children: Mapping[int, ChildView] = field(default_factory=dict)  # by open event
    locks: Mapping[str, str] = field(default_factory=dict)  # entities it should hold → who does
    carried: AbstractSet[Need] | None = None  # needs that are on their way; None: nobody has looked
    now: int = 0
    retention_ms: int = 0
    payload_bytes_max: int = 0


@dataclass(frozen=True, slots=True)
class EntitySnapshot:
    """One entity: its record, its queue, and everything that refers to it."""

    entity: str
    partition: int
    home: int
    key: str
    queue_key: str
    fields: Mapping[str, bytes] = field(default_factory=dict)
    state_size: int = 0
    queue_length: int = 0
    waiting: Sequence[QueueEntry] = ()  # what is to be said of single entries: see `QueueEntry`
    waits: int = 0  # entries that wait for the lock
    indexed: float | None = None
    locked: bytes | None = None  # the holder as the hash of locks has it
    stalled: bytes | None = None
    holder_believes: bool | None = None  # whether the execution that holds it lives and knows; None: nobody does
    carried: AbstractSet[Need] | None = None
    now: int = 0
    payload_bytes_max: int = 0


@dataclass(frozen=True, slots=True)
class QueueEntry:
    """An entry of a queue that cannot be read, or a signal for later: `due`, and the score of its timer."""

    field: bytes
    problem: str = ""
    due: int | None = None
    timer: float | None = None
    blob: bytes = b""


@dataclass(frozen=True, slots=True)
class TimerSnapshot:
    """A member of a timer set, with what it is about."""

    key: str
    partition: int
    raw: bytes
    score: float
    home: int | None = None  # the partition its instance or entity belongs to; None: it cannot be read
    fields: Mapping[str, bytes] = field(default_factory=dict)  # of the record of its instance
    event: Slot = None  # the event a timer of an execution belongs to
    queued: bytes | None = None  # what stands at its number in the queue of its entity


@dataclass(frozen=True, slots=True)
class EntrySnapshot:
    """A stream entry that cannot be what belongs there; `problem` says why."""

    key: str
    entry_id: str
    problem: str
    kind: str  # inbox, outbox, activities
    raw: bytes = b""


@dataclass(frozen=True, slots=True)
class ClaimSnapshot:
    """An activity claimed in the name of a worker."""

    key: str
    entry_id: str
    consumer: str
    idle_ms: int
    there: bool  # whether the entry itself is
    worker_alive: bool
    owned: bool  # whether the partition has an owner, who should put it back


@dataclass(frozen=True, slots=True)
class StreamSnapshot:
    """A stream as a whole. `role`: inbox, outbox, activities, ingress, dead."""

    key: str
    role: str
    length: int
    last_id: str
    now: int
    epoch: int = 0  # of the partition's lease: ids of an outbox begin with it
    queue: str = ""  # of activities
    listed: bool = True  # whether the set of queues has it


@dataclass(frozen=True, slots=True)
class MarkSnapshot:
    """What a partition has taken from one source. `last_id`: of the source's outbox, None where that cannot be told."""

    key: str
    source: bytes
    mark: bytes
    partitions: int
    last_id: str | None = None
    epoch: int = 0  # of the source's lease


@dataclass(frozen=True, slots=True)
class LeaseSnapshot:
    key: str
    fields: Mapping[str, bytes]
    now: int


@dataclass(frozen=True, slots=True)
class RouterSnapshot:
    """The highest epoch of a router of the ingress that a partition has seen; None: none has been here."""

    key: str
    epoch: bytes | None
    now: int


@dataclass(frozen=True, slots=True)
class KeySnapshot:
    """A key as the inventory finds it. `wanted`: the type it should have; None: no such key is known."""

    key: str
    kind: str
    ttl_ms: int | None
    wanted: str | None
    singular: str = ""  # why it is not ours, where `wanted` is None


@dataclass(frozen=True, slots=True)
class HubSnapshot:
    """The hub as a whole, and the server it is on."""

    key: str
    name: str
    settings: Mapping[str, bytes]
    listed: bool
    server: ServerInfo
    schema: int
    workers_key: str
    about_key: str
    seen: Mapping[str, float]  # workers
    about: AbstractSet[str]  # workers of whom something is told
    now: int


@dataclass(frozen=True, slots=True)
class MemberSnapshot:
    """A member of an index, or a field of a hash of the partition, that names nothing: it is no UTF-8, or no id."""

    key: str
    kind: str  # zset or hash
    raw: bytes
