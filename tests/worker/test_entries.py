"""Entries of the ingress stream: what they ask for, or which field is wrong."""

from __future__ import annotations

import pytest

from durastream import wire
from durastream.core.ids import partition_of
from durastream.core.messages import EntityOperation, RaiseEvent, Resume, Start, Suspend, Terminate
from durastream.errors import DurastreamError
from durastream.payload import Payloads
from durastream.store.protocol import NewInstance
from durastream.worker.entries import parse_entry, reply_list

PAYLOADS = Payloads()


def fields(**texts: str) -> dict[bytes, bytes]:
    return {name.encode(): text.encode() for name, text in texts.items()}


def test_a_start_with_everything() -> None:
    routed = parse_entry(
        "7-1",
        fields(op="start", name="place_order", id="order-7", input='{"sku": 1}', reply="my:answers", version="2",
            tags='{"a": "b"}'),
        PAYLOADS,
    )  # fmt: skip
    new = routed.what
    assert isinstance(new, NewInstance)
    assert (new.instance_id, new.name, new.version, new.reply) == ("order-7", "place_order", "2", "my:answers")
    message = wire.unpack_message(new.message)
    assert isinstance(message, Start)
    assert (message.execution_id, message.created) == (new.execution_id, True)


def test_a_start_without_an_id_is_the_same_each_time_it_is_delivered() -> None:
    first = parse_entry("7-1", fields(op="start", name="f"), PAYLOADS)
    assert first == parse_entry("7-1", fields(op="start", name="f"), PAYLOADS)
    other = parse_entry("7-2", fields(op="start", name="f"), PAYLOADS)
    assert first.address != other.address


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (fields(op="event", id="i", name="approved", data="true"), RaiseEvent("i", "approved", b"true")),
        (fields(op="event", id="i", name="approved"), RaiseEvent("i", "approved", None)),
        (fields(op="terminate", id="i", reason="no stock"), Terminate("i", "no stock", True, None)),
        (fields(op="suspend", id="i"), Suspend("i", None)),
        (fields(op="resume", id="i", reason="go"), Resume("i", "go")),
    ],
)
def test_messages(entry: dict[bytes, bytes], message: object) -> None:
    routed = parse_entry("1-1", entry, PAYLOADS)
    assert routed.address == "i"
    assert isinstance(routed.what, bytes)
    assert wire.unpack_message(routed.what) == message


SIGNAL = {"op": "signal", "entity": "Counter", "key": "a", "operation": "add"}


@pytest.mark.parametrize(
    ("more", "data", "due"),
    [
        ({}, None, None),
        ({"input": "5"}, b"5", None),
        ({"input": "5", "at": "0"}, b"5", 0),
        ({"at": "1935403200000"}, None, 1_935_403_200_000),
        ({"at": "2031-05-01T12:00:00Z"}, None, 1_935_403_200_000),
        ({"at": "2031-05-01T14:00:00.0005+02:00"}, None, 1_935_403_200_001),
        ({"at": "253402300799999"}, None, 253_402_300_799_999),
    ],
)
def test_signals(more: dict[str, str], data: bytes | None, due: int | None) -> None:
    routed = parse_entry("1-1", fields(**SIGNAL, **more), PAYLOADS)
    assert routed.address == "@Counter@a"
    assert isinstance(routed.what, bytes)
    expected = EntityOperation("@Counter@a", "add", data, None, None, due)
    assert wire.unpack_message(routed.what) == expected


@pytest.mark.parametrize("key", ["@b@c", "{x}:*?", "a b", "日本語", "\u202e"])
def test_signals_to_hostile_keys_go_where_the_entity_lives(key: str) -> None:
    routed = parse_entry("1-1", fields(**SIGNAL | {"key": key}), PAYLOADS)
    assert routed.address == f"@Counter@{key}"
    assert isinstance(routed.what, bytes)
    message = wire.unpack_message(routed.what)
    assert partition_of(message[0], 16) == partition_of(routed.address, 16)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"entity": ""}, "'entity' is missing; op 'signal' needs it"),
        ({"key": ""}, "'key' is missing"),
        ({"operation": ""}, "'operation' is missing"),
        ({"entity": "Co@unter"}, "entity name 'Co@unter'"),
        ({"entity": "a\nb"}, "entity name"),
        ({"entity": "x" * 300}, "entity name .*256"),
        ({"key": "a\x00"}, "entity key"),
        ({"key": "x" * 300}, "entity key .*256"),
        ({"operation": "a\n"}, "operation name"),
        ({"input": "{oops"}, "input: not JSON"),
        ({"input": '{"a": 1, "a": 2}'}, "input.*twice"),
        ({"at": ""}, "'at' is no time"),
        ({"at": "tomorrow"}, "'at' is no time: 'tomorrow'"),
        ({"at": "2031-05-01T12:00:00"}, "'at' is no time.*with an offset"),
        ({"at": "2031-05-01"}, "'at' is no time"),
        ({"at": "-1"}, "'at' is no time"),
        ({"at": "1e3"}, "'at' is no time"),
        ({"at": "253402300800000"}, "'at' is no time"),
        ({"at": "9" * 5_000}, "'at' is no time"),
        ({"at": "٣"}, "'at' is no time"),
        ({"at": "9999-12-31T23:59:59-12:00"}, "'at' is no time"),
        ({"at": "1969-12-31T23:59:59Z"}, "'at' is no time"),
    ],
)
def test_signals_that_are_none(more: dict[str, str], said: str) -> None:
    with pytest.raises(DurastreamError, match=said):
        parse_entry("1-1", fields(**SIGNAL | more), PAYLOADS)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({}, "'op' is missing"),
        (fields(op="dance"), "unknown op 'dance'; known: start"),
        (fields(op="start"), "'name' is missing"),
        (fields(op="event", id="i"), "'name' is missing"),
        (fields(op="event", name="e"), "'id' is missing"),
        (fields(op="start", name="f", input="{not json"), "input"),
        (fields(op="start", name="f", reply="ds:{default}:hub"), "'reply'"),
        (fields(op="start", name="f", reply=""), "'reply'"),
        (fields(op="start", name="f", id="x" * 300), "256"),
        (fields(op="event", id="i\n", name="e"), "instance id"),
        ({b"op": b"start", b"name": b"\xff"}, "not UTF-8"),
    ],
)
def test_refusals_say_what_is_wrong(entry: dict[bytes, bytes], said: str) -> None:
    with pytest.raises(DurastreamError, match=said.replace("{", r"\{")):
        parse_entry("1-1", entry, PAYLOADS)


def test_a_refused_entry_is_answered_only_on_a_list_that_is_the_callers_own() -> None:
    assert reply_list(fields(reply="mine")) == "mine"
    assert reply_list(fields(reply="ds:{default}:hub")) is None
    assert reply_list(fields(reply="x" * 600)) is None
    assert reply_list({}) is None
