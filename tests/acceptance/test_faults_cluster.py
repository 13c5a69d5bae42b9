"""A Cluster and Sentinels under faults, with worker processes and a client that go on meanwhile: slots are moved, a master is
killed and comes back, a replica takes over. Everything completes, every outcome is recorded once, nothing is left over.

Replicas follow their masters within a fraction of a millisecond here, and SIGKILL leaves what was sent to them in the kernel, so
nothing acknowledged is lost either. Where Sentinels replace a primary that lives, it goes on for a moment beside the new one:
what it takes then is lost (docs/cluster.md).

On the first kind of server of this machine; with DURASTREAM_LONG=1 on all.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

import durastream as ds
from durastream.core.ids import partition_of
from durastream.store.keys import HubKeys
from durastream.store.redis.hubs import PARTITIONS
from durastream.store.slots import slot
from tests.acceptance import kill_app, oracle
from tests.acceptance.processes import fleet
from tests.conftest import NO_SERVER, REAL_SERVERS
from tests.servers.cluster import Cluster
from tests.servers.sentinel import Sentinels
from tests.servers.waiting import until
from tests.support import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.real_server]

TARGET = "tests.acceptance.kill_app:app"
SERVERS = dict(list(REAL_SERVERS.items())[: None if os.environ.get("DURASTREAM_LONG") else 1])
KINDS: list[Any] = [*SERVERS.values()] or [NO_SERVER]
AFTER = 50  # starts once the fault is over
SLOTS = sorted({slot(names.inbox) for names in HubKeys("default", PARTITIONS).partitions})


@pytest.fixture(params=KINDS, ids=[*SERVERS] or None)
def binary(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def cluster(binary: str) -> Iterator[Cluster]:
    with Cluster.start(binary) as started:
        yield started


def _until_another(ask: Callable[[], object], old: object) -> None:
    until(lambda: ask() is not old, "another master")


async def run(url: str, fault: Callable[[], object], *, count: int = 300, lost_max: int = 0) -> None:
    """Starts come before, during and after the fault, which runs in a thread of its own. Of those that were acknowledged before
    its end so many may be gone; the rest must be whole."""
    with fleet(url, TARGET, 2) as workers:
        for worker in workers:
            await worker.until_serving()
        async with ds.Client(url, retry_for_s=60) as client:
            handles: list[ds.Handle[int]] = []
            harm = asyncio.create_task(asyncio.to_thread(fault))
            while len(handles) < count or not harm.done():
                handles += await client.start_many(kill_app.work, range(len(handles), len(handles) + 10))
                await asyncio.sleep(0.02)  # time must pass: there is work at every moment of the fault
            await harm
            handles += await client.start_many(kill_app.work, range(len(handles), len(handles) + AFTER))
            inputs = await _still_there(client, handles) if lost_max else dict(enumerate(handles))
            assert len(inputs) >= len(handles) - lost_max
            results = await oracle.finish(client, url, list(inputs.values()), timeout=60)
            assert results == [kill_app.expected(n) for n in inputs]
            await oracle.quiet(url)
            assert await oracle.check_all(client, (handle.id for handle in inputs.values())) == []
            counts = await client.counts()
            assert counts["Completed"] == 2 * len(inputs) == sum(counts.values())


async def _still_there(client: ds.Client, handles: list[ds.Handle[int]]) -> dict[int, ds.Handle[int]]:
    """Number → handle of those whose record exists."""
    found = {}
    for number, handle in enumerate(handles):
        with suppress(ds.InstanceNotFound):
            await handle.status()
            found[number] = handle
    print(f"{len(handles) - len(found)} of {len(handles)} acknowledged starts are gone")
    assert {*range(len(handles) - AFTER, len(handles))} <= found.keys()  # what was begun later is safe
    return found


@pytest.mark.parametrize("path", REAL_SERVERS.values() or KINDS, ids=[*REAL_SERVERS] or None)
async def test_slots_are_moved_under_load(path: str) -> None:
    """Every partition goes round all masters, one slot after the other."""
    with Cluster.start(path) as cluster:
        await _go_round(cluster)


async def _go_round(cluster: Cluster) -> None:

    def move() -> None:
        for _ in range(2):
            for number in SLOTS:
                here = cluster.master_of(number)
                there = cluster.nodes[(cluster.nodes.index(here) + 1) % len(cluster.nodes)]
                cluster.move_slots([number], here, there)

    await run(cluster.url, move)


async def test_a_master_is_killed_and_comes_back(cluster: Cluster) -> None:
    def bounce() -> None:
        node = cluster.master_of(SLOTS[0])
        cluster.kill(node)
        cluster.restart(node)

    await run(cluster.url, bounce)


async def test_partitions_of_other_masters_go_on_while_one_is_down(cluster: Cluster) -> None:
    hub = slot(HubKeys("default", 0).settings)
    down = next(node for node in cluster.nodes if node is not cluster.master_of(hub))
    lost = set(cluster.slots_of(down))
    names = HubKeys("default", PARTITIONS).partitions

    def is_up(instance_id: str) -> bool:
        # Its own partition, and that of the sub-orchestration: simple work has none.
        return slot(names[partition_of(instance_id, PARTITIONS)].inbox) not in lost

    app = ds.App()

    @app.orchestrator
    async def nap(ctx: ds.OrchestrationContext) -> str:
        await ctx.create_timer(0.05)
        return "slept"

    async with ds.Worker(app, cluster.url, lease=2.0), ds.Client(cluster.url) as client:
        await eventually(lambda: _all_owned(client), 10)
        cluster.kill(down)
        ids = [one for one in (f"nap-{n}" for n in range(60)) if is_up(one)]
        handles = [await client.start(nap, instance_id=one) for one in ids]
        assert await client.wait_all(handles, timeout=20) == ["slept"] * len(ids)
        await asyncio.to_thread(cluster.restart, down)
        others = [one for one in (f"nap-{n}" for n in range(60)) if not is_up(one)]
        handles = [await client.start(nap, instance_id=one) for one in others]
        assert await client.wait_all(handles, timeout=20) == ["slept"] * len(others)


async def _all_owned(client: ds.Client) -> bool:
    return all(one.owner is not None for one in await client.partitions())


async def test_a_replica_takes_over_from_a_killed_master(binary: str) -> None:
    with Cluster.start(binary, replicas=1) as cluster:

        def kill() -> None:
            node = cluster.master_of(SLOTS[0])
            cluster.kill(node)
            _until_another(lambda: cluster.master_of(SLOTS[0]), node)
            cluster.restart(node)

        await run(cluster.url, kill)


async def test_a_replica_is_made_master_by_hand(binary: str) -> None:
    with Cluster.start(binary, replicas=1) as cluster:

        def swap() -> None:
            for replica in cluster.nodes[3:]:
                cluster.failover(replica)

        await run(cluster.url, swap)


async def test_a_primary_is_killed(binary: str) -> None:
    with Sentinels.start(binary) as sentinels:
        await run(sentinels.url, sentinels.kill_primary)


@pytest.mark.parametrize("strict", [False, True], ids=["loose", "strict"])
async def test_sentinels_replace_a_primary_that_lives(binary: str, strict: bool) -> None:
    """One that writes only while it has a replica stops when its replica is promoted: milliseconds are lost, not seconds."""
    options = ("--min-replicas-to-write", "1") if strict else ()
    with Sentinels.start(binary, extra_args=options) as sentinels:
        await run(sentinels.url, sentinels.failover, lost_max=30 if strict else 100_000)
