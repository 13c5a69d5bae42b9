"""Rewind: what of a failed execution's history is taken back, so that only what failed is done again.

Why it works the way it does. A history may only be changed where user code cannot notice. The code had reached its last
step, the one that failed the execution, without knowing of any failure that it had not looked at by then; so these
failures, and whatever the last step made of them, can be taken out of the history, and everything before still replays
to the same decisions. A failure the code did know of (it was caught, retried, compensated for) has shaped what came
after, and stays.

The numbers of events identify tasks, so nothing is removed: an `EventRewound` takes the place of each event taken back.
Decisions of the last turn that today's code makes again stay recorded under their numbers, and are not carried out a
second time; the rest is taken back, and the ending always. What the code decides beyond that is recorded by the next
turn. An execution that failed by an exception of its own thus gets its last inputs applied again, by today's code.

Ending an execution released its locks. One whose history has a critical section that was not left before what stays of it
ends, or a request for one that was not given up, can't go on from there and is not rewound: it would believe to hold
locks that it does not hold. A request is not repeated under its number either, since the grant of the first one may still
be on its way.

Ending an execution cancelled its timers, and outcomes that came later were dropped: so every task that is open
afterwards has to be issued again, not only those whose failures were taken back. Outcomes are identified by
(execution, task), so one that comes twice counts once; the work behind it, an operation of an entity included, may be
done twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from durastream.core.agenda import Agenda
from durastream.core.begun import begun
from durastream.core.codec import Codec
from durastream.core.definitions import OrchestratorDefinition
from durastream.core.events import (
    EntityOperationCalled,
    EntityOperationFailed,
    Event,
    EventRewound,
    ExecutionFailed,
    SubOrchestrationCreated,
    SubOrchestrationFailed,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
    TurnSplit,
)
from durastream.core.execution import Orchestration
from durastream.core.inputs import INPUTS
from durastream.core.messages import EntityOperation, Start
from durastream.core.recording import call_message, start_message
from durastream.core.replaying import Replay
from durastream.core.sections import listed
from durastream.core.tasks import Task
from durastream.errors import Conflict

_FAILURES: Final = (TaskFailed, SubOrchestrationFailed, EntityOperationFailed)


@dataclass(slots=True)
class Rewound:
    """What to store and to issue. After it: replay `history`, then a turn without inputs."""

    history: list[Event]
    overwrite: dict[int, Event]  # event number → what stands there now
    activities: list[tuple[int, TaskScheduled]] = field(default_factory=list)  # (task, event): to be issued again
    timers: list[tuple[int, int]] = field(default_factory=list)  # (task, due ms): to be set again
    children: list[tuple[int, Start]] = field(default_factory=list)  # (task, how it was started): to be rewound
    operations: list[EntityOperation] = field(default_factory=list)  # calls of entities: to be sent again


def rewind(
    definition: OrchestratorDefinition, history: Sequence[Event], ids: tuple[str, str], *, codec: Codec, now: int
) -> Rewound:
    """Take back what failed an execution. `ids`: (instance id, execution id); `history`: all of it.

    Raises Conflict if it has not failed, or failed in a critical section; NonDeterminismError if today's code does not fit
    what stays of the history.
    """
    if not history or history[-1].__class__ is not ExecutionFailed:
        raise Conflict(f"instance {ids[0]!r} has not failed: only failed executions can be rewound")
    last = max(number for number, event in enumerate(history) if event.__class__ in INPUTS)
    rewound = Rewound(list(history), {})
    for number in _unnoticed(_Pass(definition, ids, codec), history, last):
        _take_back(rewound, number, history[number].at)
    run = _Pass(definition, ids, codec)
    for event in rewound.history[: last + 1]:
        run.feed(event)
    _redecide(run, rewound, last + 1, now)
    unsafe = _open_section(rewound, ids[0])
    if unsafe is None:
        _issue_again(run.agenda, rewound)
    run.close()
    if unsafe is not None:
        raise unsafe
    return rewound


class _Pass:
    """A replay that can be looked into between two events."""

    def __init__(self, definition: OrchestratorDefinition, ids: tuple[str, str], codec: Codec) -> None:
        self._run = Orchestration(definition, *ids, codec=codec)
        self.agenda = self._run.agenda
        self.agenda.running = self.agenda.replaying = True
        self._replay = Replay(self._run)
        self.feed = self._replay.feed
        self.matches_next = self._replay.matches_next

    def close(self) -> None:
        self.agenda.running = False
        self._run.code.close()


def _unnoticed(run: _Pass, history: Sequence[Event], last: int) -> list[int]:
    """Numbers of the failures that user code had not noticed before the last input was applied; that one included."""
    failures: list[tuple[int, Task[Any]]] = []
    for number, event in enumerate(history[:last]):
        task = run.agenda.open.get(event.task) if isinstance(event, _FAILURES) else None
        if task is not None:
            failures.append((number, task))
        run.feed(event)
    run.close()
    found = [number for number, task in failures if not task._seen]
    return [*found, last] if isinstance(history[last], _FAILURES) else found


def _take_back(rewound: Rewound, number: int, at: int) -> None:
    """Earlier events keep their time: it is the clock of the code that replays them."""
    event = EventRewound(at, rewound.history[number].__class__.__name__)
    rewound.overwrite[number] = rewound.history[number] = event


def _redecide(run: _Pass, rewound: Rewound, first: int, now: int) -> None:
    """Keep the recorded decisions of the last turn that are made again; take back the others and the ending."""
    keeping = True
    final = len(rewound.history) - 1
    for number in range(first, final):
        event = rewound.history[number]
        keeping = keeping and (isinstance(event, (TurnSplit, EventRewound)) or run.matches_next(event))
        if not keeping:
            _take_back(rewound, number, event.at)
        run.feed(rewound.history[number])
    _take_back(rewound, final, max(now, rewound.history[final].at))


def _open_section(rewound: Rewound, instance_id: str) -> Conflict | None:
    """The error if the code would go on in a critical section."""
    for number, entities in begun(rewound.history).locks:
        return Conflict(
            f"instance {instance_id!r} failed in a critical section, or while it waited for one (event {number}: lock of"
            f" {listed(entities)}): its locks were released when it failed, so it can't go on from there. Restart it instead"
        )
    return None


def _issue_again(agenda: Agenda, rewound: Rewound) -> None:
    for number in agenda.open:
        event = rewound.history[number]
        _AGAIN[event.__class__](agenda, rewound, number, event)


def _activity(_agenda: Agenda, rewound: Rewound, number: int, event: TaskScheduled) -> None:
    rewound.activities.append((number, event))


def _timer(_agenda: Agenda, rewound: Rewound, number: int, event: TimerCreated) -> None:
    rewound.timers.append((number, event.due))


def _child(agenda: Agenda, rewound: Rewound, number: int, event: SubOrchestrationCreated) -> None:
    rewound.children.append((number, start_message(agenda, number, event)))


def _operation(agenda: Agenda, rewound: Rewound, number: int, event: EntityOperationCalled) -> None:
    rewound.operations.append(call_message(agenda, number, event))


_AGAIN: Final[dict[type, Callable[[Agenda, Rewound, int, Any], None]]] = {
    TaskScheduled: _activity,
    TimerCreated: _timer,
    SubOrchestrationCreated: _child,
    EntityOperationCalled: _operation,
}
