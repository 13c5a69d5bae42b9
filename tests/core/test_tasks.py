from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import pytest

from durastream.core.context import OrchestrationContext
from durastream.core.tasks import Settled, Task, when_all, when_any
from durastream.errors import ActivityFailed, OrchestratorError, TaskCancelled
from tests.core.driver import Play, completed, failed, fired, raised

Ctx = OrchestrationContext
Steps = Generator[Task[Any], Any, Any]


async def fan_out(ctx: Ctx) -> list[int]:
    return await when_all([ctx.call_activity("a", i) for i in range(3)])


def fan_out_by_yield(ctx: Ctx) -> Steps:
    return (yield when_all([ctx.call_activity("a", i) for i in range(3)]))


@pytest.mark.parametrize("function", [fan_out, fan_out_by_yield])
def test_when_all_gives_results_in_the_order_of_the_tasks(function: Callable[..., Any]) -> None:
    play = Play(function)
    play.completes(3, "c")
    play.completes(1, "a")
    assert play.execution.waiting_on() == ["activity a (event 2)"]
    play.completes(2, "b")
    assert play.output() == ["a", "b", "c"]


@pytest.mark.parametrize("function", [fan_out, fan_out_by_yield])
def test_when_all_waits_for_all_then_raises_the_first_failure_in_order(function: Callable[..., Any]) -> None:
    play = Play(function)
    assert play.fails(3, "Third").status == "Running"
    assert play.fails(2, "Second").status == "Running"
    turn = play.completes(1)
    assert turn.failure is not None and turn.failure.causes[0].type == "Second"


async def race(ctx: Ctx) -> str:
    activity, timer = ctx.call_activity("a"), ctx.create_timer(10)
    winner = await when_any([activity, timer])
    if winner is activity:
        timer.cancel()
        return f"activity {activity.result()}"
    return "timer"


def race_by_yield(ctx: Ctx) -> Steps:
    activity, timer = ctx.call_activity("a"), ctx.create_timer(10)
    winner = yield when_any([activity, timer])
    if winner is activity:
        timer.cancel()
        return f"activity {activity.result()}"
    return "timer"


@pytest.mark.parametrize("function", [race, race_by_yield])
def test_when_any_returns_the_winner(function: Callable[..., Any]) -> None:
    play = Play(function)
    turn = play.completes(1, 5)
    assert play.output() == "activity 5" and turn.timers_cancelled == [2]
    play = Play(function)
    turn = play.fires(2)
    assert play.output() == "timer" and turn.timers_cancelled == []


@pytest.mark.parametrize("function", [race, race_by_yield])
def test_of_several_outcomes_in_one_turn_the_first_in_history_wins(function: Callable[..., Any]) -> None:
    play = Play(function)
    play.turn(fired(2), completed(1, 5))
    assert play.output() == "timer"


def test_when_any_wins_with_a_failure_too() -> None:
    async def race_failure(ctx: Ctx) -> str:
        winner = await when_any([ctx.call_activity("a"), ctx.call_activity("b")])
        return type(winner.exception()).__name__

    play = Play(race_failure)
    play.fails(2)
    assert play.output() == "ActivityFailed"


def test_a_task_may_sit_in_several_combinations() -> None:
    async def nested(ctx: Ctx) -> list[object]:
        a, b, c = (ctx.call_activity(name) for name in "abc")
        pair = when_all([a, b])
        first = await when_any([pair, when_all([b, c])])
        again = await when_all([a, a, b])
        return [first is pair, again, await c]

    play = Play(nested)
    for task, value in ((3, "c"), (1, "a"), (2, "b")):
        play.completes(task, value)
    assert play.output() == [True, ["a", "a", "b"], "c"]


def test_the_losers_of_a_race_run_on_and_can_be_raced_again() -> None:
    async def one_by_one(ctx: Ctx) -> list[int]:
        left: list[Task[Any]] = [ctx.call_activity("a", i) for i in range(3)]
        results = []
        while left:
            winner = await when_any(left)
            left.remove(winner)
            results.append(winner.result())
        return results

    play = Play(one_by_one)
    play.turn(completed(2, 20), completed(3, 30))
    play.completes(1, 10)
    assert play.output() == [20, 30, 10]


def test_a_task_raced_often_does_not_collect_the_races() -> None:
    async def loops(ctx: Ctx) -> None:
        stop = ctx.wait_for_external_event("stop")
        for _ in range(50):
            await when_any([stop, ctx.create_timer(1)])
        assert len(stop._watchers or []) <= 1

    play = Play(loops)
    while play.last.status == "Running":
        play.fires(play.last.timers[0][0])
    play.output()


def test_combinations_of_nothing() -> None:
    async def empty(ctx: Ctx) -> object:
        return await when_all([])

    async def impossible(ctx: Ctx) -> object:
        return await when_any([])

    assert Play(empty).output() == []
    failure = Play(impossible).last.failure
    assert failure is not None and failure.type == "OrchestratorError" and "no tasks" in failure.message


def test_combinations_take_tasks_only() -> None:
    with pytest.raises(OrchestratorError, match="not int"):
        when_all([1])  # type: ignore[arg-type]
    with pytest.raises(OrchestratorError, match="not str"):
        when_any(["a"])  # type: ignore[arg-type]


def test_awaiting_a_done_task_does_not_yield() -> None:
    done: Task[str] = Settled("value")
    with pytest.raises(StopIteration) as stop:
        done.__await__().send(None)
    assert stop.value.value == "value"


def test_result_and_exception_of_a_pending_task_are_errors() -> None:
    async def hasty(ctx: Ctx) -> list[str]:
        task = ctx.call_activity("a")
        texts = [str(task.done)]
        for look in (task.result, task.exception):
            try:
                look()
            except OrchestratorError as error:
                texts.append(str(error))
        await task
        assert task.done and task.exception() is None and "done" in repr(task)
        return texts

    play = Play(hasty)
    play.completes(1)
    assert play.output()[0] == "False" and "is not done yet" in play.output()[1] == play.output()[2]


def test_a_failed_task_can_be_awaited_again() -> None:
    async def twice(ctx: Ctx) -> list[str]:
        task = ctx.call_activity("a")
        seen = []
        for _ in range(2):
            try:
                await task
            except ActivityFailed as error:
                seen.append(error.type)
        return seen

    play = Play(twice)
    play.fails(1)
    assert play.output() == ["ValueError", "ValueError"]


# ---- cancelling


def test_a_cancelled_timer_is_removed() -> None:
    async def cancels(ctx: Ctx) -> list[object]:
        armed, never = ctx.create_timer(10), ctx.create_timer(20)
        never.cancel()
        await ctx.wait_for_external_event("x")
        again: list[object] = [armed.cancel(), armed.cancel(), armed.done]
        try:
            await armed
        except TaskCancelled as error:
            again.append("was cancelled" in str(error))
        await ctx.create_timer(1)
        return again

    play = Play(cancels)
    assert [task for task, _ in play.last.timers] == [1]
    assert play.raises("x").timers_cancelled == [1]
    assert play.turn(fired(1)).dropped == 1
    play.reload()
    assert play.turn(fired(2)).dropped == 1
    play.fires(4)
    assert play.output() == [True, False, True, True]


def test_a_cancelled_call_runs_on_and_its_result_is_dropped() -> None:
    async def abandons(ctx: Ctx) -> None:
        slow = ctx.call_activity("slow")
        child = ctx.call_sub_orchestrator("child")
        await ctx.wait_for_external_event("x")
        slow.cancel()
        child.cancel()
        await when_all([slow, child])

    play = Play(abandons)
    turn = play.raises("x")
    assert turn.failure is not None and turn.failure.type == "TaskCancelled" and turn.messages == []


def test_cancelling_a_combination_leaves_its_tasks_alone() -> None:
    async def group(ctx: Ctx) -> list[object]:
        tasks = [ctx.call_activity("a"), ctx.call_activity("b")]
        everything, either = when_all(tasks), when_any(tasks)
        everything.cancel()
        either.cancel()
        results = [await task for task in tasks]
        return [*results, type(everything.exception()).__name__, type(either.exception()).__name__]

    play = Play(group)
    play.turn(completed(1, 1), completed(2, 2))
    assert play.output() == [1, 2, "TaskCancelled", "TaskCancelled"]


def test_a_cancelled_wait_takes_no_event() -> None:
    async def changes_its_mind(ctx: Ctx) -> object:
        first, second = ctx.wait_for_external_event("x"), ctx.wait_for_external_event("x")
        first.cancel()
        return await second

    play = Play(changes_its_mind)
    play.raises("X", 1)
    assert play.output() == 1


def test_waiting_on_names_a_bounded_number_of_tasks() -> None:
    async def wide(ctx: Ctx) -> None:
        await when_all([ctx.call_activity("a") for _ in range(30)])

    words = Play(wide).execution.waiting_on()
    assert words[0] == "activity a (event 1)" and words[-1] == "and 10 more" and len(words) == 21


def test_a_failure_and_a_completion_in_one_turn() -> None:
    async def both(ctx: Ctx) -> list[object]:
        a, b = ctx.call_activity("a"), ctx.call_activity("b")
        await when_any([a])
        return [a.done, b.done, await ctx.wait_for_external_event("go"), b.done]

    play = Play(both)
    play.turn(failed(1), completed(2), raised("go"))
    assert play.output() == [True, False, None, True]
