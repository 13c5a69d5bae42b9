"""Where the protocol leaves a choice to the store, the model checks that the server's was allowed, and makes the same one.

Each function gets the model's hub, the call, and the server's reply with the model's own entry ids; it returns the model's reply.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from durastream.store.memory.state import Hub, Partition
from durastream.store.protocol import Activity
from tests.differential.calls import Call

Follow: TypeAlias = Callable[[Hub, Call, Any], Any]


def claim(hub: Hub, call: Call, reply: list[Activity]) -> list[Activity]:
    """At most as many as asked for, of each stream those that wait longest, and something if anything waits."""
    worker_id, queues, free, _ = call.args
    waiting = {(place.number, queue): _waiting(place, queue) for place in hub.partitions for queue in queues}
    taken: defaultdict[tuple[int, str], list[Activity]] = defaultdict(list)
    for one in reply:
        taken[one.partition, one.queue].append(one)
    enough = bool(reply) or free <= 0 or not any(waiting.values())
    oldest = all(entries == waiting.get(stream, [])[: len(entries)] for stream, entries in taken.items())
    if not (enough and oldest and len(reply) <= max(free, 0)):
        return [one for entries in waiting.values() for one in entries]  # what it could have chosen from
    for one in reply:
        hub.partitions[one.partition].activities[one.queue].entries[one.entry_id].worker = worker_id
    return reply


def _waiting(place: Partition, queue: str) -> list[Activity]:
    stream = place.activities.get(queue)
    return [
        Activity(place.number, queue, entry_id, entry.blob, entry.died)
        for entry_id, entry in ({} if stream is None else stream.entries).items()
        if entry.worker is None
    ]


def claimants(hub: Hub, call: Call, reply: set[str]) -> set[str]:
    """All that hold something; a server also knows those that have nothing left."""
    holders = {
        entry.worker
        for stream in hub.partitions[call.args[0]].activities.values()
        for entry in stream.entries.values()
        if entry.worker is not None
    }
    return holders | reply


FOLLOWING: Mapping[str, Follow] = {"claim_activities": claim, "claimants": claimants}
