"""Operations of one entity: what each leaves behind, and what a failing one does not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

import durastream as ds
from durastream.core.entity_context import EntityContext
from durastream.core.entity_id import EntityId
from durastream.core.entity_run import EntityCode, Outcome, open_entity
from durastream.core.events import Parent
from durastream.core.messages import EntityOperation, RaiseEvent, Start
from durastream.errors import OrchestratorError
from durastream.payload import Payloads

CALLER = Parent("order-7", "x.0", 4)
app = ds.App()


@dataclass
class Item:
    price: int


@app.entity
class Cart:
    items: list[Item] = []  # noqa: RUF012 - each entity gets its own copy
    note: str | None = None

    def put(self, item: Item) -> int:
        self.items.append(item)
        return sum(one.price for one in self.items)

    def spoil(self, ctx: EntityContext) -> None:
        self.items.clear()
        ctx.signal_entity(EntityId("Log", "a"), "line", "spoilt")
        raise ValueError("no")

    def quit(self) -> None:
        raise SystemExit(3)

    def unstorable(self) -> None:
        self.note = object()  # type: ignore[assignment]

    def unreturnable(self) -> object:
        return object()

    def clear(self, ctx: EntityContext) -> None:
        ctx.delete_state()

    def optional(self, note: str = "none") -> str:
        return note

    async def later(self, ctx: EntityContext) -> str | None:
        await asyncio.sleep(0)
        self.note = "later"
        return ctx.caller

    async def fails_later(self) -> None:
        self.items.clear()
        await asyncio.sleep(0)
        raise ValueError("late")

    def tells(self, ctx: EntityContext) -> str:
        ctx.signal_entity(EntityId("Log", "a"), "line", 1, at=datetime(2030, 1, 1, tzinfo=UTC))
        ctx.signal_entity(EntityId("Log", "a"), "line", at=1.5)
        ctx.send_event("order-8", "ready", [1])
        return ctx.start_orchestration("ship", {"n": 1})

    def keep(self, ctx: EntityContext) -> None:
        kept.append(ctx)


kept: list[EntityContext] = []


@app.entity(name="total")
def total(ctx: EntityContext) -> Any:
    state = ctx.get_state(int, 0)
    match ctx.operation:
        case "add":
            ctx.set_state(state + ctx.get_input(int))
            ctx.set_result(ctx.get_state(int))
        case "get":
            return state
        case "reset":
            ctx.set_state(None)
        case "half":
            ctx.set_state(0)
            raise ValueError("no")
        case "who":
            return [ctx.key, str(ctx.entity_id), ctx.caller, ctx.is_signal, ctx.has_state, ctx.current_utc_datetime]


def opened(name: str, state: bytes | None = None) -> EntityCode:
    definition = app.find_entity(name)
    assert definition is not None
    ids = iter(f"id{n}" for n in range(100))
    return open_entity(definition, EntityId(name, "a"), state, codec=Payloads(), new_id=lambda: next(ids))


def ask(code: EntityCode, operation: str, data: bytes | None = None, caller: Parent | None = CALLER) -> Outcome:
    sender = None if caller is None else caller.instance_id
    outcome = code.run(EntityOperation("@Cart@a", operation, data, caller, sender, None), 1_700_000_000_000)
    return outcome if isinstance(outcome, Outcome) else asyncio.run(_awaited(outcome))


async def _awaited(outcome: Awaitable[Outcome]) -> Outcome:
    return await outcome


def failure(outcome: Outcome) -> str:
    assert outcome.failure is not None
    return f"{outcome.failure.type}: {outcome.failure.message}"


# ---------------------------------------------------------------- classes


def test_state_and_typed_input_go_from_operation_to_operation() -> None:
    code = opened("Cart")
    assert ask(code, "put", b'{"price":2}').result == b"2"
    assert ask(code, "put", b'{"price":3}').result == b"5"
    assert code.state == b'{"items":[{"price":2},{"price":3}],"note":null}'


def test_state_is_read_from_its_text() -> None:
    code = opened("Cart", b'{"items":[{"price":10}]}')
    assert ask(code, "put", b'{"price":3}').result == b"13"


def test_a_failing_operation_leaves_state_and_messages_as_before() -> None:
    code = opened("Cart", b'{"items":[{"price":10}],"note":null}')
    before = code.state
    outcome = ask(code, "spoil")
    assert failure(outcome) == "ValueError: no"
    assert outcome.messages == []
    assert code.state == before
    assert ask(code, "put", b'{"price":1}').result == b"11"


def test_the_stack_of_a_failure_begins_with_user_code() -> None:
    outcome = ask(opened("Cart"), "spoil")
    assert outcome.failure is not None
    assert outcome.failure.stack.lstrip().startswith(f'File "{__file__}"')


@pytest.mark.parametrize("operation", ["quit", "unstorable", "unreturnable"])
def test_whatever_goes_wrong_fails_the_operation_alone(operation: str) -> None:
    code = opened("Cart", b'{"items":[],"note":null}')
    assert ask(code, operation).failure is not None
    assert code.state == b'{"items":[],"note":null}'
    assert ask(code, "put", b'{"price":1}').result == b"1"


def test_a_signal_may_return_anything() -> None:
    assert ask(opened("Cart"), "unreturnable", caller=None) == Outcome(None, None, [])


def test_an_input_that_does_not_fit_fails() -> None:
    assert failure(ask(opened("Cart"), "put", b'"x"')).startswith("PayloadError: ")


def test_a_default_holds_when_there_is_no_input() -> None:
    assert ask(opened("Cart"), "optional").result == b'"none"'
    assert ask(opened("Cart"), "optional", b'"some"').result == b'"some"'


def test_an_unknown_operation_fails() -> None:
    assert failure(ask(opened("Cart"), "putt")).startswith("NotRegistered: entity 'Cart' has no operation 'putt'")


@pytest.mark.parametrize("operation", ["delete", "clear"])
def test_deleting(operation: str) -> None:
    code = opened("Cart", b'{"items":[{"price":1}]}')
    assert ask(code, operation) == Outcome(None, None, [])
    assert code.state is None
    assert ask(code, "put", b'{"price":2}').result == b"2"


def test_asynchronous_operations() -> None:
    code = opened("Cart")
    assert ask(code, "later").result == b'"order-7"'
    assert code.state == b'{"items":[],"note":"later"}'
    ask(code, "put", b'{"price":2}')
    before = code.state
    assert failure(ask(code, "fails_later")) == "ValueError: late"
    assert code.state == before
    assert ask(code, "put", b'{"price":2}').result == b"4"


def test_what_an_operation_sends() -> None:
    outcome = ask(opened("Cart"), "tells")
    assert outcome.result == b'"id0"'
    signal, later, event, start = outcome.messages
    assert signal == EntityOperation("@Log@a", "line", b"1", None, "@Cart@a", 1_893_456_000_000)
    assert later == EntityOperation("@Log@a", "line", None, None, "@Cart@a", 1_700_000_001_500)
    assert event == RaiseEvent("order-8", "ready", b"[1]")
    assert isinstance(start, Start)
    assert start[:6] == ("id0", "id1.0", "ship", None, b'{"n":1}', None)


def test_a_context_is_closed_after_its_operation() -> None:
    code = opened("Cart")
    ask(code, "keep")
    with pytest.raises(OrchestratorError, match="was used after the operation"):
        kept.pop().send_event("a", "b")


# ---------------------------------------------------------------- functions


def test_a_function_entity() -> None:
    code = opened("total")
    assert ask(code, "get").result == b"0"
    assert code.state is None
    assert ask(code, "add", b"5").result == b"5"
    assert ask(code, "add", b"2").result == b"7"
    assert failure(ask(code, "half")) == "ValueError: no"
    assert ask(code, "get").result == b"7"
    ask(code, "reset")
    assert code.state is None


def test_delete_removes_the_state_of_a_function_entity() -> None:
    code = opened("total", b"5")
    assert ask(code, "delete") == Outcome(None, None, [])
    assert code.state is None


def test_what_a_function_entity_is_told() -> None:
    told = ask(opened("total", b"1"), "who").result
    assert told == b'["a","@total@a","order-7",false,true,"2023-11-14T22:13:20+00:00"]'
