"""What an execution has begun, from its history alone."""

from __future__ import annotations

from durastream.core.begun import begun
from durastream.core.events import (
    EntityLockGranted,
    EntityLockRequested,
    EntityUnlockSent,
    Event,
    EventRewound,
    ExecutionStarted,
    Failure,
    SubOrchestrationCompleted,
    SubOrchestrationCreated,
    SubOrchestrationFailed,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)

HISTORY: list[Event] = [
    ExecutionStarted(1, "f", None, None, None, 0),
    TimerCreated(1, 5),
    TimerCreated(1, 6),
    SubOrchestrationCreated(1, "a", "f", None, None),
    SubOrchestrationCreated(1, "b", "f", None, None),
    SubOrchestrationCreated(1, "c", "f", None, None),
    TaskScheduled(1, "t", None, "default", None, 1),
    TimerFired(5, 1),
    SubOrchestrationCompleted(5, 3, None),
    SubOrchestrationFailed(5, 4, Failure("E", "")),
]


def test_what_was_answered_is_over() -> None:
    assert begun(HISTORY) == ([2], [(5, "c")], [])


def test_what_a_rewind_took_back_is_open_again() -> None:
    assert begun([*HISTORY[:-1], EventRewound(6, "SubOrchestrationFailed")]).children == [(4, "b"), (5, "c")]


def test_an_empty_history_has_begun_nothing() -> None:
    assert begun([]) == ([], [], [])


def test_critical_sections_that_were_not_left() -> None:
    """Whether their locks were granted makes no difference."""
    left: list[Event] = [
        ExecutionStarted(1, "f", None, None, None, 0),
        EntityLockRequested(1, ("@a@1", "@a@2")),
        EntityLockGranted(2, 1),
        EntityUnlockSent(2, 1),
        EntityLockRequested(2, ("@a@3", "@b@1")),
    ]
    assert begun(left[:2]).locks == begun(left[:3]).locks == [(1, ("@a@1", "@a@2"))]
    assert begun(left[:4]).locks == []
    assert begun(left).locks == [(4, ("@a@3", "@b@1"))]
    assert begun([*left[:4], EventRewound(2, "EntityLockRequested")]).locks == []
