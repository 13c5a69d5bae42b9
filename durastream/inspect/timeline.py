"""The timeline of an execution: one span for each activity, timer and sub-orchestration, from scheduling to outcome."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

from durastream.core import events as ev
from durastream.inspect.rows import failure_line, when

Kind: TypeAlias = Literal["activity", "timer", "sub-orchestration"]
Outcome: TypeAlias = Literal["waiting", "done", "failed"]


@dataclass(slots=True)
class Span:
    """What was scheduled by event number `task`. `ended` is None while its outcome is awaited."""

    task: int
    kind: Kind
    label: str
    started: datetime
    ended: datetime | None = None
    outcome: Outcome = "waiting"
    detail: str = ""  # why it failed


@dataclass(frozen=True, slots=True)
class Bar:
    """Where a span lies on a scale of `width` cells."""

    before: int
    cells: int


def timeline(history: Iterable[ev.Event]) -> list[Span]:
    """Spans in the order they were scheduled. Outcomes that answer nothing known are left out."""
    spans: dict[int, Span] = {}
    for number, event in enumerate(history):
        opens = _OPENS.get(type(event))
        if opens is not None:
            spans[number] = Span(number, *opens(event), when(event.at))
        closes = _CLOSES.get(type(event))
        if closes is not None and (span := spans.get(_task(event))):
            span.ended, (span.outcome, span.detail) = when(event.at), closes(event)
    return list(spans.values())


def bars(spans: list[Span], until: datetime, width: int) -> list[Bar]:
    """Place spans on one scale that runs from the first start to `until` (or the last end, if later)."""
    if not spans:
        return []
    begin = spans[0].started
    end = max([until, *(span.ended for span in spans if span.ended)])
    scale = width / max((end - begin).total_seconds(), 0.001)
    return [_bar(span, begin, end, scale=scale, width=width) for span in spans]


def _bar(span: Span, begin: datetime, end: datetime, *, scale: float, width: int) -> Bar:
    before = min(int((span.started - begin).total_seconds() * scale), width - 1)
    length = ((span.ended or end) - span.started).total_seconds() * scale
    return Bar(before, max(1, min(round(length), width - before)))


def _task(event: Any) -> int:
    return int(event.task)


def _activity(event: ev.TaskScheduled) -> tuple[Kind, str]:
    return "activity", event.name if event.attempt == 1 else f"{event.name} (attempt {event.attempt})"


_OPENS: dict[type, Callable[[Any], tuple[Kind, str]]] = {
    ev.TaskScheduled: _activity,
    ev.TimerCreated: lambda event: ("timer", f"until {when(event.due):%Y-%m-%d %H:%M:%S}Z"),
    ev.SubOrchestrationCreated: lambda event: ("sub-orchestration", f"{event.name} {event.instance_id}"),
}

_CLOSES: dict[type, Callable[[Any], tuple[Outcome, str]]] = {
    ev.TaskCompleted: lambda event: ("done", ""),
    ev.SubOrchestrationCompleted: lambda event: ("done", ""),
    ev.TimerFired: lambda event: ("done", ""),
    ev.TaskFailed: lambda event: ("failed", failure_line(event.failure)),
    ev.SubOrchestrationFailed: lambda event: ("failed", failure_line(event.failure)),
}
