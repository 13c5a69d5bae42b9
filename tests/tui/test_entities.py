"""The tab of entities and the page of one."""

from __future__ import annotations

from datetime import timedelta

import pytest

from durastream.client import QueuedMessage
from durastream.inspect.filter import FilterError
from durastream.tui.entities import read_filter
from tests.support import eventually
from tests.tui.driving import LARGE, SMALL, driven
from tests.tui.fakes import NOW, FakeSource, entity, instance, unreachable

pytestmark = pytest.mark.anyio


def with_entities(*keys: str) -> FakeSource:
    source = FakeSource(instance("order-7"))
    source.known_entities = {f"@Counter@{key}": entity(key) for key in keys}
    return source


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_listed_with_state_and_lock(size: tuple[int, int]) -> None:
    source = with_entities("a", "b")
    source.known_entities["@Counter@b"] = entity("b", locked_by="order-7", queued=3)
    async with driven(source, size) as top:
        await top.press("2")
        await top.shows("@Counter@a", '{"value":5}', "‖ order-7", "2 in all")


async def test_pages_and_filter() -> None:
    source = with_entities(*(f"k{number:04}" for number in range(500)))
    async with driven(source) as top:
        await top.press("2")
        await top.shows("100 loaded")
        await top.press("end")
        await eventually(lambda: len(top.table.items) >= 200)
        await top.press("slash")
        await top.fill("Counter k0499")
        await top.shows("1 in all", "@Counter@k0499")


async def test_what_is_gone_goes() -> None:
    source = with_entities("a", "b")
    async with driven(source) as top:
        await top.press("2")
        await top.shows("@Counter@b")
        del source.known_entities["@Counter@b"]
        await top.hides("@Counter@b")


async def test_the_page_shows_holder_and_queue() -> None:
    source = with_entities("a")
    source.known_entities["@Counter@a"] = entity(
        "a", locked_by="order-7", locked_at=NOW - timedelta(minutes=5), queued=2
    )
    source.queue = [
        QueuedMessage(4, "call", "add", {"by": 2}, "order-9", None),
        QueuedMessage(5, "signal", "reset", None, None, NOW + timedelta(seconds=30)),
    ]
    async with driven(source) as top:
        await top.press("2")
        await top.shows("@Counter@a")
        await top.press("enter")
        await top.shows("locked by order-7 for 5 m 0 s", '"value": 5', "add", "order-9", "in 30.0 s", "a client")
        await top.press("enter")
        await top.shows("call add from order-9", '"by": 2')
        await top.press("escape", "o")
        await top.shows("waits for activity charge")


async def test_signal_asks_for_operation_and_input() -> None:
    source = with_entities("a")
    async with driven(source) as top:
        await top.press("2")
        await top.shows("@Counter@a")
        await top.press("S")
        await top.fill("add", "5")
        await eventually(lambda: source.calls == [("signal", "@Counter@a", "add", 5)])


async def test_clean_asks_and_tells_how_many() -> None:
    source = with_entities("a")
    async with driven(source) as top:
        await top.press("2")
        await top.shows("@Counter@a")
        await top.press("C")
        await top.shows("Open locks that were left behind?")
        await top.press("y")
        await top.shows("2 locks were told to open")


async def test_read_only_refuses() -> None:
    source = with_entities("a")
    async with driven(source, read_only=True) as top:
        await top.press("2")
        await top.shows("@Counter@a")
        await top.press("S", "C")
        await top.shows("this session is read-only")
        assert source.calls == []


async def test_the_server_is_lost_and_comes_back() -> None:
    source = with_entities("a")
    async with driven(source) as top:
        await top.press("2")
        await top.shows("@Counter@a")
        source.lost = unreachable()
        await top.shows("trying again")
        source.lost = None
        source.known_entities["@Counter@new"] = entity("new")
        await top.shows("@Counter@new")
        await top.hides("trying again")


def test_ways_to_write_a_filter() -> None:
    assert read_filter("") == (None, "")
    assert read_filter("Counter") == ("Counter", "")
    assert read_filter(" Counter a-") == ("Counter", "a-")
    assert read_filter("@Counter@a-") == ("Counter", "a-")
    with pytest.raises(FilterError):
        read_filter("@a\nb@x")
