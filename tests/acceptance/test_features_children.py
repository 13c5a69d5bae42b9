"""Sub-orchestrations from end to end: results, failures, retries, and the end of a whole family."""

from __future__ import annotations

from typing import Any

import pytest

import durastream as ds
from tests.acceptance.serving import Gate, serving, until, until_status

pytestmark = pytest.mark.anyio


async def test_children_on_every_partition_give_their_results_once(server_url: str) -> None:
    app = ds.App()

    @app.activity
    async def square(n: int) -> int:
        return n * n

    @app.orchestrator
    async def child(ctx: ds.OrchestrationContext, n: int) -> list[Any]:
        return [await ctx.call_activity(square, n), ctx.parent_id]

    @app.orchestrator
    async def parent(ctx: ds.OrchestrationContext) -> list[int]:
        results = await ds.when_all([ctx.call_sub_orchestrator(child, n) for n in range(60)])
        assert {one[1] for one in results} == {ctx.instance_id}
        return [one[0] for one in results]

    async with serving(app, server_url) as client:
        handle = await client.start(parent, instance_id="mother")
        assert await handle.result(timeout=10) == [n * n for n in range(60)]
        children = [one async for one in client.list(name="child")]
        assert len(children) == 60
        assert len({one.partition for one in children}) > 8
        assert {one.parent_id for one in children} == {"mother"}


async def test_a_failing_child_fails_its_parent_with_what_went_wrong_below(server_url: str) -> None:
    app = ds.App()

    @app.activity
    async def broken() -> None:
        raise ValueError("deep down")

    @app.orchestrator
    async def child(ctx: ds.OrchestrationContext) -> None:
        await ctx.call_activity(broken)

    @app.orchestrator
    async def parent(ctx: ds.OrchestrationContext) -> None:
        await ctx.call_sub_orchestrator(child)

    async with serving(app, server_url) as client:
        with pytest.raises(ds.OrchestrationFailed) as caught:
            await (await client.start(parent)).result(timeout=10)
    types, failure = [], caught.value.failure
    while True:
        types.append(failure.type)
        if not failure.causes:
            break
        failure = failure.causes[0]
    assert types == ["SubOrchestrationFailed", "ActivityFailed", "ValueError"]
    assert failure.message == "deep down"


async def test_a_retried_child_takes_the_id_that_its_failed_attempt_has_freed(server_url: str) -> None:
    app = ds.App()
    tries: list[str] = []

    @app.activity
    async def third_time_lucky() -> str:
        tries.append("try")
        if len(tries) < 3:
            raise ValueError(f"try {len(tries)}")
        return "lucky"

    @app.orchestrator
    async def child(ctx: ds.OrchestrationContext) -> str:
        return await ctx.call_activity(third_time_lucky)

    @app.orchestrator
    async def parent(ctx: ds.OrchestrationContext) -> str:
        policy = ds.RetryPolicy(max_attempts=3, first_interval=0.01)
        return await ctx.call_sub_orchestrator(child, instance_id="the-child", retry=policy)

    async with serving(app, server_url) as client:
        assert await (await client.start(parent)).result(timeout=10) == "lucky"
        status = await client.status("the-child")
        assert (status.runtime_status, status.output, status.failure) == ("Completed", "lucky", None)


async def test_a_child_cannot_take_the_id_of_a_running_instance(server_url: str) -> None:
    app = ds.App()

    @app.orchestrator
    async def waits(ctx: ds.OrchestrationContext) -> str:
        return await ctx.wait_for_external_event("go", type=str)

    @app.orchestrator
    async def parent(ctx: ds.OrchestrationContext) -> str:
        try:
            await ctx.call_sub_orchestrator(waits, instance_id="taken")
        except ds.SubOrchestrationFailed as error:
            return error.type
        return "?"

    async with serving(app, server_url) as client:
        taken = await client.start(waits, instance_id="taken")
        assert await (await client.start(parent)).result(timeout=10) == "InstanceExists"
        await taken.raise_event("go", "untouched")
        assert await taken.result(timeout=10) == "untouched"


async def test_terminate_goes_down_to_grandchildren_also_those_just_being_started(server_url: str) -> None:
    app = ds.App()

    @app.orchestrator
    async def leaf(ctx: ds.OrchestrationContext) -> None:
        await ctx.wait_for_external_event("never")

    @app.orchestrator
    async def branch(ctx: ds.OrchestrationContext) -> None:
        await ds.when_all([ctx.call_sub_orchestrator(leaf) for _ in range(5)])

    @app.orchestrator
    async def root(ctx: ds.OrchestrationContext) -> None:
        await ds.when_all([ctx.call_sub_orchestrator(branch) for _ in range(5)])

    async def tree_is(client: ds.Client, status: str) -> bool:
        counts = await client.counts()
        return counts[status] == 31 and sum(counts.values()) == 31  # type: ignore[index]

    async with serving(app, server_url) as client:
        grown = await client.start(root)
        await until(lambda: tree_is(client, "Running"))
        await grown.terminate("storm")
        await until(lambda: tree_is(client, "Terminated"))
        assert {one.output async for one in client.list()} == {"storm"}

        sudden = [await client.start(root) for _ in range(5)]
        for handle in sudden:
            await handle.terminate("at once", check=False)

        async def nothing_lives() -> bool:
            counts = await client.counts()
            return not counts["Running"] and not counts["Pending"]

        await client._session.waits.wait_all([handle._ending for handle in sudden], 10)
        await until(nothing_lives)


async def test_terminate_without_recursion_leaves_the_children_running(server_url: str) -> None:
    app = ds.App()

    @app.orchestrator
    async def child(ctx: ds.OrchestrationContext) -> str:
        return await ctx.wait_for_external_event("go", type=str)

    @app.orchestrator
    async def parent(ctx: ds.OrchestrationContext) -> None:
        await ctx.call_sub_orchestrator(child, instance_id="orphan")

    async with serving(app, server_url) as client:
        handle = await client.start(parent)
        orphan = client.handle("orphan")
        await until_status_of_new(orphan)
        await handle.terminate(recursive=False)
        await until_status(handle, "Terminated")
        await orphan.raise_event("go", "alone")
        assert await orphan.result(timeout=10) == "alone"


async def until_status_of_new(handle: ds.Handle[Any]) -> None:
    async def runs() -> bool:
        try:
            return (await handle.status()).runtime_status == "Running"
        except ds.InstanceNotFound:
            return False

    await until(runs)


async def test_a_terminated_child_fails_its_parent(server_url: str) -> None:
    app = ds.App()

    @app.orchestrator
    async def child(ctx: ds.OrchestrationContext) -> None:
        await ctx.wait_for_external_event("never")

    @app.orchestrator
    async def parent(ctx: ds.OrchestrationContext) -> str:
        try:
            await ctx.call_sub_orchestrator(child, instance_id="victim")
        except ds.SubOrchestrationFailed as error:
            return error.type
        return "?"

    async with serving(app, server_url) as client:
        handle = await client.start(parent)
        await until_status_of_new(client.handle("victim"))
        await client.terminate("victim")
        assert await handle.result(timeout=10) == "Terminated"


async def test_thousands_of_children_of_one_turn(server_url: str) -> None:
    """More messages than one commit carries: none may be lost between two commits."""
    app = ds.App()

    @app.orchestrator
    async def child(ctx: ds.OrchestrationContext, n: int) -> int:
        return n

    @app.orchestrator
    async def parent(ctx: ds.OrchestrationContext) -> int:
        return sum(await ds.when_all([ctx.call_sub_orchestrator(child, n) for n in range(1_200)]))

    async with serving(app, server_url) as client:
        handle = await client.start(parent)
        assert await handle.result(timeout=30) == sum(range(1_200))
        assert (await client.counts())["Completed"] == 1_201


async def test_children_and_results_reach_a_suspended_parent_but_run_no_code_of_it(server_url: str) -> None:
    app = ds.App()
    gate, resumed = Gate(), []

    @app.activity
    async def hold() -> None:
        await gate.wait()

    @app.orchestrator
    async def child(ctx: ds.OrchestrationContext) -> str:
        await ctx.call_activity(hold)
        return "from the child"

    @app.orchestrator
    async def parent(ctx: ds.OrchestrationContext) -> str:
        result = await ctx.call_sub_orchestrator(child)
        resumed.append(result)
        return result

    async with serving(app, server_url) as client:
        handle = await client.start(parent)
        await until(lambda: gate.came == 1)
        await handle.suspend("wait")
        before = await until_status(handle, "Suspended")
        gate.open()
        await until(lambda: _grown(handle, before.events))
        assert (resumed, (await handle.status()).runtime_status) == ([], "Suspended")
        await handle.resume()
        assert await handle.result(timeout=10) == "from the child"


async def _grown(handle: ds.Handle[Any], events: int) -> bool:
    return (await handle.status()).events > events


async def test_what_is_decided_in_the_last_turn_still_counts(server_url: str) -> None:
    app = ds.App()

    @app.orchestrator
    async def target(ctx: ds.OrchestrationContext) -> list[int]:
        return [await ctx.wait_for_external_event("n", type=int) for _ in range(4)]

    @app.orchestrator
    async def sender(ctx: ds.OrchestrationContext, n: int) -> None:
        ctx.send_event("target", "n", n)
        if n < 3:
            ctx.continue_as_new(n + 1)

    async with serving(app, server_url) as client:
        receiving = await client.start(target, instance_id="target")
        await client.start(sender, 0)
        assert await receiving.result(timeout=10) == [0, 1, 2, 3]
