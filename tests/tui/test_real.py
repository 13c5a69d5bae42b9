"""The application on a real server, with a real worker."""

from __future__ import annotations

from datetime import timedelta

import pytest

import durastream as ds
from durastream.store.embedded import EmbeddedServer
from durastream.tui.client_source import RETRY_S, ClientSource
from tests.acceptance.serving import LEASE_S, until_status
from tests.conftest import REAL_SERVERS
from tests.support import eventually
from tests.tui.driving import driven

pytestmark = [pytest.mark.anyio, pytest.mark.real_server]


class Cause:
    """Why `charge` fails, as long as it does."""

    gone = False


def an_app() -> ds.App:
    app = ds.App()

    @app.activity
    async def charge(amount: int) -> int:
        if not Cause.gone:
            raise ValueError("card declined")
        return amount

    @app.orchestrator
    async def order(ctx: ds.OrchestrationContext, amount: int) -> int:
        await ctx.create_timer(timedelta(seconds=0.01))
        return await ctx.call_activity(charge, amount)

    @app.orchestrator
    async def approval(ctx: ds.OrchestrationContext, number: int) -> bool:
        return await ctx.wait_for_external_event("decision", type=bool)

    @app.entity
    class Counter:
        value: int = 0

        def add(self, amount: int) -> int:
            self.value += amount
            return self.value

    return app


async def test_the_failed_one_is_found_read_and_rewound(server_url: str) -> None:
    Cause.gone = False
    async with (
        ds.Worker(an_app(), server_url, lease=LEASE_S, grace=0.2),
        ds.Client(server_url, retry_for_s=RETRY_S) as client,
        driven(ClientSource(client, "here")) as top,
    ):
        await client.start_many("approval", range(30))
        handle = await client.start("order", 20, instance_id="order-7")
        await until_status(handle, "Failed")
        await top.press("f")
        await top.shows("order-7", "ValueError")
        await top.press("enter")
        await top.shows("card declined", "charge")
        Cause.gone = True
        await top.press("W")
        await top.shows("Rewind this instance?")
        await top.press("y")
        await top.shows("✔ Completed", "rewound: order-7")
        assert await handle.result(timeout=10) == 20


async def test_thirty_are_suspended_resumed_and_told_an_event(server_url: str) -> None:
    async with (
        ds.Worker(an_app(), server_url, lease=LEASE_S, grace=0.2),
        ds.Client(server_url, retry_for_s=RETRY_S) as client,
        driven(ClientSource(client, "here")) as top,
    ):
        handles = await client.start_many("approval", range(30), instance_ids=[f"leave-{n:02}" for n in range(30)])
        await top.press("slash")
        await top.fill("id:leave status:running")
        await top.shows("30 in all")
        await top.press("a", "P")
        await top.shows("Suspend 30 instances?")
        await top.press("y")
        await top.shows("suspended: 30 of 30", "‖ 30")
        await top.press("slash", *["backspace"] * 40)
        await top.fill("status:suspended")
        await top.shows("30 in all")
        await top.press("a", "U")
        await top.shows("Resume 30 instances?")
        await top.press("y")
        await top.shows("● 30")
        await top.press("slash", *["backspace"] * 40, "enter", "a", "E")
        await top.shows("Raise an event")
        await top.fill("decision", "true")
        await top.shows("✔ 30")
        assert await handles[0].result(timeout=10) is True


async def test_entities_partitions_and_workers(server_url: str) -> None:
    async with (
        ds.Worker(an_app(), server_url, lease=LEASE_S, grace=0.2),
        ds.Client(server_url, retry_for_s=RETRY_S) as client,
        driven(ClientSource(client, "here")) as top,
    ):
        await client.signal_entity(ds.EntityId("Counter", "apples"), "add", 5)
        await top.press("2")
        await top.shows("@Counter@apples", '{"value":5}')
        await top.press("S")
        await top.fill("add", "7")
        await top.shows('{"value":12}')
        await top.press("3")
        await top.shows("16 of 16 partitions are owned")
        await top.press("4")
        await top.shows("1 alive")


@pytest.mark.slow
@pytest.mark.skipif(not REAL_SERVERS, reason="no server on this machine")
async def test_the_server_goes_and_comes_back() -> None:
    with EmbeddedServer.start(next(iter(REAL_SERVERS.values()))) as server:
        async with ds.Client(server.url, retry_for_s=RETRY_S) as client:
            await client.start("approval", 1, instance_id="leave-1")
            async with driven(ClientSource(client, "here")) as top:
                await top.shows("leave-1")
                server.kill()
                await top.shows("no answer, trying again")
                assert "leave-1" in top.text()
                server.restart()
                await eventually(lambda: not top.app.lost, 20)
                await client.start("approval", 2, instance_id="leave-2")
                await top.shows("leave-2")
                await top.hides("trying again")


async def test_who_may_only_look_sends_nothing(server_url: str) -> None:
    """Not even the question which events an instance waits for, which goes through the inbox."""
    async with ds.Worker(an_app(), server_url), ds.Client(server_url) as client:
        handle = await client.start("approval", 1)
        asking, looking = ClientSource(client, "here"), ClientSource(client, "here", read_only=True)
        hub = await asking.server()

        async def told() -> bool:
            return (await asking.instance(handle.id, hub)).awaited == ["decision"]

        await eventually(told)
        assert (await looking.instance(handle.id, hub)).awaited is None
