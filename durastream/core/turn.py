"""The seam between deciding and storing: what an executor is given and what it gives back.

A turn is decided by a Python function in this process (`core.execution`) or, later, by a remote SDK that speaks the Durable
Task protocol. Nothing outside `core/` may assume which.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from durastream.core.events import Event, Failure, Json, TaskScheduled
from durastream.core.messages import Message
from durastream.core.status import RUNNING, Status

MAX_DECISIONS = 500
"""Decisions one turn may carry. More are split over the following turns, so that no commit grows without bound."""


@dataclass(slots=True)
class Continued:
    """Continue-as-new: the input of the next execution and the external events it inherits, in arrival order."""

    input: Json | None
    carried: list[Event]


@dataclass(slots=True)
class Turn:
    """Outcome of one turn. `events[k]` is history event number `first + k`."""

    first: int
    events: list[Event] = field(default_factory=list)
    activities: list[tuple[int, TaskScheduled]] = field(default_factory=list)  # (task, event)
    timers: list[tuple[int, int]] = field(default_factory=list)  # (task, due ms)
    timers_cancelled: list[int] = field(default_factory=list)  # tasks
    messages: list[Message] = field(default_factory=list)  # to other instances, in order
    status: Status = RUNNING
    result: Json | None = None  # output once Completed; reason (JSON string) once Terminated
    failure: Failure | None = None
    custom_status: Json | None = None
    custom_status_changed: bool = False
    continued: Continued | None = None
    split: bool = False  # decisions are left: run another turn
    dropped: int = 0  # inputs that were late or duplicate


class Execution(Protocol):
    """One live execution: suspended user code plus what it waits for. Not thread-safe."""

    instance_id: str
    execution_id: str
    length: int  # history events so far

    def replay(self, history: Sequence[Event]) -> None:
        """Bring it to the state that `history` (numbers 0..n-1) describes. Raises NonDeterminismError."""
        ...

    def turn(self, now: int, inputs: Sequence[Event]) -> Turn:
        """Apply new inputs (their `at` is `now`), run user code as far as it goes, return what came of it."""
        ...

    def waiting_on(self) -> list[str]:
        """What the user code waits for, in words: `activity charge (event 1)`, `event approved`, `timer 2026-…`."""
        ...

    def awaited_events(self) -> list[str]:
        """Names of the external events that the user code waits for."""
        ...

    def close(self) -> None:
        """Forget it. User code gets no chance to act: its `finally` blocks can decide nothing."""
        ...
