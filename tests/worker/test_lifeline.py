"""Claims that dead workers left behind."""

from __future__ import annotations

import asyncio

import pytest

from durastream import wire
from durastream.core.messages import ActivityItem
from durastream.store.memory import MemoryServer
from durastream.store.protocol import Commit
from durastream.worker.lifeline import rescue, the_dead
from tests.worker.rigs import HOUR_MS, memory_server

pytestmark = pytest.mark.anyio


async def test_claims_of_the_dead_are_put_back_and_those_of_the_living_are_not() -> None:
    server = memory_server()
    store = server.store(partitions=1)
    lease = await store.acquire(0, "owner", "n", HOUR_MS)
    assert lease is not None
    item = wire.pack_activity(ActivityItem("i", "t.0", 1, "work", None, None, 1))
    await store.commit(lease, 1, Commit(activities=[("default", item)] * 500))
    await store.heartbeat("living", {}, HOUR_MS)
    assert len(await store.claim_activities("living", ["default"], 50, 0)) == 50
    assert len(await store.claim_activities("dead", ["default"], 450, 0)) == 450
    assert await rescue(store, lease, HOUR_MS) == 450
    again = await store.claim_activities("living", ["default"], 1_000, 0)
    assert {one.died for one in again} == {("dead",)}
    assert await rescue(store, lease, HOUR_MS) == 0


class Clock:
    """A server's clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1_700_000_000_000

    def __call__(self) -> int:
        return self.now


async def test_who_heartbeats_has_not_died_whatever_it_lost() -> None:
    clock = Clock()
    store = MemoryServer(clock).store(partitions=1)
    for name in ("silent", "late", "lives"):
        await store.heartbeat(name, {}, 100)
    await store.heartbeat("left", {}, 100)
    await store.leave("left")
    clock.now += 301
    await store.heartbeat("lives", {}, 100)
    assert await the_dead(store, ["silent", "lives", "left", "unheard of"], 100, 3) == ["left", "silent", "unheard of"]
    assert await the_dead(store, ["silent", "lives", "silent"], 100, 2) == [], "not enough, whatever becomes of them"


@pytest.mark.parametrize("comes_back", [False, True])
async def test_it_waits_until_it_can_be_told(comes_back: bool) -> None:
    """Silent for longer than a lease, but not for three: it may be cut off, and come back."""
    clock = Clock()
    store = MemoryServer(clock).store(partitions=1)
    for name in ("a", "b"):
        await store.heartbeat(name, {}, 100)
    clock.now += 300
    told = asyncio.create_task(the_dead(store, ["a", "b"], 100, 2))
    await asyncio.wait([told], timeout=0.1)
    assert not told.done()
    if comes_back:
        await store.heartbeat("b", {}, 100)
    else:
        clock.now += 1
    assert await told == ([] if comes_back else ["a", "b"])
