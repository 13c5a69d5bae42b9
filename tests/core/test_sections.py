"""Critical sections as an orchestration sees them; the driver replays each after every turn."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import pytest

from durastream.core.context import OrchestrationContext
from durastream.core.entity_id import EntityId
from durastream.core.events import (
    EntityLockGranted,
    EntityLockRequested,
    EntityUnlockSent,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionTerminated,
    Parent,
)
from durastream.core.messages import EntityOperation, LockEntities, UnlockEntities
from durastream.core.retry import RetryPolicy
from durastream.core.sections import CriticalSection, listed
from durastream.core.tasks import Task, when_all, when_any
from durastream.errors import EntityFailed, OrchestratorError, TaskCancelled
from tests.core.driver import RESUME, SUSPEND, Play, answered, completed, fired, granted, raised, refused, terminate

Ctx = OrchestrationContext
Steps = Generator[Task[Any], Any, Any]
A, B, C = (EntityId("Account", key) for key in "abc")
AB = ("@Account@a", "@Account@b")


def holder(task: int, execution_id: str = "tok.0") -> Parent:
    return Parent("order-7", execution_id, task)


def each(task: int, entities: tuple[str, ...] = AB) -> list[UnlockEntities]:
    """What a section sends that was entered."""
    return [UnlockEntities(entity, (), holder(task)) for entity in entities]


def along(task: int, entities: tuple[str, ...] = AB) -> list[UnlockEntities]:
    """What a request sends that is given up."""
    return [UnlockEntities(entities[0], entities[1:], holder(task))]


async def transfer(ctx: Ctx) -> str:
    async with ctx.lock_entities(B, A):
        await ctx.call_entity(A, "withdraw", 10)
        await ctx.call_entity(B, "deposit", 10)
    return "done"


def transfer_by_yield(ctx: Ctx) -> Steps:
    with (yield ctx.lock_entities(B, A)):
        yield ctx.call_entity(A, "withdraw", 10)
        yield ctx.call_entity(B, "deposit", 10)
    return "done"


async def transfer_by_with(ctx: Ctx) -> str:
    with await ctx.lock_entities(B, A):
        await ctx.call_entity(A, "withdraw", 10)
        await ctx.call_entity(B, "deposit", 10)
    return "done"


async def transfer_by_release(ctx: Ctx) -> str:
    section = await ctx.lock_entities(A, B, A)
    await ctx.call_entity(A, "withdraw", 10)
    await ctx.call_entity(B, "deposit", 10)
    section.release()
    section.release()
    return "done"


ALL = pytest.mark.parametrize("function", [transfer, transfer_by_yield, transfer_by_with, transfer_by_release])
BOTH = pytest.mark.parametrize("function", [transfer, transfer_by_yield])


@ALL
def test_entities_are_locked_in_order_and_released_at_the_end_of_the_block(function: Callable[..., Any]) -> None:
    play = Play(function)
    assert play.history[1:] == [EntityLockRequested(play.now, AB)]
    assert play.last.messages == [LockEntities("@Account@a", AB, holder(1))]
    assert play.execution.waiting_on() == ["lock of @Account@a, @Account@b (event 1)"]
    (call,) = play.turn(granted(1)).messages
    assert isinstance(call, EntityOperation) and call.caller == holder(3)
    play.turn(answered(3))
    play.reload()
    assert play.turn(answered(5)).messages == each(1)
    assert play.last.events[1:] == [EntityUnlockSent(play.now, 1), ExecutionCompleted(play.now, b'"done"')]
    assert play.output() == "done"


@ALL
def test_an_exception_leaves_the_section(function: Callable[..., Any]) -> None:
    play = Play(function)
    play.turn(granted(1))
    turn = play.turn(refused(3))
    assert turn.status == "Failed" and turn.messages == each(1)
    recorded = isinstance(turn.events[1], EntityUnlockSent)
    assert recorded == (function is not transfer_by_release)  # without a block the end of the execution releases them


def test_an_exception_that_is_handled_outside_leaves_the_section() -> None:
    async def handles(ctx: Ctx) -> str:
        try:
            async with ctx.lock_entities(A, B) as section:
                assert isinstance(section, CriticalSection)
                await ctx.call_entity(A, "withdraw", 10)
        except EntityFailed as error:
            await ctx.call_activity("tell", error.message)
        return "told"

    play = Play(handles)
    play.turn(granted(1))
    turn = play.turn(refused(3))
    assert turn.messages == each(1) and len(turn.activities) == 1
    play.completes(turn.activities[0][0])
    assert play.output() == "told"


def test_one_section_after_another() -> None:
    async def two(ctx: Ctx) -> None:
        async with ctx.lock_entities(A):
            pass
        async with ctx.lock_entities(A, B):
            pass

    play = Play(two)
    turn = play.turn(granted(1))
    assert turn.messages == [*each(1, AB[:1]), LockEntities("@Account@a", AB, holder(4))]
    assert play.turn(granted(1)).dropped == 1
    assert play.turn(granted(4)).messages == each(4)
    assert play.last.status == "Completed"


def test_messages_of_a_section_are_sent_before_it_is_left() -> None:
    async def hurried(ctx: Ctx) -> None:
        async with ctx.lock_entities(A):
            ctx.call_entity(A, "withdraw", 10)
            ctx.signal_entity(C, "note")

    turn = (play := Play(hurried)).turn(granted(1))
    call, signal, unlock = turn.messages
    assert isinstance(call, EntityOperation) and isinstance(signal, EntityOperation)
    assert (call.entity, signal.entity, signal.caller) == ("@Account@a", "@Account@c", None)
    assert [unlock] == each(1, AB[:1]) and play.last.status == "Completed"


@BOTH
def test_grants_are_held_while_suspended(function: Callable[..., Any]) -> None:
    play = Play(function)
    play.turn(SUSPEND)
    assert play.turn(granted(1)).messages == [] and play.turn(granted(1)).dropped == 1
    play.reload()
    assert len(play.turn(RESUME).messages) == 1
    assert play.execution.waiting_on() == ["entity operation @Account@a withdraw (event 5)"]


@BOTH
def test_a_grant_that_nobody_waits_for_is_dropped(function: Callable[..., Any]) -> None:
    play = Play(function)
    turn = play.turn(granted(0), granted(7), completed(1), answered(1))
    assert turn.dropped == 4 and turn.events == []


# ---- giving up


def test_a_lock_can_be_raced_against_a_timer_and_given_up() -> None:
    async def patient(ctx: Ctx) -> str:
        lock, timer = ctx.lock_entities(A, B), ctx.create_timer(5)
        if await when_any([lock, timer]) is timer:
            assert lock.cancel() and not lock.cancel()
            assert isinstance(lock.exception(), TaskCancelled)
            async with ctx.lock_entities(C):
                return "instead"
        timer.cancel()
        async with lock:
            await ctx.call_entity(A, "withdraw")
        return "in time"

    play = Play(patient)
    turn = play.fires(2, after_ms=5_000)
    assert turn.messages == [*along(1), LockEntities("@Account@c", ("@Account@c",), holder(5))]
    assert play.turn(granted(1)).dropped == 1
    play.turn(granted(5))
    assert play.output() == "instead"
    play = Play(patient)
    play.turn(granted(1))
    assert play.turn(answered(4)).messages == each(1)
    assert play.output() == "in time"


def test_a_request_that_is_given_up_in_the_turn_that_made_it() -> None:
    async def undecided(ctx: Ctx) -> str:
        lock = ctx.lock_entities(A, B)
        lock.cancel()
        second = ctx.lock_entities(C)
        second.cancel()
        await ctx.call_activity("a")
        return "done"

    play = Play(undecided)
    asked, gave_up, _, _ = play.last.messages
    assert asked == LockEntities("@Account@a", AB, holder(1)) and [gave_up] == along(1)
    now = play.now
    assert play.history[1:3] == [EntityLockRequested(now, AB), EntityUnlockSent(now, 1)]
    assert play.history[3:5] == [EntityLockRequested(now, ("@Account@c",)), EntityUnlockSent(now, 3)]
    assert play.turn(granted(1), granted(3)).dropped == 2
    play.completes(5)
    assert play.output() == "done" and play.last.messages == []


def test_a_request_that_is_given_up_behind_a_split() -> None:
    async def undecided(ctx: Ctx) -> None:
        for n in range(2):
            ctx.send_event("friend", "x", n)
        lock = ctx.lock_entities(A, B)
        lock.cancel()
        await ctx.wait_for_external_event("go")

    for max_decisions in (1, 2, 3):
        play = Play(undecided, max_decisions=max_decisions)
        while play.last.split:
            play.reload()
            play.turn()
        number = next(n for n, event in enumerate(play.history) if isinstance(event, EntityLockRequested))
        left = next(event for event in play.history if isinstance(event, EntityUnlockSent))
        assert left.task == number
        assert play.raises("go").messages == []


def test_a_grant_that_nobody_had_looked_at_can_be_given_up_too() -> None:
    async def distracted(ctx: Ctx) -> object:
        timer, lock = ctx.create_timer(5), ctx.lock_entities(A, B)
        await ctx.call_activity("slow")
        winner = await when_any([timer, lock])
        return [winner is timer, lock.cancel(), type(lock.exception()).__name__]

    play = Play(distracted)
    play.turn(fired(1), granted(2))
    turn = play.completes(3)
    assert turn.messages == each(2) and play.output() == [True, True, "TaskCancelled"]


def test_a_grant_that_was_looked_at_is_not_given_up_by_cancel() -> None:
    async def looks(ctx: Ctx) -> object:
        lock = ctx.lock_entities(A, B)
        await ctx.call_activity("slow")
        return [lock.done, lock.cancel(), lock.result() is not None]

    play = Play(looks)
    play.turn(granted(1), completed(2))
    assert play.output() == [True, False, True] and play.last.messages == each(1)


def test_a_request_given_up_while_its_grant_is_held() -> None:
    async def gives_up(ctx: Ctx) -> str:
        lock = ctx.lock_entities(A, B)
        await ctx.wait_for_external_event("enough")
        lock.cancel()
        await ctx.create_timer(1)
        return "done"

    play = Play(gives_up)
    play.turn(SUSPEND)
    play.turn(raised("enough"), granted(1))
    assert play.turn(RESUME).messages == along(1)  # gives back what was granted just as well


# ---- endings


@BOTH
@pytest.mark.parametrize("entered", [False, True])
def test_termination_releases_what_is_held_or_asked_for(function: Callable[..., Any], entered: bool) -> None:
    play = Play(function)
    if entered:
        play.turn(granted(1))
    turn = play.turn(terminate(recursive=True))
    assert turn.messages == (each(1) if entered else along(1))
    assert [event.__class__ for event in turn.events] == [ExecutionTerminated]
    assert play.turn(granted(1)).messages == []


def test_termination_of_a_suspended_one_whose_grant_is_held() -> None:
    play = Play(transfer)
    play.turn(SUSPEND, granted(1))
    assert play.turn(terminate()).messages == along(1)


def test_termination_drops_a_request_that_was_never_recorded() -> None:
    async def late(ctx: Ctx) -> None:
        await ctx.call_activity("a")
        async with ctx.lock_entities(A, B):
            await ctx.call_activity("b")

    assert Play(late).turn(completed(1), terminate()).messages == []


def test_termination_drops_a_release_that_was_not_recorded_and_releases_all_the_same() -> None:
    async def leaves(ctx: Ctx) -> None:
        async with ctx.lock_entities(A, B):
            await ctx.call_activity("a")
        async with ctx.lock_entities(C):
            await ctx.call_activity("b")

    play = Play(leaves)
    play.turn(granted(1))
    turn = play.turn(completed(3), terminate())
    assert turn.messages == each(1)  # and nothing of the second section
    assert [event.__class__.__name__ for event in turn.events] == ["TaskCompleted", "ExecutionTerminated"]


def test_an_end_without_leaving_releases_after_all_that_was_decided() -> None:
    async def ends(ctx: Ctx, how: str) -> None:
        await ctx.lock_entities(A, B)
        ctx.call_entity(A, "withdraw")
        if how == "fails":
            raise ValueError
        if how == "continues":
            ctx.continue_as_new("again")

    for how in ("returns", "fails", "continues"):
        play = Play(ends, how)
        turn = play.turn(granted(1))
        assert isinstance(turn.messages[0], EntityOperation) and turn.messages[1:] == each(1)
        assert EntityUnlockSent not in [event.__class__ for event in turn.events]
        if how == "continues":
            play.next_execution()
            assert play.turn().messages == [LockEntities("@Account@a", AB, holder(2, "tok.1"))]


def test_continue_as_new_inside_the_block_leaves_it_like_a_return() -> None:
    async def again(ctx: Ctx) -> None:
        async with ctx.lock_entities(A, B):
            ctx.continue_as_new()
            return

    turn = Play(again).turn(granted(1))
    assert turn.continued is not None and turn.messages == each(1)


def test_an_end_behind_a_split_releases_once_it_is_recorded() -> None:
    async def floods(ctx: Ctx) -> None:
        await ctx.lock_entities(A, B)
        for n in range(5):
            ctx.send_event("friend", "x", n)

    play = Play(floods, max_decisions=3)
    sent = play.turn(granted(1)).messages + play.turn(granted(1)).messages
    assert len(sent) == 7 and sent[5:] == each(1) and play.last.status == "Completed"


def test_a_request_nobody_waits_for_is_given_up_at_the_end() -> None:
    async def careless(ctx: Ctx) -> None:
        ctx.lock_entities(A, B)

    play = Play(careless)
    assert play.last.messages == [LockEntities("@Account@a", AB, holder(1)), *along(1)]
    assert play.turn(granted(1)).dropped == 1


@BOTH
def test_code_that_is_stopped_in_a_section_decides_nothing(function: Callable[..., Any]) -> None:
    play = Play(function)
    play.turn(granted(1))
    play.execution.close()
    assert not play.execution.agenda.queue and play.execution.agenda.section is None


def test_a_section_outlives_its_execution_harmlessly() -> None:
    kept: list[CriticalSection] = []

    async def leaks(ctx: Ctx) -> None:
        kept.append(await ctx.lock_entities(A))

    play = Play(leaks)
    play.turn(granted(1))
    kept[0].release()
    assert play.turn(granted(1)).messages == []


# ---- rules


def broken(act: Callable[[Ctx], object]) -> str:
    """What a breach of the rules says, inside a section of A and B; the section goes on after it."""

    async def breaks(ctx: Ctx) -> str:
        async with ctx.lock_entities(A, B):
            said = breach(ctx)
            await ctx.call_entity(B, "get")
        return said

    def breaks_by_yield(ctx: Ctx) -> Steps:
        with (yield ctx.lock_entities(A, B)):
            said = breach(ctx)
            yield ctx.call_entity(B, "get")
        return said

    def breach(ctx: Ctx) -> str:
        with pytest.raises(OrchestratorError) as caught:
            act(ctx)
        return str(caught.value)

    said = []
    for function in (breaks, breaks_by_yield):
        play = Play(function)
        play.turn(granted(1))
        assert play.turn(answered(3)).messages == each(1)
        said.append(play.output())
    assert said[0] == said[1]
    return str(said[0])


def test_only_locked_entities_may_be_called() -> None:
    said = broken(lambda ctx: ctx.call_entity(C, "deposit"))
    assert said.startswith("entity @Account@c was called in the critical section of @Account@a, @Account@b: only the")
    assert "Pass it to lock_entities too, or signal it, or call it before or after" in said


def test_one_entity_is_called_by_one_call_at_a_time() -> None:
    def twice(ctx: Ctx) -> None:
        ctx.call_entity(A, "get")
        ctx.call_entity(A, "set")

    async def in_turn(ctx: Ctx) -> object:
        async with ctx.lock_entities(A, B):
            first = ctx.call_entity(A, "get")
            got = await when_all([first, ctx.call_entity(B, "get")])
            given_up = ctx.call_entity(A, "get")
            given_up.cancel()
            return [*got, await ctx.call_entity(A, "get")]

    play = Play(lambda ctx: twice(ctx))
    assert play.last.status == "Completed"  # outside it makes no difference
    play = Play(in_turn)
    play.turn(granted(1))
    play.turn(answered(3, 1), answered(4, 2))
    play.turn(answered(play.execution.length - 1, 3))
    assert play.output() == [1, 2, 3]

    async def clumsy(ctx: Ctx) -> None:
        async with ctx.lock_entities(A, B):
            twice(ctx)

    failure = Play(clumsy).turn(granted(1)).failure
    assert failure is not None and failure.message == (
        "entity @Account@a was called while entity operation @Account@a get is under way in the critical section of"
        " @Account@a, @Account@b: await that first"
    )


def test_only_other_entities_may_be_signalled() -> None:
    said = broken(lambda ctx: ctx.signal_entity(A, "deposit"))
    assert said.startswith("entity @Account@a was signalled in the critical section of") and "Use call_entity" in said


def test_no_second_lock() -> None:
    said = broken(lambda ctx: ctx.lock_entities(C))
    assert said.startswith("lock_entities was called in the critical section of") and "pass all entities to one" in said


def test_no_sub_orchestration() -> None:
    said = broken(lambda ctx: ctx.call_sub_orchestrator("child", retry=RetryPolicy(2)))
    assert said.startswith("sub-orchestration child was called in the critical section of @Account@a, @Account@b: it")
    assert said.endswith("Call it before or after")


def test_the_rules_hold_from_the_request_on() -> None:
    """A call of something else, awaited before the grant, could wait for one that waits for what is granted by then."""

    async def early(ctx: Ctx) -> None:
        lock = ctx.lock_entities(A, B)
        for act in (lambda: ctx.call_entity(C, "x"), lambda: ctx.signal_entity(A, "x"), lambda: ctx.lock_entities(C)):
            with pytest.raises(OrchestratorError, match="in the critical section of"):
                act()
        ctx.call_entity(A, "x")
        lock.cancel()
        ctx.call_entity(C, "x")

    assert Play(early).last.status == "Completed"


def test_sub_orchestrations_and_calls_made_before_go_on() -> None:
    async def before(ctx: Ctx) -> object:
        child = ctx.call_sub_orchestrator("child", retry=RetryPolicy(2))
        early = ctx.call_entity(A, "get")
        async with ctx.lock_entities(A):
            value = await ctx.call_entity(A, "get")
        await child
        return [await early, value]

    play = Play(before)
    play.turn(answered(2, 1), granted(3))
    assert play.turn(answered(6, 2)).messages == each(3, AB[:1])


def test_a_section_is_entered_once() -> None:
    async def twice(ctx: Ctx) -> None:
        lock = ctx.lock_entities(A, B)
        async with lock:
            pass
        async with lock:
            raise AssertionError("not locked here")

    failure = Play(twice).turn(granted(1)).failure
    assert failure is not None and failure.message == (
        "the critical section of @Account@a, @Account@b was left already: ask for the locks anew with ctx.lock_entities"
    )


@pytest.mark.parametrize("count", [0, 101])
def test_a_section_has_1_to_100_entities(count: int) -> None:
    async def locks(ctx: Ctx) -> None:
        ctx.lock_entities(*[EntityId("Account", str(n)) for n in range(count)])

    failure = Play(locks).last.failure
    assert failure is not None and failure.type == "OrchestratorError"
    assert failure.message == f"lock_entities was called with {count} entities: one section locks 1 to 100"


def test_an_entity_named_twice_is_locked_once() -> None:
    async def locks(ctx: Ctx) -> None:
        await ctx.lock_entities(*[EntityId("Account", str(n % 100)) for n in range(200)])

    (asked,) = Play(locks).last.messages
    assert isinstance(asked, LockEntities) and len(asked.entities) == 100
    assert list(asked.entities) == sorted(asked.entities)


def test_a_failure_inside_a_handler_of_the_lock_itself() -> None:
    async def nested(ctx: Ctx) -> None:
        lock = ctx.lock_entities(A)
        lock.cancel()
        async with lock:
            raise AssertionError("never entered")

    failure = Play(nested).last.failure
    assert failure is not None and failure.type == "TaskCancelled" and "lock of @Account@a" in failure.message


def test_long_lists_of_entities_are_cut_in_words() -> None:
    assert listed(AB) == "@Account@a, @Account@b"
    assert listed(("a", "b", "c", "d", "e")) == "a, b, c and 2 more"


def test_grants_are_recorded_like_other_inputs() -> None:
    play = Play(transfer)
    assert play.turn(granted(1)).events[0] == EntityLockGranted(play.now, 1)
    failed = play.turn(refused(3)).events[-1]
    assert isinstance(failed, ExecutionFailed)
