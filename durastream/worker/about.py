"""What a worker tells the others about itself with each heartbeat, and what it reads in what they tell."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from durastream import environment
from durastream.app import App
from durastream.store.protocol import WorkerInfo
from durastream.worker.clock import ServerClock
from durastream.worker.sharing import entity_known_as, known_as, told

if TYPE_CHECKING:
    from durastream.worker.activities import Activities
    from durastream.worker.host import Options
    from durastream.worker.partition import Partition

_SHOWN = 5  # running activities named in a heartbeat


class About:
    """The parts that stay the same are put together once."""

    def __init__(self, app: App, options: Options, clock: ServerClock) -> None:
        self._clock = clock
        versions = app.orchestrator_versions()
        self._runs = {known_as(name, version) for name, version in versions} | {name for name, _ in versions}
        self._runs.update(entity_known_as(name) for name in app.entity_names())
        self._fixed: dict[str, object] = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "started_at": environment.wall_ms(),
            "orchestrators": app.orchestrator_names(),
            "runs": sorted(self._runs),
            "activities": app.activity_names(),
            "entities": app.entity_names(),
            "queues": list(options.queues),
            "concurrency": options.concurrency,
            "lease_ms": int(options.lease_s * 1_000),
        }

    def describe(
        self, owned: Mapping[int, Partition], activities: Activities, live: Iterable[WorkerInfo]
    ) -> dict[str, object]:
        """`live`: all workers, this one included."""
        running = sorted({one.item.name for one in list(activities.running.values())})[:_SHOWN]
        parked = {
            str(number): sorted(lacking) for number, partition in owned.items() if (lacking := partition.lacking())
        }
        return {
            **self._fixed,
            "skew_ms": self._clock.skew_ms,
            "owned": sorted(owned),
            "busy": len(activities.running),
            "activities_done": activities.done,
            "turns": sum(partition.turns for partition in owned.values()),
            "operations": sum(partition.entities.operations for partition in owned.values()),
            "running": running,
            "parked": parked,
            "kept": self._kept(owned, live),
            "split": sorted(activities.split),
        }

    def _kept(self, owned: Mapping[int, Partition], live: Iterable[WorkerInfo]) -> dict[str, list[str]]:
        """Partition → orchestrators that run in it and that not every worker has."""
        rare = {key for worker in live for key in self._runs.difference(told(worker, "runs"))}
        if not rare:
            return {}
        return {str(number): keys for number, partition in owned.items() if (keys := partition.runs(rare))}


def split_queues(workers: Iterable[WorkerInfo]) -> set[str]:
    """Queues of activities that some worker lacked, as told by those who met them."""
    found: set[str] = set()
    for worker in workers:
        found.update(told(worker, "split"))
    return found
