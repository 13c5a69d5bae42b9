"""The timeline as people think of it: one step for each call, with all its attempts, the pauses between them, and locks held.

How an attempt is recognised: a retry policy makes a timer in the turn that learnt of the failure, and tries again in the turn
that learnt of the timer. So the times of these events are equal in pairs, and name and input are those of the first attempt.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias

from durastream.core import events as ev
from durastream.inspect.timeline import Kind, Outcome, Span, timeline

Part: TypeAlias = Literal["run", "pause", "wait", "held"]
"""run: an attempt, or the thing itself. pause: until the next attempt. wait: for a lock. held: the lock."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a step's bar. `ended` is None while it goes on."""

    part: Part
    started: datetime
    ended: datetime | None
    outcome: Outcome
    detail: str
    task: int
    attempt: int = 1


@dataclass(slots=True)
class Step:
    """One line of the timeline. `task`: number of the event that began it."""

    task: int
    kind: Kind
    label: str
    target: str  # instance id of a sub-orchestration, entity, entities one a line; else ""
    queue: str
    pieces: list[Piece] = field(default_factory=list)

    @property
    def started(self) -> datetime:
        return self.pieces[0].started

    @property
    def ended(self) -> datetime | None:
        """None while it goes on."""
        return self.pieces[-1].ended

    @property
    def outcome(self) -> Outcome:
        """Of the latest attempt; a lock that is held is done."""
        return "waiting" if self.pieces[-1].part == "pause" else self.pieces[-1].outcome

    @property
    def detail(self) -> str:
        """Why the latest attempt that is over failed; "" if it did not."""
        runs = [piece for piece in self.pieces if piece.part == "run" and piece.outcome != "waiting"]
        return runs[-1].detail if runs else ""

    @property
    def attempts(self) -> int:
        """The number of the latest attempt; those before the part of the history that was given count too."""
        return max(piece.attempt for piece in self.pieces)

    @property
    def latest(self) -> int:
        """Number of the event that began the latest attempt: its outcome is that of the step."""
        return next(piece.task for piece in reversed(self.pieces) if piece.part != "pause")


def steps(history: Sequence[ev.Event], first: int = 0, *, timers_set: Collection[int] | None = None) -> list[Step]:
    """Steps in the order they began. Arguments as for `timeline`."""
    grouping = _Grouping(dict(enumerate(history, first)))
    for span in timeline(history, first, timers_set=timers_set):
        grouping.take(span)
    return grouping.steps()


class _Grouping:
    def __init__(self, events: dict[int, Any]) -> None:
        self._events = events
        self._steps: dict[int, Step] = {}
        self._failed: dict[tuple[Any, ...], list[Step]] = {}  # by call, attempt, and when it failed
        self._fired: dict[datetime, dict[datetime, list[Span]]] = {}  # timers by when they fired and were made

    def take(self, span: Span) -> None:
        event = self._events[span.task]
        call, number = _call(event)
        step = self._again(span, (*call, max(number - 1, 0))) if number >= 0 else None
        if step is None:
            step = self._steps[span.task] = Step(span.task, span.kind, _label(span, event), span.target, span.queue)
            step.pieces += _pieces(span, span.attempt)
        else:
            step.target = span.target
            step.pieces += _pieces(span, step.attempts + 1)
        if span.outcome == "failed":
            self._failed.setdefault((*call, number, span.ended), []).append(step)
        if span.kind == "timer" and span.outcome == "done" and span.ended is not None:
            self._fired.setdefault(span.ended, {}).setdefault(span.started, []).append(span)

    def _again(self, span: Span, before: tuple[Any, ...]) -> Step | None:
        """The step of which this is the next attempt, which gets the pause before it. `before`: call and number of the last."""
        for made, timers in self._fired.get(span.started, {}).items():
            failed = self._failed.get((*before, made))
            if failed and timers:
                self._pause(failed[0], timers.pop(0))
                return failed.pop(0)
        return None

    def _pause(self, step: Step, timer: Span) -> None:
        del self._steps[timer.task]
        piece = Piece("pause", timer.started, timer.ended, timer.outcome, "", timer.task, step.attempts)
        step.pieces.append(piece)

    def steps(self) -> list[Step]:
        return list(self._steps.values())


def _call(event: Any) -> tuple[tuple[Any, ...], int]:
    """What all attempts of a call have in common, and which one this is; 0 where that is not recorded."""
    if isinstance(event, ev.TaskScheduled):
        return ("activity", event.name, event.input, event.queue), event.attempt
    if isinstance(event, ev.SubOrchestrationCreated):
        return ("sub-orchestration", event.name, event.version, event.input), 0
    return (type(event),), -1


def _label(span: Span, event: Any) -> str:
    """Without the number of the attempt, which is in the pieces."""
    return event.name if isinstance(event, ev.TaskScheduled) else span.label


def _pieces(span: Span, attempt: int) -> Iterable[Piece]:
    if span.kind != "lock":
        return [Piece("run", span.started, span.ended, span.outcome, span.detail, span.task, attempt)]
    waited = Piece("wait", span.started, span.ended, span.outcome, span.detail, span.task)
    if span.outcome != "done" or span.ended is None:
        return [waited]
    return [waited, Piece("held", span.ended, span.released, "done", "", span.task)]
