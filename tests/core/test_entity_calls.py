"""Calls and signals of entities, from both kinds of orchestrators; the driver replays each after every turn."""

from __future__ import annotations

from collections.abc import Callable, Generator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from durastream.app import App
from durastream.core.context import OrchestrationContext
from durastream.core.entity_id import EntityId
from durastream.core.events import EntityOperationCalled, EntityOperationSignaled, Parent
from durastream.core.limits import TIME_MS_MAX
from durastream.core.messages import EntityOperation
from durastream.core.tasks import Task, when_all
from durastream.errors import EntityFailed, OrchestratorError
from tests.core.driver import RESUME, START_MS, SUSPEND, Play, answered, completed, refused, terminate

Ctx = OrchestrationContext
Steps = Generator[Task[Any], Any, Any]
A, B = EntityId("Counter", "a"), EntityId("Counter", "b")
app = App()


@app.entity
class Counter:
    value: int = 0

    def add(self, amount: int) -> int:
        self.value += amount
        return self.value

    def label(self) -> str:
        return str(self.value)

    def anything(self):  # type: ignore[no-untyped-def]
        return self.value


@app.orchestrator
async def calls(ctx: Ctx) -> object:
    first = await ctx.call_entity(A, "add", 5)
    return [first, await ctx.call_entity(B, "label")]


@app.orchestrator
def calls_by_yield(ctx: Ctx) -> Steps:
    first = yield ctx.call_entity(A, "add", 5)
    return [first, (yield ctx.call_entity(B, "label"))]


BOTH = pytest.mark.parametrize("function", [calls, calls_by_yield])


@BOTH
def test_a_call_asks_the_entity_and_waits_for_its_answer(function: Callable[..., Any]) -> None:
    play = Play(function)
    assert play.history[1:] == [EntityOperationCalled(play.now, "@Counter@a", "add", b"5")]
    caller = Parent("order-7", "tok.0", 1)
    assert play.last.messages == [EntityOperation("@Counter@a", "add", b"5", caller, "order-7", None)]
    assert play.execution.waiting_on() == ["entity operation @Counter@a add (event 1)"]
    play.turn(answered(1, 5))
    play.reload()
    play.turn(answered(3, "five"))
    assert play.output() == [5, "five"]


@BOTH
def test_a_failed_operation_raises_entity_failed(function: Callable[..., Any]) -> None:
    play = Play(function)
    failure = play.turn(refused(1)).failure
    assert failure is not None and failure.type == "EntityFailed" and failure.causes[0].type == "ValueError"
    assert failure.message == "entity operation @Counter@a add (event 1): ValueError: it broke"


def test_a_failure_can_be_handled() -> None:
    async def handles(ctx: Ctx) -> str:
        try:
            await ctx.call_entity(A, "add", "five")
        except EntityFailed as error:
            return f"{error.type}: {error.message}"
        return "fine"

    play = Play(handles)
    play.turn(refused(1))
    assert play.output() == "ValueError: it broke"


def test_a_result_is_decoded_to_what_the_operation_returns_or_to_what_is_asked_for() -> None:
    @app.orchestrator
    async def typed(ctx: Ctx) -> object:
        answers = [
            ctx.call_entity(A, "add", 1),
            ctx.call_entity(A, "add", 1, return_type=str),
            ctx.call_entity(A, "anything"),
            ctx.call_entity(A, "unknown"),
            ctx.call_entity(EntityId("Unknown", "a"), "add"),
        ]
        await when_all([ctx.call_activity("a")])
        return [str(task.exception()) if task._state == 2 else task.result() for task in answers]

    play = Play(typed)
    play.turn(*[answered(task, [task]) for task in range(1, 6)])
    play.completes(6)
    assert play.output() == ["[1] is not int", "[2] is not str", [3], [4], [5]]


def test_late_duplicate_and_foreign_answers_are_dropped() -> None:
    play = Play(calls)
    turn = play.turn(completed(1), answered(99), answered(0))
    assert turn.dropped == 3 and turn.events == []
    turn = play.turn(answered(1, 1), answered(1, 2), refused(1))
    assert turn.dropped == 2 and len(turn.messages) == 1


def test_a_call_can_be_given_up() -> None:
    async def gives_up(ctx: Ctx) -> bool:
        slow = ctx.call_entity(A, "add", 1)
        await ctx.call_activity("a")
        return slow.cancel()

    play = Play(gives_up)
    play.completes(2)
    assert play.output() is True and play.turn(answered(1, 1)).dropped == 1


def test_calls_run_side_by_side() -> None:
    async def many(ctx: Ctx) -> int:
        return sum(await when_all([ctx.call_entity(EntityId("Counter", str(n)), "add", n) for n in range(3)]))

    play = Play(many)
    assert [message.entity for message in play.last.messages if isinstance(message, EntityOperation)] == [
        "@Counter@0",
        "@Counter@1",
        "@Counter@2",
    ]
    play.turn(answered(3, 3), answered(1, 1), answered(2, 2))
    assert play.output() == 6


def test_a_suspended_execution_holds_answers() -> None:
    play = Play(calls)
    play.turn(SUSPEND)
    assert play.turn(answered(1, 5)).messages == []
    assert play.turn(answered(1, 5)).dropped == 1
    play.reload()
    assert len(play.turn(RESUME).messages) == 1


# ---- signals


async def signals(ctx: Ctx) -> None:
    ctx.signal_entity(A, "add", 1)
    ctx.signal_entity(A, "add", 2, at=datetime(2024, 1, 1, tzinfo=UTC))
    ctx.signal_entity(B, "reset", at=60)
    ctx.signal_entity(B, "reset", at=timedelta(minutes=-1))
    await ctx.call_activity("a")


def signals_by_yield(ctx: Ctx) -> Steps:
    ctx.signal_entity(A, "add", 1)
    ctx.signal_entity(A, "add", 2, at=datetime(2024, 1, 1, tzinfo=UTC))
    ctx.signal_entity(B, "reset", at=60)
    ctx.signal_entity(B, "reset", at=timedelta(minutes=-1))
    yield ctx.call_activity("a")


@pytest.mark.parametrize("function", [signals, signals_by_yield])
def test_signals_are_sent_in_order_and_wait_for_nothing(function: Callable[..., Any]) -> None:
    play = Play(function)
    now = play.now
    dues = [None, 1_704_067_200_000, now + 60_000, now - 60_000]
    operations = [("@Counter@a", "add", b"1"), ("@Counter@a", "add", b"2"), *[("@Counter@b", "reset", None)] * 2]
    expected = list(zip(operations, dues, strict=True))
    assert play.history[1:5] == [EntityOperationSignaled(now, *what, due) for what, due in expected]
    assert play.last.messages == [EntityOperation(*what, None, "order-7", due) for what, due in expected]
    assert play.execution.waiting_on() == ["activity a (event 5)"]


def test_a_moment_out_of_range_is_the_nearest_one() -> None:
    async def far(ctx: Ctx) -> None:
        ctx.signal_entity(A, "add", at=datetime(1, 1, 1, tzinfo=UTC))
        ctx.signal_entity(A, "add", at=datetime.max.replace(tzinfo=UTC))

    assert [event.due for event in Play(far).history if isinstance(event, EntityOperationSignaled)] == [0, TIME_MS_MAX]


def test_signals_of_the_last_turn_still_count_and_those_of_a_terminated_one_do_not() -> None:
    async def parting(ctx: Ctx) -> None:
        await ctx.call_activity("a")
        ctx.signal_entity(A, "add")

    async def goes_on(ctx: Ctx) -> None:
        await parting(ctx)
        await ctx.call_activity("b")

    play = Play(parting)
    assert len(play.completes(1).messages) == 1 and play.last.status == "Completed"
    play = Play(goes_on)
    turn = play.turn(completed(1), terminate())
    assert turn.messages == [] and turn.status == "Terminated"  # nothing is sent that was not recorded


# ---- what is refused


@pytest.mark.parametrize(
    ("act", "type_", "says"),
    [
        (
            lambda ctx: ctx.call_entity("@Counter@a", "add"),
            "InvalidId",
            "'@Counter@a' is str, not an entity id: write ds",
        ),
        (lambda ctx: ctx.signal_entity(("Counter", "a"), "add"), "InvalidId", "write ds.EntityId(name, key)"),
        (lambda ctx: ctx.lock_entities(A, "b"), "InvalidId", "'b' is str, not an entity id"),
        (lambda ctx: ctx.lock_entities([A, B]), "InvalidId", "is list, not an entity id"),
        (lambda ctx: ctx.call_entity(A, ""), "InvalidId", "operation name '' is not valid: it is empty"),
        (lambda ctx: ctx.signal_entity(A, 5), "InvalidId", "operation name 5 is not valid"),
        (lambda ctx: ctx.call_entity(A, "add", {1}), "PayloadError", "input of operation add of entity Counter"),
        (lambda ctx: ctx.signal_entity(A, "add", {1}), "PayloadError", "input of operation add of entity Counter"),
        (lambda ctx: ctx.signal_entity(A, "add", at="soon"), "TypeError", "at must be seconds"),
    ],
)
def test_wrong_arguments_are_refused(act: Callable[[Ctx], object], type_: str, says: str) -> None:
    async def wrong(ctx: Ctx) -> None:
        act(ctx)

    play = Play(wrong)
    failure = play.last.failure
    assert failure is not None and failure.type == type_ and says in failure.message
    assert play.last.messages == [] and play.now == START_MS + 1_000


def test_a_context_does_nothing_with_entities_after_its_execution() -> None:
    kept: list[Ctx] = []

    async def leaks(ctx: Ctx) -> None:
        kept.append(ctx)

    Play(leaks)
    ctx = kept[0]
    for late in (lambda: ctx.call_entity(A, "x"), lambda: ctx.signal_entity(A, "x"), lambda: ctx.lock_entities(A)):
        with pytest.raises(OrchestratorError, match="outside its orchestrator"):
            late()
