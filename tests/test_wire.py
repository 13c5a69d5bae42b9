"""Wire format: what goes in comes out, the published codes stay, and rubbish is always a WireError."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, get_args, get_type_hints

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from durastream import wire
from durastream.core import events, messages
from durastream.core.events import Failure, Parent
from durastream.core.limits import (
    CAUSES_DEPTH_MAX,
    ENTITY_BYTES_MAX,
    ID_BYTES_MAX,
    LOCK_ENTITIES_MAX,
    TIME_MS_MAX,
    TIME_MS_MIN,
)
from durastream.errors import WireError

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
FAILURE = st.recursive(
    st.builds(Failure, TEXT, TEXT, TEXT, st.just(()), st.booleans()),
    lambda inner: st.builds(Failure, TEXT, TEXT, TEXT, st.lists(inner, max_size=3).map(tuple), st.booleans()),
    max_leaves=5,
)
IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=ID_BYTES_MAX // 4)
JSON = st.sampled_from([b"null", b"1", b'{"a":[1,2,"x"]}', b'"\xc3\xa9"'])
PARENT = st.builds(Parent, IDS, TEXT, st.integers(0, 1000))
ENTITIES = IDS.map(lambda text: f"@{text}")
BY_NAME: dict[str, st.SearchStrategy[Any]] = {
    "instance_id": IDS,
    "entity": ENTITIES,
    "entities": st.lists(ENTITIES, min_size=1, max_size=4).map(tuple),
    "if_exists": st.sampled_from(["error", "ignore", "replace", "child"]),
    "at": st.integers(TIME_MS_MIN, TIME_MS_MAX),
    "due": st.integers(TIME_MS_MIN, TIME_MS_MAX),
}
BY_TYPE: dict[Any, st.SearchStrategy[Any]] = {
    int: st.integers(-TIME_MS_MAX, TIME_MS_MAX),
    str: TEXT,
    bytes: JSON,
    bool: st.booleans(),
    Failure: FAILURE,
    Parent: PARENT,
    tuple[str, ...]: st.lists(ENTITIES, max_size=4).map(tuple),
    type(None): st.none(),
}


def values_of(cls: type[Any]) -> st.SearchStrategy[Any]:
    fields = []
    for name, hint in get_type_hints(cls).items():
        kinds = (hint,) if hint in BY_TYPE else get_args(hint)
        options = [BY_TYPE[kind] if kind is type(None) else BY_NAME.get(name, BY_TYPE[kind]) for kind in kinds]
        fields.append(st.one_of(options))
    return st.tuples(*fields).map(lambda values: cls(*values))


BY_TYPE[messages.Start] = values_of(messages.Start)
EVENTS = st.one_of([values_of(cls) for cls in get_args(events.Event)])
MESSAGES = st.one_of([values_of(cls) for cls in get_args(messages.Message)])
ACTIVITIES = values_of(messages.ActivityItem)

PAIRS: list[tuple[Callable[[Any], bytes], Callable[[bytes], Any], st.SearchStrategy[Any]]] = [
    (wire.pack_event, wire.unpack_event, EVENTS),
    (wire.pack_message, wire.unpack_message, MESSAGES),
    (wire.pack_activity, wire.unpack_activity, ACTIVITIES),
]
UNPACKERS = [unpack for _, unpack, _ in PAIRS]


def refuses(unpack: Callable[[bytes], Any], blob: Any) -> str:
    with pytest.raises(WireError) as caught:
        unpack(blob)
    text = str(caught.value)
    assert len(text) < 500
    assert text.replace("…", "").replace("±", "").isprintable()
    return text


@pytest.mark.parametrize(("pack", "unpack", "values"), PAIRS)
def test_what_is_packed_comes_back_equal_and_typed(pack: Any, unpack: Any, values: Any) -> None:
    @settings(max_examples=300, deadline=None)
    @given(values)
    def check(value: Any) -> None:
        back = unpack(pack(value))
        assert back == value
        assert [type(a) for a in (back, *back)] == [type(a) for a in (value, *value)]

    check()


@settings(max_examples=300, deadline=None)
@given(EVENTS)
def test_readable_form_goes_through_json_text_and_back(event: Any) -> None:
    assert wire.event_from_json(json.loads(json.dumps(wire.event_to_json(event)))) == event


def test_every_kind_has_a_code_in_its_range() -> None:
    assert set(wire.EVENT_CODES.values()) == set(get_args(events.Event))
    assert set(wire.MESSAGE_CODES.values()) == set(get_args(messages.Message))
    assert all(1 <= code <= 39 for code in wire.MESSAGE_CODES)
    assert all(1 <= code <= 79 for code in wire.EVENT_CODES)


def test_published_bytes_stay_what_they_are() -> None:
    assert wire.pack_event(events.TimerFired(5, 3)) == bytes([0x93, 6, 5, 3])
    assert (
        wire.pack_event(events.TaskScheduled(5, "f", b"1", "q", None, 1)) == b"\x97\x28\x05\xa1f\xc4\x011\xa1q\xc0\x01"
    )
    assert wire.pack_message(messages.Purge("i", None)) == b"\x93\x0b\xa1i\xc0"
    assert wire.pack_event(events.EntityLockRequested(5, ("@a@b", "@a@c"))) == b"\x93\x2f\x05\x92\xa4@a@b\xa4@a@c"
    failed = wire.pack_event(events.ExecutionFailed(1, Failure("T", "m", "", (Failure("C", "c"),))))
    assert msgpack.unpackb(failed) == [71, 1, ["T", "m", "", [["C", "c", "", [], False]], False]]


RUBBISH = st.one_of(
    st.binary(max_size=200),
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.binary() | TEXT,
        lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.integers() | TEXT, inner, max_size=3),
        max_leaves=20,
    ).map(lambda value: _packed(value)),
    st.tuples(
        st.sampled_from(sorted({*wire.EVENT_CODES, *wire.MESSAGE_CODES})),
        st.lists(st.none() | st.integers(0, 9) | TEXT),
    ).map(lambda pair: _packed([pair[0], *pair[1]])),
)


def _packed(value: Any) -> bytes:
    try:
        return bytes(msgpack.packb(value) or b"")
    except OverflowError:
        return b""


@settings(max_examples=1500, deadline=None)
@given(RUBBISH)
def test_rubbish_is_a_wire_error_or_a_value_that_packs_again(blob: bytes) -> None:
    for pack, unpack, _ in PAIRS:
        try:
            value = unpack(blob)
        except WireError:
            refuses(unpack, blob)
        else:
            assert unpack(pack(value)) == value


@settings(max_examples=600, deadline=None)
@given(EVENTS | MESSAGES, st.data())
def test_damaged_bytes_are_a_wire_error_or_a_valid_value(value: Any, data: st.DataObject) -> None:
    pack = wire.pack_event if type(value) in wire.EVENT_CODES.values() else wire.pack_message
    blob = bytearray(pack(value))
    for _ in range(data.draw(st.integers(1, 3))):
        blob[data.draw(st.integers(0, len(blob) - 1))] = data.draw(st.integers(0, 255))
    for unpack in UNPACKERS:
        try:
            unpack(bytes(blob))
        except WireError:
            continue


@pytest.mark.parametrize("unpack", UNPACKERS)
@pytest.mark.parametrize(
    "blob",
    [
        b"",
        b"\x90",
        b"\xc0",
        b"\x01",
        b"hello",
        b"\x93\xc3\x05\x03",  # True is no code, though it equals 1
        b"\x93\xcb\x3f\xf0\0\0\0\0\0\0\x05\x03",  # nor is 1.0
        b"\x91\x90",
        b"\xdd\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\x91" * 3000 + b"\x01",
        b"\x92\x06\xc7\x0c\xff" + b"\xff" * 12,  # a timestamp extension
        b"\x81\x90\x01",
        b"\x93\x06\x05\x03\x00",  # trailing byte
        b"\x92\x01\xa1\xff",  # bad UTF-8
    ],
)
def test_hand_made_rubbish(unpack: Any, blob: bytes) -> None:
    refuses(unpack, blob)


def test_refusals_say_what_is_wrong() -> None:
    packb: Callable[[Any], Any] = msgpack.packb
    assert "unknown code 39" in refuses(wire.unpack_event, packb([39, 1]))
    assert "wrong number of fields" in refuses(wire.unpack_event, packb([6, 1]))
    assert "TimerFired.task: expected int" in refuses(wire.unpack_event, packb([6, 1, "x\x1b[2J" * 1000]))
    assert "Purge.instance_id: expected str of 1 to 256 bytes" in refuses(wire.unpack_message, packb([11, "", None]))
    assert "Start.if_exists" in refuses(wire.unpack_message, packb([1, "i", "x", "n", *[None] * 6, "maybe", True]))
    assert "inside one of them" in refuses(wire.unpack_event, packb([71, 1, ["T", "m", "", [["C"]], False]]))
    assert "Failure: expected" in refuses(wire.unpack_event, packb([71, 1, ["T", "m", "", [], 0]]))


@pytest.mark.parametrize("instance_id", ["é" * 128, "🜁" * 64, "a" * 256])
def test_ids_up_to_the_limit_in_bytes_pass(instance_id: str) -> None:
    message = messages.Purge(instance_id, None)
    assert wire.unpack_message(wire.pack_message(message)) == message


@pytest.mark.parametrize("instance_id", ["", "é" * 129, "🜁" * 65, "a" * 257])
def test_ids_over_the_limit_are_refused_both_ways(instance_id: str) -> None:
    with pytest.raises(WireError, match="instance_id"):
        wire.pack_message(messages.Purge(instance_id, None))
    refuses(wire.unpack_message, msgpack.packb([11, instance_id, None]))


AT_THE_LIMIT = "@" + "é" * 256 + "x"


@pytest.mark.parametrize("entity", ["@", "@a@b", "@" + "a" * (ENTITY_BYTES_MAX - 1), AT_THE_LIMIT])
def test_entities_up_to_the_limit_in_bytes_pass(entity: str) -> None:
    message = messages.UnlockEntities(entity, (entity,) * LOCK_ENTITIES_MAX, Parent("i", "e", 1))
    assert wire.unpack_message(wire.pack_message(message)) == message


@pytest.mark.parametrize("entity", ["", "a@b", "@" + "a" * ENTITY_BYTES_MAX, AT_THE_LIMIT + "x", b"@a@b", None])
def test_what_is_no_entity_is_refused_both_ways(entity: Any) -> None:
    cases: list[tuple[str, tuple[str, ...], str]] = [(entity, (), "entity"), ("@a@b", (entity,), "rest")]
    for first, rest, name in cases:
        with pytest.raises(WireError, match=f"UnlockEntities.{name}: expected"):
            wire.pack_message(messages.UnlockEntities(first, rest, Parent("i", "e", 1)))
        said = refuses(wire.unpack_message, msgpack.packb([16, first, rest, ["i", "e", 1]]))
        assert f"UnlockEntities.{name}: expected" in said and "begins with @" in said


@pytest.mark.parametrize("entities", [(), ("@a@b",) * (LOCK_ENTITIES_MAX + 1), ["@a@b"], "@a@b", None])
def test_none_or_too_many_entities_or_something_else_than_a_tuple_is_refused(entities: Any) -> None:
    with pytest.raises(WireError, match="array of 1 to 100"):
        wire.pack_event(events.EntityLockRequested(1, entities))


def chain(length: int) -> Failure:
    failure = Failure("T", "m")
    for _ in range(length):
        failure = Failure("T", "m", "", (failure,))
    return failure


def test_causes_may_be_nested_up_to_the_limit() -> None:
    event = events.ExecutionFailed(1, chain(CAUSES_DEPTH_MAX))
    assert wire.unpack_event(wire.pack_event(event)) == event
    with pytest.raises(WireError, match="nested deeper"):
        wire.pack_event(events.ExecutionFailed(1, chain(CAUSES_DEPTH_MAX + 1)))


@pytest.mark.parametrize(
    "event",
    [
        events.TimerFired(1.5, 1),  # type: ignore[arg-type]
        events.TimerFired(True, 1),
        events.TimerFired(1, TIME_MS_MAX + 1),
        events.TaskCompleted(1, 1, "text"),  # type: ignore[arg-type]
        events.ExecutionFailed(1, Failure("T", "lone \ud800")),
        events.ExecutionFailed(1, None),  # type: ignore[arg-type]
        messages.Purge("i", None),
        events.EntityOperationCalled(1, "Counter", "add", None),
        "no event",
        None,
    ],
)
def test_what_could_not_be_read_again_is_not_packed(event: Any) -> None:
    with pytest.raises(WireError):
        wire.pack_event(event)
    assert wire.pack_event(events.TimerFired(5, 3)) == bytes([0x93, 6, 5, 3])  # the shared packer is clean again


def test_readable_form_tells_no_payload_from_null() -> None:
    assert wire.event_to_json(events.TaskCompleted(1, 2, None)) == {"kind": "TaskCompleted", "at": 1, "task": 2}
    shown = wire.event_to_json(events.TaskCompleted(1, 2, b"null"))
    assert shown == {"kind": "TaskCompleted", "at": 1, "task": 2, "result": None}
    assert wire.event_from_json(shown) == events.TaskCompleted(1, 2, b"null")


@pytest.mark.parametrize(
    "shown",
    [
        {},
        {"kind": "Nonsense"},
        {"kind": ["TimerFired"]},
        {"kind": "TimerFired", "at": 1},
        {"kind": "TimerFired", "at": 1, "task": "x"},
        {"kind": "TimerFired", "at": 1, "task": 2, "extra": 3},
        {"kind": "ExecutionFailed", "at": 1, "failure": 7},
        {"kind": "ExecutionFailed", "at": 1, "failure": {"type": "T"}},
        {"kind": "ExecutionStarted", "at": 1, "name": "n", "parent": [1], "generation": 0},
        {"kind": "TaskCompleted", "at": 1, "task": 2, "result": {1}},
        {"kind": "EntityLockRequested", "at": 1},
        {"kind": "EntityLockRequested", "at": 1, "entities": "@a@b"},
        {"kind": "EntityLockRequested", "at": 1, "entities": 7},
        {"kind": "EntityOperationCalled", "at": 1, "entity": "a", "operation": "add"},
    ],
)
def test_bad_readable_form_is_a_wire_error(shown: dict[str, Any]) -> None:
    with pytest.raises(WireError):
        wire.event_from_json(shown)


def test_readable_form_of_entities_is_a_list() -> None:
    asked = events.EntityLockRequested(1, ("@a@b", "@a@c"))
    shown = wire.event_to_json(asked)
    assert shown == {"kind": "EntityLockRequested", "at": 1, "entities": ["@a@b", "@a@c"]}
    assert wire.event_from_json(shown) == asked


def test_payload_that_is_not_json_cannot_be_shown_as_json() -> None:
    with pytest.raises(WireError, match="not JSON"):
        wire.event_to_json(events.TaskCompleted(1, 2, b"{"))
