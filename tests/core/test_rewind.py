from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from durastream.core.context import OrchestrationContext
from durastream.core.entity_id import EntityId
from durastream.core.events import Event, EventRewound
from durastream.core.messages import EntityOperation, Start
from durastream.core.retry import RetryPolicy
from durastream.core.rewind import Rewound, rewind
from durastream.core.tasks import when_all
from durastream.errors import ActivityFailed, Conflict, EntityFailed, NonDeterminismError
from tests.core.driver import (
    CODEC,
    Play,
    answered,
    child_completed,
    child_failed,
    completed,
    define,
    failed,
    granted,
    refused,
)

Ctx = OrchestrationContext


def rewound(play: Play, code: Callable[..., Any] | None = None) -> Rewound:
    """Rewind it with today's code, and go on with the result as the worker does."""
    if code is not None:
        play.definition = define(code, play.definition.name)
    play.now += 1_000
    before = list(play.history)
    result = rewind(play.definition, play.history, (play.instance_id, play.execution_id), codec=CODEC, now=play.now)
    assert before == play.history and len(result.history) == len(before)
    for number, event in enumerate(result.history):
        assert event == result.overwrite.get(number, before[number])
        if number in result.overwrite:
            assert isinstance(event, EventRewound) and event.kind == before[number].__class__.__name__
    assert [event.at for event in result.history] == sorted(event.at for event in result.history)
    play.history = result.history
    play.execution = play.fresh()
    play.execution.replay(play.history)
    play.turn()
    return result


def taken_back(result: Rewound) -> list[tuple[int, str]]:
    return [
        (number, event.kind) for number, event in sorted(result.overwrite.items()) if isinstance(event, EventRewound)
    ]


def numbers(pairs: list[tuple[int, Any]]) -> list[int]:
    return [number for number, _ in pairs]


async def chain(ctx: Ctx) -> list[object]:
    return [await ctx.call_activity("a"), await ctx.call_activity("b"), await ctx.call_activity("c")]


def test_only_the_failed_step_is_done_again() -> None:
    play = Play(chain)
    play.completes(1, "A")
    play.fails(3)
    result = rewound(play)
    assert taken_back(result) == [(4, "TaskFailed"), (5, "ExecutionFailed")]
    assert numbers(result.activities) == [3] and result.activities[0][1].name == "b"
    assert play.last.events == [] and play.execution.waiting_on() == ["activity b (event 3)"]
    play.completes(3, "B")
    play.completes(7, "C")
    assert play.output() == ["A", "B", "C"]


def test_it_may_fail_and_be_rewound_again() -> None:
    play = Play(chain)
    for _ in range(3):
        play.fails(1)
        assert play.last.status == "Failed"
        rewound(play)
    for task, value in ((1, "A"), (None, "B"), (None, "C")):
        play.completes(task or play.last.activities[0][0], value)
    assert play.output() == ["A", "B", "C"]


def test_failures_that_a_combination_was_keeping_are_redone_together() -> None:
    async def fan_out(ctx: Ctx) -> object:
        return await when_all([ctx.call_activity("a", i) for i in range(4)])

    play = Play(fan_out)
    play.fails(2)
    play.completes(1, 1)
    play.fails(4)
    play.completes(3, 3)
    result = rewound(play)
    assert taken_back(result) == [(5, "TaskFailed"), (7, "TaskFailed"), (9, "ExecutionFailed")]
    assert numbers(result.activities) == [2, 4]
    play.turn(completed(4, 4), completed(2, 2))
    assert play.output() == [1, 2, 3, 4]


def test_a_failure_the_code_had_handled_stays() -> None:
    async def handles(ctx: Ctx) -> object:
        try:
            await ctx.call_activity("a")
        except ActivityFailed:
            await ctx.call_activity("plan b")
        return await ctx.call_activity("c")

    play = Play(handles)
    play.fails(1)
    play.completes(3)
    play.fails(5)
    result = rewound(play)
    assert taken_back(result) == [(6, "TaskFailed"), (7, "ExecutionFailed")]
    play.completes(5, "C")
    assert play.output() == "C"


def test_a_failure_the_code_had_only_noticed_stays_too() -> None:
    async def notices(ctx: Ctx) -> object:
        tasks = [ctx.call_activity("a"), ctx.call_activity("b")]
        await ctx.wait_for_external_event("look")
        if tasks[0].done:
            ctx.set_custom_status("a is done")
            await ctx.call_activity("c")
        return await when_all(tasks)

    play = Play(notices)
    play.fails(1)
    play.raises("look")
    play.completes(5)
    play.fails(2)
    result = rewound(play)
    assert [kind for _, kind in taken_back(result)] == ["TaskFailed", "ExecutionFailed"]
    assert 3 not in result.overwrite  # the failure that `done` told of
    turn = play.completes(2)
    assert turn.failure is not None and turn.failure.causes[0].type == "ValueError"


def test_a_failure_nobody_awaits_is_redone() -> None:
    async def careless(ctx: Ctx) -> None:
        ctx.call_activity("aside")
        await ctx.call_activity("main")

    play = Play(careless)
    play.fails(1)
    play.fails(2)
    assert numbers(rewound(play).activities) == [1, 2]


def test_the_last_attempt_of_a_retried_call_is_redone() -> None:
    async def retries(ctx: Ctx) -> object:
        return await ctx.call_activity("a", retry=RetryPolicy(2))

    play = Play(retries)
    play.fails(1)
    play.fires(3)
    play.fails(5)
    result = rewound(play)
    assert taken_back(result) == [(6, "TaskFailed"), (7, "ExecutionFailed")]
    assert [(number, event.attempt) for number, event in result.activities] == [(5, 2)]
    play.completes(5, "A")
    assert play.output() == "A"


def test_everything_that_was_open_is_issued_again() -> None:
    async def busy(ctx: Ctx) -> object:
        others = [ctx.call_activity("slow"), ctx.create_timer(60), ctx.call_sub_orchestrator("child", 5)]
        await ctx.call_activity("fails")
        return await when_all(others)

    play = Play(busy)
    due = play.now + 60_000
    start = play.last.messages[0]
    assert isinstance(start, Start)
    assert play.fails(4).timers_cancelled == [2]
    result = rewound(play)
    assert numbers(result.activities) == [1, 4]
    assert result.timers == [(2, due)] and result.children == [(3, start)]
    play.completes(4)
    play.turn(completed(1, 1), child_completed(3, 3))
    play.fires(2)
    assert play.output() == [1, None, 3]


def test_a_failed_child_is_to_be_rewound() -> None:
    async def parent(ctx: Ctx) -> object:
        return await ctx.call_sub_orchestrator("child", 5, instance_id="mine")

    play = Play(parent)
    play.turn(child_failed(1))
    result = rewound(play)
    ((task, start),) = result.children
    assert (task, start.instance_id, start.input) == (1, "mine", b"5") and result.activities == []
    play.turn(child_completed(1, "x"))
    assert play.output() == "x"


def test_decisions_made_again_are_not_carried_out_twice() -> None:
    async def sends_first(ctx: Ctx) -> object:
        a, b = ctx.call_activity("a"), ctx.call_activity("b")
        await a
        ctx.send_event("friend", "a is done")
        ctx.call_activity("aside")
        return await b

    play = Play(sends_first)
    turn = play.turn(completed(1), failed(2))
    assert len(turn.messages) == 1 and numbers(turn.activities) == [6]
    result = rewound(play)
    assert taken_back(result) == [(4, "TaskFailed"), (7, "ExecutionFailed")]
    assert numbers(result.activities) == [2, 6] and play.last.messages == []
    play.completes(2, "B")
    assert play.output() == "B"


def test_what_the_failing_step_decided_is_taken_back() -> None:
    async def compensates_without_waiting(ctx: Ctx) -> object:
        try:
            return await ctx.call_activity("a")
        except ActivityFailed:
            ctx.send_event("friend", "sorry")
            raise

    play = Play(compensates_without_waiting)
    assert len(play.fails(1).messages) == 1
    assert taken_back(rewound(play)) == [(2, "TaskFailed"), (3, "EventSent"), (4, "ExecutionFailed")]
    play.completes(1, "A")
    assert play.output() == "A"


async def buggy(ctx: Ctx) -> object:
    value = await ctx.call_activity("a")
    ctx.send_event("friend", "got it")
    raise NameError(value)


async def fixed(ctx: Ctx) -> object:
    value = await ctx.call_activity("a")
    ctx.send_event("friend", "got it")
    return [value, await ctx.call_activity("b")]


def test_an_exception_of_its_own_is_tried_again_with_todays_code() -> None:
    play = Play(buggy)
    play.completes(1, "A")
    result = rewound(play, fixed)
    assert taken_back(result) == [(4, "ExecutionFailed")] and result.activities == []
    assert play.last.messages == [] and [event.name for _, event in play.last.activities] == ["b"]
    play.completes(5, "B")
    assert play.output() == ["A", "B"]


def test_an_exception_of_its_own_that_is_still_there_fails_it_again() -> None:
    play = Play(buggy)
    play.completes(1, "A")
    rewound(play)
    assert play.last.status == "Failed" and play.last.failure is not None and play.last.failure.type == "NameError"


def test_a_failure_in_the_first_step() -> None:
    async def broken(ctx: Ctx) -> object:
        raise ValueError("no")

    async def works(ctx: Ctx) -> object:
        return "yes"

    play = Play(broken)
    assert taken_back(rewound(play, works)) == [(1, "ExecutionFailed")]
    assert play.output() == "yes"


def test_todays_code_must_fit_what_stays() -> None:
    async def other(ctx: Ctx) -> object:
        return await ctx.call_activity("other")

    play = Play(chain)
    play.completes(1)
    play.fails(3)
    with pytest.raises(NonDeterminismError, match="activity 'a', but the code now decided activity 'other'"):
        rewound(play, other)


def test_only_failed_executions_are_rewound() -> None:
    histories: list[list[Event]] = [[], Play(chain).history]
    done = Play(chain)
    for task in (1, 3, 5):
        done.completes(task)
    for history in [*histories, done.history]:
        with pytest.raises(Conflict, match="has not failed"):
            rewind(define(chain), history, ("order-7", "tok.0"), codec=CODEC, now=1)


def test_a_failure_behind_a_split_turn() -> None:
    async def floods(ctx: Ctx) -> object:
        sides = [ctx.call_activity("a", i) for i in range(15)]
        await ctx.call_activity("main")
        for i in range(15):
            ctx.send_event("friend", "x", i)
        await sides[0]
        return "done"

    play = Play(floods, max_decisions=10)
    play.turn()
    main = play.execution.length - 1
    play.fails(1)
    play.completes(main)
    while play.last.status == "Running":
        play.turn()
    result = rewound(play)
    assert {kind for _, kind in taken_back(result)} == {"TaskFailed", "ExecutionFailed"}
    assert play.last.messages == []
    play.completes(1)
    assert play.output() == "done"


def test_a_failure_after_more_inherited_events_than_were_taken() -> None:
    async def opens(ctx: Ctx, n: int) -> object:
        if n == 0:
            await ctx.wait_for_external_event("go")
            ctx.continue_as_new(1)
            return None
        raise ValueError(await ctx.wait_for_external_event("x"))

    async def mended(ctx: Ctx, n: int) -> object:
        return [await ctx.wait_for_external_event("x") for _ in range(2)]

    play = Play(opens, 0)
    play.raises("x", 1)
    play.raises("x", 2)
    play.raises("go")
    play.next_execution()
    assert play.turn().status == "Failed"
    rewound(play, mended)
    assert play.output() == [1, 2]


# ---- entities

A, B = EntityId("Account", "a"), EntityId("Account", "b")


def test_failed_and_open_calls_of_entities_are_sent_again() -> None:
    async def asks(ctx: Ctx) -> object:
        slow = ctx.call_entity(B, "get")
        value = await ctx.call_entity(A, "withdraw", 10)
        ctx.signal_entity(B, "note")
        return [value, await slow]

    play = Play(asks)
    calls = play.last.messages
    play.turn(refused(2))
    result = rewound(play)
    assert taken_back(result) == [(3, "EntityOperationFailed"), (4, "ExecutionFailed")]
    assert result.operations == calls and all(isinstance(one, EntityOperation) for one in calls)
    assert play.last.messages == []
    play.turn(answered(2, 1), answered(1, 2))
    assert play.output() == [1, 2]


def test_a_failed_operation_the_code_had_handled_stays() -> None:
    async def handles(ctx: Ctx) -> object:
        try:
            await ctx.call_entity(A, "withdraw")
        except EntityFailed:
            ctx.signal_entity(A, "note")
        return await ctx.call_activity("b")

    play = Play(handles)
    play.turn(refused(1))
    play.fails(4)
    result = rewound(play)
    assert taken_back(result) == [(5, "TaskFailed"), (6, "ExecutionFailed")] and result.operations == []
    assert play.last.messages == []


async def in_section(ctx: Ctx) -> object:
    async with ctx.lock_entities(A, B):
        value = await ctx.call_entity(A, "withdraw")
        await ctx.call_activity("a")
    return [value, await ctx.call_activity("b")]


async def waits_to_enter(ctx: Ctx) -> None:
    ctx.lock_entities(A, B)
    await ctx.call_activity("a")


async def never_leaves(ctx: Ctx) -> None:
    await ctx.lock_entities(A, B)
    await ctx.call_activity("a")


@pytest.mark.parametrize(
    ("code", "inputs"),
    [
        (in_section, [granted(1), refused(3)]),
        (in_section, [granted(1), answered(3), failed(5)]),
        (waits_to_enter, [failed(2)]),
        (waits_to_enter, [granted(1), failed(2)]),
        (never_leaves, [granted(1), failed(3)]),
    ],
)
def test_one_that_failed_in_a_critical_section_cannot_go_on(code: Callable[..., Any], inputs: list[Event]) -> None:
    play = Play(code)
    for event in inputs:
        play.turn(event)
    assert play.last.status == "Failed"
    before = list(play.history)
    with pytest.raises(
        Conflict, match=r"'order-7' failed in a critical section.*1: lock of @Account@a, @Acc"
    ) as caught:
        rewound(play)
    assert "its locks were released when it failed" in str(caught.value) and "Restart it instead" in str(caught.value)
    assert play.history == before


def test_one_that_had_left_its_critical_section_goes_on() -> None:
    play = Play(in_section)
    play.turn(granted(1))
    play.turn(answered(3, "A"))
    play.completes(5)
    play.fails(8)
    result = rewound(play)
    assert taken_back(result) == [(9, "TaskFailed"), (10, "ExecutionFailed")]
    assert numbers(result.activities) == [8] and play.last.messages == []
    play.completes(8, "B")
    assert play.output() == ["A", "B"]


async def stumbles_inside(ctx: Ctx) -> object:
    async with ctx.lock_entities(A, B):
        raise NameError(await ctx.call_entity(A, "withdraw"))


async def stumbles_behind(ctx: Ctx) -> object:
    async with ctx.lock_entities(A, B):
        value = await ctx.call_entity(A, "withdraw")
    raise NameError(value)


async def walks_on(ctx: Ctx) -> object:
    async with ctx.lock_entities(A, B):
        return await ctx.call_entity(A, "withdraw")


async def lingers(ctx: Ctx) -> object:
    async with ctx.lock_entities(A, B):
        value = await ctx.call_entity(A, "withdraw")
        ctx.call_entity(B, "deposit")
    return value


@pytest.mark.parametrize("code", [stumbles_inside, stumbles_behind])
def test_one_that_left_it_in_its_last_step_goes_on_if_it_leaves_it_there_again(code: Callable[..., Any]) -> None:
    """What it did inside was done under the locks, and nothing is added to it."""
    for todays in (walks_on, code, lingers):
        play = Play(code)
        play.turn(granted(1))
        play.turn(answered(3, "A"))
        if todays is lingers:
            with pytest.raises(Conflict, match="failed in a critical section"):
                rewound(play, todays)
            continue
        assert taken_back(rewound(play, todays)) == [(6, "ExecutionFailed")] and play.last.messages == []
        assert play.last.status == ("Failed" if todays is code else "Completed")


def test_a_lock_requested_anew_by_todays_code_is_asked_for_under_its_own_number() -> None:
    async def broken(ctx: Ctx) -> None:
        await ctx.call_activity("a")
        raise NameError

    async def locks(ctx: Ctx) -> str:
        await ctx.call_activity("a")
        async with ctx.lock_entities(A, B):
            return "done"

    play = Play(broken)
    play.completes(1)
    rewound(play, locks)
    assert len(play.last.messages) == 1 and play.execution.waiting_on() == ["lock of @Account@a, @Account@b (event 4)"]
    play.turn(granted(4))
    assert play.output() == "done" and len(play.last.messages) == 2
