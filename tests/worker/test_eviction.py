"""The clock algorithm: what was used lately gets a second chance, what is pinned stays."""

from __future__ import annotations

from durastream.worker.eviction import evict


class Thing:
    def __init__(self, *, recent: bool = False) -> None:
        self.recent = recent


def left(things: dict[str, Thing], keep_max: int, pinned: str = "") -> list[str]:
    evict(things, keep_max, lambda key, _: key in pinned, lambda _: None)
    return sorted(things)


def test_nothing_goes_while_there_is_room() -> None:
    assert left({"a": Thing(), "b": Thing()}, 2) == ["a", "b"]


def test_the_oldest_unused_go_first() -> None:
    assert left({"a": Thing(recent=True), "b": Thing(), "c": Thing()}, 2) == ["a", "c"]


def test_a_second_chance_is_only_one() -> None:
    things = {key: Thing(recent=True) for key in "abc"}
    assert left(things, 1) == ["c"]


def test_what_is_pinned_stays_even_if_there_are_too_many() -> None:
    assert left({key: Thing() for key in "abcd"}, 1, pinned="abc") == ["a", "b", "c"]


def test_what_goes_is_told() -> None:
    gone: list[Thing] = []
    things = {"a": Thing(), "b": Thing()}
    first = things["a"]
    evict(things, 1, lambda *_: False, gone.append)
    assert gone == [first]
