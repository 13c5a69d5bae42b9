"""Verbs that only operators need, over plain state."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import islice

from durastream.core.status import Status
from durastream.store.memory.state import Hub, Partition, Queued
from durastream.store.memory.stream import Stream
from durastream.store.protocol import IndexEntry, IndexPage, PartitionLoad, QueueLoad

_Place = tuple[int, Status, str]


def scan_ids(state: Hub, prefix: str, statuses: Sequence[Status], *, cursor: str | None, budget: int) -> IndexPage:
    after = None if cursor is None else tuple(json.loads(cursor))
    places = (place for place in sorted(set(_places(state, statuses))) if after is None or place > after)
    looked_at = list(islice(places, max(budget, 1) + 1))
    page = looked_at[: max(budget, 1)]
    found = [_entry(state, place) for place in page if place[2].startswith(prefix)]
    return IndexPage(found, json.dumps(page[-1]) if len(looked_at) > len(page) else None)


def _places(state: Hub, statuses: Sequence[Status]) -> Iterator[_Place]:
    for place in state.partitions:
        for status in statuses:
            for instance_id in place.index[status]:
                yield place.number, status, instance_id


def _entry(state: Hub, place: _Place) -> IndexEntry:
    partition, status, instance_id = place
    return IndexEntry(instance_id, status, state.partitions[partition].index[status][instance_id])


def load_of(place: Partition) -> PartitionLoad:
    """Entries of this store carry no time: nobody can tell since when they wait."""
    queues = (_queue_load(queue, stream) for queue, stream in sorted(place.activities.items()))
    return PartitionLoad(place.number, None, len(place.parked), len(place.stalled), tuple(queues))


def _queue_load(queue: str, stream: Stream[Queued]) -> QueueLoad:
    claimed = sum(entry.worker is not None for entry in stream.entries.values())
    return QueueLoad(queue, len(stream) - claimed, claimed, None)


def timers_set(place: Partition, instance_id: str, execution_id: str, tasks: Sequence[int]) -> list[bool]:
    return [f"T\n{task}\n{execution_id}\n{instance_id}" in place.timers for task in tasks]
