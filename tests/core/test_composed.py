"""Retries as an orchestration sees them; waits with a timeout are in test_mailbox."""

from __future__ import annotations

import pytest

from durastream.core.context import OrchestrationContext
from durastream.core.events import SubOrchestrationCreated, TaskScheduled
from durastream.core.retry import RetryPolicy
from durastream.core.tasks import when_any
from durastream.errors import ActivityFailed, SubOrchestrationFailed
from tests.core.driver import RESUME, SUSPEND, Play, child_completed, child_failed, failed, fired

Ctx = OrchestrationContext
POLICY = RetryPolicy(3, first_interval=2, backoff=2)


async def stubborn(ctx: Ctx) -> object:
    return await ctx.call_activity("a", 1, retry=POLICY, queue="gpu", timeout=5)


def test_a_failed_attempt_is_followed_by_a_timer_and_another_attempt() -> None:
    play = Play(stubborn)
    assert play.last.activities == [(1, TaskScheduled(play.now, "a", b"1", "gpu", 5_000, 1))]
    turn = play.fails(1)
    assert turn.timers == [(3, play.now + 2_000)] and turn.activities == []
    assert play.execution.waiting_on() == ["attempt 1 of 3: timer 2023-11-14T22:13:24.000Z (event 3)"]
    play.reload()
    turn = play.fires(3, after_ms=2_000)
    assert turn.activities == [(5, TaskScheduled(play.now, "a", b"1", "gpu", 5_000, 2))]
    assert play.execution.waiting_on() == ["attempt 2 of 3: activity a (event 5)"]
    assert play.fails(5).timers == [(7, play.now + 4_000)]
    play.fires(7)
    play.completes(9, "at last")
    assert play.output() == "at last"


def test_after_the_last_attempt_its_failure_is_raised() -> None:
    play = Play(stubborn)
    play.fails(1, "First")
    play.fires(3)
    play.fails(5, "Second")
    play.fires(7)
    turn = play.fails(9, "Third")
    assert turn.failure is not None and turn.failure.causes[0].type == "Third"


def test_a_non_retryable_failure_is_final() -> None:
    play = Play(stubborn)
    turn = play.fails(1, "CardDeclined", non_retryable=True)
    assert turn.status == "Failed" and turn.timers == []


def test_the_deadline_is_compared_with_the_turns_clock() -> None:
    async def limited(ctx: Ctx) -> str:
        try:
            await ctx.call_activity("a", retry=RetryPolicy(10, first_interval=1, retry_timeout=30))
        except ActivityFailed:
            return "gave up"
        return "done"

    play = Play(limited)
    play.turn(failed(1), after_ms=10_000)
    play.fires(3)
    play.now += 3_600_000  # replays an hour later decide what was decided then
    play.reload()
    play.completes(5)
    assert play.output() == "done"
    play = Play(limited)
    play.turn(failed(1), after_ms=29_500)
    assert play.output() == "gave up"


def test_retry_if_that_raises_is_an_error_of_the_orchestrator() -> None:
    async def broken(ctx: Ctx) -> None:
        await ctx.call_activity("a", retry=RetryPolicy(3, retry_if=lambda failure: 1 / 0 > 1))

    play = Play(broken)
    failure = play.fails(1).failure
    assert failure is not None and failure.type == "OrchestratorError" and failure.causes[0].type == "ZeroDivisionError"


def test_sub_orchestrations_are_retried_under_new_ids() -> None:
    async def parent(ctx: Ctx) -> object:
        return await ctx.call_sub_orchestrator("child", 1, retry=RetryPolicy(2))

    play = Play(parent)
    play.turn(child_failed(1))
    play.fires(3)
    created = [event for event in play.history if isinstance(event, SubOrchestrationCreated)]
    assert [event.instance_id for event in created] == ["order-7:0.1", "order-7:0.5"]
    play.turn(child_completed(5, "x"))
    assert play.output() == "x"


def test_sub_orchestrations_with_an_id_keep_it() -> None:
    async def parent(ctx: Ctx) -> object:
        try:
            return await ctx.call_sub_orchestrator("child", 1, instance_id="mine", retry=RetryPolicy(2))
        except SubOrchestrationFailed as error:
            return error.type

    play = Play(parent)
    play.turn(child_failed(1))
    play.fires(3)
    created = [event for event in play.history if isinstance(event, SubOrchestrationCreated)]
    assert [event.instance_id for event in created] == ["mine", "mine"]
    play.turn(child_failed(5, "Again"))
    assert play.output() == "Again"


@pytest.mark.parametrize("during_pause", [False, True])
def test_cancelling_gives_up_attempt_and_timer(during_pause: bool) -> None:
    async def gives_up(ctx: Ctx) -> str:
        call = ctx.call_activity("a", retry=POLICY)
        stop = ctx.wait_for_external_event("stop")
        await when_any([call, stop])
        call.cancel()
        await ctx.create_timer(1)
        return type(call.exception()).__name__

    play = Play(gives_up)
    if during_pause:
        play.fails(1)
    turn = play.raises("stop")
    assert turn.timers_cancelled == ([3] if during_pause else [])
    assert play.turn(failed(1)).dropped == 1
    play.fires(turn.timers[0][0])
    assert play.output() == "TaskCancelled"


def test_nothing_is_retried_while_suspended() -> None:
    play = Play(stubborn)
    turn = play.turn(SUSPEND, failed(1))
    assert turn.status == "Suspended" and turn.timers == []
    turn = play.turn(RESUME)
    assert len(turn.timers) == 1
    play.turn(fired(turn.timers[0][0]))
    assert len(play.last.activities) == 1


def test_two_retried_calls_side_by_side() -> None:
    async def pair(ctx: Ctx) -> list[object]:
        one, two = (ctx.call_activity(name, retry=POLICY) for name in "ab")
        return [await one, await two]

    play = Play(pair)
    play.turn(failed(1), failed(2))
    (one, _), (two, _) = play.last.timers
    play.turn(fired(two), fired(one))
    numbers = {event.name: number for number, event in play.last.activities}
    play.completes(numbers["a"], "A")
    play.completes(numbers["b"], "B")
    assert play.output() == ["A", "B"]
