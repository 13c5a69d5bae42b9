"""What operators do to instances: replace, restart, purge, and the end of one without running code."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import orjson

from durastream import wire
from durastream.core.begun import begun
from durastream.core.events import Event, ExecutionTerminated, Parent
from durastream.core.messages import Purge, Restart, Start, Terminate
from durastream.core.sections import give_up
from durastream.core.status import PENDING, TERMINATED
from durastream.core.timer_member import Expiry
from durastream.core.turn import Turn
from durastream.errors import StoreError, WireError
from durastream.worker.backoff import persist
from durastream.worker.live import Live
from durastream.worker.recorder import creation_fields
from durastream.worker.verdicts import HOLD, LATER, Verdict

if TYPE_CHECKING:
    from durastream.worker.partition import Partition

log = logging.getLogger("durastream.worker")

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


def replace(partition: Partition, live: Live, message: Start) -> Event | Verdict | None:
    """Put a new execution in the place of the one there is, ending that one first if it still runs."""
    if live.execution is None and live.length and not live.ended:  # parked; the message is looked at again after that
        return end_without_code(partition, live, Terminate(live.instance_id, "replaced", True, None))
    stop(partition, live)
    partition.recorder.forget_timers(live)
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
    if live.status == PENDING and live.execution_id == message.execution_id and live.execution is None:
        return partition.open(live) or HOLD  # the last owner had no such orchestrator
    if not live.exists or not live.ended:
        state = f"is {live.status}" if live.exists else "does not exist"
        partition.recorder.acknowledge(
            message.ack, False, f"instance {live.instance_id!r} {state}; only an ended one restarts"
        )
        return None
    partition.recorder.forget_timers(live)
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
    _remove(partition, live)
    partition.recorder.acknowledge(message.ack, True)


def expire(partition: Partition, live: Live, message: Expiry) -> None:
    """The retention of an ended instance is over. One that was restarted meanwhile has another completion time."""
    if live.ended and live.execution_id == message.execution_id and live.completed_at == message.task:
        _remove(partition, live)


def _remove(partition: Partition, live: Live) -> None:
    if live.instance_id in partition.committer.changes:
        partition.committer.seal()  # the change comes first, in a commit of its own
    assert live.status is not None
    partition.committer.open.purged.append((live.instance_id, live.status))
    partition.recorder.forget_timers(live)
    partition.committer.weigh(2, 0)
    live.exists, live.status, live.revision, live.length = False, None, None, 0
    live.unsaved += 1


def end_without_code(partition: Partition, live: Live, message: Terminate) -> Verdict | None:
    """Terminate an instance that has not started, or whose code cannot run: its history tells what it has begun."""
    if live.length == 0:
        _end(partition, live, message, [])
        return None
    partition.spawn(_end_by_history(partition, live, message))
    return LATER


async def _end_by_history(partition: Partition, live: Live, message: Terminate) -> None:
    try:
        history = await history_of(partition, live)
    except WireError as error:
        log.warning("what %s has begun cannot be read, so it is not ended with it: %s", live.instance_id, error)
        history = []
        partition.recorder.change(live).replace_history = True  # nothing can be appended to it
        partition.recorder.change(live).first_event = live.length = 0
    item, *later = partition.next_waiting(live.instance_id)
    _end(partition, live, message, history)
    if isinstance(item[2], Terminate):
        partition.consume(item)
    else:
        later.insert(0, item)
    partition.take(later)


def _end(partition: Partition, live: Live, message: Terminate, history: list[Event]) -> None:
    now, reason, left = partition.now(live), message.reason, begun(history)
    turn = Turn(
        live.length,
        events=[ExecutionTerminated(now, reason, message.recursive)],
        status=TERMINATED,
        result=None if reason is None else orjson.dumps(reason),
        timers_cancelled=left.timers,
    )
    if message.recursive:
        for number, child in left.children:
            turn.messages.append(Terminate(child, reason, True, Parent(live.instance_id, live.execution_id, number)))
    for number, locked in left.locks:
        turn.messages.append(give_up(locked, Parent(live.instance_id, live.execution_id, number)))
    partition.recorder.forget_timers(live)
    partition.recorder.turn(live, turn, now)
    for held in partition.let_go(live):
        partition.consume(held)


async def history_of(partition: Partition, live: Live) -> list[Event]:
    """All of it, as the store has it. Raises WireError."""
    await partition.committer.drain()  # what is still on its way belongs to it
    blobs: list[bytes] = []
    for first in range(0, live.length, _HISTORY_PAGE):
        try:
            blobs += await persist(lambda first=first: partition.store.history(live.instance_id, first, _HISTORY_PAGE))  # type: ignore[misc]
        except StoreError as error:
            raise WireError(f"the history cannot be read: {error}") from None
    if len(blobs) != live.length:
        raise WireError(f"the history has {len(blobs)} events, its record says {live.length}")
    return [wire.unpack_event(blob) for blob in blobs]
