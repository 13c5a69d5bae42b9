"""What replay refuses, and how it says so. That it accepts what was lived is checked after every turn by the driver."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from durastream.core.context import OrchestrationContext
from durastream.core.entity_id import EntityId
from durastream.core.events import EntityUnlockSent, Event, ExecutionStarted, TaskCompleted, TaskScheduled, TurnSplit
from durastream.core.replaying import first_unlived
from durastream.core.tasks import when_all
from durastream.errors import NonDeterminismError
from tests.core.driver import Play, answered, define, granted

Ctx = OrchestrationContext


def lived(function: Callable[..., Any], drive: Callable[[Play], object]) -> Play:
    play = Play(function)
    drive(play)
    return play


def refusal(play: Play, changed: Callable[..., Any], history: list[Event] | None = None) -> str:
    """What replaying with changed code says."""
    play.definition = define(changed, play.definition.name)
    copy = play.fresh()
    with pytest.raises(NonDeterminismError) as caught:
        copy.replay(play.history if history is None else history)
    copy.close()
    text = str(caught.value)
    assert "Usual causes" in text and "instance 'order-7', execution tok.0" in text
    return text.partition("): ")[0].rpartition(", ")[2] + ": " + text.partition("): ")[2].partition(". Usual")[0]


async def two_steps(ctx: Ctx) -> None:
    await ctx.call_activity("charge")
    await ctx.call_activity("ship")


def one_done(play: Play) -> None:
    play.completes(1)


def test_another_activity() -> None:
    async def changed(ctx: Ctx) -> None:
        await ctx.call_activity("reserve")

    expected = "event 1: history has activity 'charge', but the code now decided activity 'reserve'"
    assert refusal(lived(two_steps, one_done), changed) == expected


def test_another_kind_of_step() -> None:
    async def changed(ctx: Ctx) -> None:
        await ctx.call_activity("charge")
        await ctx.call_sub_orchestrator("ship")

    said = refusal(lived(two_steps, one_done), changed)
    assert said == (
        "event 3: history has activity 'ship', but the code now decided sub-orchestration 'ship' as 'a new id'"
    )


def test_a_removed_step() -> None:
    async def changed(ctx: Ctx) -> None:
        await ctx.call_activity("charge")

    said = refusal(lived(two_steps, one_done), changed)
    assert said == "event 3: history has activity 'ship', but the code now decided the end of the orchestrator"


def test_a_step_that_is_no_longer_reached() -> None:
    async def changed(ctx: Ctx) -> None:
        await ctx.call_activity("charge")
        await ctx.wait_for_external_event("approved")

    said = refusal(lived(two_steps, one_done), changed)
    assert (
        said == "event 3: history has activity 'ship', but the code decided nothing more and waits for event approved"
    )


def test_an_added_step_at_the_end_of_the_history() -> None:
    async def waits(ctx: Ctx) -> None:
        await ctx.call_activity("charge")
        await ctx.wait_for_external_event("approved")

    async def changed(ctx: Ctx) -> None:
        await ctx.call_activity("charge")
        await ctx.call_activity("mail")

    said = refusal(lived(waits, one_done), changed)
    assert said == (
        "event 3: history ends before that, but the code decided activity 'mail', which history does not have"
    )


def test_an_added_step_before_the_next_turn() -> None:
    async def changed(ctx: Ctx) -> None:
        await when_all([ctx.call_activity("charge"), ctx.call_activity("mail")])

    said = refusal(lived(two_steps, one_done), changed)
    assert said == (
        "event 2: history goes on with the result of the activity of event 1,"
        " but the code decided activity 'mail', which history does not have"
    )


def test_another_due_time_target_or_id() -> None:
    async def timer(ctx: Ctx) -> None:
        await ctx.create_timer(5)

    async def timer_changed(ctx: Ctx) -> None:
        await ctx.create_timer(6)

    said = refusal(lived(timer, lambda play: None), timer_changed)
    assert said == (
        "event 1: history has a timer due 2023-11-14T22:13:26.000Z,"
        " but the code now decided a timer due 2023-11-14T22:13:27.000Z"
    )

    async def sends(ctx: Ctx) -> None:
        ctx.send_event("a", "x")
        await ctx.call_sub_orchestrator("child", instance_id="one")

    async def sends_changed(ctx: Ctx) -> None:
        ctx.send_event("b", "x")

    async def calls_changed(ctx: Ctx) -> None:
        ctx.send_event("a", "x")
        await ctx.call_sub_orchestrator("child", instance_id="two")

    said = refusal(lived(sends, lambda play: None), sends_changed)
    assert said == "event 1: history has event 'x' sent to 'a', but the code now decided event 'x' sent to 'b'"
    said = refusal(lived(sends, lambda play: None), calls_changed)
    assert "sub-orchestration 'child' as 'one'" in said and "sub-orchestration 'child' as 'two'" in said


A, B = EntityId("Account", "a"), EntityId("Account", "b")


async def entities(ctx: Ctx) -> None:
    ctx.signal_entity(B, "note", at=5)
    async with ctx.lock_entities(A, B):
        await ctx.call_entity(A, "withdraw")
    await ctx.call_activity("tell")


def through_the_section(play: Play) -> None:
    play.turn(granted(2))
    play.turn(answered(4))


def test_other_entities_operations_and_moments() -> None:
    def changed(
        signalled: EntityId = B,
        at: int = 5,
        locked: tuple[EntityId, ...] = (A, B),
        call: tuple[EntityId, str] = (A, "withdraw"),
    ) -> Callable[..., Any]:
        async def other(ctx: Ctx) -> None:
            ctx.signal_entity(signalled, "note", at=at)
            async with ctx.lock_entities(*locked):
                await ctx.call_entity(*call)
            await ctx.call_activity("tell")

        return other

    play = lived(entities, through_the_section)
    signal = "a signal 'note' to entity '@Account@b' for 2023-11-14T22:13:26.000Z"
    call = "a call of 'withdraw' of entity '@Account@a'"
    cases: list[tuple[Callable[..., Any], str, str]] = [
        (changed(signalled=A), signal, signal.replace("@b", "@a")),
        (changed(at=6), signal, signal.replace(":26.", ":27.")),
        (changed(locked=(A,)), "a lock of @Account@a, @Account@b", "a lock of @Account@a"),
        (changed(call=(B, "withdraw")), call, call.replace("@a", "@b")),
        (changed(call=(A, "deposit")), call, call.replace("withdraw", "deposit")),
    ]
    for code, had, made in cases:
        assert f": history has {had}, but the code now decided {made}" in refusal(play, code)


def test_a_section_that_is_no_longer_left_or_left_earlier() -> None:
    async def stays(ctx: Ctx) -> None:
        ctx.signal_entity(B, "note", at=5)
        await ctx.lock_entities(A, B)
        await ctx.call_entity(A, "withdraw")
        await ctx.call_activity("tell")

    async def leaves_at_once(ctx: Ctx) -> None:
        ctx.signal_entity(B, "note", at=5)
        (await ctx.lock_entities(A, B)).release()
        await ctx.call_entity(A, "withdraw")

    async def gives_up(ctx: Ctx) -> None:
        ctx.signal_entity(B, "note", at=5)
        ctx.lock_entities(A, B).cancel()

    play = lived(entities, through_the_section)
    left = "the end of the critical section of event 2"
    assert refusal(play, stays).endswith(f"history has {left}, but the code now decided activity 'tell'")
    assert refusal(play, leaves_at_once).endswith(f"'@Account@a', but the code now decided {left}")
    assert "the code decided the end of the critical section, which history does not have" in refusal(play, gives_up)


def test_an_unlock_of_another_section() -> None:
    async def two(ctx: Ctx) -> None:
        ctx.lock_entities(A).cancel()
        ctx.lock_entities(B).cancel()
        await ctx.call_activity("tell")

    play = lived(two, lambda play: None)
    history = [event._replace(task=1) if event == EntityUnlockSent(event.at, 3) else event for event in play.history]
    said = refusal(play, two, history)
    end = "the end of the critical section"
    assert said == f"event 4: history has {end} of event 1, but the code now decided {end}"


def test_a_grant_nobody_waits_for() -> None:
    async def impatient(ctx: Ctx) -> None:
        ctx.signal_entity(B, "note", at=5)
        lock = ctx.lock_entities(A, B)
        await ctx.call_activity("tell")
        await lock

    said = refusal(lived(entities, through_the_section), impatient)
    assert "history goes on with the grant of the locks of event 2, but the code decided activity 'tell'" in said


def test_code_that_fails_now_says_why() -> None:
    async def changed(ctx: Ctx) -> None:
        await ctx.call_activity("charge")
        raise NameError("name 'shp' is not defined")

    said = refusal(lived(two_steps, one_done), changed)
    assert said.endswith("but the code now decided its failure (NameError: name 'shp' is not defined)")


def test_an_outcome_nobody_waits_for() -> None:
    async def changed(ctx: Ctx) -> None:
        charge = ctx.call_activity("charge")
        charge.cancel()
        await charge

    said = refusal(lived(two_steps, one_done), changed)
    assert "the result of the activity of event 1, but the code decided its failure (TaskCancelled" in said
    play = lived(two_steps, one_done)
    history = [*play.history[:2], TaskCompleted(play.now, 0, None)]
    said = refusal(play, two_steps, history)
    assert said.endswith("the result of the activity of event 0, but the code waits for no such thing")


def test_history_that_goes_on_after_the_end() -> None:
    async def changed(ctx: Ctx) -> None:
        return None

    play = lived(two_steps, one_done)
    said = refusal(play, changed)
    assert said == "event 1: history has activity 'charge', but the code now decided the end of the orchestrator"


def test_inputs_of_calls_are_not_compared() -> None:
    async def changed(ctx: Ctx) -> None:
        await ctx.call_activity("charge", {"sku": 1}, queue="other", timeout=5)
        await ctx.call_activity("ship")

    play = lived(two_steps, one_done)
    play.definition = define(changed, play.definition.name)
    copy = play.check_replay()
    assert copy.waiting_on() == ["activity ship (event 3)"]
    copy.close()


def test_where_a_history_has_not_been_lived() -> None:
    started = ExecutionStarted(1, "f", None, None, None, 0)
    scheduled = TaskScheduled(1, "a", None, "default", None, 1)
    assert first_unlived([started]) == 1
    assert first_unlived([started, TurnSplit(1)]) == 0
    assert first_unlived([started, scheduled, TurnSplit(1)]) == 2
    assert first_unlived([started, TurnSplit(1), scheduled]) == 3
