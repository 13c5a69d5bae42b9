from __future__ import annotations

from durastream.core import events as ev
from durastream.inspect.rows import when
from durastream.inspect.timeline import Bar, bars, timeline


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
