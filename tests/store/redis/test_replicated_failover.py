"""`?replicas=1` while Sentinels or a Cluster put a replica in the place of a primary that it could not follow: nothing that was
acknowledged is lost. Without the option it is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from durastream import EntityId
from durastream.client.client import Client
from durastream.errors import StoreUnavailable
from durastream.store.keys import HubKeys
from durastream.store.protocol import Commit, Lease, Parcel
from durastream.store.redis import RedisStore
from durastream.store.slots import slot
from tests.conftest import NO_SERVER, REAL_SERVERS
from tests.servers.cluster import Cluster
from tests.servers.looking import connect
from tests.servers.sentinel import Sentinels
from tests.servers.waiting import until
from tests.store.redis.replicating import cut, mend, messages
from tests.support import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.real_server]

HUB = "default"
PARTITIONS = 16
CALLERS = 40
SOME = 200  # calls
SOON_S = 30

BINARY: list[Any] = [*REAL_SERVERS.values()][:1] or [NO_SERVER]


class Callers:
    """Many who start instances and signal entities, one call after the other, each known by a text in its message."""

    def __init__(self, client: Client) -> None:
        self.acknowledged: list[str] = []
        self._client = client
        self._tasks = [asyncio.create_task(self._call(number)) for number in range(CALLERS)]

    async def _call(self, caller: int) -> None:
        for number in range(100_000):
            tag = f"call-{caller}-{number}-"
            if caller % 2:
                await self._client.start("x", instance_id=tag)
            else:
                await self._client.signal_entity(EntityId("Counter", tag), "add", 1)
            self.acknowledged.append(tag)

    async def more(self, count: int = SOME) -> None:
        """Until so many more have been acknowledged."""
        wanted = len(self.acknowledged) + count

        def enough() -> bool:
            for task in self._tasks:
                if task.done():
                    task.result()
            return len(self.acknowledged) >= wanted

        await eventually(enough, SOON_S, what="calls are answered")

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)


class SentinelPlace:
    def __init__(self, sentinels: Sentinels) -> None:
        self.url = sentinels.url
        self.primary = sentinels.nodes[0]
        self._sentinels = sentinels

    def replace(self) -> None:
        """Kill the primary; return when another has its place."""
        self.primary.kill()
        self._sentinels.wait_for_primary()

    def revive(self) -> None:
        """The old one comes back, as a replica."""
        self._sentinels.restart(self.primary)


class ClusterPlace:
    """`primary`: the master of partition 0, one of three."""

    def __init__(self, cluster: Cluster) -> None:
        self.url = cluster.url
        self._slot = slot(HubKeys(HUB, 1).partitions[0].inbox)
        self.primary = cluster.master_of(self._slot)
        self._cluster = cluster

    def replace(self) -> None:
        self._cluster.kill(self.primary)
        until(lambda: self._cluster.master_of(self._slot) is not self.primary, "a replica takes over")
        self._cluster.wait_until_ok()

    def revive(self) -> None:
        self._cluster.restart(self.primary)


@contextmanager
def place(kind: str, binary: str) -> Iterator[SentinelPlace | ClusterPlace]:
    if kind == "sentinel":
        with Sentinels.start(binary) as sentinels:
            yield SentinelPlace(sentinels)
    else:
        with Cluster.start(binary, masters=3, replicas=1) as cluster:
            yield ClusterPlace(cluster)


async def fail_over(
    where: SentinelPlace | ClusterPlace, callers: Callers, waited_in_vain: Callable[[], bool] | None
) -> None:
    """The replica loses the link, work goes on for a while, and then the primary is no more."""
    await callers.more()
    cut(where.primary)
    if waited_in_vain:
        await eventually(waited_in_vain, SOON_S, what="calls are written that are not acknowledged")
    else:
        await callers.more()
    await asyncio.to_thread(where.replace)
    await asyncio.to_thread(where.revive)
    await callers.more()


@pytest.mark.parametrize("kind", ["sentinel", "cluster"])
@pytest.mark.parametrize("strict", [True, False], ids=["strict", "plain"])
@pytest.mark.parametrize("binary", BINARY, ids=["server"])
async def test_what_was_acknowledged_outlives_a_failover(
    binary: str, kind: str, strict: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with place(kind, binary) as where:
        url = where.url + ("?replicas=1&replicas_timeout=0.3" if strict else "")
        async with Client(url, hub=HUB, retry_for_s=60) as client:
            callers = Callers(client)
            try:
                in_vain = (lambda: "not acknowledged" in caplog.text) if strict else None
                await asyncio.wait_for(fail_over(where, callers, in_vain), 4 * SOON_S)
            finally:
                await callers.stop()
        with connect(where.url) as server:
            blobs: Any = messages(server, HUB, PARTITIONS)
    counts = {tag: sum(tag.encode() in blob for blob in blobs) for tag in callers.acknowledged}
    lost = [tag for tag, count in counts.items() if not count]
    assert len(counts) >= 2 * SOME
    assert not [tag for tag, count in counts.items() if count > 1], "each once"
    if strict:
        assert lost == []
    else:
        assert len(lost) > 0, "without the option this is what is lost"


@pytest.mark.parametrize("binary", BINARY, ids=["server"])
async def test_in_a_cluster_nothing_is_passed_on_that_a_replica_lacks(binary: str) -> None:
    """What one server has passed on or deleted for good, another may lose: so the reply comes once a replica has it."""
    with place("cluster", binary) as where:
        store = await RedisStore.open(where.url + "?replicas=1&replicas_timeout=0.3", HUB, role="worker")

        async def refused_and_then_done(call: Callable[[], Awaitable[Any]]) -> Any:
            cut(where.primary)
            with pytest.raises(StoreUnavailable, match="0 of the 1 replicas"):
                await asyncio.wait_for(call(), SOON_S)
            mend(where.primary)
            return await asyncio.wait_for(call(), SOON_S)

        try:
            lease = await refused_and_then_done(lambda: store.acquire(0, "w", "nonce", 600_000))
            assert isinstance(lease, Lease)
            sends = Commit(outbox=[(1, b"message")])
            await refused_and_then_done(lambda: store.commit(lease, 1, sends))
            parcel = Parcel("p1", (1, ""), [(1, b"from another")])
            await refused_and_then_done(lambda: store.deliver_all(0, [parcel]))
            assert len(await store.outbox(lease, (0, 0), 10)) == 1
        finally:
            await store.close()
        with connect(where.url) as server:
            assert messages(server, HUB, PARTITIONS) == [b"from another"]


@pytest.mark.parametrize("binary", BINARY, ids=["server"])
async def test_in_a_cluster_an_ingress_entry_is_taken_once_a_replica_has_it(binary: str) -> None:
    """Then it is deleted at another server, which may keep its newest writes while this one loses them."""
    with place("cluster", binary) as where:
        store = await RedisStore.open(where.url + "?replicas=1&replicas_timeout=0.3", HUB, role="worker")
        try:
            lease = await store.acquire_ingress("w", "nonce", 60_000)
            assert lease is not None
            cut(where.primary)
            entries = [("1-1", b"first")]
            with pytest.raises(StoreUnavailable, match="0 of the 1 replicas"):
                await asyncio.wait_for(store.route(0, lease, entries, [], turn=1), SOON_S)
            mend(where.primary)
            assert await asyncio.wait_for(store.route(0, lease, entries, [], turn=1), SOON_S) == [None]
        finally:
            await store.close()
        with connect(where.url) as server:
            assert messages(server, HUB, PARTITIONS) == [b"first"]
