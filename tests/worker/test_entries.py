"""Entries of the ingress stream: what they ask for, or which field is wrong."""

from __future__ import annotations

import pytest

from durastream import wire
from durastream.core.messages import RaiseEvent, Resume, Start, Suspend, Terminate
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
    assert first.instance_id != other.instance_id


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
    assert routed.instance_id == "i"
    assert isinstance(routed.what, bytes)
    assert wire.unpack_message(routed.what) == message


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
