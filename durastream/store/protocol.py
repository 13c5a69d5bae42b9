"""The store: a small set of batch verbs. This file is the design document of everything below it.

Rules that hold for every verb
- A verb on a partition is atomic: all of it or nothing. A hub-wide verb says so if it is not.
- Every verb may be repeated after `StoreUnavailable`, with the same arguments, without a second effect.
- A verb that takes a `Lease` compares epoch *and* nonce first and raises `Fenced` when they differ. Those that only read
  (`load`, `load_entities`, `outbox`, `deaths`) need not: whatever a zombie reads, it can commit nothing.
- Times are milliseconds since the epoch by the server's clock. Message and event blobs are opaque bytes (see `wire`).
- Nothing here retries: who calls decides (see `worker.committer`, `client.sender`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from durastream.core.events import Json
from durastream.core.status import Status

SUSPECT = 3
"""Deaths after which an activity is suspected of killing its workers: from then on suspects run one at a time in each worker,
and only the one that had begun counts a death. Before, all that a dead worker held count it."""

# ---------------------------------------------------------------- values


class HubInfo(NamedTuple):
    """Settings of a hub, fixed when it is created (retention and payload limit may be changed by `hub create --force`)."""

    name: str
    partitions: int
    retention_ms: int  # how long a terminal instance is kept
    payload_bytes_max: int
    created_at: int
    schema: int


class Lease(NamedTuple):
    """Proof of ownership. `epoch` grows with each acquisition; `nonce` tells apart equal epochs after a failover."""

    partition: int
    epoch: int
    nonce: str


NONE_APPLIED: Final[Mapping[Lease, int]] = {}


class LeaseInfo(NamedTuple):
    partition: int
    owner: str | None  # worker id
    epoch: int
    until: int  # ms; in the past = expired, 0 = free
    backlog: int  # entries in the inbox
    timers: int
    outbox: int
    activities: int  # entries in all activity streams, running ones included


class InboxEntry(NamedTuple):
    """A message; or, with an empty blob, word that an instance was created that starts at `created_at`."""

    entry_id: str
    blob: bytes
    created_at: int  # ms for entries that a start script wrote, else 0


class NewInstance(NamedTuple):
    """What a client's start creates: the record (status Pending) and its first message, in one step."""

    instance_id: str
    execution_id: str
    name: str
    version: str | None
    input: Json | None
    tags: Json | None
    start_at: int | None  # ms; None = now
    notify: str | None
    reply: str | None
    message: bytes  # packed messages.Start


class Started(NamedTuple):
    instance_id: str
    execution_id: str  # of the existing instance where `created` is False
    created: bool
    status: Status


class Record(NamedTuple):
    """The instance hash. All payloads are JSON text."""

    instance_id: str
    execution_id: str
    name: str
    status: Status
    revision: int  # committed turns; compared and increased by each commit
    events: int  # length of the history
    created_at: int
    updated_at: int
    completed_at: int | None
    version: str | None
    input: Json | None
    output: Json | None
    failure: Json | None
    custom_status: Json | None
    tags: Json | None
    parent: str | None  # "instance\nexecution\ntask"
    notify: str | None
    reply: str | None
    problem: (
        Json | None
    )  # why it does not move: {"kind": "unknown-orchestrator" | "nondeterminism" | ..., "message": ...}
    start_at: int | None


class EntityRecord(NamedTuple):
    """The entity hash. An entity whose state is none, that is not locked and for which nothing is queued has none."""

    entity: str  # "@name@key"
    revision: int  # committed batches; compared and increased by each commit
    state: Json | None
    created_at: int
    updated_at: int
    lock: str | None  # who holds it: "instance\nexecution\ntask" of the lock request
    locked_at: int | None
    queued: int  # operations and lock requests in its queue: they wait for the lock, or for their time


class EntityPage(NamedTuple):
    """Entities in the order of their texts. `cursor` is None at the end; opaque otherwise."""

    records: list[EntityRecord]
    cursor: str | None


class Activity(NamedTuple):
    """A claimed entry of an activity stream. `died`: workers that had claimed it and fell silent, each once."""

    partition: int
    queue: str
    entry_id: str
    blob: bytes
    died: tuple[str, ...] = ()


class Outcome(NamedTuple):
    """What a worker found out about a claimed activity: `message` (packed TaskResult) goes to the inbox of the partition."""

    queue: str
    entry_id: str
    message: bytes


class Outbound(NamedTuple):
    """An outbox entry. `target` is a partition, or "dead" (dead-letter stream), or "reply" (a reply list)."""

    number: tuple[int, int]  # (epoch of the committing owner, sequence)
    target: int | str
    blob: bytes  # packed message; msgpack [reason, blob] for "dead"; [key, json] for "reply"


class Parcel(NamedTuple):
    """Messages of one source for one partition; see `ClientStore.deliver`."""

    source: str
    incarnation: tuple[int, str]
    batch: Sequence[tuple[int, bytes]]


@dataclass(slots=True)
class InstanceChange:
    """What a commit does to one instance. `fields` values of None delete the field."""

    instance_id: str
    revision: int | None  # revision before this commit; None = the record must not exist
    fields: dict[str, bytes | str | int | None]  # besides `revision` and `events`, which the store maintains
    status: tuple[Status | None, Status, int]  # (before, after, created_at): moves the index entry
    first_event: int  # length of the history before this commit; compared where the history changes
    events: list[bytes]
    replace_history: bool = False  # drop the history first (continue-as-new, restart)
    overwrite: dict[int, bytes] = field(default_factory=dict)  # rewind only: event number → event


@dataclass(slots=True)
class EntityChange:
    """What a commit does to one entity and its queue. `fields` (state, created_at, updated_at, lock, locked_at): None deletes."""

    entity: str
    revision: int | None  # revision before this commit; None = the record must not exist
    queue_length: int  # entries in its queue before this commit
    fields: dict[str, bytes | str | int | None] = field(default_factory=dict)
    queue_add: dict[int, bytes] = field(default_factory=dict)  # number → packed message
    queue_remove: list[int] = field(default_factory=list)
    gone: bool = False  # remove it: record, queue and index entry


@dataclass(slots=True)
class Commit:
    """All effects of a batch of turns in one partition. Applied as a whole, or not at all."""

    changes: list[InstanceChange] = field(default_factory=list)
    consumed: list[str] = field(default_factory=list)  # inbox entry ids
    timers_add: list[tuple[int, str]] = field(default_factory=list)  # (due ms, member)
    timers_remove: list[str] = field(default_factory=list)  # members
    activities: list[tuple[str, bytes]] = field(default_factory=list)  # (queue, packed ActivityItem)
    inbox: list[bytes] = field(default_factory=list)  # messages to this same partition
    outbox: list[tuple[int | str, bytes]] = field(default_factory=list)  # (target, blob)
    forgotten: list[tuple[int, int]] = field(default_factory=list)  # numbers of outbox entries that were delivered
    outbox_first: int = 1  # sequence of outbox[0]; the numbers of a lease count up from 1
    notices: list[tuple[str, str | None, bytes]] = field(default_factory=list)  # (instance id, channel, blob)
    parked: dict[str, bytes | None] = field(default_factory=dict)  # instance id → JSON reason, None = no longer parked
    entities: list[EntityChange] = field(default_factory=list)
    stalled: dict[str, bytes | None] = field(default_factory=dict)  # entity → JSON reason, None = no longer stalled
    purged: list[tuple[str, Status]] = field(default_factory=list)


class WorkerInfo(NamedTuple):
    worker_id: str
    seen_at: int
    about: Mapping[str, object]  # host, pid, started_at, orchestrators, activities, queues, concurrency, busy, owned


class Page(NamedTuple):
    """Instances in newest-first order. `cursor` is None at the end; opaque otherwise."""

    records: list[Record]
    cursor: str | None


class IndexEntry(NamedTuple):
    """An instance as the index of its partition has it."""

    instance_id: str
    status: Status
    created_at: int


class IndexPage(NamedTuple):
    """Entries in no order. `cursor` is None once the whole index was gone through; opaque otherwise."""

    entries: list[IndexEntry]
    cursor: str | None


class QueueLoad(NamedTuple):
    """One activity queue in one partition."""

    queue: str
    waiting: int
    running: int  # claimed by a worker, dead or alive
    oldest: int | None  # ms: when the first of those that wait was put there


class PartitionLoad(NamedTuple):
    """What waits in a partition, and since when."""

    partition: int
    oldest: int | None  # ms: when the first message of the inbox came; those for parked instances stay there
    parked: int  # instances that cannot move
    stalled: int  # entities whose operations wait for a worker that has their code
    queues: tuple[QueueLoad, ...]


class ServerInfo(NamedTuple):
    """What the server tells of itself; None where it does not, because it does not know or forbids the command."""

    clock: int  # ms, the server's time
    kind: str | None = None  # "redis" or "valkey"
    version: str | None = None
    uptime_s: int | None = None
    role: str | None = None  # "master" or "slave", in the server's own words
    clients: int | None = None  # connections
    used_memory: int | None = None  # bytes
    maxmemory: int | None = None  # bytes, 0 = no limit
    policy: str | None = None  # maxmemory-policy
    aof: bool | None = None  # append-only file
    aof_failing: bool | None = None  # its last write to the disk failed
    appendfsync: str | None = None
    scripts: bool | None = None  # whether we may run Lua scripts


# ---------------------------------------------------------------- verbs


class ClientStore(Protocol):
    """What clients and inspectors use."""

    hub: HubInfo

    async def now(self) -> int:
        """The server's time in ms."""
        ...

    async def start(self, partition: int, batch: Sequence[NewInstance]) -> list[Started]:
        """Create each instance that is absent and put its message into the inbox (or, with `start_at`, a member into the timer
        set and word of it into the inbox).

        A repeated call answers `created=True` again: the execution id is the caller's token (the part before the dot).
        """
        ...

    async def deliver(
        self, partition: int, source: str, incarnation: tuple[int, str], batch: Sequence[tuple[int, bytes]]
    ) -> None:
        """Append messages to the inbox, once each: `(sequence, blob)` in rising order; those at or below the mark kept for
        `source` and this incarnation are skipped. A lower epoch than the mark's is skipped whole (a zombie's repeat)."""
        ...

    async def records(self, ids: Sequence[str], *, payloads: bool = True) -> list[Record | None]:
        """The instances, in the order asked; several partitions at once (not atomic between them). Without payloads, input and
        output are None: a list of many must not cost what may be a MiB each."""
        ...

    async def history(self, instance_id: str, first: int, count: int) -> list[bytes]:
        """Events `first … first+count-1`, as far as they exist. `count` ≤ 1,000."""
        ...

    async def watch(self, partition: int, channel: str, ids: Sequence[str]) -> list[Record | None]:
        """Ask to be told on `channel` when each ends; answers the records as they are now, so that none is missed."""
        ...

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
        """Newest first over all partitions. Costs O(limit · partitions), whatever the number of instances. `payloads`: as for
        `records`."""
        ...

    async def counts(self) -> dict[Status, int]: ...

    def notifications(self, channel: str) -> AsyncIterator[bytes | None]:
        """Blobs published on `channel`. Yields None first and after each reconnection: from then on nothing is missed."""
        ...

    async def workers(self) -> list[WorkerInfo]: ...

    async def leases(self) -> list[LeaseInfo]: ...

    async def queues(self, partition: int) -> list[str]:
        """Activity queues that were ever used in this partition."""
        ...

    async def parked(self, partition: int) -> dict[str, bytes]:
        """Instances that cannot move, with the reason (JSON)."""
        ...

    # -- inspection: safe on a live system, each command a fraction of a millisecond

    async def scan_ids(self, prefix: str, *, statuses: Sequence[Status], cursor: str | None, budget: int) -> IndexPage:
        """Instances whose id begins with `prefix`: goes through about `budget` entries of the index, whatever it finds there.

        All that stay in their status meanwhile are found; one that changes it may be missed or come twice. A cursor is good
        for the same prefix and statuses.
        """
        ...

    async def loads(self) -> list[PartitionLoad]:
        """What waits in each partition and its activity queues. Costs O(partitions + queues), whatever waits in them."""
        ...

    async def timers_set(self, instance_id: str, execution_id: str, tasks: Sequence[int]) -> list[bool]:
        """Which of these timers (by the numbers of their events) are still to fire: history does not tell of cancelled ones."""
        ...

    async def server_info(self) -> ServerInfo:
        """Never refused: what the server keeps to itself is None."""
        ...

    # -- entities

    async def entities(self, ids: Sequence[str]) -> list[EntityRecord | None]:
        """The entities (as text, `@name@key`), in the order asked; several partitions at once."""
        ...

    async def entity_page(self, prefix: str, *, cursor: str | None, limit: int) -> EntityPage:
        """Entities whose text begins with `prefix`, over all partitions. Costs O(limit · partitions)."""
        ...

    async def entity_queue(self, entity: str, count: int) -> list[tuple[int, bytes]]:
        """What waits in an entity's queue, oldest first: (number, packed message). `count` ≤ 1,000."""
        ...

    async def locks(self, partition: int) -> dict[str, str]:
        """Locked entities of a partition, with the holder of each as in `EntityRecord.lock`."""
        ...

    async def stalled(self, partition: int) -> dict[str, bytes]:
        """Entities whose operations wait in the inbox for a worker that has their code, with the reason (JSON)."""
        ...

    async def close(self) -> None: ...


class WorkerStore(ClientStore, Protocol):
    """What workers use besides."""

    # -- membership and ownership

    async def heartbeat(self, worker_id: str, about: Mapping[str, object], ttl_ms: int) -> tuple[int, list[WorkerInfo]]:
        """Say that this worker lives; returns the server's time and the workers seen within `ttl_ms`.

        A hub whose settings are gone is made again as this handle knows it. Raises HubMismatch when it was made anew with other
        partitions."""
        ...

    async def leave(self, worker_id: str) -> None: ...

    async def acquire(self, partition: int, worker_id: str, nonce: str, ttl_ms: int) -> Lease | None:
        """Take the partition if it is free or its lease has expired. None when another holds it."""
        ...

    async def renew(
        self, leases: Sequence[Lease], worker_id: str, ttl_ms: int, applied: Mapping[Lease, int] = NONE_APPLIED
    ) -> list[Lease]:
        """Those still held. One that expired is not renewed: it must be acquired again, with a new epoch. One whose shard cannot
        be asked, while others can, counts as held: its fence says soon enough.

        `applied`: commits that are known to be applied. A store that has fewer of them has lost its newest writes (power loss,
        failover): that lease counts as lost, since what its owner has in memory never was.
        """
        ...

    async def release(self, lease: Lease) -> None: ...

    # -- the owner's work

    async def read_inboxes(
        self, cursors: Mapping[int, str], count: int, block_ms: int
    ) -> list[tuple[int, list[InboxEntry]]]:
        """Entries after the cursors ("0" = from the start). Entries stay until a commit consumes them. Blocks until one
        partition has any, `block_ms` passed, or `interrupt()`."""
        ...

    def interrupt(self) -> None:
        """End a blocked `read_inboxes` or `claim_activities` of this store object early, without losing entries."""
        ...

    async def load(self, lease: Lease, ids: Sequence[str]) -> list[tuple[Record, list[bytes]] | None]:
        """Record and whole history of each instance; None where there is none. No history for one that has ended: nothing
        but its record is needed to turn late messages away."""
        ...

    async def load_entities(
        self, lease: Lease, ids: Sequence[str]
    ) -> list[tuple[EntityRecord, list[tuple[int, bytes]]] | None]:
        """Record and whole queue, oldest first, of each entity; None where there is none."""
        ...

    async def commit(self, lease: Lease, sequence: int, commit: Commit) -> None:
        """Apply commit number `sequence` (1, 2, … within one lease) whole. Raises Fenced, Refused.

        Number n is applied only after n-1; a repeated number answers success and does nothing. Fenced also where n-1 is not
        there: the store has forgotten it.
        """
        ...

    async def deaths(self, lease: Lease) -> int:
        """How many owners in a row lost this partition soon after they had taken it: what waits in it may have killed them."""
        ...

    async def mend(self, lease: Lease) -> tuple[bool, list[bytes]]:
        """Mend what somebody spoilt by an entry with an id far ahead of all others: after it, no entry of ours is accepted. Tells
        whether the inbox was mended (forget its cursor: entries are numbered lower again), and what foreign entries were
        taken out of the outbox. Costs little where nothing is wrong."""
        ...

    async def tried(self, lease: Lease, entry: str) -> tuple[str, ...]:
        """Workers that lost the partition while they tried this entry, each once. They may have died of it, or live."""
        ...

    async def attempt(self, lease: Lease, entry: str) -> None:
        """Note that this owner is about to try an entry ("" = it is done with it). Raises Fenced. The entry that it had noted
        before it got over: nothing is held against that any more."""
        ...

    async def due(self, lease: Lease, limit: int) -> tuple[list[str], int | None]:
        """Timer members that are due by the server's clock, oldest first, and the time of the next one after them."""
        ...

    async def outbox(self, lease: Lease, after: tuple[int, int], count: int) -> list[Outbound]:
        """Outbox entries numbered above `after`, in order."""
        ...

    async def deliver_all(self, partition: int, parcels: Sequence[Parcel]) -> None:
        """Like `deliver`, for several sources, in order. Many messages take several steps: a repeat goes on where it stopped."""
        ...

    async def forget(self, lease: Lease, numbers: Sequence[tuple[int, int]]) -> None:
        """Remove outbox entries that have been delivered."""
        ...

    async def dead_letter(self, batch: Sequence[tuple[str, bytes]]) -> None:
        """Keep (reason, blob) in the hub's dead-letter stream. May keep one twice."""
        ...

    async def reply(self, batch: Sequence[tuple[str, bytes]]) -> None:
        """Push one JSON answer on each reply list and let the list expire in an hour. May push one twice after a crash."""
        ...

    async def tidy(self, lease: Lease, silent_ms: int) -> int:
        """Forget the marks of clients (sources `c:…`) that have been silent for `silent_ms`; returns how many. Bounded."""
        ...

    # -- activities: any worker

    async def claim_activities(self, worker_id: str, queues: Sequence[str], free: int, block_ms: int) -> list[Activity]:
        """Claim at most `free` waiting activities of these queues, over all partitions, fairly. Blocks like `read_inboxes`."""
        ...

    async def claimed(self, worker_id: str, queues: Sequence[str]) -> list[Activity]:
        """What is claimed in this worker's name already: read after any error, since a reply may have been lost."""
        ...

    async def complete(self, partition: int, worker_id: str, outcomes: Sequence[Outcome]) -> int:
        """Exchange claimed entries for their outcomes. An entry that is gone is skipped. Returns how many counted."""
        ...

    async def put_back(self, partition: int, worker_id: str, entries: Sequence[tuple[str, str, str]]) -> None:
        """Give claimed entries back: (queue, entry id, queue to put it in)."""
        ...

    async def claimants(self, partition: int) -> set[str]:
        """Workers that are known to the activity streams of this partition. To be asked *before* the list of live workers: one
        that heartbeats and claims in between would otherwise look dead."""
        ...

    async def begin(self, worker_id: str, activity: Activity) -> bool:
        """Note that a claimed suspect (see SUSPECT) begins to run. False: it is not there any more."""
        ...

    async def reclaim(self, lease: Lease, dead: Sequence[str], limit: int) -> list[Activity]:
        """Put back what these workers had claimed, with a note of who had it, and forget those with nothing left. At most
        `limit`, in the order of the queues' names, then of `dead`, then of age. Returns what was put back. With a suspect it is
        noted only if it had begun: the others were in bad company."""
        ...

    # -- ingress of the hub: one reader, fenced at each target

    async def acquire_ingress(self, worker_id: str, nonce: str, ttl_ms: int) -> Lease | None:
        """Like `acquire`, for the hub's ingress stream; `Lease.partition` is -1."""
        ...

    async def read_ingress(self, cursor: str, count: int, block_ms: int) -> list[tuple[str, dict[bytes, bytes]]]: ...

    async def route(
        self,
        partition: int,
        lease: Lease,
        batch: Sequence[tuple[str, NewInstance | bytes]],
        forget: Sequence[str],
        *,
        turn: int = 0,
    ) -> list[Started | None]:
        """Like `start` (NewInstance) or an inbox append (bytes), once for each ingress entry id; refuses a lower epoch than
        the highest seen. `forget`: entry ids that are gone from the ingress stream.

        `turn`: number of this call among those of this router to this partition, the same when it is repeated. One that is
        below the highest seen is refused: it was overtaken on its way, and what it names may have been forgotten."""
        ...

    async def drop_ingress(self, entry_ids: Sequence[str]) -> None: ...
