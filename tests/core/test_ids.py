from __future__ import annotations

import re

import pytest

from durastream.core.ids import (
    check_hub,
    check_instance_id,
    check_name,
    child_execution_id,
    child_instance_id,
    generation_of,
    next_execution_id,
    partition_of,
)
from durastream.errors import InvalidId


def test_partitions_are_crc32_of_the_utf8() -> None:
    assert partition_of("123456789", 1 << 32) == 0xCBF43926  # the check value of CRC-32
    assert partition_of("schön", 7) == partition_of("schön", 7)


@pytest.mark.parametrize("good", ["a", "a b", "{}:*?", "日本", "😀" * 64, "x" * 256, "\u200fright-to-left", "é" * 128])
def test_ids_and_names_that_are_allowed(good: str) -> None:
    assert check_instance_id(good) == good
    assert check_name(good, "event") == good


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        ("", "it is empty"),
        ("a\x00b", r"it contains '\x00'"),
        ("a\nb", r"it contains '\n'"),
        ("a\x9bb", r"it contains '\x9b'"),
        ("a\ud800", r"it contains '\ud800'"),
        ("x" * 257, "it has 257 bytes"),
        ("é" * 129, "it has 258 bytes"),
        (7, "it is int, not str"),
        (None, "it is NoneType, not str"),
    ],
)
def test_ids_and_names_that_are_not(bad: str, problem: str) -> None:
    with pytest.raises(InvalidId, match=re.escape(f"is not valid: {problem}; it must be 1 to 256 bytes of UTF-8")):
        check_instance_id(bad)
    with pytest.raises(InvalidId, match="event name"):
        check_name(bad, "event")


def test_what_is_quoted_of_a_bad_id_is_cut() -> None:
    with pytest.raises(InvalidId) as caught:
        check_instance_id("\x1b" * 10_000)
    assert len(str(caught.value)) < 250 and "\x1b" not in str(caught.value)


def test_hub_names() -> None:
    for good in ("default", "A-Z_09", "h" * 64):
        assert check_hub(good) == good
    for bad in ("", "h" * 65, "a b", "a:b", "{a}", "ü", "a\n", None):
        with pytest.raises(InvalidId, match="hub name"):
            check_hub(bad)  # type: ignore[arg-type]


def test_execution_ids() -> None:
    assert next_execution_id("tok.3") == "tok.4"
    assert generation_of("a.b.12") == 12
    for bad in ("tok", "tok.", ".3", "tok.x", "tok.-1", "tok.²"):
        with pytest.raises(InvalidId, match=r"token\.generation"):
            generation_of(bad)


def test_children_have_readable_ids_while_they_fit() -> None:
    assert child_instance_id("order-7", 2, 13) == "order-7:2.13"
    assert len(child_instance_id("x" * 251, 0, 10).encode()) == 256
    long = child_instance_id("x" * 253, 0, 1)
    assert re.fullmatch(r"[0-9a-f]{32}:0\.1", long)
    assert long != child_instance_id("y" * 253, 0, 1)
    assert check_instance_id(child_instance_id("😀" * 64, 0, 10_000))


def test_execution_ids_of_children() -> None:
    one = child_execution_id("tok.0", 5)
    assert re.fullmatch(r"[0-9a-f]{16}\.0", one)
    assert len({one, child_execution_id("tok.0", 6), child_execution_id("tok.1", 5)}) == 3
