"""What a deploy can do to live instances: changed code, missing orchestrators and activities, several versions."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest

import durastream as ds
from tests.acceptance.oracle import leftovers
from tests.acceptance.serving import serving, until, until_status
from tests.servers.looking import connect

pytestmark = pytest.mark.anyio


def app_of(steps: list[str], *, version: str | None = None) -> ds.App:
    """An orchestrator that does these steps, one after the other, and then waits for an event."""
    app = ds.App()

    @app.activity
    async def first() -> str:
        return "first"

    @app.activity
    async def second() -> str:
        return "second"

    @app.orchestrator(version=version)
    async def work(ctx: ds.OrchestrationContext) -> list[str]:
        done = [await ctx.call_activity(step, return_type=str) for step in steps]
        return [*done, await ctx.wait_for_external_event("go", type=str)]

    @app.orchestrator
    async def child(ctx: ds.OrchestrationContext) -> None:
        await ctx.wait_for_external_event("never")

    @app.orchestrator
    async def parent(ctx: ds.OrchestrationContext) -> None:
        ctx.create_timer(3600)
        children = [ctx.call_sub_orchestrator(child, instance_id=f"{ctx.instance_id}-{n}") for n in range(2)]
        if steps == ["second"]:
            ctx.call_activity(first)
        await ds.when_all(children)

    return app


async def begun_with(app: ds.App, url: str, client: ds.Client, name: str, *, events: int) -> ds.Handle[Any]:
    """An instance that a worker with this app has brought to where its history has so many events; that worker is gone."""
    async with ds.Worker(app, url, lease=1):
        handle = await client.start(name, instance_id=name)
        await until_status(handle, "Running", events=events)
    return handle


async def test_changed_code_parks_the_instance_visibly_and_old_code_continues_it(server_url: str) -> None:
    async with ds.Client(server_url) as client:
        handle = await begun_with(app_of(["first"]), server_url, client, "work", events=3)
        async with ds.Worker(app_of(["second"]), server_url, lease=1):
            await handle.raise_event("go", "kept")
            status = await until_status(handle, "Suspended")
            assert status.problem["kind"] == "nondeterminism"
            for part in ("event 1", "activity 'first'", "activity 'second'", "Usual causes"):
                assert part in status.problem["message"]
            others = [await client.start("work") for _ in range(5)]
            for other in others:
                await other.raise_event("go", "x")
            assert await client.wait_all(others, timeout=10) == [["second", "x"]] * 5
            await handle.resume()  # the code is still the wrong one
            await until_status(handle, "Suspended")
        async with ds.Worker(app_of(["first"]), server_url, lease=1):
            assert await handle.result(timeout=10) == ["first", "kept"]
            assert (await handle.status()).problem is None
            await until(lambda: not leftovers(server_url))


async def test_a_removed_and_an_added_step_are_found_too(server_url: str) -> None:
    async with ds.Client(server_url) as client:
        handle = await begun_with(app_of(["first", "second"]), server_url, client, "work", events=5)
        for steps in (["first"], ["first", "first", "second"]):
            async with ds.Worker(app_of(steps), server_url, lease=1):
                await handle.resume()
                status = await until_status(handle, "Suspended")
                assert status.problem["kind"] == "nondeterminism"
        async with ds.Worker(app_of(["first", "second", "second"]), server_url, lease=1):
            # One more step at the end: its history ends before that, but it waits for an event there.
            await handle.resume()
            await until_status(handle, "Suspended")
            await handle.terminate("given up")
            await until_status(handle, "Terminated", output="given up", problem=None)


async def test_resume_tries_a_parked_instance_again(server_url: str) -> None:
    steps = ["first"]
    app = ds.App()

    @app.activity
    async def first() -> str:
        return "first"

    @app.activity
    async def second() -> str:
        return "second"

    @app.orchestrator
    async def work(ctx: ds.OrchestrationContext) -> list[str]:
        return [await ctx.call_activity(steps[0], return_type=str), await ctx.wait_for_external_event("go", type=str)]

    async with ds.Client(server_url) as client:
        handle = await begun_with(app, server_url, client, "work", events=3)
        async with ds.Worker(app, server_url, lease=1):
            steps[0] = "second"
            await handle.raise_event("go", "on")
            await until_status(handle, "Suspended")
            steps[0] = "first"
            await handle.resume()
            assert await handle.result(timeout=10) == ["first", "on"]


async def test_terminate_of_a_parked_parent_ends_its_children_and_timers(server_url: str) -> None:
    async with ds.Client(server_url) as client:
        handle = await begun_with(app_of([]), server_url, client, "parent", events=4)
        async with ds.Worker(app_of(["second"]), server_url, lease=1):
            await handle.raise_event("anything")
            await until_status(handle, "Suspended")
            await handle.terminate("family")
            for one in ("parent", "parent-0", "parent-1"):
                await until_status(client.handle(one), "Terminated", output="family")
            await until(lambda: not leftovers(server_url))


async def test_replace_of_a_parked_parent_ends_its_children_and_starts_anew(server_url: str) -> None:
    async with ds.Client(server_url) as client:
        handle = await begun_with(app_of([]), server_url, client, "parent", events=4)
        async with ds.Worker(app_of(["second"]), server_url, lease=1):
            await handle.raise_event("anything")
            await until_status(handle, "Suspended")
            await client.start("work", instance_id="parent", if_exists="replace")
            await until_status(client.handle("parent-0"), "Terminated")
            await handle.raise_event("go", "new")
            assert await handle.result(timeout=10) == ["second", "new"]


async def test_an_instance_keeps_its_version_when_a_higher_one_is_deployed(server_url: str) -> None:
    both = app_of(["first"], version="1")

    @both.orchestrator(name="work", version="2")
    async def work_2(ctx: ds.OrchestrationContext) -> str:
        return "two"

    async with ds.Client(server_url) as client:
        handle = await begun_with(app_of(["first"], version="1"), server_url, client, "work", events=3)
        async with ds.Worker(both, server_url, lease=1):
            await handle.raise_event("go", "one")
            assert await handle.result(timeout=10) == ["first", "one"]
            assert await (await client.start("work")).result(timeout=10) == "two"
            assert (await handle.status()).version == "1"


# ---------------------------------------------------------------- what no worker has


@asynccontextmanager
async def bounded(url: str, *, commands: int, lines: int, caplog: pytest.LogCaptureFixture) -> AsyncIterator[None]:
    """No spinning: at most so many commands at the server, and log lines, while this lasts."""
    with connect(url) as server:
        before = server.info("stats")["total_commands_processed"]
        logged = len(caplog.records)
        yield
        used = server.info("stats")["total_commands_processed"] - before
    assert used <= commands, f"{used} commands"
    assert len(caplog.records) - logged <= lines, [record.getMessage() for record in caplog.records[logged:]]


async def test_an_unknown_orchestrator_waits_for_a_worker_that_has_it(
    server_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="durastream")
    async with serving(app_of([]), server_url) as client:
        handles = [await client.start("later", n) for n in range(10)]
        for handle in handles:
            status = await until_status(handle, "Pending")
            await until(partial(_problem, handle))
        status = await handles[0].status()
        assert status.problem["kind"] == "unknown-orchestrator"
        for part in ("'later'", "child, parent, work"):
            assert part in status.problem["message"]
        async with bounded(server_url, commands=400, lines=2, caplog=caplog):
            await asyncio.sleep(1)  # time must pass: what is counted is what happens while nothing is to be done

        app = ds.App()

        @app.activity
        async def step(n: int) -> int:
            return n

        @app.orchestrator
        async def later(ctx: ds.OrchestrationContext, n: int) -> int:
            for _ in range(5):
                await ctx.call_activity(step, n)
                await ctx.create_timer(0.05)
            return n

        async with ds.Worker(app, server_url, lease=1):
            assert await client.wait_all(handles, timeout=20) == list(range(10))
            known = await client.start("work")
            await known.raise_event("go", "still served")
            assert await known.result(timeout=10) == ["still served"]
        assert (await handles[0].status()).problem is None
    parked = [record for record in caplog.records if record.getMessage().startswith("parked")]
    assert len(parked) <= 40  # about one for each instance; a few more while partitions move


async def _problem(handle: ds.Handle[Any]) -> Any:
    return (await handle.status()).problem


async def test_an_unknown_version_waits_for_a_worker_that_has_it(server_url: str) -> None:
    async with serving(app_of(["first"], version="1"), server_url) as client:
        handle = await client.start("work", version="2")
        await until(lambda: _problem(handle))
        async with ds.Worker(app_of(["second"], version="2"), server_url, lease=1):
            await handle.raise_event("go", "two")
            assert await handle.result(timeout=15) == ["second", "two"]
            mine = await client.start("work", version="1")
            await mine.raise_event("go", "one")
            assert await mine.result(timeout=15) == ["first", "one"]


async def test_an_unknown_activity_waits_for_a_worker_that_has_it(
    server_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="durastream")
    lacking, having = ds.App(), ds.App()

    @lacking.orchestrator
    async def asks(ctx: ds.OrchestrationContext, n: int) -> int:
        return await ctx.call_activity("rare", n, return_type=int)

    @lacking.activity
    async def common(n: int) -> int:
        return n

    @having.activity
    async def rare(n: int) -> int:
        return n * 2

    async with serving(lacking, server_url) as client:
        handles = await client.start_many(asks, range(20))
        await until(lambda: _all_split(client))
        async with bounded(server_url, commands=400, lines=2, caplog=caplog):
            await asyncio.sleep(1)  # time must pass: what is counted is what happens while nothing is to be done
        async with ds.Worker(having, server_url, lease=1):
            assert await client.wait_all(handles, timeout=15) == [2 * n for n in range(20)]
            assert await (await client.start(asks, 21)).result(timeout=15) == 42
    warnings = [one for one in caplog.messages if "no activity 'rare'" in one]
    assert len(warnings) <= 2, "once in each worker that lacks it"


async def _all_split(client: ds.Client) -> bool:
    store = client._session.store
    queues = [await store.queues(partition) for partition in range(client.hub.partitions)]
    return sum(one.activities for one in await store.leases()) == 20 and any("default/rare" in one for one in queues)
