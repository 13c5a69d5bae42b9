from __future__ import annotations

import re

import pytest

from durastream.core.entity_id import EntityId, check_entity_name
from durastream.errors import InvalidId


def test_an_id_as_text_and_back() -> None:
    counter = EntityId("Counter", "a")
    assert str(counter) == "@Counter@a" and repr(counter) == "EntityId(name='Counter', key='a')"
    assert EntityId.parse("@Counter@a") == counter and hash(EntityId("Counter", "a")) == hash(counter)
    with pytest.raises(AttributeError):
        counter.key = "b"  # type: ignore[misc]


@pytest.mark.parametrize("key", ["a", "a@b", "@", "@x@y", "{}:*? ", "日本", "x" * 256])
def test_keys_that_are_allowed(key: str) -> None:
    made = EntityId("Counter", key)
    assert EntityId.parse(str(made)) == made


def test_ids_sort_by_name_then_key() -> None:
    ids = [EntityId("b", "1"), EntityId("a", "2"), EntityId("a", "1")]
    assert [str(one) for one in sorted(ids)] == ["@a@1", "@a@2", "@b@1"]


@pytest.mark.parametrize(
    ("name", "key", "problem"),
    [
        ("", "a", "entity name '' is not valid: it is empty"),
        ("a@b", "a", "entity name 'a@b' is not valid: it has no '@', which separates it from the key"),
        ("n" * 257, "a", "it has 257 bytes"),
        (None, "a", "it is NoneType, not str"),
        ("Counter", "", "entity key '' is not valid: it is empty"),
        ("Counter", "a\n", r"entity key 'a\n' is not valid: it contains '\n'"),
        ("Counter", "é" * 129, "it has 258 bytes; it must be 1 to 256 bytes of UTF-8 without control characters"),
        ("Counter", 7, "entity key 7 is not valid: it is int, not str"),
    ],
)
def test_parts_that_are_not(name: str, key: str, problem: str) -> None:
    with pytest.raises(InvalidId, match=re.escape(problem)):
        EntityId(name, key)


@pytest.mark.parametrize("text", ["", "Counter", "@Counter", "Counter@a", "x@Counter@a", "a@b@c"])
def test_texts_that_are_no_id(text: str) -> None:
    with pytest.raises(InvalidId, match=re.escape(f"entity {text!r} is not written @name@key")):
        EntityId.parse(text)


@pytest.mark.parametrize("text", ["@@a", "@Counter@", "@@", "@Counter@a\x00"])
def test_texts_with_a_part_that_is_not_valid(text: str) -> None:
    with pytest.raises(InvalidId, match="is not valid"):
        EntityId.parse(text)


def test_what_is_quoted_of_a_bad_name_is_cut() -> None:
    for check in (check_entity_name, EntityId.parse):
        with pytest.raises(InvalidId) as caught:
            check("\x1b@" * 100)
        assert len(str(caught.value)) < 250 and "\x1b" not in str(caught.value)
