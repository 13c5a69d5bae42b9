from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from durastream.activity import ActivityContext
from durastream.app import App
from durastream.core.context import OrchestrationContext
from durastream.core.definitions import ActivityDefinition, OrchestratorDefinition, definition_of, not_registered
from durastream.core.tasks import Task
from durastream.errors import NotRegistered, OrchestratorError

if TYPE_CHECKING:
    from somewhere import Unknown  # type: ignore[import-not-found]


@dataclass
class Order:
    sku: str


def activity(function: Callable[..., Any]) -> ActivityDefinition:
    App().activity(function)
    return definition_of(function, ActivityDefinition)


def orchestrator(function: Callable[..., Any]) -> OrchestratorDefinition:
    App().orchestrator(function)
    return definition_of(function, OrchestratorDefinition)


def test_annotations_are_resolved_one_by_one() -> None:
    async def known(order: Order) -> Later:
        return Later()

    async def half_known(order: Unknown) -> Order:
        return Order("")

    async def unknown(order) -> None:  # type: ignore[no-untyped-def]
        return None

    assert (activity(known).input_type, activity(known).return_type) == (Order, Later)
    assert (activity(half_known).input_type, activity(half_known).return_type) == (Any, Order)
    assert (activity(unknown).input_type, activity(unknown).return_type) == (Any, type(None))


@dataclass
class Later:
    """Defined after it is named: annotations are resolved when they are needed."""


def test_annotations_may_name_what_the_enclosing_function_has() -> None:
    @dataclass
    class Local:
        n: int

    @App().activity
    async def takes(value: Local) -> list[Local]:
        return [value]

    @App().orchestrator(name="other")
    async def flow(ctx: OrchestrationContext, value: Local) -> None: ...

    definition = definition_of(takes, ActivityDefinition)
    assert definition.input_type is Local and definition.return_type == list[Local]
    assert definition_of(flow, OrchestratorDefinition).input_type is Local


def test_the_context_of_an_activity_may_stand_anywhere() -> None:
    def first(ctx: ActivityContext, order: Order) -> None: ...

    def last(order: Order, context: ActivityContext) -> None: ...

    def by_name(order: Order, *, ctx: object) -> None: ...

    def alone(ctx: ActivityContext) -> None: ...

    def none() -> None: ...

    functions: list[Callable[..., Any]] = [first, last, by_name, alone, none]
    definitions = [activity(function) for function in functions]
    found = [(d.takes_input, d.context_parameter) for d in definitions]
    assert found == [(True, "ctx"), (True, "context"), (True, "ctx"), (False, "ctx"), (False, None)]
    assert activity(first).bind("o", "c") == {"order": "o", "ctx": "c"}
    assert activity(none).bind("o", "c") == {}


def test_a_missing_input_leaves_the_default() -> None:
    def optional(n: int = 3) -> int:
        return n

    assert activity(optional).bind(None, None) == {}
    assert activity(optional).bind(5, None) == {"n": 5}


def test_async_or_not_also_behind_a_decorator() -> None:
    def traced(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return wrapper

    @traced
    async def wrapped(order: Order) -> int:
        return 1

    def plain(order: Order) -> int:
        return 1

    assert activity(wrapped).is_async and not activity(plain).is_async
    assert activity(wrapped).takes_input and activity(wrapped).input_type is Order


def test_the_result_of_a_generator_is_what_it_returns() -> None:
    def stepped(ctx: OrchestrationContext, n: int) -> Generator[Task[Any], Any, str]:
        yield ctx.create_timer(n)
        return ""

    definition = orchestrator(stepped)
    assert definition.return_type is str and definition.input_type is int
    assert len(definition.fingerprint) == 16


def test_signatures_that_cannot_work() -> None:
    def no_context() -> None: ...

    def two_inputs(ctx: OrchestrationContext, a: int, b: int) -> None: ...

    def keyword(ctx: OrchestrationContext, *, a: int) -> None: ...

    async def streams(ctx: OrchestrationContext) -> AsyncIterator[int]:
        yield 1

    def positional(a: int, /) -> None: ...

    def pair(a: int, b: int) -> None: ...

    def many() -> Generator[int, None, None]:
        yield 1

    cases: list[tuple[Callable[..., Any], Callable[..., Any], str]] = [
        (orchestrator, no_context, "must take the context first"),
        (orchestrator, two_inputs, "also requires b: put several values into a dataclass"),
        (orchestrator, keyword, "must be allowed by position"),
        (orchestrator, streams, "async generator"),
        (activity, positional, "must be allowed by name"),
        (activity, pair, "also requires b"),
        (activity, many, "return a list"),
        (activity, Order, "must be a function"),
        (activity, len, "must be a function"),
    ]
    for register, function, message in cases:
        with pytest.raises(OrchestratorError, match=message):
            register(function)


def test_more_parameters_are_fine_with_defaults() -> None:
    def extra(ctx: OrchestrationContext, n: int, *more: int, flag: bool = False, **options: int) -> None: ...

    assert orchestrator(extra).takes_input


def test_what_is_not_registered() -> None:
    def plain() -> None: ...

    with pytest.raises(NotRegistered, match=r"plain is not registered: decorate it with @app\.activity"):
        definition_of(plain, ActivityDefinition)
    text = str(not_registered("activity", "chrage", ["ship", "charge"]))
    assert text == "there is no activity 'chrage'; registered: charge, ship. Did you mean 'charge'?"
    assert str(not_registered("activity", "x", [])) == "there is no activity 'x'; registered: none."
