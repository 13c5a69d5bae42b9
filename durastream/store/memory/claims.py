"""Activities: claimed by any worker, exchanged for their outcome once, taken back from the dead."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from durastream.store.memory.state import Partition, Queued, with_name
from durastream.store.protocol import SUSPECT, Activity, Outcome

_Place = tuple[Partition, str, str]  # partition, queue, entry id


def claim(partitions: Sequence[Partition], queues: Sequence[str], worker_id: str, free: int) -> list[Activity]:
    """Claim at most `free`, one of each stream in turn, so that a long stream does not hide the others."""
    streams = [_entries(partition, queue, None) for partition in partitions for queue in queues]
    return [_claim(place, worker_id) for place in list(islice(_in_turn(streams), max(free, 0)))]


def _in_turn(streams: list[Iterator[_Place]]) -> Iterator[_Place]:
    while streams:
        heads = [(stream, next(stream, None)) for stream in streams]
        yield from (place for _, place in heads if place is not None)
        streams = [stream for stream, place in heads if place is not None]


def _entries(partition: Partition, queue: str, worker_id: str | None) -> Iterator[_Place]:
    """What this worker holds; with None, what waits."""
    stream = partition.activities.get(queue)
    entries = {} if stream is None else stream.entries
    return ((partition, queue, entry_id) for entry_id, entry in entries.items() if entry.worker == worker_id)


def _claim(place: _Place, worker_id: str) -> Activity:
    partition, queue, entry_id = place
    partition.activities[queue].entries[entry_id].worker = worker_id
    return _shown(place)


def _shown(place: _Place) -> Activity:
    partition, queue, entry_id = place
    entry = partition.activities[queue].entries[entry_id]
    return Activity(partition.number, queue, entry_id, entry.blob, entry.died)


def claimed(partitions: Sequence[Partition], queues: Sequence[str], worker_id: str) -> list[Activity]:
    places = (place for one in partitions for queue in queues for place in _entries(one, queue, worker_id))
    return [_shown(place) for place in places]


def complete(partition: Partition, outcomes: Sequence[Outcome]) -> int:
    """The entry itself is the claim: who takes it out has completed it, and nobody after."""
    counted = 0
    for queue, entry_id, message in outcomes:
        if _take(partition, queue, entry_id) is not None:
            partition.inbox.append((message, 0))
            counted += 1
    return counted


def put_back(partition: Partition, entries: Sequence[tuple[str, str, str]]) -> None:
    for queue, entry_id, to in entries:
        entry = _take(partition, queue, entry_id)
        if entry is not None:
            partition.queue(to).append(Queued(entry.blob, entry.died))


def begin(partition: Partition, worker_id: str, activity: Activity) -> bool:
    """Who begins a claimed one holds it from then on."""
    stream = partition.activities.get(activity.queue)
    entry = None if stream is None else stream.entries.get(activity.entry_id)
    if entry is None or entry.worker is None:
        return False
    entry.worker, entry.begun = worker_id, True
    return True


def reclaim(partition: Partition, dead: Sequence[str], limit: int) -> list[Activity]:
    """Move what dead workers hold to the tail of its queue: whatever kills its worker lets the others go first. Queue by queue
    in the order of their names, worker by worker as they are given, oldest first."""
    lost = (
        (queue, entry_id)
        for queue, stream in sorted(partition.activities.items())
        for worker in dict.fromkeys(dead)
        for entry_id, entry in stream.entries.items()
        if entry.worker == worker
    )
    return [_again(partition, queue, entry_id) for queue, entry_id in list(islice(lost, limit))]


def _again(partition: Partition, queue: str, entry_id: str) -> Activity:
    stream = partition.activities[queue]
    entry = stream.entries.pop(entry_id)
    noted = len(entry.died) < SUSPECT or entry.begun
    new_id = stream.append(Queued(entry.blob, with_name(entry.died, entry.worker or "") if noted else entry.died))
    return _shown((partition, queue, new_id))


def _take(partition: Partition, queue: str, entry_id: str) -> Queued | None:
    stream = partition.activities.get(queue)
    return None if stream is None else stream.remove(entry_id)


def claimants(partition: Partition) -> set[str]:
    """Workers that hold something. (A server also knows those that have nothing left: they are no less dead or alive.)"""
    return {
        entry.worker
        for stream in partition.activities.values()
        for entry in stream.entries.values()
        if entry.worker is not None
    }
