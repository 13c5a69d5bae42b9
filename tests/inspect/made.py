"""Plain values for tests of the read models: instances, workers, hubs, histories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from durastream.client.views import InstanceStatus
from durastream.core import events as ev
from durastream.core.status import ALL, Status
from durastream.inspect.facts import HubFacts, InstanceFacts
from durastream.inspect.hub import Overview, overview
from durastream.inspect.waiting import Known, waits
from durastream.store.protocol import LeaseInfo, PartitionLoad, QueueLoad, ServerInfo, WorkerInfo

NOW_MS = 1_935_403_200_000
NOW = datetime.fromtimestamp(NOW_MS / 1000, UTC)


def before(**span: float) -> datetime:
    """So long ago."""
    return NOW - timedelta(**span)


def status(id: str = "order-7", **fields: Any) -> InstanceStatus:
    plain: dict[str, Any] = {
        "name": "place_order",
        "runtime_status": "Running",
        "created_at": before(hours=1),
        "updated_at": before(minutes=30),
        "completed_at": None,
        "input": None,
        "output": None,
        "failure": None,
        "custom_status": None,
        "tags": {},
        "parent_id": None,
        "version": None,
        "execution_id": "t.0",
        "problem": None,
        "events": 1,
        "partition": 0,
        "start_at": None,
    }
    return InstanceStatus(id=id, **(plain | fields))


def worker(worker_id: str = "w1", *, silent_s: float = 1.0, **about: Any) -> WorkerInfo:
    told: dict[str, Any] = {
        "host": "host-1",
        "pid": 42,
        "started_at": NOW_MS - 3_600_000,
        "orchestrators": ["place_order"],
        "runs": ["place_order"],
        "activities": ["charge", "ship"],
        "entities": ["Counter"],
        "queues": ["default"],
        "concurrency": 256,
        "owned": [0, 1],
        "busy": 3,
        "activities_done": 1_000,
        "turns": 2_000,
        "operations": 500,
        "running": ["charge"],
    }
    return WorkerInfo(worker_id, NOW_MS - int(silent_s * 1000), told | about)


def lease(partition: int = 0, owner: str | None = "w1", *, left_s: float = 8, **fields: int) -> LeaseInfo:
    plain = {"epoch": 1, "backlog": 0, "timers": 0, "outbox": 0, "activities": 0}
    return LeaseInfo(partition=partition, owner=owner, until=NOW_MS + int(left_s * 1000), **(plain | fields))


def load(partition: int = 0, *queues: QueueLoad, **fields: Any) -> PartitionLoad:
    plain: dict[str, Any] = {"oldest": None, "parked": 0, "stalled": 0}
    return PartitionLoad(partition=partition, queues=queues, **(plain | fields))


def queue(name: str = "default", waiting: int = 0, running: int = 0, *, oldest_s: float | None = None) -> QueueLoad:
    return QueueLoad(name, waiting, running, None if oldest_s is None else NOW_MS - int(oldest_s * 1000))


def hub(
    workers: Sequence[WorkerInfo] | None = None,
    leases: Sequence[LeaseInfo] | None = None,
    loads: Sequence[PartitionLoad] = (),
    counts: Mapping[Status, int] | None = None,
) -> Overview:
    """A healthy hub of two partitions and one worker, but for what is given."""
    return overview(
        "default",
        NOW_MS,
        counts=counts or dict.fromkeys(ALL, 0),
        workers=[worker()] if workers is None else workers,
        leases=[lease(0), lease(1)] if leases is None else leases,
        loads=loads,
    )


def server(**fields: Any) -> ServerInfo:
    """A server as it should be."""
    plain: dict[str, Any] = {
        "kind": "redis",
        "version": "8.2.2",
        "uptime_s": 86_400,
        "role": "master",
        "clients": 10,
        "used_memory": 100 << 20,
        "maxmemory": 1_000 << 20,
        "policy": "noeviction",
        "aof": True,
        "aof_failing": False,
        "appendfsync": "everysec",
        "scripts": True,
    }
    return ServerInfo(clock=NOW_MS, **(plain | fields))


def facts(
    one: InstanceStatus | None = None,
    history: Sequence[ev.Event] = (),
    *,
    view: Overview | None = None,
    known: Known | None = None,
    **more: Any,
) -> InstanceFacts:
    instance = one or status(events=len(history))
    found = waits(instance, history, known=known)
    return InstanceFacts(instance, HubFacts(view or hub()), history, 0, found, **more)


# ---------------------------------------------------------------- histories


def at(seconds: float) -> int:
    """Milliseconds since the epoch, so many seconds before NOW."""
    return NOW_MS - int(seconds * 1000)


def begun(seconds: float = 3_600, name: str = "place_order") -> ev.Event:
    return ev.ExecutionStarted(at(seconds), name, None, None, None, 0)


def scheduled(
    seconds: float, name: str = "charge", attempt: int = 1, *, queue: str = "default", timeout_ms: int | None = None
) -> ev.Event:
    return ev.TaskScheduled(at(seconds), name, b"1", queue, timeout_ms, attempt)


def failed(seconds: float, task: int, text: str = "no") -> ev.Event:
    return ev.TaskFailed(at(seconds), task, ev.Failure("ValueError", text))


def done(seconds: float, task: int) -> ev.Event:
    return ev.TaskCompleted(at(seconds), task, b"1")


def timer(seconds: float, due_s: float = 0) -> ev.Event:
    return ev.TimerCreated(at(seconds), at(due_s))


def fired(seconds: float, task: int) -> ev.Event:
    return ev.TimerFired(at(seconds), task)
