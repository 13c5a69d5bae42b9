"""The hub and its workers."""

from __future__ import annotations

import pytest

from durastream.errors import HubMismatch
from durastream.store.protocol import WorkerStore
from tests.store.conformance.rigs import PARTITIONS, Rig
from tests.store.conformance.values import SHORT_MS, ids_in, inbox, new

pytestmark = pytest.mark.anyio

ABOUT = {"host": "h", "pid": 7, "queues": ["default"], "busy": 0, "ünï": None}


# ---------------------------------------------------------------- hub


async def test_a_new_hub_gets_the_settings_asked_for(rig: Rig) -> None:
    before = await rig.now()
    hub = (await rig.open("orders", partitions=3, retention_ms=5_000)).hub
    assert (hub.name, hub.partitions, hub.retention_ms) == ("orders", 3, 5_000)
    assert before <= hub.created_at <= await rig.now()
    assert hub.payload_bytes_max == 1 << 20


async def test_a_new_hub_gets_defaults(rig: Rig) -> None:
    hub = (await rig.open(partitions=None)).hub
    assert (hub.name, hub.partitions, hub.retention_ms) == ("default", 16, 72 * 3_600_000)


async def test_a_hub_is_opened_with_the_settings_it_has(rig: Rig) -> None:
    first = await rig.open("orders", partitions=3, retention_ms=5_000)
    assert (await rig.open("orders", partitions=None)).hub == first.hub
    assert (await rig.open("orders", partitions=3, retention_ms=5_000)).hub == first.hub


@pytest.mark.parametrize("other", [{"partitions": 5}, {"partitions": None, "retention_ms": 6_000}])
async def test_other_settings_are_a_mismatch(rig: Rig, other: dict[str, int | None]) -> None:
    await rig.open("orders", partitions=3, retention_ms=5_000)
    with pytest.raises(HubMismatch, match="orders"):
        await rig.open("orders", **other)


async def test_hubs_do_not_see_each_other(rig: Rig, store: WorkerStore) -> None:
    other = await rig.open("other", partitions=PARTITIONS)
    (instance_id,) = ids_in(0)
    await store.start(0, [new(instance_id)])
    await store.heartbeat("w1", ABOUT, 1_000)
    assert await store.acquire(0, "w1", "n1", 60_000) is not None
    assert await other.records([instance_id]) == [None]
    assert await inbox(other, 0) == []
    assert await other.workers() == []
    assert not any((await other.counts()).values())
    assert await other.acquire(0, "w1", "n1", 60_000) is not None


async def test_the_time_is_the_servers(rig: Rig, store: WorkerStore) -> None:
    before = await rig.now()
    assert before <= await store.now() <= await rig.now()


# ---------------------------------------------------------------- workers


async def test_a_heartbeat_tells_the_time_and_who_lives(rig: Rig, store: WorkerStore) -> None:
    before = await rig.now()
    now, (me,) = await store.heartbeat("w1", ABOUT, 60_000)
    assert before <= now <= await rig.now()
    assert (me.worker_id, me.seen_at, dict(me.about)) == ("w1", now, ABOUT)
    _, both = await (await rig.open()).heartbeat("w2", {}, 60_000)
    assert sorted(one.worker_id for one in both) == ["w1", "w2"]
    assert sorted(one.worker_id for one in await store.workers()) == ["w1", "w2"]


async def test_a_heartbeat_renews_what_is_known(store: WorkerStore) -> None:
    await store.heartbeat("w1", {"busy": 1}, 60_000)
    _, (me,) = await store.heartbeat("w1", {"busy": 2}, 60_000)
    assert dict(me.about) == {"busy": 2}
    assert await store.workers() == [me]


async def test_a_silent_worker_counts_as_dead_after_the_given_time(rig: Rig, store: WorkerStore) -> None:
    await store.heartbeat("silent", {}, SHORT_MS)

    async def alone() -> bool:
        _, live = await store.heartbeat("w1", {}, SHORT_MS)
        return [one.worker_id for one in live] == ["w1"]

    await rig.eventually(alone)
    _, live = await store.heartbeat("w1", {}, 60_000)
    assert sorted(one.worker_id for one in live) == ["silent", "w1"]


async def test_a_worker_that_leaves_is_gone_at_once(store: WorkerStore) -> None:
    await store.heartbeat("w1", ABOUT, 60_000)
    await store.heartbeat("w2", ABOUT, 60_000)
    for _ in range(2):  # a repeat is harmless
        await store.leave("w1")
    assert [one.worker_id for one in await store.workers()] == ["w2"]
    _, live = await store.heartbeat("w2", ABOUT, 60_000)
    assert [one.worker_id for one in live] == ["w2"]


async def test_nobody_works_in_a_new_hub(store: WorkerStore) -> None:
    assert await store.workers() == []
