"""What is read from a registered class or function, and how state becomes text and back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest

import durastream as ds
from durastream.core.definitions import definition_of
from durastream.core.entities import ClassEntity, EntityDefinition
from durastream.errors import DurastreamError, InvalidId, NotRegistered, OrchestratorError, PayloadError
from durastream.payload import Payloads

CODEC = Payloads()


def register(cls: type[Any]) -> ClassEntity:
    app = ds.App()
    app.entity(cls)
    definition = definition_of(cls, EntityDefinition)
    assert isinstance(definition, ClassEntity)
    return definition


@dataclass
class Reading:
    celsius: float


class Plain:
    value: int = 0
    readings: list[Reading] = []  # noqa: RUF012 - each entity gets its own copy
    unit: ClassVar[str] = "C"
    _hidden: str = "kept"

    def __init__(self) -> None:
        self.untyped = {"a": 1}

    def add(self, amount: int) -> int:
        self.value += amount
        return self.value

    async def wait(self, ctx: ds.EntityContext) -> str:
        return ctx.key

    def _private(self) -> None: ...

    @property
    def double(self) -> int:
        return 2 * self.value

    @staticmethod
    def helper() -> None: ...

    @classmethod
    def make(cls) -> Plain:
        return cls()


@dataclass
class Cart:
    items: dict[str, int] = field(default_factory=dict)

    def put(self, item: str) -> None:
        self.items[item] = self.items.get(item, 0) + 1


@dataclass(slots=True)
class Slotted:
    value: int = 3

    def get(self) -> int:
        return self.value


def test_operations_are_the_public_methods() -> None:
    assert register(Plain).operations() == ["add", "wait"]


def test_the_result_type_is_the_return_annotation() -> None:
    definition = register(Plain)
    assert definition.result_type("add") is int
    assert definition.result_type("wait") is str
    assert definition.result_type("other") is Any


def test_an_unknown_operation_is_told_with_the_closest() -> None:
    with pytest.raises(NotRegistered, match=r"no operation 'ad'; it has: add, wait\. Did you mean 'add'"):
        register(Plain).operation("ad")


def test_state_is_all_attributes_and_comes_back_typed() -> None:
    definition = register(Plain)
    made = definition.new()
    made.value, made.readings = 4, [Reading(1.5)]
    text = definition.encode_state(made, CODEC)
    assert text == b'{"untyped":{"a":1},"value":4,"readings":[{"celsius":1.5}],"_hidden":"kept"}'
    again = definition.decode_state(text, CODEC)
    assert isinstance(again, Plain)
    assert again.readings == [Reading(1.5)]
    assert again.untyped == {"a": 1}


def test_defaults_in_the_class_are_not_shared() -> None:
    definition = register(Plain)
    one, other = definition.new(), definition.new()
    one.readings.append(Reading(1))
    assert other.readings == []
    assert Plain.readings == []


def test_attributes_that_stored_state_lacks_have_their_defaults() -> None:
    again = register(Plain).decode_state(b'{"value":9}', CODEC)
    assert (again.value, again.readings, again.untyped) == (9, [], {"a": 1})


def test_attributes_that_the_class_no_longer_has_are_kept() -> None:
    definition = register(Plain)
    text = definition.encode_state(definition.decode_state(b'{"old":[1]}', CODEC), CODEC)
    assert text is not None
    assert b'"old":[1]' in text


@pytest.mark.parametrize("cls", [Cart, Slotted])
def test_dataclasses(cls: type[Any]) -> None:
    definition = register(cls)
    text = definition.encode_state(definition.new(), CODEC)
    assert definition.decode_state(text, CODEC) == cls()


def test_state_that_does_not_fit_says_where() -> None:
    with pytest.raises(PayloadError, match="value"):
        register(Plain).decode_state(b'{"value":"text"}', CODEC)
    with pytest.raises(PayloadError, match="state of entity Plain is no JSON object"):
        register(Plain).decode_state(b"[1]", CODEC)


def test_a_value_without_json_form_is_named() -> None:
    definition = register(Plain)
    made = definition.new()
    made.untyped = {"deep": object()}
    with pytest.raises(PayloadError, match=r"state of entity Plain\.untyped\.deep"):
        definition.encode_state(made, CODEC)


def test_annotations_of_a_class_inside_a_function() -> None:
    @dataclass
    class Inner:
        n: int

    class Holds:
        inner: Inner | None = None

        def set(self, inner: Inner) -> None:
            self.inner = inner

    ds.App().entity(Holds)
    definition = definition_of(Holds, EntityDefinition)
    assert isinstance(definition, ClassEntity)
    assert definition.operation("set").input_type is Inner
    assert definition.decode_state(b'{"inner":{"n":1}}', CODEC).inner == Inner(1)


# ---------------------------------------------------------------- what is refused


def test_a_class_that_needs_arguments_is_refused() -> None:
    class Needs:
        def __init__(self, value: int) -> None:
            self.value = value

        def get(self) -> int:
            return self.value

    with pytest.raises(OrchestratorError, match="cannot be made without arguments"):
        ds.App().entity(Needs)


def test_a_field_of_no_dataclass_is_refused() -> None:
    class Forgot:
        items: dict[str, int] = field(default_factory=dict)

        def get(self) -> int:
            return len(self.items)

    with pytest.raises(OrchestratorError, match="but is no dataclass: decorate it with @dataclass"):
        ds.App().entity(Forgot)


def test_a_class_without_operations_is_refused() -> None:
    class Empty:
        value = 0

    with pytest.raises(OrchestratorError, match="has no public method"):
        ds.App().entity(Empty)


def test_an_operation_takes_one_input() -> None:
    class Wide:
        def move(self, x: int, y: int) -> None: ...

    with pytest.raises(OrchestratorError, match="takes one input, but also requires y"):
        ds.App().entity(Wide)


def test_an_operation_is_no_generator() -> None:
    class Yields:
        def each(self) -> Any:
            yield 1

    with pytest.raises(OrchestratorError, match="is a generator"):
        ds.App().entity(Yields)


def test_a_function_takes_the_context_and_nothing_else() -> None:
    with pytest.raises(OrchestratorError, match="must take the context"):
        ds.App().entity(lambda: None)
    with pytest.raises(OrchestratorError, match="must take the context"):
        ds.App().entity(lambda ctx, other: None)


def test_names() -> None:
    app = ds.App()
    app.entity(name="counter")(Plain)
    with pytest.raises(DurastreamError, match="'counter' is registered already"):
        app.entity(name="counter")(Cart)
    with pytest.raises(InvalidId, match="it has no '@'"):
        app.entity(name="a@b")(Cart)
    assert app.entity_names() == ["counter"]
    assert app.find_entity("Counter") is None


def test_include_takes_entities_over() -> None:
    one, other = ds.App(), ds.App()
    one.entity(Cart)
    other.include(one)
    found = other.find_entity("Cart")
    assert found is not None
    assert found.registry is other
