"""Rules on a Cluster: every node has its own, and what one of them lacks is found before anything is written."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import durastream as ds
from durastream.errors import AccessDenied
from durastream.inspect.fsck import fsck
from durastream.store.redis.hubs import delete_hub, lacking_rights, list_hubs
from durastream.store.redis.repairs import Repairs
from tests.acl.users import add_user, denied, url_of
from tests.conftest import REAL_SERVERS
from tests.servers.cluster import Cluster

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.real_server]

ROLES = ("worker", "client", "readonly", "operator", "fsck")

app = ds.App()


@app.activity
def double(number: int) -> int:
    return 2 * number


@app.orchestrator
async def child(ctx: ds.OrchestrationContext, number: int) -> int:
    return await ctx.call_activity(double, number)


@app.orchestrator
async def parent(ctx: ds.OrchestrationContext, count: int) -> int:
    return sum(await ds.when_all([ctx.call_sub_orchestrator(child, k) for k in range(count)]))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    if not REAL_SERVERS:
        pytest.skip("no server on this machine")
    with Cluster.start(masters=3) as started:
        yield started


def user(cluster: Cluster, role: str, *rules: str, only: int | None = None) -> str:
    """The URL of a user of this role; changed by `rules` on one node only, or on all."""
    for number, node in enumerate(cluster.nodes):
        add_user(node.url, role, "default", *(rules if only in (None, number) else ()), cluster=True)
    return url_of(cluster.url, f"default-{role}")


async def test_everything_works_under_the_rules_and_nothing_more_is_asked(cluster: Cluster) -> None:
    urls = {role: user(cluster, role) for role in ROLES}
    for node in cluster.nodes:
        denied(node.url)
    async with ds.Worker(app, urls["worker"], lease=1.0), ds.Client(urls["client"]) as client:
        assert await (await client.start(parent, 20)).result(timeout=60) == 380
    async with ds.Client(urls["readonly"]) as reader:
        assert len([one async for one in reader.list()]) == 21
    hub = await Repairs.open(urls["fsck"], "default")
    assert (await fsck(hub)).violations == []
    await hub.close()
    assert await list_hubs(urls["operator"]) == ["default"]
    refused = [one["object"] for node in cluster.nodes for one in denied(node.url)]
    assert set(refused) <= {"config|get", "eval"}, refused
    assert await delete_hub(urls["operator"], "default") > 0


@pytest.mark.parametrize("number", range(3))
async def test_what_one_node_lacks_is_found(cluster: Cluster, number: int) -> None:
    for node in cluster.nodes:
        cluster.ask(node, "FLUSHALL")
    lacking = user(cluster, "worker", "-zadd", only=number)
    assert [one.command for one in await lacking_rights(lacking, "default", "worker")] == ["ZADD"]
    with pytest.raises(AccessDenied, match=r"\+zadd on keys of the hub"):
        async with ds.Worker(app, lacking):
            raise AssertionError("it began")
    assert [cluster.ask(node, "DBSIZE") for node in cluster.nodes] == [0, 0, 0]
