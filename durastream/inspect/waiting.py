"""What an instance waits for, as facts and in words, from its record and its history alone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias

from durastream.client.views import InstanceStatus
from durastream.core import events as ev
from durastream.inspect.ages import ago
from durastream.inspect.filter_fields import problem_kind
from durastream.inspect.rows import when
from durastream.inspect.timeline import Span, timeline

WaitKind: TypeAlias = Literal[
    "activity",
    "timer",
    "sub-orchestration",
    "entity operation",
    "lock",
    "start",  # the time it was scheduled for
    "worker",  # its first turn
    "resume",  # it is suspended
    "problem",  # it is parked: see InstanceStatus.problem
    "external event",  # nothing is under way, so the code waits for one, or runs just now
    "turn",  # the rest of one that was split
]


@dataclass(frozen=True, slots=True)
class Wait:
    """One thing that is waited for, with what is known of it."""

    kind: WaitKind
    what: str  # name of activity, orchestrator, operation or event; instance id; kind of problem; why a timer was set
    since: datetime
    task: int | None = None  # number of the event that asked for it
    queue: str = ""  # of an activity
    due: datetime | None = None  # of a timer or scheduled start
    entities: tuple[str, ...] = ()  # of an operation or a lock, in the order of locking
    entity: str = ""  # the one of them where it waits
    holder: str | None = None  # the instance in whose critical section that one is
    attempt: int = 1  # of an activity
    timeout_ms: int | None = None  # of an activity

    def words(self, now: datetime) -> str:
        """`activity charge (attempt 2) in queue default, scheduled 5 m 10 s ago`."""
        return _WORDS[self.kind](self, now)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known beside record and history, as far as somebody asked.

    timers_set: timers that are still to fire (`Client.timers_set`). events: names of external events that the code waits
    for (`Client.awaited_events`). holders: locked entity → instance that holds it.
    """

    timers_set: Collection[int] | None = None
    events: Sequence[str] = ()
    holders: Mapping[str, str] | None = None


def waits(
    status: InstanceStatus, history: Sequence[ev.Event], first: int = 0, *, known: Known | None = None
) -> list[Wait]:
    """What the instance waits for now, the oldest first; [] once it has ended. `first`: number of the first event given."""
    if status.ended:
        return []
    return [*_hindrances(status, history), *_under_way(status, history, first, known or Known())]


def summary(found: Sequence[Wait], now: datetime, limit: int = 3) -> str:
    """The first few in one line."""
    more = f" and {len(found) - limit:,} more" if len(found) > limit else ""
    return "; ".join(wait.words(now) for wait in found[:limit]) + more


def _hindrances(status: InstanceStatus, history: Sequence[ev.Event]) -> Iterator[Wait]:
    """What keeps its code from running, whatever is under way."""
    if status.problem is not None:
        yield Wait("problem", problem_kind(status.problem), status.updated_at)
    elif status.runtime_status == "Suspended":
        at = next((event for event in reversed(history) if isinstance(event, ev.ExecutionSuspended)), None)
        yield Wait("resume", (at and at.reason) or "", status.updated_at if at is None else when(at.at))
    elif status.runtime_status == "Pending" and status.start_at is not None:
        yield Wait("start", status.name, status.created_at, due=status.start_at)
    elif status.runtime_status == "Pending":
        yield Wait("worker", status.name, status.created_at)


def _under_way(status: InstanceStatus, history: Sequence[ev.Event], first: int, known: Known) -> Iterator[Wait]:
    if not history:
        return
    last = when(history[-1].at)
    spans = timeline(history, first, timers_set=known.timers_set)
    found = [_wait(status, span, history[span.task - first], known) for span in spans if span.outcome == "waiting"]
    yield from (_explained(wait, spans) if wait.kind == "timer" else wait for wait in found)
    yield from (Wait("external event", name, last) for name in known.events)
    if isinstance(history[-1], ev.TurnSplit):
        yield Wait("turn", "", last)
    elif status.runtime_status == "Running" and not found and not known.events:
        yield Wait("external event", "", last)


def _wait(status: InstanceStatus, span: Span, event: Any, known: Known) -> Wait:
    wait = _WAITS[span.kind](span, event)
    return _located(wait, status.id, known.holders or {}) if wait.entities else wait


def _explained(wait: Wait, spans: Sequence[Span]) -> Wait:
    """A timer that was set in the turn that learnt of a failure: the pause before the next attempt, most of the time."""
    failed = next((one for one in reversed(spans) if one.outcome == "failed" and one.ended == wait.since), None)
    return wait if failed is None else replace(wait, what=failed.label)


def _located(wait: Wait, instance_id: str, holders: Mapping[str, str]) -> Wait:
    """A lock request goes from entity to entity: it waits at the first that it does not hold."""
    entity = next((one for one in wait.entities if holders.get(one) != instance_id), wait.entities[-1])
    holder = holders.get(entity)
    return replace(wait, entity=entity, holder=None if holder == instance_id else holder)


def _activity(span: Span, event: ev.TaskScheduled) -> Wait:
    return Wait(
        "activity", event.name, span.started, span.task,
        queue=event.queue, attempt=event.attempt, timeout_ms=event.timeout_ms,
    )  # fmt: skip


def _timer(span: Span, event: ev.TimerCreated) -> Wait:
    return Wait("timer", "", span.started, span.task, due=span.due)


def _child(span: Span, event: ev.SubOrchestrationCreated) -> Wait:
    return Wait("sub-orchestration", event.instance_id, span.started, span.task)


def _operation(span: Span, event: ev.EntityOperationCalled) -> Wait:
    return Wait("entity operation", event.operation, span.started, span.task, entities=(event.entity,))


def _lock(span: Span, event: ev.EntityLockRequested) -> Wait:
    return Wait("lock", "", span.started, span.task, entities=event.entities)


_WAITS: Final[dict[str, Callable[[Span, Any], Wait]]] = {
    "activity": _activity,
    "timer": _timer,
    "sub-orchestration": _child,
    "entity operation": _operation,
    "lock": _lock,
}

# ---------------------------------------------------------------- words


def _activity_words(wait: Wait, now: datetime) -> str:
    attempt = f" (attempt {wait.attempt})" if wait.attempt > 1 else ""
    return f"activity {wait.what}{attempt} in queue {wait.queue}, scheduled {ago(wait.since, now)}"


def _timer_words(wait: Wait, now: datetime) -> str:
    why = f", set when {wait.what} failed" if wait.what else ""
    return f"a timer{why}" if wait.due is None else f"a timer{why}, due {_at(wait.due)}, {ago(wait.due, now)}"


def _operation_words(wait: Wait, now: datetime) -> str:
    return f"{wait.what} of entity {wait.entity}{_held(wait)}, called {ago(wait.since, now)}"


def _lock_words(wait: Wait, now: datetime) -> str:
    among = f" (one of {len(wait.entities)})" if len(wait.entities) > 1 else ""
    return f"the lock of {wait.entity}{among}{_held(wait)}, asked for {ago(wait.since, now)}"


def _held(wait: Wait) -> str:
    return f", which {wait.holder} holds" if wait.holder else ""


def _start_words(wait: Wait, now: datetime) -> str:
    return "its start" if wait.due is None else f"its start at {_at(wait.due)}, {ago(wait.due, now)}"


def _resume_words(wait: Wait, now: datetime) -> str:
    reason = f" ({wait.what})" if wait.what else ""
    return f"being resumed: suspended {ago(wait.since, now)}{reason}"


def _event_words(wait: Wait, now: datetime) -> str:
    name = f"event {wait.what}" if wait.what else "an external event, or its turn"
    return f"{name}, {ago(wait.since, now)}"


def _at(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"


_WORDS: Final[dict[str, Callable[[Wait, datetime], str]]] = {
    "activity": _activity_words,
    "timer": _timer_words,
    "sub-orchestration": lambda wait, now: f"sub-orchestration {wait.what}, started {ago(wait.since, now)}",
    "entity operation": _operation_words,
    "lock": _lock_words,
    "start": _start_words,
    "worker": lambda wait, now: f"a worker to begin {wait.what}, created {ago(wait.since, now)}",
    "resume": _resume_words,
    "problem": lambda wait, now: f"its problem ({wait.what}) to be solved, {ago(wait.since, now)}",
    "external event": _event_words,
    "turn": lambda wait, now: f"the rest of a turn, {ago(wait.since, now)}",
}
