"""Claims that dead workers left behind."""

from __future__ import annotations

import pytest

from durastream import wire
from durastream.core.messages import ActivityItem
from durastream.store.protocol import Commit
from durastream.worker.lifeline import rescue
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
    assert [one.deliveries for one in again] == [1] * 450
    assert await rescue(store, lease, HOUR_MS) == 0
