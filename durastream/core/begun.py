"""What an execution has begun and not been told the end of, read from its history alone: for one whose code cannot be run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from durastream.core.events import (
    EntityLockRequested,
    EntityUnlockSent,
    Event,
    SubOrchestrationCompleted,
    SubOrchestrationCreated,
    SubOrchestrationFailed,
    TimerCreated,
    TimerFired,
)

_ENDS: Final = (TimerFired, SubOrchestrationCompleted, SubOrchestrationFailed, EntityUnlockSent)


class Begun(NamedTuple):
    timers: list[int]  # event numbers; cancelled ones included, which no event tells
    children: list[tuple[int, str]]  # (event number, instance id)
    locks: list[tuple[int, tuple[str, ...]]]  # (event number, entities), asked for or held


def begun(history: Sequence[Event]) -> Begun:
    """The timers, sub-orchestrations and critical sections that are open at the end of a history."""
    answered = {event.task for event in history if isinstance(event, _ENDS)}
    left = [(number, event) for number, event in enumerate(history) if number not in answered]
    return Begun(
        [number for number, event in left if isinstance(event, TimerCreated)],
        [(number, event.instance_id) for number, event in left if isinstance(event, SubOrchestrationCreated)],
        [(number, event.entities) for number, event in left if isinstance(event, EntityLockRequested)],
    )
