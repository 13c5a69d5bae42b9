from __future__ import annotations

from durastream.core import events as ev
from durastream.inspect.rows import when
from durastream.inspect.timeline import Bar, bars, timeline
from tests.fuzz.counting import check_linear


def scheduled(at: int, name: str, attempt: int = 1) -> ev.TaskScheduled:
    return ev.TaskScheduled(at, name, None, "default", None, attempt)


HISTORY: list[ev.Event] = [
    ev.ExecutionStarted(0, "flow", None, None, None, 0),
    scheduled(0, "charge"),
    ev.TimerCreated(0, 10_000),
    ev.TaskFailed(1_000, 1, ev.Failure("ValueError", "no")),
    scheduled(1_000, "charge", 2),
    ev.SubOrchestrationCreated(1_000, "child-1", "stage", None, None),
    ev.TaskCompleted(2_000, 4, b"1"),
]


def test_one_span_for_each_thing_scheduled() -> None:
    spans = timeline(HISTORY)
    assert [(span.task, span.kind, span.outcome) for span in spans] == [
        (1, "activity", "failed"),
        (2, "timer", "waiting"),
        (4, "activity", "done"),
        (5, "sub-orchestration", "waiting"),
    ]
    assert spans[0].detail == "ValueError: no"
    assert spans[2].label == "charge (attempt 2)"
    assert spans[2].ended == when(2_000)


def test_calls_of_entities_and_locks_have_spans() -> None:
    spans = timeline(
        [
            ev.EntityLockRequested(0, ("@a@1", "@a@2")),
            ev.EntityLockGranted(1_000, 0),
            ev.EntityOperationCalled(1_000, "@a@1", "add", None),
            ev.EntityOperationCalled(1_000, "@a@2", "add", None),
            ev.EntityOperationFailed(2_000, 2, ev.Failure("ValueError", "no")),
            ev.EntityOperationCompleted(2_000, 3, None),
            ev.EntityOperationSignaled(2_000, "@b@1", "note", None, None),
            ev.EntityUnlockSent(2_000, 0),
        ]
    )
    assert [(span.kind, span.label, span.outcome, span.detail) for span in spans] == [
        ("lock", "@a@1, @a@2", "done", ""),
        ("entity operation", "@a@1 add", "failed", "ValueError: no"),
        ("entity operation", "@a@2 add", "done", ""),
    ]


def test_outcome_of_nothing_known_is_left_out() -> None:
    assert timeline([ev.TaskCompleted(0, 9, None)]) == []


def test_rewound_failure_is_awaited_again() -> None:
    history = [*HISTORY[:3], ev.EventRewound(1_000, "TaskFailed")]
    assert timeline(history)[0].outcome == "waiting"


def test_bars_share_one_scale() -> None:
    assert bars(timeline(HISTORY), when(4_000), 8) == [Bar(0, 2), Bar(0, 8), Bar(2, 2), Bar(2, 6)]


def test_bar_is_at_least_one_cell_and_inside() -> None:
    spans = timeline([scheduled(0, "a"), ev.TaskCompleted(0, 0, None), scheduled(1_000, "b")])
    assert bars(spans, when(1_000), 10) == [Bar(0, 1), Bar(9, 1)]
    assert bars([], when(0), 10) == []


# ---------------------------------------------------------------- what history does not say in one event


def test_what_is_open_when_the_execution_ends_is_cancelled() -> None:
    history = [*HISTORY, ev.ExecutionFailed(3_000, ev.Failure("E", "x"))]
    spans = timeline(history)
    assert [(span.outcome, span.ended) for span in spans] == [
        ("failed", when(1_000)),
        ("cancelled", when(3_000)),
        ("done", when(2_000)),
        ("cancelled", when(3_000)),
    ]


def test_a_timer_that_is_not_set_any_more_was_cancelled() -> None:
    assert timeline(HISTORY, timers_set={2})[1].outcome == "waiting"
    cancelled = timeline(HISTORY, timers_set=())[1]
    assert (cancelled.outcome, cancelled.ended) == ("cancelled", when(0))
    assert timeline(HISTORY, timers_set=())[3].outcome == "waiting"  # no timer


def test_events_that_came_in_are_spans_without_length() -> None:
    (span,) = timeline([ev.EventRaised(5_000, "approved", b"true")])
    assert (span.kind, span.label, span.started, span.ended, span.outcome) == (
        "event",
        "approved",
        when(5_000),
        when(5_000),
        "done",
    )


def test_locks_know_when_they_were_left() -> None:
    lock = ev.EntityLockRequested(0, ("@a@1",))
    (held,) = timeline([lock, ev.EntityLockGranted(1_000, 0)])
    assert (held.outcome, held.released) == ("done", None)
    (left,) = timeline([lock, ev.EntityLockGranted(1_000, 0), ev.EntityUnlockSent(2_000, 0)])
    assert left.released == when(2_000)
    (given_up,) = timeline([lock, ev.EntityUnlockSent(2_000, 0)])
    assert (given_up.outcome, given_up.ended) == ("cancelled", when(2_000))
    (ended,) = timeline([lock, ev.EntityLockGranted(1_000, 0), ev.ExecutionCompleted(3_000, None)])
    assert (ended.outcome, ended.released) == ("done", when(3_000))


def test_a_part_of_a_history_keeps_its_numbers() -> None:
    spans = timeline(HISTORY[3:], first=3)
    assert [(span.task, span.outcome) for span in spans] == [(4, "done"), (5, "waiting")]


def test_a_long_history_costs_in_proportion() -> None:
    def read(count: int) -> None:
        history: list[ev.Event] = [scheduled(k, "a") for k in range(count)]
        history += [ev.TaskCompleted(2 * count, k, None) for k in range(count)]
        assert sum(span.outcome == "done" for span in timeline(history)) == count

    check_linear(read, 2_000)
