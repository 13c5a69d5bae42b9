"""What the list keeps of a hub that is larger than it can show, and that changes all the time."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from durastream.inspect.filter import parse
from durastream.tui.listing import HEAD, ORDERS, PAGE, Listing
from tests.acceptance.processes import seeded
from tests.tui.fakes import NOW, FakeSource, instance, unreachable

pytestmark = pytest.mark.anyio


def listing(source: FakeSource, text: str = "") -> Listing:
    return Listing(source, parse(text, NOW))


async def test_more_goes_on_where_it_was_after_a_failure() -> None:
    source = FakeSource(*(instance(f"i-{number:05}", number) for number in range(350)))
    found = listing(source)
    await found.more()
    source.lost = unreachable()
    with pytest.raises(type(source.lost)):
        await found.more()
    source.lost = None
    while not found.done:
        await found.more()
    assert [row.id for row in found.rows()] == [f"i-{number:05}" for number in range(350)]
    assert source.walked < 2 * 350


async def test_a_rare_filter_is_searched_in_slices() -> None:
    source = FakeSource(*(instance(f"i-{number:05}", number) for number in range(500)))
    found = listing(source, "id:*-00499")
    while not found.done:
        await found.more()
    assert [row.id for row in found.rows()] == ["i-00499"]


async def test_newer_ones_that_came_in_too_fast_are_told_while_scrolled_and_taken_in_at_the_top() -> None:
    source = FakeSource(*(instance(f"i-{number:05}", number) for number in range(50)))
    found = listing(source)
    await found.more()
    await found.refresh([], NOW, at_top=False)
    source.add(*(instance(f"new-{number:05}", -1_000 - number) for number in range(3 * HEAD)))
    await found.refresh([], NOW, at_top=False)
    assert found.behind and found.get("i-00000") is not None
    await found.refresh([], NOW, at_top=True)
    assert not found.behind and len(found) == HEAD
    while not found.done:
        await found.more()
    assert len(found) == 50 + 3 * HEAD


async def test_after_any_changes_the_top_is_what_the_hub_has() -> None:
    rng, source = seeded(), FakeSource(*(instance(f"i-{number:05}", number) for number in range(400)))
    found = listing(source, "status:running,suspended")
    await found.more()
    for step in range(60):
        _change(rng, source, step)
        shown = [row.id for row in found.rows()]
        await found.refresh(shown, NOW, at_top=True)
        wanted = [one.id for one in source._newest_first() if one.runtime_status in ("Running", "Suspended")]
        assert [row.id for row in found.rows()][:PAGE] == wanted[: min(PAGE, len(found))]


def _change(rng: random.Random, source: FakeSource, step: int) -> None:
    for number in range(rng.randrange(5)):
        source.add(instance(f"new-{step}-{number}", -100 * step - number - 1))  # no two at the same time
    for one in rng.sample(list(source.instances), 10):
        if rng.random() < 0.5:
            del source.instances[one]
        else:
            word = rng.choice(["Suspended", "Completed"])
            created = source.instances[one].created_at
            source.add(instance(one, created_at=created, runtime_status=word, updated_at=NOW))


async def test_orders() -> None:
    source = FakeSource(
        instance("b", 1, name="y"),
        instance("a", 2, name="z", updated_at=NOW + timedelta(1)),
        instance("c", 3, name="x"),
    )
    found = listing(source)
    await found.more()
    shown = {}
    for order in ORDERS:
        found.order = order
        shown[order.name] = "".join(row.id for row in found.rows())
    assert shown == {"newest": "bac", "last changed": "abc", "id": "abc", "name": "cba", "status": "abc"}
