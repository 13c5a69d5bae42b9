"""What the owner does with each kind of message: one small function per kind, found by its class.

A handler returns the event that user code is given, None when there is nothing (more) to do, or one of `verdicts`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import orjson

from durastream.core.events import (
    EntityLockGranted,
    EntityOperationCompleted,
    EntityOperationFailed,
    Event,
    EventRaised,
    ExecutionResumed,
    ExecutionSuspended,
    ExecutionTerminated,
    Failure,
    Parent,
    SubOrchestrationCompleted,
    SubOrchestrationFailed,
    TaskCompleted,
    TaskFailed,
    TimerFired,
)
from durastream.core.messages import (
    ChildResult,
    Continue,
    Describe,
    EntityResult,
    LockGranted,
    Purge,
    RaiseEvent,
    Restart,
    Resume,
    Rewind,
    Start,
    Suspend,
    TaskResult,
    Terminate,
)
from durastream.core.sections import unlock_each
from durastream.core.timer_member import Expiry, ScheduledStart, TimerDue
from durastream.worker import administration, rewinding
from durastream.worker.live import Live
from durastream.worker.verdicts import HOLD, LATER, TURN, Verdict

if TYPE_CHECKING:
    from durastream.worker.partition import Partition


Answer = Event | Verdict | None


def start(partition: Partition, live: Live, message: Start) -> Answer:
    if not live.exists:
        return _create(partition, live, message)
    if live.execution_id == message.execution_id:
        return _first_turn(partition, live)
    if message.if_exists == "replace" or (message.if_exists == "child" and live.ended):
        return administration.replace(partition, live, message)
    if message.if_exists == "child" and message.parent is not None:
        parent = message.parent
        taken = Failure("InstanceExists", f"instance {message.instance_id!r} exists and has not ended")
        partition.recorder.send(ChildResult(parent.instance_id, parent.execution_id, parent.task, None, taken))
    return _drop(partition)


def _create(partition: Partition, live: Live, message: Start) -> Answer:
    """No start script made the record: the first commit does (sub-orchestrations, replacements of what is gone)."""
    if message.created:
        if live.unsaved:  # the purge of the last one of this id is on its way: look again after it
            partition.look_again(live.instance_id)
            return LATER
        return _drop(partition)  # made by a start script and purged since
    return partition.open(partition.create(live, message)) or HOLD


def scheduled_start(partition: Partition, live: Live, message: ScheduledStart) -> Answer:
    return _first_turn(partition, live) if live.execution_id == message.execution_id else _drop(partition)


def _first_turn(partition: Partition, live: Live) -> Answer:
    if not live.exists or live.ended or live.length or live.execution is not None:
        return _drop(partition)  # delivered again
    return HOLD if partition.stays(live) else partition.open(live) or HOLD


def task_result(partition: Partition, live: Live, message: TaskResult) -> Answer:
    if live.execution is None or live.execution_id != message.execution_id:
        return _held_or_dropped(partition, live)
    if message.failure is None:
        return TaskCompleted(partition.now(live), message.task, message.result)
    return TaskFailed(partition.now(live), message.task, message.failure)


def child_result(partition: Partition, live: Live, message: ChildResult) -> Answer:
    if live.execution is None or live.execution_id != message.execution_id:
        return _held_or_dropped(partition, live)
    if message.failure is None:
        return SubOrchestrationCompleted(partition.now(live), message.task, message.result)
    return SubOrchestrationFailed(partition.now(live), message.task, message.failure)


def entity_result(partition: Partition, live: Live, message: EntityResult) -> Answer:
    if live.execution is None or live.execution_id != message.execution_id:
        return _held_or_dropped(partition, live)
    if message.failure is None:
        return EntityOperationCompleted(partition.now(live), message.task, message.result)
    return EntityOperationFailed(partition.now(live), message.task, message.failure)


def lock_granted(partition: Partition, live: Live, message: LockGranted) -> Answer:
    """Locks that nobody wants any more are handed back."""
    if live.execution_id == message.execution_id and live.exists and not live.ended:
        return HOLD if live.execution is None else EntityLockGranted(partition.now(live), message.task)
    holder = Parent(message.instance_id, message.execution_id, message.task)
    for unlock in unlock_each(message.entities, holder):
        partition.recorder.send(unlock)
    return _drop(partition)


def timer_due(partition: Partition, live: Live, message: TimerDue) -> Answer:
    if live.execution is None or live.execution_id != message.execution_id:
        return _held_or_dropped(partition, live)
    return TimerFired(partition.now(live), message.task)


def raise_event(partition: Partition, live: Live, message: RaiseEvent) -> Answer:
    if live.execution is None:
        return _held_or_dropped(partition, live)
    return EventRaised(partition.now(live), message.name, message.data)


def suspend(partition: Partition, live: Live, message: Suspend) -> Answer:
    if live.execution is None:
        return _held_or_dropped(partition, live)
    return ExecutionSuspended(partition.now(live), message.reason)


def resume(partition: Partition, live: Live, message: Resume) -> Answer:
    if live.instance_id in partition.parked:
        partition.unpark(live)
        return None
    if live.execution is None:
        return _held_or_dropped(partition, live)
    return ExecutionResumed(partition.now(live), message.reason)


def terminate(partition: Partition, live: Live, message: Terminate) -> Answer:
    if not live.exists or live.ended:
        return _drop(partition)
    if message.parent is not None and message.parent != live.parent:
        return _drop(partition)  # the id was taken by another instance meanwhile
    if live.execution is None:
        return administration.end_without_code(partition, live, message)
    return ExecutionTerminated(partition.now(live), message.reason, message.recursive)


def go_on(partition: Partition, live: Live, message: Continue) -> Answer:
    if live.execution is None or live.execution_id != message.execution_id:
        return _held_or_dropped(partition, live)
    return TURN


def rewind(partition: Partition, live: Live, message: Rewind) -> Answer:
    return rewinding.rewind(partition, live, message)


def describe(partition: Partition, live: Live, message: Describe) -> Answer:
    events = [] if live.execution is None else live.execution.awaited_events()
    partition.recorder.acknowledge(message.ack, live.exists, orjson.dumps(events).decode())
    return None


def _held_or_dropped(partition: Partition, live: Live) -> Answer:
    """Not started yet: it waits. Ended, gone, or meant for an earlier execution: too late."""
    if live.execution is None and live.exists and not live.ended:
        return HOLD
    return _drop(partition)


def _drop(partition: Partition) -> Answer:
    partition.dropped += 1
    return None


HANDLERS: dict[type, Callable[[Partition, Live, Any], Answer]] = {
    Start: start,
    TaskResult: task_result,
    ChildResult: child_result,
    EntityResult: entity_result,
    LockGranted: lock_granted,
    RaiseEvent: raise_event,
    Suspend: suspend,
    Resume: resume,
    Terminate: terminate,
    Continue: go_on,
    Rewind: rewind,
    Restart: administration.restart,
    Purge: administration.purge,
    Describe: describe,
    TimerDue: timer_due,
    ScheduledStart: scheduled_start,
    Expiry: administration.expire,
}

ALWAYS: frozenset[type] = frozenset(
    (Start, ScheduledStart, Resume, Terminate, Rewind, Restart, Purge, Describe, Expiry)
)
"""Kinds that get through to an instance that is parked or has not started yet."""
