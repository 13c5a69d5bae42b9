"""Invariants of one instance: a sound one breaks none, each broken one is named by the right id."""

from __future__ import annotations

from dataclasses import replace

import pytest

from durastream.core import events as ev
from durastream.core import timer_member
from durastream.core.events import Parent
from durastream.core.messages import ActivityItem, Continue, LockGranted, Start, TaskResult, UnlockEntities
from durastream.inspect.invariants import Violation, check
from durastream.inspect.invariants.instance import INSTANCE
from durastream.inspect.invariants.needs import Need, carried_by
from durastream.inspect.invariants.obligations import OBLIGATIONS, needs_of
from durastream.inspect.invariants.snapshots import ChildView, InstanceSnapshot, Unreadable
from tests.inspect.snapshots import (
    AT,
    COMPLETED,
    DONE,
    ENTITY,
    EXECUTION,
    HOLDER,
    ME,
    NOW,
    SCHEDULED,
    STARTED,
    ended,
    fields,
    history,
    running,
)

TIMER = ev.TimerCreated(AT, NOW + 5)
CHILD = ev.SubOrchestrationCreated(AT, "child", "ship", None, None)
CALLED = ev.EntityOperationCalled(AT, ENTITY, "add", None)
LOCK = ev.EntityLockRequested(AT, (ENTITY,))
GRANTED = ev.EntityLockGranted(AT, 1)
SPLIT = ev.TurnSplit(AT)
RAISED = ev.EventRaised(AT, "go", None)
SUSPENDED = ev.ExecutionSuspended(AT, None)
ANSWER = Need("answer", ME, EXECUTION, 1)


def broken(one: InstanceSnapshot) -> list[Violation]:
    return check(one, INSTANCE) + check(one, OBLIGATIONS)


PENDING = replace(
    fields(history(), status=b"Pending"), indexed={"Pending": float(AT)}, carried={Need("start", ME, EXECUTION)}
)
ABSENT = InstanceSnapshot(ME, 3, 3, f"i:{ME}")


@pytest.mark.parametrize(
    "sound",
    [
        running(),
        ended(),
        PENDING,
        ABSENT,
        history(STARTED, SCHEDULED, carried={ANSWER}),
        history(STARTED, TIMER, timers={timer_member.timer(1, EXECUTION, ME): NOW + 5.0}),
        history(STARTED, CHILD, children={1: ChildView("Running", Parent(ME, EXECUTION, 1))}),
        history(STARTED, CALLED, carried={ANSWER}),
        history(STARTED, LOCK, carried={ANSWER}),
        history(STARTED, LOCK, GRANTED, locks={ENTITY: HOLDER}),
        history(STARTED, SPLIT, carried={Need("turn", ME, EXECUTION)}),
        history(STARTED, SUSPENDED, SPLIT, carried={Need("turn", ME, EXECUTION)}),
        history(STARTED, SCHEDULED, ev.EventRewound(AT, "TaskFailed"), carried={ANSWER}),
        history(STARTED, SCHEDULED, carried=None),
        fields(replace(history(STARTED, SUSPENDED), indexed={"Suspended": float(AT)}), status=b"Suspended"),
    ],
    ids=lambda one: type(one.events[-1]).__name__ if one.events else "no events",
)
def test_what_is_sound_breaks_nothing(sound: InstanceSnapshot) -> None:
    assert broken(sound) == []


@pytest.mark.parametrize(
    ("invariant", "says", "one"),
    [
        ("S28", "which is none", fields(running(), status=b"Dancing")),
        ("S28", "no orchestrator's name", fields(running(), name=None)),
        ("S28", "names no execution", fields(running(), parent=b"me")),
        ("S28", "execution id", fields(running(), execution_id=b"x")),
        ("S28", "no JSON", fields(running(), custom_status=b"{")),
        ("S28", "tags are no object", fields(running(), tags=b"[]")),
        ("S28", "output is no JSON", ended(bad_payloads=("output",))),
        ("S28", "cannot be read", replace(running(), events=(Unreadable("torn"),))),
        ("S2", "revision", fields(running(), revision=b"-1")),
        ("H4", "limit", running(sizes={"input": 2_000, "output": 0})),
        ("S20", "belongs to 3", running(partition=4)),
        ("S20", "not valid", running(instance_id="a\nb")),
        ("S27", "before it was created", fields(running(), updated_at=b"5")),
        ("S27", "ahead", fields(running(), updated_at=b"%d" % (NOW + 10**9))),
        ("S27", "completed at", fields(ended(), completed_at=b"%d" % (AT - 1))),
        ("S27", "earlier than", history(STARTED, RAISED._replace(at=AT - 1))),
        ("S27", "before the instance", history(STARTED._replace(at=AT - 9))),
        ("S27", "later than the last change", history(STARTED._replace(at=AT + 10**6))),
        ("S1", "missing", running(events=(None,))),
        ("S1", "the record says 7", fields(running(), events=b"7")),
        ("S1", "without a record", replace(ABSENT, history_length=2)),
        ("S4", "answers event 2", history(STARTED, SCHEDULED, DONE._replace(task=2))),
        ("S4", "answers event 1, which is no TaskScheduled", history(STARTED, TIMER, DONE)),
        ("S4", "second outcome", history(STARTED, SCHEDULED, DONE, DONE)),
        ("S12", "begins with", history(RAISED, RAISED)),
        ("S12", "generation 3", history(STARTED._replace(generation=3))),
        ("S12", "second time", history(STARTED, STARTED)),
        ("S16", "is due at", history(STARTED, TIMER, ev.TimerFired(AT, 1))),
        ("S16", "nothing will purge it", replace(ended(), timers={})),
        ("S15", "was not left", history(STARTED, LOCK, LOCK, carried={ANSWER})),
        ("S15", "out of order", history(STARTED, LOCK._replace(entities=("@B@b", "@A@a")), carried={ANSWER})),
        ("S15", "not entered", history(STARTED, ev.EntityUnlockSent(AT, 1))),
        ("S15", "nobody holds", history(STARTED, LOCK, GRANTED, locks={ENTITY: ""})),
        ("S15", "held by other", history(STARTED, LOCK, GRANTED, locks={ENTITY: "other\nt.0\n1"})),
        ("S8", "ends with", fields(ended(), status=b"Failed")),
        ("S8", "completed_at is missing", fields(ended(), completed_at=None)),
        ("S8", "has completed_at", fields(running(), completed_at=b"5")),
        ("S8", "has an output", running(sizes={"output": 4})),
        ("S8", "failure is missing", fields(ended(), status=b"Failed")),
        ("S8", "ended it", history(STARTED, COMPLETED)),
        ("S18", "is Pending, but has 1", fields(running(), status=b"Pending")),
        ("S18", "has no events", history()),
        ("S18", "nothing keeps it", fields(running(), status=b"Suspended")),
        ("S18", "is suspended", history(STARTED, SUSPENDED)),
        ("S24", "indexes", running(indexed={})),
        ("S24", "indexes", running(indexed={"Running": float(AT), "Failed": 1.0})),
        ("S24", "having no record", replace(ABSENT, indexed={"Failed": 1.0})),
        ("S24", "not among the parked", fields(running(), problem=b"{}")),
        ("S24", "among the parked", running(parked=b"{}")),
        ("H3", "watch", ended(watched=True)),
        ("H3", "does not exist", replace(ABSENT, watched=True)),
        ("S10", "activity charge", history(STARTED, SCHEDULED)),
        ("S10", "sub-orchestration child", history(STARTED, CHILD)),
        ("S10", "sub-orchestration child", history(STARTED, CHILD, children={1: ChildView("Running", None)})),
        ("S10", "the call of add", history(STARTED, CALLED)),
        ("S10", "request for locks", history(STARTED, LOCK)),
        ("S10", "a timer due", history(STARTED, TIMER)),
        ("S10", "middle of a turn", history(STARTED, SPLIT)),
        ("S10", "middle of a turn", history(STARTED, SCHEDULED, SPLIT, carried={ANSWER})),
        ("S10", "neither is its start", replace(PENDING, carried=frozenset())),
    ],
)  # fmt: skip
def test_what_is_broken_is_named(invariant: str, says: str, one: InstanceSnapshot) -> None:
    found = broken(one)
    assert [violation for violation in found if violation.invariant == invariant and says in violation.text], found
    assert all(violation.key for violation in found)


# ---------------------------------------------------------------- what cannot be told from history


def certain(one: InstanceSnapshot) -> list[bool]:
    return [violation.certain for violation in broken(one) if violation.invariant == "S10"]


def test_a_lost_activity_is_certain_where_code_could_not_have_cancelled_it() -> None:
    assert certain(history(STARTED, SCHEDULED)) == [True]
    assert certain(history(STARTED, SCHEDULED, RAISED)) == [True]  # nothing else would let it go on
    timers = {timer_member.timer(2, EXECUTION, ME): NOW + 5.0}
    assert certain(history(STARTED, SCHEDULED, TIMER, timers=timers)) == [True]
    assert certain(history(STARTED, SCHEDULED, TIMER, RAISED, timers=timers)) == [False]


def test_a_lost_timer_is_told_only_where_nothing_else_is_under_way() -> None:
    assert certain(history(STARTED, TIMER)) == [True]
    assert certain(history(STARTED, RAISED, TIMER)) == [False]  # it may have been cancelled at once
    assert certain(history(STARTED, TIMER, RAISED)) == [False]
    assert certain(history(STARTED, SCHEDULED, TIMER, carried={ANSWER})) == []


def test_a_child_that_has_ended_needs_its_answer_under_way() -> None:
    over = history(STARTED, CHILD, children={1: ChildView("Completed", Parent(ME, EXECUTION, 1))})
    assert list(needs_of(over)) == [ANSWER]
    assert broken(replace(over, carried={ANSWER})) == []


def test_a_call_may_wait_in_the_queue_of_its_entity() -> None:
    assert needs_of(history(STARTED, CALLED)) == {ANSWER: (ENTITY,)}


def test_messages_carry_what_they_bring() -> None:
    holder = Parent(ME, EXECUTION, 1)
    start = Start("child", "c.0", "ship", None, None, holder, None, None, None, "child", False)
    assert set(carried_by(ActivityItem(ME, EXECUTION, 1, "charge", None, None, 1))) == {ANSWER}
    assert set(carried_by(TaskResult(ME, EXECUTION, 1, None, None))) == {ANSWER}
    assert set(carried_by(start)) == {ANSWER, Need("start", "child", "c.0")}
    assert set(carried_by(Continue(ME, EXECUTION))) == {Need("turn", ME, EXECUTION)}
    assert set(carried_by(LockGranted(ME, EXECUTION, 1, (ENTITY,)))) == {ANSWER, Need("release", ENTITY, HOLDER)}
    assert Need("release", "@B@b", HOLDER) in set(carried_by(UnlockEntities(ENTITY, ("@B@b",), holder)))


def test_repairs_say_what_is_lost() -> None:
    (violation,) = broken(replace(ABSENT, history_length=2))
    assert violation.repair is not None
    assert "2 events" in violation.repair.loses


def test_whether_a_new_generation_waits_for_an_event_cannot_be_told() -> None:
    """Its first turn leaves nothing in the history when it decides nothing."""
    (waits,) = broken(history(STARTED, RAISED, SPLIT))
    (split,) = broken(history(STARTED, SCHEDULED, SPLIT, carried={ANSWER}))
    assert (waits.certain, split.certain) == (False, True)
