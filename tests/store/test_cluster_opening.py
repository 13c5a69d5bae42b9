"""Hubs of a Cluster are opened while a master is down: what lies there waits, and nothing else does."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest

import durastream as ds
from durastream.core.ids import partition_of
from durastream.errors import AccessDenied, StoreUnavailable
from durastream.store.keys import HUBS, HubKeys
from durastream.store.redis.hubs import PARTITIONS, create_hub, delete_hub, hub_info, lacking_rights, list_hubs
from durastream.store.slots import slot
from tests.acl.users import add_user, url_of
from tests.conftest import NO_SERVER, REAL_SERVERS
from tests.servers.cluster import Cluster

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.real_server]

HUB = "default"
HOME = slot(HubKeys(HUB, 0).settings)

app = ds.App()


@app.orchestrator
async def double(ctx: ds.OrchestrationContext, number: int) -> int:
    return 2 * number


BINARY: list[Any] = [*REAL_SERVERS.values()][:1] or [NO_SERVER]


@pytest.fixture(params=BINARY, ids=["server"])
async def cluster(request: pytest.FixtureRequest) -> AsyncIterator[Cluster]:
    started = await asyncio.to_thread(Cluster.start, request.param)
    try:
        yield started
    finally:
        await asyncio.to_thread(started.stop)


def _down(cluster: Cluster, *, home: bool) -> int:
    """Place in `nodes` of the master of the hub's own slot, or of the first one that is not."""
    return next(k for k, node in enumerate(cluster.nodes) if (HOME in cluster.slots_of(node)) is home)


def _elsewhere(cluster: Cluster, down: int) -> str:
    """An instance whose partition is served by another master."""
    lost = {*cluster.slots_of(cluster.nodes[down])}
    names = HubKeys(HUB, PARTITIONS).partitions
    ids = (f"x-{n}" for n in range(1_000))
    return next(one for one in ids if slot(names[partition_of(one, PARTITIONS)].inbox) not in lost)


@pytest.mark.parametrize("how", ["killed", "frozen"])
async def test_workers_and_clients_open_while_another_master_is_down(
    cluster: Cluster, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    await create_hub(cluster.url, HUB)
    down = _down(cluster, home=False)
    node, instance_id = cluster.nodes[down], _elsewhere(cluster, down)
    if how == "killed":
        cluster.kill(node)
    else:
        os.kill(node.pid, signal.SIGSTOP)
    async with asyncio.timeout(60):
        with caplog.at_level(logging.WARNING, "durastream.store"):
            async with ds.Worker(app, cluster.url, lease=2.0), ds.Client(cluster.url) as client:
                assert await (await client.start(double, 21, instance_id=instance_id)).result(timeout=30) == 42
        assert [text for _, _, text in caplog.record_tuples if f"the master at 127.0.0.1:{node.port}" in text]
        assert (await hub_info(cluster.url, HUB)).name == HUB
        with pytest.raises(StoreUnavailable, match=f"127.0.0.1:{node.port}"):
            await delete_hub(cluster.url, HUB)
        with pytest.raises(StoreUnavailable, match=f"127.0.0.1:{node.port}"):
            await lacking_rights(cluster.url, HUB, "client")


async def test_the_master_of_the_settings_has_to_be_there(cluster: Cluster) -> None:
    await create_hub(cluster.url, HUB)
    node = cluster.nodes[_down(cluster, home=True)]
    cluster.kill(node)
    for opened in (ds.Client(cluster.url), ds.Worker(app, cluster.url)):
        with pytest.raises(StoreUnavailable, match=f"127.0.0.1:{node.port}"):
            async with asyncio.timeout(60), opened:
                raise AssertionError("it was opened")


async def test_hubs_are_listed_while_a_master_is_down_that_has_no_list(cluster: Cluster) -> None:
    await create_hub(cluster.url, HUB)
    lists = cluster.master_of(slot(HUBS))
    cluster.kill(next(node for node in cluster.nodes if node is not lists))
    assert await list_hubs(cluster.url) == [HUB]


async def test_what_is_lacking_at_a_master_that_answers_is_found(cluster: Cluster) -> None:
    await create_hub(cluster.url, HUB)
    down = _down(cluster, home=False)
    for number, node in enumerate(cluster.nodes):
        add_user(node.url, "client", HUB, *(() if number == down else ("-evalsha",)), cluster=True)
    cluster.kill(cluster.nodes[down])
    with pytest.raises(AccessDenied, match=r"\+evalsha"):
        async with asyncio.timeout(60), ds.Client(url_of(cluster.url, f"{HUB}-client")):
            raise AssertionError("it was opened")
