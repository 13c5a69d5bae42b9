"""Slots of keys and commands, compared with what redis-py computes and a server says."""

from __future__ import annotations

from typing import Any

import pytest
from redis.crc import key_slot

from durastream.core.ids import check_hub
from durastream.store.keys import HubKeys
from durastream.store.slots import slot, slot_of


@pytest.mark.parametrize(
    "key", ["a", "", "{a}b", "x{a}y{b}", "{}a", "{a", "}{a}", "a}b", "{{a}}", "é{ü}", "ds:{h:1}:i:{x}"]
)
def test_slots_are_those_of_redis(key: str) -> None:
    assert slot(key) == slot(key.encode()) == key_slot(key.encode())


def test_bytes_that_are_no_text_have_a_slot() -> None:
    assert slot(b"\xff{\xfe}") == key_slot(b"\xfe")


def test_a_partition_is_one_slot_whatever_the_ids_are() -> None:
    check_hub("orders")
    (names,) = HubKeys("orders", 1).partitions
    assert {
        slot(key) for key in (names.lease, names.instance("a{b}c"), names.queue_of("@{x}@y"), names.activities("{q}"))
    } == {slot("orders:0")}


@pytest.mark.parametrize(
    ("command", "key"),
    [
        (("HGETALL", "k"), "k"),
        (("EVALSHA", "sha", 2, "k", "l", "arg"), "k"),
        (("EVAL_RO", "text", 1, "k"), "k"),
        (("XGROUP", "CREATE", "k", "g", "0"), "k"),
        (("XINFO", "GROUPS", "k"), "k"),
        (("XREAD", "COUNT", 1, "STREAMS", "k", "0"), "k"),
        (("XREADGROUP", "GROUP", "g", "c", "COUNT", 1, "STREAMS", "k", ">"), "k"),
        (("TIME",), None),
        (("EVAL", "return 1", 0), None),
        (("CONFIG", "GET", "appendfsync"), None),
    ],
)
def test_the_slot_of_a_command_is_that_of_its_first_key(command: tuple[Any, ...], key: str | None) -> None:
    assert slot_of(command) == (None if key is None else slot(key))
