"""Attempts of one call are one step; locks are waited for, then held."""

from __future__ import annotations

import random
from typing import Any

import pytest

from durastream.app import App
from durastream.core import events as ev
from durastream.core.context import OrchestrationContext
from durastream.core.execution import Orchestration
from durastream.core.retry import RetryPolicy
from durastream.core.tasks import when_all
from durastream.inspect.rows import when
from durastream.inspect.steps import Step, steps
from durastream.inspect.timeline import scale, timeline
from durastream.payload import Payloads
from tests.fuzz.counting import check_linear
from tests.inspect.made import at, begun, done, failed, fired, scheduled, timer

RETRIED: list[ev.Event] = [
    begun(100),
    scheduled(100),
    failed(90, 1),
    timer(90, 80),
    fired(80, 3),
    scheduled(80, attempt=2),
    failed(70, 5, "again"),
    timer(70, 50),
    fired(50, 7),
    scheduled(50, attempt=3),
]


def parts(step: Step) -> list[str]:
    return [f"{piece.part} {piece.outcome}" for piece in step.pieces]


def test_attempts_and_the_pauses_between_them_are_one_step() -> None:
    (step,) = steps(RETRIED)
    assert parts(step) == ["run failed", "pause done", "run failed", "pause done", "run waiting"]
    assert (step.task, step.label, step.kind, step.queue) == (1, "charge", "activity", "default")
    assert (step.attempts, step.outcome, step.detail, step.ended, step.latest) == (
        3,
        "waiting",
        "ValueError: again",
        None,
        9,
    )
    assert step.started == when(at(100))


def test_a_retry_that_succeeds() -> None:
    (step,) = steps([*RETRIED, done(40, 9)])
    assert (step.outcome, step.detail, step.ended) == ("done", "", when(at(40)))


def test_a_part_of_the_history_knows_the_number_of_the_attempt() -> None:
    timer_step, step = steps(RETRIED[7:], first=7)
    assert (timer_step.kind, step.label, step.attempts) == ("timer", "charge", 3)


def test_the_pause_that_goes_on_is_a_timer_of_its_own() -> None:
    step, pause = steps(RETRIED[:4])
    assert (step.outcome, pause.kind, pause.outcome) == ("failed", "timer", "waiting")


def test_the_same_call_made_again_by_code_is_another_step() -> None:
    again: list[ev.Event] = [begun(100), scheduled(100), failed(90, 1), scheduled(90)]  # caught, and called again
    assert [step.outcome for step in steps(again)] == ["failed", "waiting"]
    slept: list[ev.Event] = [
        begun(100),
        scheduled(100),
        failed(90, 1),
        timer(90, 80),
        fired(80, 3),
        scheduled(80),
    ]  # first attempts, both
    assert [step.kind for step in steps(slept)] == ["activity", "timer", "activity"]
    other: list[ev.Event] = [*slept[:5], scheduled(80, "ship", attempt=2)]
    assert len(steps(other)) == 3


def test_sub_orchestrations_are_tried_again_too() -> None:
    history: list[ev.Event] = [
        begun(100),
        ev.SubOrchestrationCreated(at(100), "o:0.1", "stage", None, b"1"),
        ev.SubOrchestrationFailed(at(90), 1, ev.Failure("E", "x")),
        timer(90, 80),
        fired(80, 3),
        ev.SubOrchestrationCreated(at(80), "o:0.5", "stage", None, b"1"),
    ]
    (step,) = steps(history)
    assert parts(step) == ["run failed", "pause done", "run waiting"]
    assert (step.attempts, step.target) == (2, "o:0.5")


def test_locks_are_waited_for_and_held() -> None:
    lock = ev.EntityLockRequested(at(100), ("@a@1", "@b@1"))
    (waiting,) = steps([lock])
    assert parts(waiting) == ["wait waiting"]
    (held,) = steps([lock, ev.EntityLockGranted(at(90), 0)])
    assert parts(held) == ["wait done", "held done"]
    assert (held.outcome, held.ended, held.target) == ("done", None, "@a@1\n@b@1")
    (left,) = steps([lock, ev.EntityLockGranted(at(90), 0), ev.EntityUnlockSent(at(80), 0)])
    assert [(piece.started, piece.ended) for piece in left.pieces] == [
        (when(at(100)), when(at(90))),
        (when(at(90)), when(at(80))),
    ]


def test_no_span_is_lost_and_none_is_there_twice() -> None:
    for history in (RETRIED, RETRIED[5:], [lock := ev.EntityLockRequested(at(9), ("@a@1",)), lock]):
        spans = sorted(span.task for span in timeline(history))
        assert sorted({piece.task for step in steps(history) for piece in step.pieces}) == spans


def test_many_equal_calls_that_are_tried_again_cost_in_proportion() -> None:
    def read(count: int) -> None:
        history: list[ev.Event] = [scheduled(100) for _ in range(count)]
        history += [failed(90, k) for k in range(count)]
        history += [timer(90, 80) for _ in range(count)]
        history += [fired(80, 2 * count + k) for k in range(count)]
        history += [scheduled(80, attempt=2) for _ in range(count)]
        found = steps(history)
        assert len(found) == count and {step.attempts for step in found} == {2}

    check_linear(read, 500)


def test_steps_have_bars() -> None:
    (step,) = steps(RETRIED)
    on = scale(timeline(RETRIED), when(at(0)), 20)
    bars = [on.bar(piece.started, piece.ended) for piece in step.pieces]
    assert [(bar.before, bar.cells) for bar in bars] == [(0, 2), (2, 2), (4, 2), (6, 4), (10, 10)]


# ---------------------------------------------------------------- what the engine records

app = App()


@app.activity(retry=RetryPolicy(max_attempts=4, first_interval=2, backoff=2))
async def flaky(n: int) -> int:
    return n


@app.orchestrator
async def busy(ctx: OrchestrationContext) -> None:
    """Equal and different calls side by side, all tried again."""
    await when_all([ctx.call_activity(flaky, k % 2) for k in range(6)])


@pytest.mark.parametrize("seed", range(5))
def test_every_retry_of_the_engine_is_recognised(seed: int) -> None:
    rng = random.Random(seed)
    definition = app.find_orchestrator("busy")
    assert definition is not None
    run = Orchestration(definition, "i", "t.0", codec=Payloads())
    now, history, open_tasks = 1_000, list[ev.Event](), dict[int, Any]()
    pending: list[ev.Event] = [ev.ExecutionStarted(now, "busy", None, None, None, 0)]
    while pending:
        turn = run.turn(now, pending)
        number = turn.first
        for event in turn.events:
            if isinstance(event, ev.TaskScheduled | ev.TimerCreated):
                open_tasks[number] = event
            number += 1
        history += turn.events
        now += rng.randrange(1_000, 5_000)
        pending = []
        for task in rng.sample(sorted(open_tasks), min(len(open_tasks), rng.randint(1, 3))):
            opened = open_tasks.pop(task)
            if isinstance(opened, ev.TimerCreated):
                now = max(now, opened.due)
                pending.append(ev.TimerFired(now, task))
            elif opened.attempt < 4 and rng.random() < 0.6:
                pending.append(ev.TaskFailed(now, task, ev.Failure("E", "x")))
            else:
                pending.append(ev.TaskCompleted(now, task, b"1"))
        pending = [event._replace(at=now) for event in pending]
    run.close()
    found = steps(history)
    assert [step.kind for step in found] == ["activity"] * 6
    assert all(step.outcome == "done" for step in found)
    assert sum(len(step.pieces) for step in found) == len(timeline(history))
