"""What each kind of input does to an execution: one small handler per kind.

A handler answers whether the input is accepted: recorded in the history. One that is late, duplicate, or addressed to a
task that is not open is not; it changes nothing. Inputs are applied one by one; after each the code runs if what it is
blocked on is done. That order, and nothing else, decides what the code sees: the same live and on replay.

While an execution is suspended, inputs are accepted and held; they are applied, in order, when it is resumed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from durastream.core.agenda import ContinuedAsNew
from durastream.core.context import OrchestrationContext
from durastream.core.events import (
    EntityLockGranted,
    EntityOperationCompleted,
    EntityOperationFailed,
    EventRaised,
    ExecutionResumed,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    SubOrchestrationCompleted,
    SubOrchestrationFailed,
    TaskCompleted,
    TaskFailed,
    TimerFired,
)
from durastream.core.leaves import ActivityTask, ChildTask, EntityTask, LeafTask, TimerTask
from durastream.core.sections import LockTask
from durastream.core.tasks import DONE

if TYPE_CHECKING:
    from durastream.core.execution import Orchestration


def _started(run: Orchestration, event: ExecutionStarted) -> bool:
    if run.length:
        return False
    agenda = run.agenda
    agenda.version = event.version
    agenda.parent = event.parent
    agenda.generation = event.generation
    run.code.start(OrchestrationContext(agenda, run.definition), event.input)
    return True


# ---- outcomes of what was scheduled


def _complete(task: Any, event: Any) -> None:
    task._complete(event.result)


def _fail(task: Any, event: Any) -> None:
    task._fail(event.failure)


def _fire(task: Any, _event: TimerFired) -> None:
    task._settle(DONE, None)


def _grant(task: Any, _event: EntityLockGranted) -> None:
    task._grant()


_OUTCOMES: Final[dict[type, tuple[type[LeafTask[Any]], Callable[[Any, Any], None]]]] = {
    TaskCompleted: (ActivityTask, _complete),
    TaskFailed: (ActivityTask, _fail),
    SubOrchestrationCompleted: (ChildTask, _complete),
    SubOrchestrationFailed: (ChildTask, _fail),
    TimerFired: (TimerTask, _fire),
    EntityOperationCompleted: (EntityTask, _complete),
    EntityOperationFailed: (EntityTask, _fail),
    EntityLockGranted: (LockTask, _grant),
}


def _outcome(run: Orchestration, event: Any) -> bool:
    agenda = run.agenda
    kind, settle = _OUTCOMES[event.__class__]
    task = agenda.open.get(event.task)
    if task.__class__ is not kind or agenda.ending is not None:
        return False
    del agenda.open[event.task]
    if run.held is not None:
        run.held.append((_apply_outcome, (task, settle, event)))
        return True
    settle(task, event)
    blocked = run.code.blocked
    if blocked is not None and blocked._state:
        run.code.advance()
    return True


def _apply_outcome(run: Orchestration, held: tuple[LeafTask[Any], Callable[[Any, Any], None], Any]) -> None:
    task, settle, event = held
    if not task._state:  # else cancelled meanwhile
        settle(task, event)


# ---- external events


def _raised(run: Orchestration, event: EventRaised) -> bool:
    agenda = run.agenda
    if run.length == 0 or (agenda.ending is not None and agenda.ending.__class__ is not ContinuedAsNew):
        return False
    if run.held is not None:
        run.held.append((_apply_raised, (run.length, event)))
        return True
    _apply_raised(run, (run.length, event))
    blocked = run.code.blocked
    if blocked is not None and blocked._state:
        run.code.advance()
    return True


def _apply_raised(run: Orchestration, held: tuple[int, EventRaised]) -> None:
    arrival, event = held
    ending = run.agenda.ending
    if ending is None:
        run.agenda.mailbox.deliver(arrival, event)
    elif isinstance(ending, ContinuedAsNew):
        ending.carried.append(event)  # it belongs to the next execution


# ---- control


def _suspended(run: Orchestration, event: ExecutionSuspended) -> bool:
    ending = run.agenda.ending
    if ending is not None:
        return _carry(ending, event)
    if run.held is not None or run.length == 0:
        return False
    run.held = []
    return True


def _resumed(run: Orchestration, event: ExecutionResumed) -> bool:
    ending = run.agenda.ending
    if ending is not None:
        return _carry(ending, event)
    if run.held is None:
        return False
    held, run.held = run.held, None
    code = run.code
    for apply, what in held:
        apply(run, what)
        if code.blocked is not None and code.blocked._state:
            code.advance()
    return True


def _carry(ending: object, event: ExecutionSuspended | ExecutionResumed) -> bool:
    """Too late for this execution: it holds for the one that continues it, if there is one and it changes anything."""
    if not isinstance(ending, ContinuedAsNew):
        return False
    before = [one for one in ending.carried if isinstance(one, (ExecutionSuspended, ExecutionResumed))]
    suspended = bool(before) and isinstance(before[-1], ExecutionSuspended)
    if suspended == isinstance(event, ExecutionSuspended):
        return False
    ending.carried.append(event)
    return True


def _terminated(run: Orchestration, event: ExecutionTerminated) -> bool:
    """What has been decided but not recorded never will be: termination wins over it, continue-as-new included."""
    agenda = run.agenda
    if agenda.ending is not None and agenda.ending.__class__ is not ContinuedAsNew:
        return False
    agenda.queue.clear()
    agenda.ending = event
    run.held = None
    run.code.close()
    return True


INPUTS: Final[dict[type, Callable[[Orchestration, Any], bool]]] = {
    ExecutionStarted: _started,
    **dict.fromkeys(_OUTCOMES, _outcome),
    EventRaised: _raised,
    ExecutionSuspended: _suspended,
    ExecutionResumed: _resumed,
    ExecutionTerminated: _terminated,
}
