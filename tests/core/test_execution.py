from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable, Generator
from typing import Any

import pytest

from durastream.core.context import OrchestrationContext
from durastream.core.events import (
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionStarted,
    ExecutionTerminated,
    Parent,
    TaskCompleted,
    TaskScheduled,
    TimerCreated,
    TimerFired,
    TurnSplit,
)
from durastream.core.execution import Orchestration
from durastream.core.messages import Start, Terminate
from durastream.core.tasks import Task, when_all
from durastream.errors import ActivityFailed, OrchestratorError
from tests.core.driver import (
    CODEC,
    RESUME,
    START_MS,
    SUSPEND,
    Play,
    child_completed,
    completed,
    define,
    failed,
    fired,
    raised,
    terminate,
)

Ctx = OrchestrationContext
Steps = Generator[Task[Any], Any, Any]


async def chain(ctx: Ctx, n: int) -> int:
    for _ in range(3):
        n = await ctx.call_activity("double", n)
    return n


def chain_by_yield(ctx: Ctx, n: int) -> Steps:
    for _ in range(3):
        n = yield ctx.call_activity("double", n)
    return n


async def guarded(ctx: Ctx) -> str:
    try:
        await ctx.call_activity("risky")
    except ActivityFailed as error:
        return f"{error.type}: {error.message}"
    return "fine"


def guarded_by_yield(ctx: Ctx) -> Steps:
    try:
        yield ctx.call_activity("risky")
    except ActivityFailed as error:
        return f"{error.type}: {error.message}"
    return "fine"


@pytest.mark.parametrize("function", [chain, chain_by_yield])
def test_steps_run_one_after_another(function: Callable[..., Any]) -> None:
    play = Play(function, 1)
    for task, value in ((1, 2), (3, 4), (5, 8)):
        assert play.execution.waiting_on() == [f"activity double (event {task})"]
        assert [number for number, _ in play.last.activities] == [task]
        play.completes(task, value)
    assert play.output() == 8
    kinds: list[type] = [event.__class__ for event in play.history]
    steps = [TaskScheduled, TaskCompleted] * 3
    assert kinds == [ExecutionStarted, *steps, ExecutionCompleted]
    assert play.execution.waiting_on() == []


@pytest.mark.parametrize("function", [guarded, guarded_by_yield])
def test_a_failure_is_raised_where_it_is_awaited(function: Callable[..., Any]) -> None:
    play = Play(function)
    play.fails(1)
    assert play.output() == "ValueError: it broke"


def test_a_plain_function_completes_at_once() -> None:
    play = Play(lambda ctx, n: n + 1, 4)
    assert play.output() == 5


def test_helpers_can_be_awaited_and_delegated_to() -> None:
    async def helper(ctx: Ctx, n: int) -> int:
        return await ctx.call_activity("double", n, return_type=int)

    async def outer(ctx: Ctx) -> int:
        return await helper(ctx, 1) + await helper(ctx, 2)

    def by_yield(ctx: Ctx) -> Steps:
        first = yield from chain_by_yield(ctx, 1)
        return first

    play = Play(outer)
    play.completes(1, 2)
    play.completes(3, 4)
    assert play.output() == 6
    play = Play(by_yield)
    for task in (1, 3, 5):
        play.completes(task, 9)
    assert play.output() == 9


def test_inputs_are_applied_one_by_one_in_order() -> None:
    async def race(ctx: Ctx) -> list[str]:
        order = []
        for _ in range(2):
            order.append(await ctx.wait_for_external_event("go"))
            ctx.set_custom_status(list(order))
        return order

    play = Play(race)
    turn = play.turn(raised("go", "first"), raised("go", "second"))
    assert play.output() == ["first", "second"]
    assert turn.custom_status == b'["first", "second"]' and turn.custom_status_changed


def test_late_duplicate_and_foreign_inputs_are_dropped() -> None:
    async def two(ctx: Ctx) -> None:
        await ctx.create_timer(5)
        await ctx.call_activity("a")

    play = Play(two)
    before = len(play.history)
    turn = play.turn(completed(1), completed(99), child_completed(1), failed(0), RESUME)
    assert turn.dropped == 5 and turn.events == [] and len(play.history) == before
    turn = play.turn(fired(1), fired(1))
    assert turn.dropped == 1
    assert play.completes(3).status == "Completed"
    turn = play.turn(completed(3), raised("x"), terminate(), SUSPEND)
    assert turn.dropped == 4 and turn.events == [] and turn.status == "Completed"


def test_inputs_before_the_start_are_dropped_and_a_second_start_too() -> None:
    play = Play(chain, start=False)
    assert play.turn(raised("x"), completed(1), SUSPEND).dropped == 3
    play.turn(play.started(b"1"))
    assert play.turn(play.started(b"1")).dropped == 1


def test_time_never_runs_backwards() -> None:
    async def clock(ctx: Ctx) -> list[str]:
        first = ctx.current_utc_datetime
        await ctx.wait_for_external_event("x")
        return [str(ctx.current_utc_datetime - first)]

    play = Play(clock)
    play.turn(raised("x"), after_ms=-60_000)
    assert play.output() == ["0:00:00"]
    assert play.history[-1].at == play.history[0].at


# ---- endings


def test_an_exception_fails_the_execution_with_its_cause() -> None:
    async def fails(ctx: Ctx) -> None:
        await ctx.call_activity("risky")

    play = Play(fails)
    turn = play.fails(1)
    assert turn.status == "Failed" and turn.failure is not None
    assert turn.failure.type == "ActivityFailed"
    assert turn.failure.causes[0][:3] == ("ValueError", "it broke", "remote stack")
    assert "await ctx.call_activity" in turn.failure.stack and "durastream/core/code.py" not in turn.failure.stack
    assert turn.events[-1] == ExecutionFailed(play.now, turn.failure)


@pytest.mark.parametrize("error", [SystemExit(3), GeneratorExit(), asyncio.CancelledError(), RecursionError()])
def test_no_exception_of_user_code_leaves_the_engine(error: BaseException) -> None:
    async def wild(ctx: Ctx) -> None:
        raise error

    failure = Play(wild).last.failure
    assert failure is not None and failure.type == type(error).__name__


def test_a_keyboard_interrupt_is_not_the_orchestrators() -> None:
    async def interrupted(ctx: Ctx) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Play(interrupted)


def test_a_result_that_cannot_be_stored_fails_clearly() -> None:
    async def bad(ctx: Ctx) -> object:
        return object()

    async def forgotten(ctx: Ctx) -> object:
        return ctx.call_activity("a")

    failure = Play(bad).last.failure
    assert failure is not None and failure.type == "PayloadError" and "result of orchestrator bad" in failure.message
    failure = Play(forgotten).last.failure
    assert failure is not None and "await it" in failure.message


def test_an_input_that_does_not_fit_fails_the_execution() -> None:
    failure = Play(chain, "not a number").last.failure
    assert failure is not None and failure.type == "PayloadError"


def test_an_optional_input_may_be_missing() -> None:
    async def optional(ctx: Ctx, n: int = 7) -> int:
        return n

    assert Play(optional).output() == 7
    assert Play(optional, 3).output() == 3


def test_decisions_of_the_last_turn_still_count() -> None:
    async def parting(ctx: Ctx) -> str:
        ctx.send_event("friend", "bye", 1)
        ctx.call_activity("unawaited")
        ctx.create_timer(60)
        return "done"

    play = Play(parting)
    assert play.output() == "done"
    assert len(play.last.messages) == 1 and len(play.last.activities) == 1
    assert play.last.timers == [] and play.last.timers_cancelled == []  # it would have nobody to wake


def test_the_end_cancels_open_timers() -> None:
    async def done_early(ctx: Ctx) -> None:
        ctx.create_timer(60)
        ctx.call_activity("slow")
        await ctx.wait_for_external_event("stop")

    play = Play(done_early)
    assert play.last.timers == [(1, play.now + 60_000)]
    assert play.raises("stop").timers_cancelled == [1]
    assert play.turn(completed(2)).dropped == 1


# ---- what must not be awaited


def test_foreign_awaitables_are_refused_with_an_explanation() -> None:
    async def sleeps(ctx: Ctx) -> str:
        try:
            await asyncio.sleep(0)
        except OrchestratorError as error:
            ctx.set_custom_status(str(error))
        loop = asyncio.new_event_loop()
        try:
            await loop.create_future()
        finally:
            loop.close()
        return "never"

    play = Play(sleeps)
    failure = play.last.failure
    assert b"create_timer" in (play.last.custom_status or b"")
    assert failure is not None and failure.type == "OrchestratorError" and "awaited Future" in failure.message


def test_a_yielded_list_is_refused() -> None:
    def lists(ctx: Ctx) -> Generator[Any, Any, None]:
        yield [ctx.create_timer(1)]

    failure = Play(lists).last.failure
    assert failure is not None and "awaited list" in failure.message and "when_all" in failure.message


def test_code_that_never_stops_awaiting_foreign_things_is_stopped() -> None:
    async def stubborn(ctx: Ctx) -> None:
        while True:
            try:
                await asyncio.sleep(0)
            except OrchestratorError:
                continue

    failure = Play(stubborn).last.failure
    assert failure is not None and failure.type == "OrchestratorError"


def test_a_context_decides_nothing_after_its_execution() -> None:
    kept: list[Ctx] = []

    async def leaks(ctx: Ctx) -> None:
        kept.append(ctx)

    Play(leaks)
    with pytest.raises(OrchestratorError, match="outside its orchestrator"):
        kept[0].call_activity("late")


def test_an_endless_fan_out_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("durastream.core.agenda.DECISIONS_MAX", 1_000)

    async def endless(ctx: Ctx) -> None:
        while True:
            ctx.call_activity("again")

    play = Play(endless, max_decisions=2_000)
    assert play.last.failure is not None and "endless loop" in play.last.failure.message


# ---- split turns


async def wide(ctx: Ctx, n: int) -> int:
    return sum(await when_all([ctx.call_activity("a", i) for i in range(n)]))


def test_a_turn_with_too_many_decisions_is_split() -> None:
    play = Play(wide, 25, max_decisions=10)
    assert play.last.split and play.last.events[-1] == TurnSplit(play.now) and len(play.last.activities) == 10
    play.completes(1, 1)
    assert play.last.split and len(play.last.activities) == 10
    play.reload()
    play.turn()
    assert not play.last.split and len(play.last.activities) == 5
    opened = sorted(play.execution.agenda.open)
    play.turn(*[completed(task, 1) for task in opened])
    assert play.output() == 25


def test_an_ending_behind_a_split_comes_last_and_nothing_is_accepted_before_it() -> None:
    async def floods(ctx: Ctx) -> str:
        for i in range(15):
            ctx.send_event("x", "y", i)
        return "done"

    play = Play(floods, max_decisions=10)
    assert play.last.split and len(play.last.messages) == 10
    turn = play.turn(raised("late"), terminate(), SUSPEND)
    assert (turn.dropped, turn.status, len(turn.messages)) == (3, "Completed", 5)


# ---- suspension


def test_a_suspended_execution_holds_its_inputs() -> None:
    play = Play(chain, 1)
    assert play.turn(SUSPEND).status == "Suspended"
    assert play.turn(SUSPEND).dropped == 1
    turn = play.completes(1, 2)
    assert (turn.status, turn.activities, turn.dropped) == ("Suspended", [], 0)
    assert play.turn(completed(1, 2)).dropped == 1
    play.reload()
    turn = play.turn(RESUME)
    assert turn.status == "Running" and len(turn.activities) == 1
    assert play.turn(RESUME).dropped == 1


def test_held_inputs_are_applied_one_by_one_when_resumed() -> None:
    async def first_of_two(ctx: Ctx) -> list[object]:
        a = ctx.call_activity("a")
        b = ctx.call_activity("b")
        got: list[object] = [await b]
        return [*got, a.done, await ctx.wait_for_external_event("e")]

    play = Play(first_of_two)
    play.turn(SUSPEND, completed(2, "b"), raised("E", 5), completed(1, "a"))
    assert play.last.status == "Suspended"
    play.turn(RESUME)
    assert play.output() == ["b", False, 5]


def test_a_task_cancelled_while_its_result_is_held_stays_cancelled() -> None:
    async def gives_up(ctx: Ctx) -> bool:
        slow = ctx.call_activity("slow")
        await ctx.wait_for_external_event("enough")
        slow.cancel()
        await ctx.create_timer(1)
        return isinstance(slow.exception(), Exception)

    play = Play(gives_up)
    play.turn(SUSPEND)
    play.turn(raised("enough"), completed(1, 1))
    play.turn(RESUME)
    (number, _) = play.last.timers[0]
    play.fires(number)
    assert play.output() is True


# ---- termination


def test_termination_ends_it_with_the_reason() -> None:
    async def waits(ctx: Ctx) -> None:
        ctx.create_timer(60)
        ctx.call_sub_orchestrator("child")
        await ctx.call_activity("a")

    play = Play(waits)
    turn = play.turn(terminate())
    assert (turn.status, turn.result, turn.timers_cancelled, turn.messages) == ("Terminated", b'"no stock"', [1], [])
    assert isinstance(turn.events[-1], ExecutionTerminated)
    assert play.turn(completed(3), terminate()).dropped == 2
    play = Play(waits)
    assert play.turn(terminate(reason=None)).result is None


def test_recursive_termination_reaches_open_children() -> None:
    async def family(ctx: Ctx) -> None:
        ctx.call_sub_orchestrator("one")
        ctx.call_sub_orchestrator("two", instance_id="mine")
        await ctx.call_sub_orchestrator("three")

    play = Play(family)
    play.turn(child_completed(1))
    turn = play.turn(terminate(recursive=True))
    parents = [Parent("order-7", "tok.0", task) for task in (2, 3)]
    assert turn.messages == [
        Terminate("mine", "no stock", True, parents[0]),
        Terminate("order-7:0.3", "no stock", True, parents[1]),
    ]


def test_termination_gets_through_to_a_suspended_one_and_stops_what_is_not_recorded() -> None:
    play = Play(chain, 1)
    play.turn(SUSPEND, completed(1, 2))
    turn = play.turn(RESUME, terminate())
    assert turn.status == "Terminated" and turn.activities == []
    play = Play(wide, 25, max_decisions=10)
    turn = play.turn(terminate())
    assert turn.status == "Terminated" and not turn.split and turn.activities == []


def test_finally_blocks_of_a_terminated_one_decide_nothing() -> None:
    seen: list[str] = []

    async def cleans_up(ctx: Ctx) -> None:
        try:
            await ctx.create_timer(60)
        finally:
            seen.append("finally")
            await ctx.call_activity("cleanup")
            seen.append("never")

    play = Play(cleans_up)
    seen.clear()
    turn = play.turn(terminate())
    assert turn.activities == [] and "never" not in seen and seen.count("finally") >= 1


def test_close_copes_with_code_that_refuses_to_stop() -> None:
    async def clings(ctx: Ctx) -> None:
        timer = ctx.create_timer(60)
        for _ in range(5):
            try:
                await timer
            except GeneratorExit:
                continue

    play = Play(clings)
    play.execution.close()
    assert play.execution.waiting_on() == []


# ---- children


def test_a_child_gets_ids_that_are_the_same_on_every_replay() -> None:
    async def calls(ctx: Ctx) -> object:
        return await ctx.call_sub_orchestrator("child", 5, version="2")

    play = Play(calls)
    (start,) = play.last.messages
    assert isinstance(start, Start)
    assert start.instance_id == "order-7:0.1" and start.execution_id.endswith(".0") and len(start.execution_id) == 18
    assert start.parent == Parent("order-7", "tok.0", 1)
    assert (start.name, start.version, start.input, start.if_exists, start.created) == (
        "child",
        "2",
        b"5",
        "child",
        False,
    )
    assert (start.tags, start.notify, start.reply) == (None, None, None)
    play.turn(child_completed(1, "x"))
    assert play.output() == "x"


# ---- memory


def test_an_ended_execution_leaves_nothing_to_the_collector() -> None:
    class Witness:
        pass

    async def holds(ctx: Ctx) -> None:
        kept = witnesses.pop()
        await ctx.call_activity("a")
        assert kept

    witnesses = [Witness()]
    alive = weakref.ref(witnesses[0])
    play = Play(holds, start=False)
    gc.disable()
    try:
        play.execution.turn(1, [play.started(None)])
        assert alive() is not None
        play.execution.turn(2, [completed(1)])
        assert alive() is None
    finally:
        gc.enable()


def test_a_long_execution_keeps_only_what_is_open() -> None:
    async def long(ctx: Ctx, n: int) -> None:
        for i in range(n):
            await ctx.call_activity("a", i)

    play = Play(long, 300, start=False)
    execution = play.execution
    execution.turn(1, [play.started(b"300")])
    for _ in range(200):
        execution.turn(2, [completed(execution.length - 1)])
    assert len(execution.agenda.open) == 1 and not execution.agenda.queue
    assert isinstance(execution.agenda.open[execution.length - 1], Task)


def test_events_carry_the_time_of_the_turn_that_recorded_them() -> None:
    play = Play(wide, 3, max_decisions=2)
    first = play.now
    play.turn()
    assert [event.at for event in play.history] == [first] * 4 + [play.now]


def test_timers_far_away() -> None:
    async def patient(ctx: Ctx) -> None:
        await ctx.create_timer(200 * 365 * 86_400)

    play = Play(patient)
    (timer,) = play.last.timers
    assert timer[1] - play.now == 200 * 365 * 86_400_000 > 2**32
    assert isinstance(play.history[1], TimerCreated)


def test_a_timer_does_not_fire_before_its_due_time_for_the_code_either() -> None:
    """The server found it due; the clock of this process may be a little behind."""

    def sleeper(ctx: OrchestrationContext) -> Any:
        yield ctx.create_timer(60)
        return ctx.current_utc_datetime.timestamp() * 1_000

    run = Orchestration(define(sleeper), "i", "tok.0", codec=CODEC)
    started = run.turn(START_MS, [ExecutionStarted(START_MS, "sleeper", None, None, None, 0)])
    ((task, due),) = started.timers
    last = run.turn(due - 3, [TimerFired(due - 3, task)])
    assert last.events[0] == TimerFired(due, task)
    assert last.result == str(float(due)).encode()
    replayed = Orchestration(define(sleeper), "i", "tok.0", codec=CODEC)
    replayed.replay([*started.events, *last.events])
