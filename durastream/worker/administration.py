"""What operators do to instances: replace, restart, rewind, purge, and the end of one that has no running code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from durastream import wire
from durastream.core.events import Event, ExecutionTerminated
from durastream.core.messages import Purge, Restart, Rewind, Start, Terminate
from durastream.core.status import FAILED, PENDING, RUNNING, TERMINATED
from durastream.core.turn import Turn
from durastream.errors import DurastreamError
from durastream.worker.backoff import persist
from durastream.worker.live import Live
from durastream.worker.recorder import creation_fields
from durastream.worker.timer_member import Expiry
from durastream.worker.verdicts import HOLD, Verdict

if TYPE_CHECKING:
    from durastream.worker.partition import Partition

_HISTORY_PAGE = 1_000


def write_record(partition: Partition, live: Live) -> None:
    """Put the whole record into the open commit: a new one, or a new execution over an old one. Tags stay as they are."""
    change = partition.recorder.change(live)
    change.fields |= creation_fields(live)
    change.fields["status"] = live.status = PENDING
    change.status = (change.status[0], PENDING, live.created_at)
    change.replace_history, change.first_event, change.events, change.overwrite = True, 0, [], {}
    live.length = 0
    live.completed_at = None
    partition.committer.weigh(2, len(live.input or b""))


def replace(partition: Partition, live: Live, message: Start) -> Event | Verdict:
    """Put a new execution in the place of the one there is, ending that one first if it still runs."""
    stop(partition, live)
    live.adopt(message)
    live.updated_at = partition.now(live)
    write_record(partition, live)
    partition.recorder.change(live).fields["tags"] = message.tags
    return partition.open(live) or HOLD


def stop(partition: Partition, live: Live) -> None:
    """End the running code of an instance without recording it, for what its ending does to others."""
    if live.touched:
        partition.run_turn(live)
    if live.execution is None:
        return
    now = partition.now(live)
    turn = live.execution.turn(now, [ExecutionTerminated(now, "replaced", True)])
    partition.recorder.effects(live, turn)
    live.execution.close()
    live.execution = None


def restart(partition: Partition, live: Live, message: Restart) -> Event | Verdict | None:
    if not live.exists or not live.ended:
        state = f"is {live.status}" if live.exists else "does not exist"
        partition.recorder.acknowledge(
            message.ack, False, f"instance {live.instance_id!r} {state}; only an ended one restarts"
        )
        return None
    live.execution_id = message.execution_id
    live.updated_at = partition.now(live)
    write_record(partition, live)
    partition.recorder.acknowledge(message.ack, True)
    return partition.open(live) or HOLD


def purge(partition: Partition, live: Live, message: Purge) -> None:
    if not live.exists or not live.ended:
        state = f"is {live.status}" if live.exists else "does not exist"
        partition.recorder.acknowledge(
            message.ack, False, f"instance {live.instance_id!r} {state}; only an ended one is purged"
        )
        return
    partition.recorder.acknowledge(message.ack, True)
    _remove(partition, live)


def expire(partition: Partition, live: Live, message: Expiry) -> None:
    """The retention of an ended instance is over. One that was restarted meanwhile has another completion time."""
    if live.ended and live.execution_id == message.execution_id and live.completed_at == message.task:
        _remove(partition, live)


def _remove(partition: Partition, live: Live) -> None:
    if live.instance_id in partition.committer.changes:
        partition.committer.seal()  # the change comes first, in a commit of its own
    assert live.status is not None
    partition.committer.open.purged.append((live.instance_id, live.status))
    if live.completed_at is not None:
        partition.recorder.forget_expiry(live)
    partition.committer.weigh(2, 0)
    live.exists, live.status, live.revision, live.length = False, None, None, 0
    live.unsaved += 1


def end_without_code(partition: Partition, live: Live, message: Terminate) -> None:
    """Terminate an instance that has not started, or whose code cannot run."""
    now = partition.now(live)
    reason = None if message.reason is None else orjson.dumps(message.reason)
    turn = Turn(
        live.length,
        events=[ExecutionTerminated(now, message.reason, message.recursive)],
        status=TERMINATED,
        result=reason,
    )
    partition.recorder.turn(live, turn, now)
    partition.let_go(live)


def rewind(partition: Partition, live: Live, message: Rewind) -> bool:
    """Begin a rewind; True if it is under way. A parent's rewind starts the child afresh if it is gone."""
    if not live.exists and message.start is not None:
        partition.recorder.send(message.start)
        return False
    if live.status != FAILED:
        state = f"is {live.status}" if live.exists else "does not exist"
        partition.recorder.acknowledge(
            message.ack, False, f"instance {live.instance_id!r} {state}; only a failed one is rewound"
        )
        return False
    partition.spawn(_rewind(partition, live, message))
    return True


async def _rewind(partition: Partition, live: Live, message: Rewind) -> None:
    history = await _history(partition, live)
    (item, *later) = partition.next_waiting(live.instance_id)
    now = partition.now(live)
    try:
        rewound = partition.executor.rewind(
            live.name, live.version, (live.instance_id, live.execution_id), history, now
        )
        execution = partition.executor.open(live.name, live.version, live.instance_id, live.execution_id)
        assert execution is not None
        execution.replay(rewound.history)
    except (DurastreamError, LookupError) as error:
        partition.recorder.acknowledge(message.ack, False, f"cannot rewind {live.instance_id!r}: {error}")
    else:
        live.execution = execution
        change = partition.recorder.change(live)
        change.overwrite |= {number: wire.pack_event(event) for number, event in rewound.overwrite.items()}
        change.fields |= {"failure": None, "completed_at": None}
        partition.recorder.set_status(live, change, RUNNING, now)
        partition.recorder.issue_again(live, rewound, message.reason)
        partition.recorder.acknowledge(message.ack, True)
        live.completed_at = None
        partition.keep(live)
    partition.consume(item)
    partition.take(later)


async def _history(partition: Partition, live: Live) -> list[Event]:
    await partition.committer.drain()  # what is still on its way belongs to it
    blobs: list[bytes] = []
    for first in range(0, live.length, _HISTORY_PAGE):
        blobs += await persist(lambda first=first: partition.store.history(live.instance_id, first, _HISTORY_PAGE))  # type: ignore[misc]
    return [wire.unpack_event(blob) for blob in blobs]
