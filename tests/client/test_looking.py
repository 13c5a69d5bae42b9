"""Finding by prefix, pages of a history, what waits, the server."""

from __future__ import annotations

import random

import pytest

from durastream import wire
from durastream.client import Client, looking
from durastream.core import events as ev
from durastream.core.ids import partition_of
from durastream.core.status import COMPLETED, RUNNING
from durastream.errors import InstanceNotFound
from durastream.store.memory import MemoryServer, MemoryStore
from durastream.store.protocol import Commit, InstanceChange

from .conftest import NOW
from .fakes import FaultyStore, at_random

pytestmark = pytest.mark.anyio

ID = "long-1"


async def write_history(memory: MemoryStore, count: int, timers: tuple[int, ...] = ()) -> None:
    """An instance with a history of so many events."""
    events = [wire.pack_event(ev.EventRaised(NOW + k, f"e{k}", None)) for k in range(count)]
    fields: dict[str, bytes | str | int | None] = {
        "execution_id": "t.0",
        "name": "flow",
        "status": RUNNING,
        "created_at": NOW,
        "updated_at": NOW,
    }
    home = partition_of(ID, memory.hub.partitions)
    lease = await memory.acquire(home, "w", "n", 60_000)
    assert lease is not None
    commit = Commit([InstanceChange(ID, None, fields, (None, RUNNING, NOW), 0, events)])
    commit.timers_add = [(NOW, f"T\n{task}\nt.0\n{ID}") for task in timers]
    commit.activities = [("default", b"x"), ("default", b"y")]
    await memory.commit(lease, 1, commit)


# ---------------------------------------------------------------- history


@pytest.mark.parametrize(
    ("first", "count", "expected"),
    [(None, 3, (7, 3)), (None, 200, (0, 10)), (0, 4, (0, 4)), (8, 100, (8, 2)), (10, 5, (10, 0)), (99, 5, (99, 0))],
)
async def test_a_history_is_read_by_the_page(
    client: Client, memory: MemoryStore, first: int | None, count: int, expected: tuple[int, int]
) -> None:
    await write_history(memory, 10)
    page = await client.history_page(ID, first, count=count)
    assert (page.first, len(page.events)) == expected
    assert [event.name for event in page.events if isinstance(event, ev.EventRaised)] == [
        f"e{page.first + k}" for k in range(len(page.events))
    ]


async def test_going_back_from_the_end_covers_the_whole_history(client: Client, memory: MemoryStore) -> None:
    await write_history(memory, 1_234)
    page = await client.history_page(ID)
    numbers = list(range(page.first, page.first + len(page.events)))
    while page.first:
        page = await client.history_page(ID, max(page.first - 200, 0), count=min(page.first, 200))
        numbers = [*range(page.first, page.first + len(page.events)), *numbers]
    assert numbers == list(range(1_234))


async def test_a_page_of_nothing(client: Client, memory: MemoryStore) -> None:
    await write_history(memory, 1)
    for first in (None, 0, 7):
        with pytest.raises(InstanceNotFound):
            await client.history_page("nobody", first)
    for count in (0, 1_001):
        with pytest.raises(ValueError, match="count must be 1 to 1,000"):
            await client.history_page(ID, count=count)
    with pytest.raises(ValueError, match="first"):
        await client.history_page(ID, -1)


# ---------------------------------------------------------------- find


async def test_find_by_prefix(client: Client) -> None:
    for k in range(130):
        await client.start("flow", instance_id=f"order-{k}")
        await client.start("flow", instance_id=f"*order-{k}")
    assert {one.id async for one in client.find("order-1")} == {
        f"order-{k}" for k in range(130) if str(k).startswith("1")
    }
    assert [one.id async for one in client.find("*order-12")] != []
    newest = [one.id async for one in client.list()]
    assert [one.id async for one in client.find("")] == newest
    assert [one.id async for one in client.find("", limit=7)] == newest[:7]
    assert [one async for one in client.find("", limit=0)] == []
    assert [one async for one in client.find("order", status=COMPLETED)] == []
    assert len([one async for one in client.find("order", status="Pending")]) == 130
    with pytest.raises(ValueError, match="no runtime status"):
        _ = [one async for one in client.find("order", status="failed")]  # type: ignore[arg-type]


async def test_a_prefix_of_very_many_is_found_page_by_page(
    client: Client, store: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "_FOUND_MAX", 50)
    monkeypatch.setattr(looking, "_SCAN", 30)
    for k in range(120):
        await client.start("flow", instance_id=f"order-{k}")
    store.calls.clear()
    assert len([one async for one in client.find("order-", limit=60)]) == 60
    assert "page" in store.calls and "records" not in store.calls
    assert len({one.id async for one in client.find("order-")}) == 120


async def test_payloads_are_left_out_where_nobody_wants_them(client: Client) -> None:
    await client.start("flow", {"n": 1}, instance_id="order-1")
    assert [one.input async for one in client.list()] == [{"n": 1}]
    assert [one.input async for one in client.list(payloads=False)] == [None]
    assert [one.input async for one in client.find("order")] == [{"n": 1}]
    assert [one.input async for one in client.find("order", payloads=False)] == [None]


async def test_what_was_spoilt_by_hand_hides_nothing_else(client: Client, server: MemoryServer) -> None:
    for k in range(9):
        await client.start("flow", instance_id=f"order-{k}", tags={"k": str(k)})
    for place in server.hubs["default"].partitions:
        for field, spoilt in (("failure", b"{"), ("input", b"\xff"), ("tags", b"[1]")):
            for instance_id in {"failure": ("order-1",), "input": ("order-2",), "tags": ("order-3",)}[field]:
                if instance_id in place.instances:
                    place.instances[instance_id].fields[field] = spoilt
    shown = {f"order-{k}" for k in range(9)} - {"order-1", "order-2"}
    assert {one.id async for one in client.list()} == shown
    assert {one.id async for one in client.find("order")} == shown
    assert [one.id async for one in client.list(tags={"k": "4"})] == ["order-4"]


async def test_find_goes_on_through_outages(client: Client, store: FaultyStore) -> None:
    for k in range(50):
        await client.start("flow", instance_id=f"order-{k}")
    seed = random.randrange(1 << 32)
    print("seed", seed)
    store.choose = at_random(seed, 0.3)
    assert len([one async for one in client.find("order-")]) == 50


# ---------------------------------------------------------------- the rest


async def test_what_waits(client: Client, memory: MemoryStore) -> None:
    await write_history(memory, 1)
    waiting = [queue for load in await client.loads() for queue in load.queues]
    assert [(queue.queue, queue.waiting, queue.running) for queue in waiting] == [("default", 2, 0)]


async def test_which_timers_are_still_to_fire(client: Client, memory: MemoryStore) -> None:
    await write_history(memory, 1, timers=(3, 5))
    status = await client.status(ID)
    assert await client.timers_set(status, [3, 4, 5]) == {3, 5}
    assert await client.timers_set(status, []) == frozenset()


async def test_the_server_and_its_time(client: Client) -> None:
    assert await client.now() == NOW
    assert (await client.server_info()).clock == NOW
