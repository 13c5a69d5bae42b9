"""What an instance waits for, with facts."""

from __future__ import annotations

from typing import Any

import pytest

from durastream.core import events as ev
from durastream.inspect.rows import when
from durastream.inspect.waiting import Known, Wait, summary, waits
from tests.inspect.made import NOW, at, before, begun, done, failed, fired, scheduled, status, timer


def only(history: list[ev.Event], known: Known | None = None, **fields: Any) -> Wait:
    (wait,) = waits(status(**fields), history, known=known)
    return wait


def test_an_activity() -> None:
    wait = only([begun(), scheduled(310, "charge", 2, queue="gpu", timeout_ms=5_000)])
    assert (wait.kind, wait.what, wait.queue, wait.task, wait.attempt) == ("activity", "charge", "gpu", 1, 2)
    assert (wait.since, wait.timeout_ms) == (when(at(310)), 5_000)
    assert wait.words(NOW) == "activity charge (attempt 2) in queue gpu, scheduled 5 m 10 s ago"


def test_a_timer() -> None:
    wait = only([begun(), timer(60, -60)])
    assert (wait.kind, wait.due) == ("timer", when(at(-60)))
    assert wait.words(NOW).startswith("a timer, due ") and wait.words(NOW).endswith(", in 1 m 0 s")


def test_a_timer_after_a_failure() -> None:
    wait = only([begun(), scheduled(60, attempt=2), failed(50, 1), timer(50, -10)])
    assert wait.words(NOW).startswith("a timer, set when charge (attempt 2) failed, due ")


def test_a_timer_that_was_cancelled_is_not_waited_for() -> None:
    history: list[ev.Event] = [begun(), timer(60, -60), scheduled(50)]
    assert [wait.kind for wait in waits(status(), history)] == ["timer", "activity"]
    assert [wait.kind for wait in waits(status(), history, known=Known(timers_set=()))] == ["activity"]


def test_a_sub_orchestration() -> None:
    wait = only([begun(), ev.SubOrchestrationCreated(at(60), "order-7:0.1", "stage", None, None)])
    assert (wait.kind, wait.what) == ("sub-orchestration", "order-7:0.1")
    assert wait.words(NOW) == "sub-orchestration order-7:0.1, started 1 m 0 s ago"


def test_an_entity() -> None:
    history: list[ev.Event] = [begun(), ev.EntityOperationCalled(at(60), "@Counter@a", "add", None)]
    assert only(history).words(NOW) == "add of entity @Counter@a, called 1 m 0 s ago"
    held = only(history, Known(holders={"@Counter@a": "other-1"}))
    assert (held.entity, held.holder) == ("@Counter@a", "other-1")
    assert held.words(NOW) == "add of entity @Counter@a, which other-1 holds, called 1 m 0 s ago"
    mine = only(history, Known(holders={"@Counter@a": "order-7"}))
    assert mine.holder is None


def test_a_lock_waits_at_the_first_entity_that_is_not_its_own() -> None:
    history: list[ev.Event] = [begun(), ev.EntityLockRequested(at(60), ("@a@1", "@b@1", "@c@1"))]
    wait = only(history, Known(holders={"@a@1": "order-7", "@b@1": "other-1", "@c@1": "other-2"}))
    assert (wait.kind, wait.entity, wait.holder) == ("lock", "@b@1", "other-1")
    assert wait.words(NOW) == "the lock of @b@1 (one of 3), which other-1 holds, asked for 1 m 0 s ago"
    assert only(history).entity == "@a@1"
    assert only(history, Known(holders=dict.fromkeys(("@a@1", "@b@1", "@c@1"), "order-7"))).entity == "@c@1"


def test_a_lock_that_is_held_is_not_waited_for() -> None:
    history: list[ev.Event] = [
        begun(),
        ev.EntityLockRequested(at(60), ("@a@1",)),
        ev.EntityLockGranted(at(50), 1),
        scheduled(50),
    ]
    assert [wait.kind for wait in waits(status(), history)] == ["activity"]


def test_with_nothing_under_way_it_waits_for_an_event() -> None:
    history: list[ev.Event] = [begun(), scheduled(60), done(50, 1)]
    assert only(history).words(NOW) == "an external event, or its turn, 50.0 s ago"
    named = waits(status(), [*history, timer(50, -10)], known=Known(events=("approved",)))
    assert [wait.kind for wait in named] == ["timer", "external event"]
    assert named[1].words(NOW) == "event approved, 50.0 s ago"


def test_the_rest_of_a_split_turn() -> None:
    history: list[ev.Event] = [begun(), *(scheduled(60) for _ in range(3)), ev.TurnSplit(at(60))]
    assert [wait.kind for wait in waits(status(), history)] == ["activity"] * 3 + ["turn"]


@pytest.mark.parametrize(
    ("fields", "kind", "words"),
    [
        ({"runtime_status": "Pending"}, "worker", "a worker to begin place_order, created 1 h 0 m ago"),
        ({"runtime_status": "Pending", "start_at": before(minutes=-5)}, "start", "its start at "),
        ({"runtime_status": "Suspended"}, "resume", "being resumed: suspended 30 m 0 s ago"),
        (
            {"runtime_status": "Suspended", "problem": {"kind": "refused"}},
            "problem",
            "its problem (refused) to be solved, 30 m 0 s ago",
        ),
        (
            {"runtime_status": "Pending", "problem": {"kind": "unknown-orchestrator"}},
            "problem",
            "its problem (unknown-orchestrator) to be solved",
        ),
    ],
)
def test_what_keeps_its_code_from_running(fields: dict[str, Any], kind: str, words: str) -> None:
    wait = only([], **fields)
    assert wait.kind == kind
    assert wait.words(NOW).startswith(words)


def test_a_suspended_one_still_waits_for_what_is_under_way() -> None:
    history: list[ev.Event] = [begun(), scheduled(60), ev.ExecutionSuspended(at(50), "stock-taking")]
    resume, activity = waits(status(runtime_status="Suspended"), history)
    assert resume.words(NOW) == "being resumed: suspended 50.0 s ago (stock-taking)"
    assert activity.kind == "activity"


@pytest.mark.parametrize("word", ["Completed", "Failed", "Terminated"])
def test_what_has_ended_waits_for_nothing(word: str) -> None:
    assert waits(status(runtime_status=word), [begun(), scheduled(60)]) == []


def test_a_part_of_a_history() -> None:
    history: list[ev.Event] = [done(70, 3), scheduled(60), fired(50, 2)]
    (wait,) = waits(status(), history, 100)
    assert wait.task == 101


def test_a_summary() -> None:
    found = waits(status(), [begun(), *(scheduled(60, name) for name in "abcde")])
    assert summary(found, NOW, 2) == (
        "activity a in queue default, scheduled 1 m 0 s ago; activity b in queue default, scheduled 1 m 0 s ago"
        " and 3 more"
    )
    assert summary([], NOW) == ""
