"""History as rows: one for each event, with what it says in words."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from durastream.core import events as ev
from durastream.core.status import COMPLETED, FAILED, PENDING, RUNNING, SUSPENDED, TERMINATED, Status

SYMBOLS: dict[Status, str] = {
    PENDING: "○",
    RUNNING: "●",
    COMPLETED: "✔",
    FAILED: "✘",
    TERMINATED: "■",
    SUSPENDED: "‖",
}
"""Each status has a symbol besides its word, so that colour never carries the meaning alone."""


class Words(NamedTuple):
    """What an event says: a label (name of an activity, event, …), and a payload or reason."""

    label: str = ""
    detail: str = ""
    answers: int | None = None  # number of the event that scheduled what this one answers


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One history event. `answers` is the number of the scheduling event, where it is the outcome of one."""

    number: int
    at: datetime
    kind: str
    label: str
    detail: str
    answers: int | None


def when(ms: int) -> datetime:
    """Milliseconds since the epoch → an aware UTC datetime."""
    return datetime.fromtimestamp(ms / 1000, UTC)


def payload_text(payload: bytes | None) -> str:
    """JSON text of a payload; empty where there is none."""
    return "" if payload is None else payload.decode("utf-8", "replace")


def history_rows(history: Iterable[ev.Event], first: int = 0) -> list[HistoryRow]:
    """Rows for events `first, first+1, …`."""
    return [_row(number, event) for number, event in enumerate(history, first)]


def _row(number: int, event: ev.Event) -> HistoryRow:
    words = _WORDS.get(type(event), _no_words)(event)
    return HistoryRow(number, when(event.at), type(event).__name__, words.label, words.detail, words.answers)


def _no_words(event: Any) -> Words:
    return Words()


def _started(event: ev.ExecutionStarted) -> Words:
    again = f" (execution {event.generation + 1})" if event.generation else ""
    return Words(event.name + again, payload_text(event.input))


def _scheduled(event: ev.TaskScheduled) -> Words:
    retry = f" (attempt {event.attempt})" if event.attempt > 1 else ""
    return Words(event.name + retry, payload_text(event.input))


def _succeeded(event: ev.TaskCompleted | ev.SubOrchestrationCompleted | ev.EntityOperationCompleted) -> Words:
    return Words("", payload_text(event.result), event.task)


def _failed(event: ev.TaskFailed | ev.SubOrchestrationFailed | ev.EntityOperationFailed) -> Words:
    return Words("", failure_line(event.failure), event.task)


def _named(event: ev.EventRaised) -> Words:
    return Words(event.name, payload_text(event.data))


def _sent(event: ev.EventSent) -> Words:
    return Words(f"{event.name} → {event.instance_id}", payload_text(event.data))


def _child(event: ev.SubOrchestrationCreated) -> Words:
    return Words(f"{event.name} as {event.instance_id}", payload_text(event.input))


def _operation(event: ev.EntityOperationCalled) -> Words:
    return Words(f"{event.operation} → {event.entity}", payload_text(event.input))


def _signal(event: ev.EntityOperationSignaled) -> Words:
    due = "" if event.due is None else f" at {moment_words(event.due)}"
    return Words(f"{event.operation} → {event.entity}{due}", payload_text(event.input))


def moment_words(ms: int) -> str:
    """`2031-05-01 12:00:00Z`."""
    return f"{when(ms):%Y-%m-%d %H:%M:%S}Z"


def _reason(event: ev.ExecutionSuspended | ev.ExecutionResumed | ev.ExecutionTerminated) -> Words:
    return Words("", event.reason or "")


def failure_line(failure: ev.Failure) -> str:
    """`Type: message`, without the stack."""
    return f"{failure.type}: {failure.message}"


_WORDS: dict[type, Callable[[Any], Words]] = {
    ev.ExecutionStarted: _started,
    ev.TaskScheduled: _scheduled,
    ev.TaskCompleted: _succeeded,
    ev.TaskFailed: _failed,
    ev.TimerCreated: lambda event: Words(f"due {moment_words(event.due)}"),
    ev.TimerFired: lambda event: Words(answers=event.task),
    ev.SubOrchestrationCreated: _child,
    ev.SubOrchestrationCompleted: _succeeded,
    ev.SubOrchestrationFailed: _failed,
    ev.EventRaised: _named,
    ev.EventSent: _sent,
    ev.EntityOperationCalled: _operation,
    ev.EntityOperationCompleted: _succeeded,
    ev.EntityOperationFailed: _failed,
    ev.EntityOperationSignaled: _signal,
    ev.EntityLockRequested: lambda event: Words(", ".join(event.entities)),
    ev.EntityLockGranted: lambda event: Words(answers=event.task),
    ev.EntityUnlockSent: lambda event: Words(answers=event.task),
    ev.ExecutionSuspended: _reason,
    ev.ExecutionResumed: _reason,
    ev.ExecutionTerminated: _reason,
    ev.ExecutionCompleted: lambda event: Words("", payload_text(event.result)),
    ev.ExecutionFailed: lambda event: Words("", failure_line(event.failure)),
    ev.EventRewound: lambda event: Words(event.kind),
}
