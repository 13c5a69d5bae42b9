"""Starts: an instance is created once for each token, whoever repeats the call and however often."""

from __future__ import annotations

from durastream.core.status import PENDING
from durastream.store.memory.state import Partition
from durastream.store.protocol import NewInstance, Record, Started


def token(execution_id: str) -> str:
    """The caller's token: what stands before the dot. Continue-as-new changes only what stands behind it."""
    return execution_id.partition(".")[0]


def start(partition: Partition, new: NewInstance, now: int) -> Started:
    """Create the instance unless one of this id is there; `created` also when this same start made it before."""
    record = partition.record(new.instance_id)
    if record is None:
        partition.create(new, now)
        return Started(new.instance_id, new.execution_id, True, PENDING)
    return _standing(record, new)


def start_again(partition: Partition, new: NewInstance) -> Started:
    """The answer to a start that took effect already; the instance may be gone by now."""
    record = partition.record(new.instance_id)
    return Started(new.instance_id, new.execution_id, True, PENDING) if record is None else _standing(record, new)


def _standing(record: Record, new: NewInstance) -> Started:
    same = token(record.execution_id) == token(new.execution_id)
    return Started(record.instance_id, record.execution_id, same, record.status)
