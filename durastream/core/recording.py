"""From decisions to a turn: each gets its number, its place in the history, and its effect on the world outside."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from durastream.core import status
from durastream.core.agenda import Agenda, ContinuedAsNew
from durastream.core.events import (
    EntityLockRequested,
    EntityOperationCalled,
    EntityOperationSignaled,
    EntityUnlockSent,
    EventSent,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionTerminated,
    Parent,
    SubOrchestrationCreated,
    TaskScheduled,
    TimerCreated,
    TurnSplit,
)
from durastream.core.ids import child_execution_id
from durastream.core.leaves import ChildTask, LeafTask, TimerTask
from durastream.core.messages import EntityOperation, LockEntities, RaiseEvent, Start, Terminate
from durastream.core.sections import ReleaseTask
from durastream.core.tasks import PENDING
from durastream.core.turn import Continued, Turn

if TYPE_CHECKING:
    from durastream.core.execution import Orchestration

# ---------------------------------------------------------------- decisions, in the order they were made


def _activity(_agenda: Agenda, turn: Turn, number: int, event: TaskScheduled, _task: Any) -> None:
    turn.activities.append((number, event))
    turn.events.append(event)


def _timer(_agenda: Agenda, turn: Turn, number: int, event: TimerCreated, task: LeafTask[Any]) -> None:
    if task._state == PENDING:  # else cancelled before it was ever set
        turn.timers.append((number, event.due))
    turn.events.append(event)


def _child(agenda: Agenda, turn: Turn, number: int, event: SubOrchestrationCreated, task: ChildTask[Any]) -> None:
    if not event.instance_id:
        event = event._replace(instance_id=task._id())
    turn.messages.append(start_message(agenda, number, event))
    turn.events.append(event)


def _sent(_agenda: Agenda, turn: Turn, _number: int, event: EventSent, _task: None) -> None:
    turn.messages.append(RaiseEvent(event.instance_id, event.name, event.data))
    turn.events.append(event)


def _called(agenda: Agenda, turn: Turn, number: int, event: EntityOperationCalled, _task: Any) -> None:
    turn.messages.append(call_message(agenda, number, event))
    turn.events.append(event)


def _signaled(agenda: Agenda, turn: Turn, _number: int, event: EntityOperationSignaled, _task: None) -> None:
    _, entity, operation, data, due = event
    turn.messages.append(EntityOperation(entity, operation, data, None, agenda.instance_id, due))
    turn.events.append(event)


def _lock_requested(agenda: Agenda, turn: Turn, number: int, event: EntityLockRequested, _task: Any) -> None:
    holder = Parent(agenda.instance_id, agenda.execution_id, number)
    turn.messages.append(LockEntities(event.entities[0], event.entities, holder))
    turn.events.append(event)


def _unlock_sent(_agenda: Agenda, turn: Turn, _number: int, event: EntityUnlockSent, release: ReleaseTask) -> None:
    section = release._section
    turn.messages += section._unlocking()
    turn.events.append(event._replace(task=section._number))


def _ended(_agenda: Agenda, turn: Turn, _number: int, event: Any, _task: None) -> None:
    turn.events.append(event)


def _continued(_agenda: Agenda, turn: Turn, _number: int, event: ContinuedAsNew, _task: None) -> None:
    at = event.at  # the next execution records them anew
    turn.continued = Continued(event.input, [one if one.at == at else one._replace(at=at) for one in event.carried])


_DECISIONS: Final[dict[type, Callable[[Agenda, Turn, int, Any, Any], None]]] = {
    TaskScheduled: _activity,
    TimerCreated: _timer,
    SubOrchestrationCreated: _child,
    EventSent: _sent,
    EntityOperationCalled: _called,
    EntityOperationSignaled: _signaled,
    EntityLockRequested: _lock_requested,
    EntityUnlockSent: _unlock_sent,
    ExecutionCompleted: _ended,
    ExecutionFailed: _ended,
    ContinuedAsNew: _continued,
}


def start_message(agenda: Agenda, number: int, event: SubOrchestrationCreated) -> Start:
    """What starts the sub-orchestration of event `number`. The same each time, so that a repeat is recognised."""
    execution_id = child_execution_id(agenda.execution_id, number)
    parent = Parent(agenda.instance_id, agenda.execution_id, number)
    return Start(
        event.instance_id, execution_id, event.name, event.version, event.input, parent,
        tags=None, notify=None, reply=None, if_exists="child", created=False,
    )  # fmt: skip


def call_message(agenda: Agenda, number: int, event: EntityOperationCalled) -> EntityOperation:
    """What calls the entity of event `number`."""
    caller = Parent(agenda.instance_id, agenda.execution_id, number)
    return EntityOperation(event.entity, event.operation, event.input, caller, agenda.instance_id, None)


# ---------------------------------------------------------------- endings, once all decisions are recorded


def _completed(_agenda: Agenda, turn: Turn, ending: ExecutionCompleted) -> None:
    turn.status = status.COMPLETED
    turn.result = ending.result


def _failed(_agenda: Agenda, turn: Turn, ending: ExecutionFailed) -> None:
    turn.status = status.FAILED
    turn.failure = ending.failure


def _terminated(agenda: Agenda, turn: Turn, ending: ExecutionTerminated) -> None:
    turn.status = status.TERMINATED
    reason = ending.reason
    turn.result = None if reason is None else json.dumps(reason, ensure_ascii=False).encode()
    if not ending.recursive:
        return
    for number, task in agenda.open.items():
        if isinstance(task, ChildTask):
            parent = Parent(agenda.instance_id, agenda.execution_id, number)
            turn.messages.append(Terminate(task._id(), reason, recursive=True, parent=parent))


def _goes_on(_agenda: Agenda, _turn: Turn, _ending: ContinuedAsNew) -> None:
    """The instance is still running."""


_ENDINGS: Final[dict[type, Callable[[Agenda, Turn, Any], None]]] = {
    ExecutionCompleted: _completed,
    ExecutionFailed: _failed,
    ExecutionTerminated: _terminated,
    ContinuedAsNew: _goes_on,
}


# ---------------------------------------------------------------- the turn


def record(run: Orchestration, turn: Turn) -> None:
    """Move decisions from the queue into the turn, as many as it may carry, and sum the execution up in it."""
    agenda = run.agenda
    queue, now = agenda.queue, agenda.now
    for _ in range(min(len(queue), run.max_decisions)):
        event, task = queue.popleft()
        if event[0] != now:  # left over from an earlier turn; `at` is the time of recording
            event = event._replace(at=now)
        number = turn.first + len(turn.events)
        if task is not None:
            task._recorded(number)
        _DECISIONS[event.__class__](agenda, turn, number, event, task)
    if queue:
        turn.split = True
        turn.events.append(TurnSplit(now))
    if agenda.cancelled:
        turn.timers_cancelled, agenda.cancelled = agenda.cancelled, []
    turn.custom_status = agenda.custom_status
    turn.custom_status_changed = agenda.custom_status_changed
    agenda.custom_status_changed = False
    run.length = turn.first + len(turn.events)
    if agenda.ending is not None and not queue:
        _end(agenda, turn, agenda.ending)
    elif run.held is not None:
        turn.status = status.SUSPENDED


def _end(agenda: Agenda, turn: Turn, ending: Any) -> None:
    _ENDINGS[ending.__class__](agenda, turn, ending)
    if agenda.unreleased is not None:
        turn.messages += agenda.unreleased._unlocking()
    agenda.section = agenda.unreleased = None
    if agenda.open:
        set_now = {number for number, _ in turn.timers}
        turn.timers_cancelled += [
            number for number, task in agenda.open.items() if isinstance(task, TimerTask) and number not in set_now
        ]
        agenda.open.clear()
    turn.timers = []
