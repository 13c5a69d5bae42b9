"""Which worker should own which partition: rendezvous hashing over the live workers.

Every worker computes the same answer from the same list, and a worker that comes or goes moves only its own share
(Thaler and Ravishankar, "Using name-based mappings to increase hit rates", 1998). A partition in which instances wait for an
orchestrator that their owner lacks goes to a worker that has it, and stays with such a worker as long as they run there.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Final

from durastream.store.protocol import WorkerInfo

_PARTITION: Final = re.compile("[0-9]{1,9}")


def known_as(name: str, version: str | None) -> str:
    """An orchestrator as workers tell each other of it. Names hold no control characters."""
    return name if version is None else f"{name}\n{version}"


def entity_known_as(name: str) -> str:
    """An entity in the same lists. No orchestrator's name begins so."""
    return f"\n{name}"


def told(worker: WorkerInfo, what: str) -> list[str]:
    """A list of names that a worker tells of itself; [] where it tells none."""
    names = worker.about.get(what)
    return [str(name) for name in names] if isinstance(names, list) else []


def desired_owners(workers: Sequence[WorkerInfo], partitions: int) -> list[str | None]:
    """Worker id per partition; None where no worker lives."""
    waited_for, running = _told_of(workers, "parked"), _told_of(workers, "kept")
    room = {one.worker_id: -(-partitions // len(workers)) for one in workers}
    owners: list[str | None] = []
    for partition in range(partitions):
        owner = _owner(workers, partition, (waited_for.get(partition, []), running.get(partition, [])), room)
        owners.append(owner)
        if owner is not None:
            room[owner] -= 1
    return owners


def _told_of(workers: Sequence[WorkerInfo], what: str) -> dict[int, list[str]]:
    """Partition → orchestrators, as owners tell of it."""
    found: dict[int, list[str]] = {}
    for worker in workers:
        names = worker.about.get(what)
        if isinstance(names, Mapping):
            for partition, some in names.items():
                if _PARTITION.fullmatch(partition) and isinstance(some, list):
                    found.setdefault(int(partition), []).extend(map(str, some))
    return found


def _owner(
    workers: Sequence[WorkerInfo], partition: int, wishes: Sequence[list[str]], room: Mapping[str, int]
) -> str | None:
    """`wishes`: orchestrators that the owner should have, the more urgent first. One that no worker has counts for nothing.

    Among those able the highest weight wins, as long as it has room: shares differ by little (bounded loads, after Mirrokni,
    Thorup and Zadimoghaddam, 2016).
    """
    groups = ([one for one in workers if not _runs(one).isdisjoint(wanted)] for wanted in wishes)
    able = next((group for group in groups if group), workers)
    free = [one for one in able if room[one.worker_id] > 0] or able
    return max((one.worker_id for one in free), key=lambda worker_id: _weight(worker_id, partition), default=None)


def _runs(worker: WorkerInfo) -> set[str]:
    return set(told(worker, "runs"))


def _weight(worker_id: str, partition: int) -> bytes:
    return hashlib.blake2b(f"{worker_id}|{partition}".encode(), digest_size=8).digest()
