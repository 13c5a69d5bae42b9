"""The timeline of an execution: one span for each thing it waited for outside, from scheduling to outcome.

`timeline` gives the spans one by one; `steps.steps` puts those together that belong together (attempts of one call, a
lock that is waited for and then held).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias

from durastream.core import events as ev
from durastream.inspect.rows import failure_line, moment_words, when

Kind: TypeAlias = Literal["activity", "timer", "sub-orchestration", "entity operation", "lock", "event"]
Outcome: TypeAlias = Literal["waiting", "done", "failed", "cancelled"]
"""cancelled: nobody waits for it any more; the execution ended first, or the timer was given up."""


@dataclass(slots=True)
class Span:
    """What was scheduled by event number `task`. `ended` is None while its outcome is awaited.

    An external event is a span without length, at the time it came in; `task` is its own number.
    """

    task: int
    kind: Kind
    label: str
    started: datetime
    ended: datetime | None = None
    outcome: Outcome = "waiting"
    detail: str = ""  # why it failed
    attempt: int = 1  # of an activity
    due: datetime | None = None  # of a timer
    queue: str = ""  # of an activity
    target: str = ""  # instance id of a sub-orchestration, entity of an operation, entities of a lock, one a line
    released: datetime | None = None  # of a lock: when it was left


def timeline(history: Iterable[ev.Event], first: int = 0, *, timers_set: Collection[int] | None = None) -> list[Span]:
    """Spans in the order they were scheduled. Outcomes that answer nothing known are left out.

    first: number of the first event given, where the history is only a part. timers_set: the timers that are still to
    fire (`Client.timers_set`); an open one that is not among them was cancelled, which history does not tell.
    """
    spans: dict[int, Span] = {}
    over: datetime | None = None
    for number, event in enumerate(history, first):
        opens = _OPENS.get(type(event))
        if opens is not None:
            spans[number] = opens(number, event)
        closes = _CLOSES.get(type(event))
        if closes is not None and (span := spans.get(event.task)):  # type: ignore[union-attr]
            closes(span, event)
        if isinstance(event, _ENDINGS):
            over = when(event.at)
    found = list(spans.values())
    for span in found:
        _give_up(span, over, timers_set)
    return found


def _give_up(span: Span, over: datetime | None, timers_set: Collection[int] | None) -> None:
    """Cancel what is open and no longer awaited; a lock that is held when the execution ends is left."""
    if span.kind == "lock" and span.outcome == "done" and span.released is None:
        span.released = over
    if span.outcome != "waiting":
        return
    if over is not None:
        span.outcome, span.ended = "cancelled", over
    elif span.kind == "timer" and timers_set is not None and span.task not in timers_set:
        span.outcome, span.ended = "cancelled", span.started


# ---------------------------------------------------------------- bars


@dataclass(frozen=True, slots=True)
class Bar:
    """Where a span lies on a scale of `width` cells."""

    before: int
    cells: int


@dataclass(frozen=True, slots=True)
class Scale:
    """From times to cells: `width` cells from `begin` to `end`."""

    begin: datetime
    end: datetime
    width: int

    def bar(self, started: datetime, ended: datetime | None) -> Bar:
        """At least one cell, and inside. Without an end: up to the end of the scale."""
        cells_per_s = self.width / max((self.end - self.begin).total_seconds(), 0.001)
        before = min(max(int((started - self.begin).total_seconds() * cells_per_s), 0), self.width - 1)
        length = ((ended or self.end) - started).total_seconds() * cells_per_s
        return Bar(before, max(1, min(round(length), self.width - before)))


def scale(spans: Iterable[Span], until: datetime, width: int) -> Scale:
    """From the first start to `until`, or the last end, if later."""
    known = list(spans)
    begin = min((span.started for span in known), default=until)
    return Scale(begin, max([until, *(span.ended for span in known if span.ended)]), width)


def bars(spans: list[Span], until: datetime, width: int) -> list[Bar]:
    """Place spans on one scale that runs from the first start to `until` (or the last end, if later)."""
    on = scale(spans, until, width)
    return [on.bar(span.started, span.ended) for span in spans]


# ---------------------------------------------------------------- what opens a span


def _activity(number: int, event: ev.TaskScheduled) -> Span:
    label = event.name if event.attempt == 1 else f"{event.name} (attempt {event.attempt})"
    return Span(number, "activity", label, when(event.at), attempt=event.attempt, queue=event.queue)


def _timer(number: int, event: ev.TimerCreated) -> Span:
    return Span(number, "timer", f"until {moment_words(event.due)}", when(event.at), due=when(event.due))


def _child(number: int, event: ev.SubOrchestrationCreated) -> Span:
    label = f"{event.name} {event.instance_id}"
    return Span(number, "sub-orchestration", label, when(event.at), target=event.instance_id)


def _operation(number: int, event: ev.EntityOperationCalled) -> Span:
    return Span(number, "entity operation", f"{event.entity} {event.operation}", when(event.at), target=event.entity)


def _lock(number: int, event: ev.EntityLockRequested) -> Span:
    return Span(number, "lock", ", ".join(event.entities), when(event.at), target="\n".join(event.entities))


def _raised(number: int, event: ev.EventRaised) -> Span:
    return Span(number, "event", event.name, when(event.at), when(event.at), "done")


# ---------------------------------------------------------------- what closes it


def _done(span: Span, event: Any) -> None:
    span.outcome, span.ended = "done", when(event.at)


def _failed(span: Span, event: ev.TaskFailed | ev.SubOrchestrationFailed | ev.EntityOperationFailed) -> None:
    span.outcome, span.ended, span.detail = "failed", when(event.at), failure_line(event.failure)


def _unlocked(span: Span, event: ev.EntityUnlockSent) -> None:
    """The lock was left, or given up before it was granted."""
    span.released = when(event.at)
    if span.outcome == "waiting":
        span.outcome, span.ended = "cancelled", when(event.at)


_OPENS: Final[dict[type, Callable[[int, Any], Span]]] = {
    ev.TaskScheduled: _activity,
    ev.TimerCreated: _timer,
    ev.SubOrchestrationCreated: _child,
    ev.EntityOperationCalled: _operation,
    ev.EntityLockRequested: _lock,
    ev.EventRaised: _raised,
}

_CLOSES: Final[dict[type, Callable[[Span, Any], None]]] = {
    ev.TaskCompleted: _done,
    ev.SubOrchestrationCompleted: _done,
    ev.TimerFired: _done,
    ev.EntityOperationCompleted: _done,
    ev.EntityLockGranted: _done,
    ev.EntityUnlockSent: _unlocked,
    ev.TaskFailed: _failed,
    ev.SubOrchestrationFailed: _failed,
    ev.EntityOperationFailed: _failed,
}

_ENDINGS: Final = (ev.ExecutionCompleted, ev.ExecutionFailed, ev.ExecutionTerminated)
