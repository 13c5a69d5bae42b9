"""The hub as rows: workers, partitions, activity queues, and what all of it comes to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, TypeAlias

from durastream.core.status import Status
from durastream.inspect.rows import when
from durastream.store.protocol import LeaseInfo, PartitionLoad, WorkerInfo

LEASE_MS: Final = 10_000
"""A worker that has said nothing for the time of its lease is taken for dead. This is the lease of one that does not tell."""

LeaseState: TypeAlias = Literal["held", "expired", "free"]


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A worker as it told of itself. Counters are since it started."""

    id: str
    alive: bool
    seen_at: datetime
    started_at: datetime | None
    host: str
    pid: int | None
    partitions: tuple[int, ...]
    busy: int  # activities it runs
    concurrency: int  # it runs at most so many
    running: tuple[str, ...]  # names of some of them
    queues: tuple[str, ...]
    orchestrators: tuple[str, ...]
    activities: tuple[str, ...]
    entities: tuple[str, ...]
    runs: frozenset[str]  # orchestrators as `known_as`, and names alone
    turns: int
    operations: int
    activities_done: int
    skew_ms: int | None  # the server's clock minus this worker's; None where it does not tell


@dataclass(frozen=True, slots=True)
class PartitionRow:
    number: int
    lease: LeaseState
    owner: str | None
    owner_alive: bool
    epoch: int
    backlog: int  # messages in the inbox
    oldest: datetime | None  # when the first of them came; those for parked instances stay there
    timers: int
    outbox: int
    activities: int  # waiting and running
    parked: int
    stalled: int


@dataclass(frozen=True, slots=True)
class QueueRow:
    """An activity queue over all partitions."""

    queue: str
    waiting: int
    running: int
    oldest: datetime | None  # when the first of those that wait was put there
    workers: int  # alive ones that read it
    slots: int  # activities that these may run at once
    busy: int  # how many they do run, of any queue


@dataclass(frozen=True, slots=True)
class Lag:
    """How far work is behind: what waits, and the age of the oldest of it in seconds (0 with nothing waiting)."""

    messages: int
    activities: int
    messages_s: float
    activities_s: float


@dataclass(frozen=True, slots=True)
class Overview:
    """The hub at a moment, by the server's clock."""

    hub: str
    now: datetime
    counts: Mapping[Status, int]
    workers: tuple[WorkerRow, ...]
    partitions: tuple[PartitionRow, ...]
    queues: tuple[QueueRow, ...]
    lag: Lag

    @property
    def live_workers(self) -> tuple[WorkerRow, ...]:
        return tuple(worker for worker in self.workers if worker.alive)

    @property
    def unowned(self) -> tuple[int, ...]:
        """Partitions that nobody owns."""
        return tuple(row.number for row in self.partitions if row.lease != "held")


def known_as(name: str, version: str | None) -> str:
    """An orchestrator as it stands in `WorkerRow.runs`."""
    return name if version is None else f"{name}\n{version}"


def overview(
    hub: str,
    now_ms: int,
    *,
    counts: Mapping[Status, int],
    workers: Sequence[WorkerInfo],
    leases: Sequence[LeaseInfo],
    loads: Sequence[PartitionLoad],
) -> Overview:
    """Rows from what the store answered; `loads` may be empty."""
    holders = {lease.owner for lease in leases if lease.owner and lease.until > now_ms}
    people = worker_rows(workers, now_ms, holders=holders)
    partitions = partition_rows(leases, loads, now_ms, live={row.id for row in people if row.alive})
    queues = queue_rows(loads, people)
    return Overview(hub, when(now_ms), counts, people, partitions, queues, _lag(partitions, queues, when(now_ms)))


# ---------------------------------------------------------------- workers


def worker_rows(
    workers: Iterable[WorkerInfo], now_ms: int, *, holders: Iterable[str | None] = ()
) -> tuple[WorkerRow, ...]:
    """Those alive first, by id. `holders`: who holds a lease that has not run out is alive, however long its lease is."""
    alive = set(holders)
    rows = (_worker(one, _seen_lately(one, now_ms) or one.worker_id in alive) for one in workers)
    return tuple(sorted(rows, key=lambda row: (not row.alive, row.id)))


def _seen_lately(worker: WorkerInfo, now_ms: int) -> bool:
    return worker.seen_at > now_ms - (_number(worker.about, "lease_ms") or LEASE_MS)


def _worker(worker: WorkerInfo, alive: bool) -> WorkerRow:
    about = worker.about
    started = _number(about, "started_at")
    return WorkerRow(
        id=worker.worker_id,
        alive=alive,
        seen_at=when(worker.seen_at),
        started_at=None if started is None else when(started),
        host=str(about.get("host", "")),
        pid=_number(about, "pid"),
        partitions=tuple(sorted(one for one in _list(about, "owned") if isinstance(one, int))),
        busy=_number(about, "busy") or 0,
        concurrency=_number(about, "concurrency") or 0,
        running=_names(about, "running"),
        queues=_names(about, "queues"),
        orchestrators=_names(about, "orchestrators"),
        activities=_names(about, "activities"),
        entities=_names(about, "entities"),
        runs=frozenset(_names(about, "runs")),
        turns=_number(about, "turns") or 0,
        operations=_number(about, "operations") or 0,
        activities_done=_number(about, "activities_done") or 0,
        skew_ms=_number(about, "skew_ms"),
    )


def _number(about: Mapping[str, object], name: str) -> int | None:
    value = about.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _list(about: Mapping[str, object], name: str) -> list[object]:
    value = about.get(name)
    return value if isinstance(value, list) else []


def _names(about: Mapping[str, object], name: str) -> tuple[str, ...]:
    return tuple(map(str, _list(about, name)))


# ---------------------------------------------------------------- partitions and queues


def partition_rows(
    leases: Iterable[LeaseInfo], loads: Iterable[PartitionLoad], now_ms: int, *, live: Iterable[str]
) -> tuple[PartitionRow, ...]:
    known = {load.partition: load for load in loads}
    alive = set(live)
    return tuple(_partition(lease, known.get(lease.partition), now_ms, lease.owner in alive) for lease in leases)


def _partition(lease: LeaseInfo, load: PartitionLoad | None, now_ms: int, alive: bool) -> PartitionRow:
    return PartitionRow(
        number=lease.partition,
        lease="free" if not lease.owner else "held" if lease.until > now_ms else "expired",
        owner=lease.owner,
        owner_alive=alive,
        epoch=lease.epoch,
        backlog=lease.backlog,
        oldest=None if load is None or load.oldest is None else when(load.oldest),
        timers=lease.timers,
        outbox=lease.outbox,
        activities=lease.activities,
        parked=0 if load is None else load.parked,
        stalled=0 if load is None else load.stalled,
    )


def queue_rows(loads: Iterable[PartitionLoad], workers: Sequence[WorkerRow]) -> tuple[QueueRow, ...]:
    """By name. A queue that a live worker reads is there even if nothing was ever put into it."""
    parts: dict[str, list[tuple[int, int, int | None]]] = {
        queue: [] for row in workers if row.alive for queue in row.queues
    }
    for load in loads:
        for one in load.queues:
            parts.setdefault(one.queue, []).append((one.waiting, one.running, one.oldest))
    return tuple(_queue(queue, parts[queue], workers) for queue in sorted(parts))


def _queue(queue: str, parts: Sequence[tuple[int, int, int | None]], workers: Sequence[WorkerRow]) -> QueueRow:
    readers = [row for row in workers if row.alive and reads(row, queue)]
    oldest = min((since for _, _, since in parts if since is not None), default=None)
    return QueueRow(
        queue=queue,
        waiting=sum(waiting for waiting, _, _ in parts),
        running=sum(running for _, running, _ in parts),
        oldest=None if oldest is None else when(oldest),
        workers=len(readers),
        slots=sum(row.concurrency for row in readers),
        busy=sum(row.busy for row in readers),
    )


def reads(worker: WorkerRow, queue: str) -> bool:
    """Whether a worker takes activities from a queue. One named `queue/activity` is read by those that have the activity."""
    base, split, activity = queue.partition("/")
    return queue in worker.queues or bool(split and base in worker.queues and activity in worker.activities)


def _lag(partitions: Iterable[PartitionRow], queues: Iterable[QueueRow], now: datetime) -> Lag:
    partitions, queues = list(partitions), list(queues)
    return Lag(
        messages=sum(row.backlog for row in partitions),
        activities=sum(row.waiting for row in queues),
        messages_s=max((_age_s(row.oldest, now) for row in partitions), default=0.0),
        activities_s=max((_age_s(row.oldest, now) for row in queues), default=0.0),
    )


def _age_s(since: datetime | None, now: datetime) -> float:
    return 0.0 if since is None else max((now - since).total_seconds(), 0.0)
