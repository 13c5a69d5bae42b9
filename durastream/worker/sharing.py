"""Which worker should own which partition: rendezvous hashing over the live workers.

Every worker computes the same answer from the same list, and a worker that comes or goes moves only its own share
(Thaler and Ravishankar, "Using name-based mappings to increase hit rates", 1998). Partitions in which instances wait for an
orchestrator that their owner lacks go to a worker that has it, as long as they wait.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from durastream.store.protocol import WorkerInfo


def _weight(worker_id: str, partition: int) -> bytes:
    return hashlib.blake2b(f"{worker_id}|{partition}".encode(), digest_size=8).digest()


def desired_owners(workers: Sequence[WorkerInfo], partitions: int) -> list[str | None]:
    """Worker id per partition; None where no worker lives."""
    wanted = _wanted_names(workers)
    return [_owner(workers, partition, wanted.get(partition, ())) for partition in range(partitions)]


def _wanted_names(workers: Sequence[WorkerInfo]) -> dict[int, Sequence[str]]:
    """Partition → orchestrators that instances in it wait for, as their owners tell."""
    wanted: dict[int, Sequence[str]] = {}
    for worker in workers:
        told = worker.about.get("parked")
        if isinstance(told, Mapping):
            wanted |= {int(partition): names for partition, names in told.items()}
    return wanted


def _owner(workers: Sequence[WorkerInfo], partition: int, wanted: Sequence[str]) -> str | None:
    able = [worker for worker in workers if _knows(worker, wanted)] if wanted else []
    ids = [worker.worker_id for worker in able or workers]
    return max(ids, key=lambda worker_id: _weight(worker_id, partition), default=None)


def _knows(worker: WorkerInfo, names: Sequence[str]) -> bool:
    known = worker.about.get("orchestrators")
    return isinstance(known, Sequence) and any(name in known for name in names)
