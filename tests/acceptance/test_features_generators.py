"""Generator orchestrators have the same features: one test for each kind of thing that can be waited for."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

import durastream as ds
from tests.acceptance.serving import serving, until_status

pytestmark = pytest.mark.anyio

Steps = Generator[Any, Any, Any]


def app_of_generators() -> ds.App:
    app = ds.App()
    tries: list[int] = []

    @app.activity
    async def double(n: int) -> int:
        return 2 * n

    @app.activity
    def second_time(n: int) -> int:
        tries.append(n)
        if len(tries) < 2:
            raise ValueError("not yet")
        return n

    @app.orchestrator
    def child(ctx: ds.OrchestrationContext, n: int) -> Steps:
        result = yield ctx.call_activity(double, n)
        if result > 10:
            raise ValueError("too much")
        return result

    @app.orchestrator
    def everything(ctx: ds.OrchestrationContext, n: int) -> Steps:
        once = yield ctx.call_activity(double, n)
        retried = yield ctx.call_activity(second_time, 5, retry=ds.RetryPolicy(max_attempts=3, first_interval=0.01))
        yield ctx.create_timer(0.01)
        several = yield ds.when_all([ctx.call_sub_orchestrator(child, one) for one in range(3)])
        event = ctx.wait_for_external_event("go")
        winner = yield ds.when_any([event, ctx.create_timer(3600)])
        ctx.set_custom_status("nearly")
        try:
            yield ctx.call_sub_orchestrator(child, 6)
        except ds.SubOrchestrationFailed as error:
            return [once, retried, several, winner is event and event.result(), error.type]

    @app.orchestrator
    def countdown(ctx: ds.OrchestrationContext, n: int) -> Steps:
        yield ctx.call_activity(double, n)
        if n:
            ctx.continue_as_new(n - 1)
        return n

    @app.orchestrator
    def at_once(ctx: ds.OrchestrationContext) -> Steps:
        return "nothing to wait for"
        yield

    return app


async def test_everything_in_one_generator(server_url: str) -> None:
    async with serving(app_of_generators(), server_url) as client:
        handle = await client.start("everything", 4)
        await handle.raise_event("go", "now")
        assert await handle.result(timeout=10) == [8, 5, [0, 2, 4], "now", "ValueError"]
        assert (await handle.status()).custom_status == "nearly"


async def test_generators_are_replayed_by_another_worker(server_url: str) -> None:
    async with ds.Client(server_url) as client:
        async with ds.Worker(app_of_generators(), server_url, lease=1):
            handle = await client.start("everything", 1)
            # started, 1 activity, failed and retried one, timer, 3 children, the race: 2 + 6 + 2 + 6 + 1 events
            await until_status(handle, "Running", events=18)
        async with ds.Worker(app_of_generators(), server_url, lease=1):
            await handle.raise_event("GO", 1)
            assert await handle.result(timeout=10) == [2, 5, [0, 2, 4], 1, "ValueError"]


async def test_loops_and_generators_that_never_yield(server_url: str) -> None:
    async with serving(app_of_generators(), server_url) as client:
        assert await (await client.start("countdown", 20)).result(timeout=10) == 0
        assert await (await client.start("at_once")).result(timeout=10) == "nothing to wait for"


async def test_suspend_terminate_and_rewind_of_generators(server_url: str) -> None:
    async with serving(app_of_generators(), server_url) as client:
        handle = await client.start("everything", 1)
        await until_status(handle, "Running", events=18)
        await handle.suspend()
        await until_status(handle, "Suspended")
        await handle.terminate("enough")
        await until_status(handle, "Terminated", output="enough")
        failed = await client.start("child", 9)
        await until_status(failed, "Failed")
        await failed.rewind()
        await until_status(failed, "Failed")
