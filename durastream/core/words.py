"""Events and tasks in words, for error messages and for people who ask what an instance waits for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, Final

from durastream.core import events as e
from durastream.core.agenda import ContinuedAsNew
from durastream.core.durations import moment_text
from durastream.core.leaves import EventTask
from durastream.core.sections import listed
from durastream.core.tasks import Task

_LISTED_MAX: Final = 20
_DESCRIBED_CHARS_MAX: Final = 1_000


def _signal(event: e.EntityOperationSignaled) -> str:
    when = "" if event.due is None else f" for {moment_text(event.due)}"
    return f"a signal {event.operation!r} to entity {event.entity!r}{when}"


def _unlock(event: e.EntityUnlockSent) -> str:
    which = f" of event {event.task}" if event.task >= 0 else ""  # else it has only just been asked for
    return f"the end of the critical section{which}"


_WORDS: Final[dict[type, Callable[[Any], str]]] = {
    e.ExecutionStarted: lambda event: f"the start of orchestrator {event.name!r}",
    e.TaskCompleted: lambda event: f"the result of the activity of event {event.task}",
    e.TaskFailed: lambda event: f"the failure of the activity of event {event.task}",
    e.SubOrchestrationCompleted: lambda event: f"the result of the sub-orchestration of event {event.task}",
    e.SubOrchestrationFailed: lambda event: f"the failure of the sub-orchestration of event {event.task}",
    e.TimerFired: lambda event: f"the firing of the timer of event {event.task}",
    e.EventRaised: lambda event: f"the arrival of external event {event.name!r}",
    e.EntityOperationCompleted: lambda event: f"the result of the entity operation of event {event.task}",
    e.EntityOperationFailed: lambda event: f"the failure of the entity operation of event {event.task}",
    e.EntityLockGranted: lambda event: f"the grant of the locks of event {event.task}",
    e.ExecutionSuspended: lambda _: "suspension",
    e.ExecutionResumed: lambda _: "resumption",
    e.ExecutionTerminated: lambda _: "termination",
    e.TaskScheduled: lambda event: f"activity {event.name!r}",
    e.TimerCreated: lambda event: f"a timer due {moment_text(event.due)}",
    e.SubOrchestrationCreated: lambda event: f"sub-orchestration {event.name!r} as {event.instance_id or 'a new id'!r}",
    e.EventSent: lambda event: f"event {event.name!r} sent to {event.instance_id!r}",
    e.EntityOperationCalled: lambda event: f"a call of {event.operation!r} of entity {event.entity!r}",
    e.EntityOperationSignaled: _signal,
    e.EntityLockRequested: lambda event: f"a lock of {listed(event.entities)}",
    e.EntityUnlockSent: _unlock,
    e.ExecutionCompleted: lambda _: "the end of the orchestrator",
    e.ExecutionFailed: lambda event: f"its failure ({event.failure.type}: {event.failure.message})",
    ContinuedAsNew: lambda _: "continue-as-new",
}


def described(event: Any) -> str:
    """What an event or decision is, cut: a failure alone may say 8,192 characters."""
    text = _WORDS[event.__class__](event)
    return text if len(text) <= _DESCRIBED_CHARS_MAX else f"{text[: _DESCRIBED_CHARS_MAX - 1]}…"


def awaited(task: Task[Any] | None) -> list[str]:
    """The leaves a task waits for, at most 20 of them named."""
    if task is None:
        return []
    leaves: Iterable[Task[Any]] = iter(task._pending())
    words = [leaf._title() for leaf in islice(leaves, _LISTED_MAX)]
    more = sum(1 for _ in leaves)
    return [*words, f"and {more} more"] if more else words


def awaited_events(task: Task[Any] | None) -> list[str]:
    """Names of the external events a task waits for, each once, at most 20."""
    leaves: Iterable[Task[Any]] = () if task is None else task._pending()
    names = dict.fromkeys(leaf._name for leaf in leaves if isinstance(leaf, EventTask))
    return list(islice(names, _LISTED_MAX))
