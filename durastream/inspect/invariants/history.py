"""What a history tells by itself: which events answer which, what is open at its end, whether it is suspended, what it locks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from durastream.core.events import (
    EntityLockGranted,
    EntityLockRequested,
    EntityOperationCalled,
    EntityOperationCompleted,
    EntityOperationFailed,
    EntityUnlockSent,
    Event,
    EventRewound,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionResumed,
    ExecutionSuspended,
    ExecutionTerminated,
    SubOrchestrationCompleted,
    SubOrchestrationCreated,
    SubOrchestrationFailed,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
    TimerFired,
    TurnSplit,
)
from durastream.core.inputs import INPUTS
from durastream.core.status import COMPLETED, FAILED, TERMINATED, Status
from durastream.inspect.invariants.snapshots import Slot

ANSWERED_BY: Final[Mapping[type, tuple[type, ...]]] = {
    TaskScheduled: (TaskCompleted, TaskFailed),
    SubOrchestrationCreated: (SubOrchestrationCompleted, SubOrchestrationFailed),
    EntityOperationCalled: (EntityOperationCompleted, EntityOperationFailed),
    EntityLockRequested: (EntityLockGranted,),
    TimerCreated: (TimerFired,),
}
"""What schedules something → what tells its outcome, by `task`."""

_ASKS: Final[Mapping[type, type]] = {answer: asked for asked, answers in ANSWERED_BY.items() for answer in answers}

ENDINGS: Final[Mapping[Status, type]] = {
    COMPLETED: ExecutionCompleted,
    FAILED: ExecutionFailed,
    TERMINATED: ExecutionTerminated,
}


def unmatched(events: Sequence[Slot]) -> Iterator[str]:
    """Outcomes that nothing earlier asked for, that come twice, or that are of another kind than what was asked."""
    answered: set[int] = set()
    for number, event in enumerate(events):
        asked = _ASKS.get(type(event))
        if asked is None:
            continue
        task: int = event.task  # type: ignore[union-attr]
        if not 0 <= task < number or type(events[task]) is not asked:
            yield f"event {number} {type(event).__name__} answers event {task}, which is no {asked.__name__} before it"
        elif task in answered:
            yield f"event {number} {type(event).__name__} is the second outcome of event {task}"
        answered.add(task)


def open_tasks(events: Sequence[Slot]) -> dict[int, Event]:
    """What was scheduled and has no outcome; lock requests that were given up are not open. Cancelled tasks are: no event
    tells of that."""
    closed = {event.task for event in events if type(event) in _ASKS or isinstance(event, EntityUnlockSent)}  # type: ignore[union-attr]
    return {
        number: event  # type: ignore[misc]
        for number, event in enumerate(events)
        if type(event) in ANSWERED_BY and number not in closed
    }


def held_locks(events: Sequence[Slot]) -> dict[int, tuple[str, ...]]:
    """Critical sections that were entered and not left: number of the request → its entities."""
    granted = {event.task for event in events if isinstance(event, EntityLockGranted)}
    left = {event.task for event in events if isinstance(event, EntityUnlockSent)}
    return {
        number: event.entities
        for number, event in enumerate(events)
        if isinstance(event, EntityLockRequested) and number in granted and number not in left
    }


def asks_for_lock(events: Sequence[Slot], task: int, entity: str) -> bool:
    """Whether event `task` asks for this entity's lock, and the section has not been left."""
    event = events[task] if 0 <= task < len(events) else None
    if not isinstance(event, EntityLockRequested) or entity not in event.entities:
        return False
    return not any(isinstance(one, EntityUnlockSent) and one.task == task for one in events)


def sections_overlap(events: Sequence[Slot]) -> Iterator[str]:
    """One critical section at a time; each is left at most once."""
    inside: int | None = None
    for number, event in enumerate(events):
        if isinstance(event, EntityLockRequested):
            if inside is not None:
                yield f"event {number} asks for locks while the section of event {inside} was not left"
            inside = number
            if list(event.entities) != sorted(set(event.entities), key=str.encode):
                yield f"event {number} asks for locks out of order"
        elif isinstance(event, EntityUnlockSent):
            if event.task != inside:
                yield f"event {number} leaves the section of event {event.task}, which was not entered last"
            inside = None


def is_suspended(events: Sequence[Slot]) -> bool:
    """Whether the last word on it was to suspend."""
    last = next((one for one in reversed(events) if isinstance(one, ExecutionSuspended | ExecutionResumed)), None)
    return isinstance(last, ExecutionSuspended)


def goes_on(events: Sequence[Slot]) -> bool:
    """Whether a turn has to follow without any new input: decisions were left over, or the execution was just opened."""
    return bool(events) and isinstance(events[-1], TurnSplit | EventRewound)


def decisions_left(events: Sequence[Slot]) -> bool:
    """Whether it goes on for sure: its last turn was split. The first turn of a new generation, or after a rewind, may be over
    without a trace, when the code waits for an event or for what was issued again."""
    return len(events) > 1 and isinstance(events[-1], TurnSplit) and type(events[-2]) not in INPUTS


def untouched_since(events: Sequence[Slot], number: int) -> bool:
    """Whether the code has been given nothing since this event: it could not have cancelled it but in the same turn."""
    return not any(type(event) in INPUTS for event in events[number + 1 :])


def early_timers(events: Sequence[Slot]) -> Iterator[str]:
    """Timers that fired before they were due."""
    for number, event in enumerate(events):
        if isinstance(event, TimerFired) and 0 <= event.task < number:
            created = events[event.task]
            if isinstance(created, TimerCreated) and event.at < created.due:
                yield f"event {number} TimerFired at {event.at}, but event {event.task} is due at {created.due}"
