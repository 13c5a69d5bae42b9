"""Obligations have carriers (S10): whatever an execution waits for is on its way, or somebody will send it.

What a history cannot tell is whether the code has cancelled a task: a cancelled activity, call or child stays open in it
for ever, and a cancelled timer is in no timer set. So a finding is certain only where the code had no occasion to cancel: it
has not been given anything since, or nothing else at all would let it go on. Lost timers are looked for only where nothing
else is under way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from durastream.core import timer_member
from durastream.core.events import (
    EntityLockRequested,
    EntityOperationCalled,
    EventRaised,
    Parent,
    SubOrchestrationCreated,
    TaskScheduled,
    TimerCreated,
)
from durastream.core.status import PENDING, SUSPENDED, TERMINAL
from durastream.inspect.invariants import history
from durastream.inspect.invariants.instance import execution_of, status_of, whole
from durastream.inspect.invariants.needs import Need
from durastream.inspect.invariants.snapshots import InstanceSnapshot
from durastream.inspect.invariants.values import natural, shown
from durastream.inspect.invariants.violation import Check, Found, Repair, invariant


def expected_timers(one: InstanceSnapshot) -> list[str]:
    """Members of the timer set that this instance may have."""
    status, execution = status_of(one), execution_of(one)
    if status is None:
        return []
    if status in TERMINAL:
        completed = natural(one.fields.get("completed_at"))
        return [] if completed is None else [timer_member.expiry(completed, execution, one.instance_id)]
    starts = [timer_member.scheduled_start(execution, one.instance_id)] if status == PENDING else []
    opened = history.open_tasks(one.events)
    return starts + [
        timer_member.timer(number, execution, one.instance_id)
        for number, event in opened.items()
        if isinstance(event, TimerCreated)
    ]


def needs_of(one: InstanceSnapshot) -> dict[Need, tuple[str, ...]]:
    """What must be under way for an instance, each with the entities in whose queues it may wait."""
    status, execution = status_of(one), execution_of(one)
    if status is None or status in TERMINAL:
        return {}
    if status == PENDING:
        if timer_member.scheduled_start(execution, one.instance_id) in one.timers:
            return {}
        return {Need("start", one.instance_id, execution): ()}
    if not whole(one):
        return {}
    found: dict[Need, tuple[str, ...]] = {}
    if history.goes_on(one.events):
        found[Need("turn", one.instance_id, execution)] = ()
    for number, event in history.open_tasks(one.events).items():
        if _will_tell(one, number, event):
            continue
        found[Need("answer", one.instance_id, execution, number)] = _entities_of(event)
    return found


def _entities_of(event: Any) -> tuple[str, ...]:
    if isinstance(event, EntityOperationCalled):
        return (event.entity,)
    return event.entities if isinstance(event, EntityLockRequested) else ()


def _will_tell(one: InstanceSnapshot, number: int, event: Any) -> bool:
    """Whether something that stands in the store, not a message, brings the answer."""
    if isinstance(event, TimerCreated):
        return True  # see `executions_at_a_standstill`
    if isinstance(event, SubOrchestrationCreated):
        child = one.children.get(number)
        mine = Parent(one.instance_id, execution_of(one), number)
        return child is not None and child.parent == mine and child.status not in TERMINAL and child.status != ""
    return False


def _missing(one: InstanceSnapshot) -> dict[int, Any]:
    """Open events for which nothing is under way, timers left out."""
    opened = history.open_tasks(one.events)
    carried = one.carried or frozenset()
    return {need.task: opened[need.task] for need in needs_of(one) if need.kind == "answer" and need not in carried}


def _stands_still(one: InstanceSnapshot) -> bool:
    """Whether nothing is under way for it: no timer, no child, no message, no decisions left over."""
    return _awaits_nothing(one) and not history.goes_on(one.events)


def _awaits_nothing(one: InstanceSnapshot) -> bool:
    """Whether nothing that it has open will ever be answered."""
    opened = history.open_tasks(one.events)
    missing = _missing(one)
    set_now = {
        number for number in opened if timer_member.timer(number, execution_of(one), one.instance_id) in one.timers
    }
    timers = {number for number, event in opened.items() if isinstance(event, TimerCreated)} - set_now
    return set(opened) == set(missing) | timers


_WORDS: Final[dict[type, Callable[[Any], str]]] = {
    TaskScheduled: lambda event: (
        f"activity {event.name} is neither queued, nor claimed, nor is its outcome in the inbox"
    ),
    SubOrchestrationCreated: lambda event: (
        f"sub-orchestration {event.instance_id} neither runs for it, nor is its start or its outcome under way"
    ),
    EntityOperationCalled: lambda event: (
        f"the call of {event.operation} of {event.entity} is neither under way nor queued, nor is its answer"
    ),
    EntityLockRequested: lambda event: "the request for locks is neither under way nor queued, nor is the grant",
}


@invariant("S10")
def open_tasks_are_under_way(one: InstanceSnapshot) -> Iterator[Found]:
    """Each activity, call, child and lock request that is open is carried by something that will bring its outcome."""
    if one.carried is None or "problem" in one.fields:
        return
    still = _stands_still(one) if (missing := _missing(one)) else False
    for number, event in missing.items():
        lock = isinstance(event, EntityLockRequested)
        certain = lock or still or history.untouched_since(one.events, number)
        doubt = "" if certain else "; lost, unless the code has cancelled it"
        yield Found(f"event {number}: {_WORDS[type(event)](event)}{doubt}", certain=certain)


@invariant("S10")
def executions_at_a_standstill(one: InstanceSnapshot) -> Iterator[Found]:
    """An execution for which nothing else is under way has its open timers set."""
    status = status_of(one)
    if one.carried is None or status is None or status in (PENDING, SUSPENDED) or status in TERMINAL or not whole(one):
        return
    if not _stands_still(one):
        return
    execution = execution_of(one)
    for number, event in history.open_tasks(one.events).items():
        member = timer_member.timer(number, execution, one.instance_id)
        if not isinstance(event, TimerCreated) or member in one.timers:
            continue
        raised = any(isinstance(earlier, EventRaised) for earlier in one.events[:number])
        certain = history.untouched_since(one.events, number) and not raised
        yield Found(
            f"event {number}: a timer due at {event.due} is not set, and nothing else is under way"
            + ("" if certain else "; lost, unless the code has cancelled it and waits for an event"),
            Repair("set_timer", (one.partition, one.instance_id, one.fields.get("revision"), member, event.due),
                   f"set the timer of event {number} of {one.instance_id}; one that was cancelled does nothing when it fires"),
            certain=certain,
        )  # fmt: skip


@invariant("S10")
def turns_are_under_way(one: InstanceSnapshot) -> Iterator[Found]:
    """An execution that has not begun, or that has decisions left over, has a message that lets it go on."""
    if one.carried is None:
        return
    for need in needs_of(one):
        if need in one.carried or need.kind == "answer":
            continue
        certain = history.decisions_left(one.events)
        if one.events and not certain and not _awaits_nothing(one):
            continue
        if need.kind == "start":
            yield Found("it is Pending, but neither is its start under way nor is a timer set for it")
        else:
            yield Found(
                "its history ends in the middle of a turn, but nothing lets it go on"
                + ("" if certain else "; lost, unless its code has gone on and waits for an event"),
                Repair("continue_turn", (one.partition, one.instance_id, one.fields.get("revision"), need.execution),
                       f"tell {one.instance_id} to go on with the turn that was split"),
                certain=certain,
            )  # fmt: skip


@invariant("S16")
def ended_ones_expire(one: InstanceSnapshot) -> Iterator[Found]:
    """An instance that has ended has the end of its retention among the timers: else it is kept for ever."""
    status, completed = status_of(one), natural(one.fields.get("completed_at"))
    if status not in TERMINAL or completed is None or one.timers:
        return
    member = timer_member.expiry(completed, execution_of(one), one.instance_id)
    yield Found(
        "it has ended, but nothing will purge it at the end of its retention",
        Repair("set_timer",
               (one.partition, one.instance_id, one.fields.get("revision"), member, completed + one.retention_ms),
               f"set the end of the retention of {one.instance_id}"),
    )  # fmt: skip


@invariant("S15")
def holders_are_believed(one: InstanceSnapshot) -> Iterator[Found]:
    """Inside a critical section, each of its entities is locked by this execution."""
    status = status_of(one)
    if status is None or status in TERMINAL or not whole(one):
        return
    for number, entities in history.held_locks(one.events).items():
        me = shown(Parent(one.instance_id, execution_of(one), number))
        for entity in entities:
            if one.locks.get(entity) != me:
                whom = one.locks.get(entity)
                told = "nobody holds its lock" if not whom else f"its lock is held by {whom.split(chr(10))[0]}"
                yield Found(f"it is in a critical section (event {number}) with {entity}, but {told}")


OBLIGATIONS: Final[tuple[Check[InstanceSnapshot], ...]] = (
    open_tasks_are_under_way,
    executions_at_a_standstill,
    turns_are_under_way,
    ended_ones_expire,
    holders_are_believed,
)
