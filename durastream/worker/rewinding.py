"""Rewind: a failed instance goes on from where it failed, and so do the failed children that it waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durastream import wire
from durastream.core.events import Event
from durastream.core.messages import ChildResult, Rewind, Start
from durastream.core.rewind import Rewound
from durastream.core.status import COMPLETED, FAILED, PENDING, RUNNING, TERMINATED
from durastream.core.turn import Execution
from durastream.errors import DurastreamError
from durastream.worker import administration
from durastream.worker.administration import history_of
from durastream.worker.backoff import persist
from durastream.worker.live import Live
from durastream.worker.verdicts import HOLD, LATER, Verdict

if TYPE_CHECKING:
    from durastream.worker.partition import Partition


def rewind(partition: Partition, live: Live, message: Rewind) -> Event | Verdict | None:
    if message.start is not None and (not live.exists or live.parent != message.start.parent):
        partition.recorder.send(message.start)  # the parent's child is gone
        return None
    if live.status == FAILED:
        partition.spawn(_rewind(partition, live, message))
        return LATER
    if message.start is not None:
        return _child_has_not_failed(partition, live, message.start)
    state = f"is {live.status}" if live.exists else "does not exist"
    partition.recorder.acknowledge(
        message.ack, False, f"instance {live.instance_id!r} {state}; only a failed one is rewound"
    )
    return None


def _child_has_not_failed(partition: Partition, live: Live, start: Start) -> Event | Verdict | None:
    """The parent is rewound, and waits for this child again."""
    if live.status == COMPLETED:  # rewound by itself before: the parent did not want to hear of it then
        partition.spawn(_tell_again(partition, live))
        return LATER
    if live.status == TERMINATED:
        return administration.replace(partition, live, start)
    if live.status == PENDING and live.execution is None:
        return partition.open(live) or HOLD
    return None  # it runs, and will tell


async def _tell_again(partition: Partition, live: Live) -> None:
    await partition.committer.drain()
    (record,) = await persist(lambda: partition.store.records([live.instance_id]))
    item, *later = partition.next_waiting(live.instance_id)
    if record is not None and live.parent is not None:
        partition.recorder.send(ChildResult(*live.parent, record.output, None))
    partition.consume(item)
    partition.take(later)


async def _rewind(partition: Partition, live: Live, message: Rewind) -> None:
    ids = (live.instance_id, live.execution_id)
    try:
        history = await history_of(partition, live)
        rewound = partition.executor.rewind(live.name, live.version, ids, history, partition.now(live))
        execution = partition.executor.open(live.name, live.version, *ids)
        assert execution is not None
        execution.replay(rewound.history)
    except (DurastreamError, LookupError) as error:
        partition.recorder.acknowledge(message.ack, False, f"cannot rewind {live.instance_id!r}: {error}")
    else:
        _go_on_rewound(partition, live, execution, rewound)
        partition.recorder.issue_again(live, rewound, message.reason)
        partition.recorder.acknowledge(message.ack, True)
    item, *later = partition.next_waiting(live.instance_id)
    partition.consume(item)
    partition.take(later)


def _go_on_rewound(partition: Partition, live: Live, execution: Execution, rewound: Rewound) -> None:
    live.execution = execution
    change = partition.recorder.change(live)
    change.overwrite |= {number: wire.pack_event(event) for number, event in rewound.overwrite.items()}
    change.fields |= {"failure": None, "completed_at": None}
    partition.recorder.forget_timers(live)
    partition.recorder.set_status(live, change, RUNNING, partition.now(live))
    live.completed_at = None
    partition.keep(live)
