"""Replay: the recorded decisions of a history are held against those the code makes now.

Inputs are applied as they were then. Each recorded decision takes the head of the queue of decisions and must be the
same in what is deterministic. The turns of a history need no marks: decisions that are still queued when an input
begins a new turn, or when the history ends, are decisions that history does not have. Only a split turn leaves some for
later, and so does a rewind, which took recorded ones away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from durastream.core.events import (
    EntityLockRequested,
    EntityOperationCalled,
    EntityOperationSignaled,
    EntityUnlockSent,
    Event,
    EventRaised,
    EventRewound,
    EventSent,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionResumed,
    ExecutionSuspended,
    SubOrchestrationCreated,
    TaskScheduled,
    TimerCreated,
    TurnSplit,
)
from durastream.core.inputs import INPUTS
from durastream.core.words import awaited, described
from durastream.errors import NonDeterminismError

if TYPE_CHECKING:
    from durastream.core.execution import Orchestration

_CAUSES: Final = (
    "Usual causes: the orchestrator was changed while this instance was running (steps added, removed or reordered);"
    " or it depends on something that differs each time: the clock, random numbers, environment variables, I/O, global"
    " state or the order of a set (use ctx.current_utc_datetime, ctx.random, ctx.new_uuid(), and activities)."
    " Deploy code that makes these decisions again, registered under its own version if need be; or terminate the"
    " instance"
)

# Fields of a decision that deterministic code repeats. Inputs are not compared: they may hold what user types add.
_SAME: Final[dict[type, Callable[[Any, Any, Any], bool]]] = {
    TaskScheduled: lambda old, new, _: old.name == new.name,
    TimerCreated: lambda old, new, _: old.due == new.due,
    SubOrchestrationCreated: lambda old, new, task: old.name == new.name and old.instance_id == task._id(),
    EventSent: lambda old, new, _: old.name == new.name and old.instance_id == new.instance_id,
    EntityOperationCalled: lambda old, new, _: old.entity == new.entity and old.operation == new.operation,
    EntityOperationSignaled: lambda old, new, _: (
        (old.entity, old.operation, old.due) == (new.entity, new.operation, new.due)
    ),
    EntityLockRequested: lambda old, new, _: old.entities == new.entities,
    EntityUnlockSent: lambda old, new, release: old.task == release._section._number,
    ExecutionCompleted: lambda old, new, _: True,
    ExecutionFailed: lambda old, new, _: True,
}

_OPEN_ENDED: Final = (TurnSplit, EventRewound)
_INHERITED: Final = (EventRaised, ExecutionSuspended, ExecutionResumed)


class Replay:
    """One pass over a history. `run` must be fresh."""

    __slots__ = ("_deciding", "_open_ended", "_run")

    def __init__(self, run: Orchestration) -> None:
        self._run = run
        self._deciding = False  # within the decisions of a turn
        self._open_ended = False  # decisions may be left over here

    def feed(self, event: Event) -> None:
        """The next event of the history. Raises NonDeterminismError."""
        agenda = self._run.agenda
        if event.at > agenda.now:
            agenda.now = event.at
        _STEPS.get(event.__class__, Replay._input)(self, event)
        self._run.length += 1

    def finish(self) -> None:
        """The history ends here."""
        if not self._open_ended:
            self._check_nothing_left("history ends before that")

    def _input(self, event: Event) -> None:
        if self._deciding:
            self._check_nothing_left(f"history goes on with {described(event)}")
        self._deciding = self._open_ended = False
        if not INPUTS[event.__class__](self._run, event) and not self._comes_too_late(event):
            raise self._error(f"history has {described(event)}", "the code waits for no such thing")

    def _comes_too_late(self, event: Event) -> bool:
        """An execution that inherits more events than it takes before it ends has them in its history all the same."""
        return self._run.agenda.ending is not None and isinstance(event, _INHERITED)

    def _decision(self, event: Event) -> None:
        self._deciding, self._open_ended = True, False
        agenda = self._run.agenda
        if not agenda.queue:
            raise self._error(f"history has {described(event)}", self._idle())
        made, task = agenda.queue.popleft()
        if task is not None:
            task._recorded(self._run.length)
        if made.__class__ is not event.__class__ or not _SAME[event.__class__](event, made, task):
            raise self._error(f"history has {described(event)}", f"the code now decided {described(made)}")

    def _left_open(self, _event: Event) -> None:
        self._deciding, self._open_ended = False, True

    def matches_next(self, event: Event) -> bool:
        """Whether the next queued decision is this recorded one (rewind)."""
        queue = self._run.agenda.queue
        if not queue or queue[0][0].__class__ is not event.__class__:
            return False
        made, task = queue[0]
        if task is not None:
            task._number = self._run.length
        return _SAME[event.__class__](event, made, task)

    def _check_nothing_left(self, history_says: str) -> None:
        queue = self._run.agenda.queue
        if queue:
            raise self._error(history_says, f"the code decided {described(queue[0][0])}, which history does not have")

    def _idle(self) -> str:
        if self._run.agenda.ending is not None:
            return f"the code had nothing more to decide: it had come to {described(self._run.agenda.ending)}"
        waits = awaited(self._run.code.blocked)
        return (
            f"the code decided nothing more and waits for {', '.join(waits)}" if waits else "the code decided nothing"
        )

    def _error(self, history_says: str, code_did: str) -> NonDeterminismError:
        run = self._run
        where = f"instance {run.instance_id!r}, execution {run.execution_id}, event {run.length}"
        return NonDeterminismError(
            f"orchestrator {run.definition.name!r} does not fit its history ({where}):"
            f" {history_says}, but {code_did}. {_CAUSES}"
        )


_STEPS: Final[dict[type, Callable[[Replay, Event], None]]] = {
    **dict.fromkeys(_SAME, Replay._decision),
    **dict.fromkeys(_OPEN_ENDED, Replay._left_open),
}


def first_unlived(history: Sequence[Event]) -> int:
    """Where the part of a history begins that no turn has decided anything on: what continue-as-new or a rewind wrote.

    Its inputs are applied for the first time, or anew; for the user's logger that is no replay.
    """
    position = len(history)
    while position and history[position - 1].__class__ in _OPEN_ENDED:
        position -= 1
    if position == len(history):
        return position
    while position and history[position - 1].__class__ in INPUTS:
        position -= 1
    return position
