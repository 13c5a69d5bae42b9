"""What operators do, from end to end: suspend, resume, terminate, rewind, restart, purge, ids, schedules, tags, retention."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

import durastream as ds
from durastream.store.redis.hubs import create_hub
from tests.acceptance.oracle import leftovers
from tests.acceptance.serving import Gate, residue, serving, until, until_status

pytestmark = pytest.mark.anyio


def waiting_app() -> ds.App:
    app = ds.App()

    @app.orchestrator
    async def waits(ctx: ds.OrchestrationContext, label: str = "") -> str:
        return label + await ctx.wait_for_external_event("go", type=str)

    return app


# ---------------------------------------------------------------- suspend and resume


async def test_a_suspended_instance_takes_everything_in_and_does_nothing(server_url: str) -> None:
    app = ds.App()
    gate, steps = Gate(), []

    @app.activity
    async def held() -> str:
        await gate.wait()
        return "activity"

    @app.orchestrator
    async def several(ctx: ds.OrchestrationContext) -> list[str]:
        tasks: list[ds.Task[Any]] = [ctx.call_activity(held), ctx.create_timer(0.05), ctx.wait_for_external_event("e")]
        got = []
        for task in tasks:
            got.append(str(await task))
            steps.append(got[-1])
        return got

    async with serving(app, server_url) as client:
        handle = await client.start(several)
        await until(lambda: gate.came == 1)
        await handle.suspend("audit")
        await until_status(handle, "Suspended")
        gate.open()
        await handle.raise_event("e", "event")
        # started, activity, timer, suspended, and then the three answers
        await until_status(handle, "Suspended", events=7)
        assert steps == []
        await handle.resume()
        assert await handle.result(timeout=10) == ["activity", "None", "event"]


async def test_suspension_outlives_a_worker(server_url: str) -> None:
    app = waiting_app()
    async with ds.Client(server_url) as client:
        async with ds.Worker(app, server_url, lease=1):
            handle = await client.start("waits")
            await until_status(handle, "Running")
            await handle.suspend()
            await until_status(handle, "Suspended")
        async with ds.Worker(app, server_url, lease=1):
            await handle.raise_event("go", "on")
            await until_status(handle, "Suspended", events=3)
            await handle.resume()
            assert await handle.result(timeout=10) == "on"


async def test_suspend_and_resume_of_one_that_continues_as_new_all_the_time(server_url: str) -> None:
    app = ds.App()

    @app.activity
    async def tick(n: int) -> int:
        return n

    @app.orchestrator
    async def eternal(ctx: ds.OrchestrationContext, n: int) -> int:
        await ctx.call_activity(tick, n)
        ctx.continue_as_new(n + 1)
        return n

    async def moved(handle: ds.Handle[Any], generation: int) -> bool:
        return int((await handle.status()).execution_id.rpartition(".")[2]) > generation

    async with serving(app, server_url) as client:
        handle = await client.start(eternal, 0)
        for _ in range(3):
            await handle.resume("not suspended: without effect")
            await handle.suspend()
            status = await until_status(handle, "Suspended")
            generation = int(status.execution_id.rpartition(".")[2])
            await handle.suspend("twice: without effect")
            await handle.resume()
            await until(partial(moved, handle, generation + 2))
        await handle.terminate()
        await until_status(handle, "Terminated")


# ---------------------------------------------------------------- terminate


async def test_terminate_reaches_instances_in_every_state(server_url: str) -> None:
    app = waiting_app()
    async with serving(app, server_url) as client:
        running = await client.start("waits")
        scheduled = await client.start("waits", start_at=3600)
        suspended = await client.start("waits")
        unknown = await client.start("nobody-has-this")
        await until_status(running, "Running")
        await suspended.suspend()
        await until_status(suspended, "Suspended")
        await until(lambda: _problem(unknown))
        await scheduled.raise_event("go", "buffered")
        await unknown.raise_event("go", "buffered")
        handles = [running, scheduled, suspended, unknown]
        for handle in handles:
            await handle.terminate("over")
        for handle in handles:
            await until_status(handle, "Terminated", output="over", problem=None)
            with pytest.raises(ds.OrchestrationTerminated, match="over"):
                await handle.result(timeout=10)
        await until(lambda: not leftovers(server_url), "what was held for them is gone")
        with pytest.raises(ds.Conflict):
            await running.raise_event("go", "late")


async def _problem(handle: ds.Handle[Any]) -> Any:
    return (await handle.status()).problem


async def test_a_terminated_instance_cleans_up_but_decides_nothing_more(server_url: str) -> None:
    app = ds.App()
    cleaned: list[str] = []

    @app.activity
    async def refund() -> None:
        cleaned.append("refunded")

    @app.orchestrator
    async def saga(ctx: ds.OrchestrationContext) -> None:
        try:
            await ctx.wait_for_external_event("never")
        finally:
            cleaned.append("finally")
            await ctx.call_activity(refund)

    async with serving(app, server_url) as client:
        handle = await client.start(saga)
        await until_status(handle, "Running")
        await handle.terminate("stop")
        await until_status(handle, "Terminated")
        assert cleaned == ["finally"]
        assert not [one for one in await handle.history() if type(one).__name__ == "TaskScheduled"]


# ---------------------------------------------------------------- rewind


async def test_rewind_runs_again_only_the_activity_that_failed(server_url: str) -> None:
    app = ds.App()
    runs: list[str] = []
    broken = True

    @app.activity
    async def step(name: str) -> str:
        runs.append(name)
        if name == "second" and broken:
            raise ValueError("out of order")
        return name

    @app.orchestrator
    async def two(ctx: ds.OrchestrationContext) -> list[str]:
        return [await ctx.call_activity(step, name) for name in ("first", "second")]

    async with serving(app, server_url) as client:
        handle = await client.start(two)
        await until_status(handle, "Failed")
        with pytest.raises(ds.OrchestrationFailed):
            await handle.result(timeout=10)
        broken = False
        await handle.rewind("fixed")
        assert await handle.result(timeout=10) == ["first", "second"]
        status = await handle.status()
        assert (status.failure, runs) == (None, ["first", "second", "second"])
        with pytest.raises(ds.Conflict):
            await handle.rewind()


async def test_rewind_goes_down_into_failed_children(server_url: str) -> None:
    app = ds.App()
    runs: list[int] = []
    broken = True

    @app.activity
    async def step(n: int) -> int:
        runs.append(n)
        if n == 2 and broken:
            raise ValueError("bad two")
        return n

    @app.orchestrator
    async def child(ctx: ds.OrchestrationContext, n: int) -> int:
        return await ctx.call_activity(step, n)

    @app.orchestrator
    async def parent(ctx: ds.OrchestrationContext) -> int:
        return sum(await ds.when_all([ctx.call_sub_orchestrator(child, n) for n in range(4)]))

    async with serving(app, server_url) as client:
        handle = await client.start(parent)
        await until_status(handle, "Failed")
        broken = False
        await handle.rewind()
        assert await handle.result(timeout=10) == 6
        assert sorted(runs) == [0, 1, 2, 2, 3]


@pytest.mark.parametrize("fate", ["rewound by itself", "terminated", "purged"])
async def test_rewind_of_a_parent_whatever_became_of_its_child(server_url: str, fate: str) -> None:
    app = ds.App()
    broken = True

    @app.activity
    async def step() -> str:
        if broken:
            raise ValueError("bad")
        return "good"

    @app.orchestrator
    async def child(ctx: ds.OrchestrationContext) -> str:
        if fate == "terminated" and broken:
            await ctx.wait_for_external_event("never")
        return await ctx.call_activity(step)

    @app.orchestrator
    async def parent(ctx: ds.OrchestrationContext) -> str:
        return await ctx.call_sub_orchestrator(child, instance_id="child")

    async with serving(app, server_url) as client:
        handle = await client.start(parent)
        if fate == "terminated":
            await until(lambda: _exists(client, "child"))
            await client.terminate("child")
        await until_status(handle, "Failed")
        broken = False
        if fate == "rewound by itself":
            await client.rewind("child")
            assert await client.handle("child").result(timeout=10) == "good"
        elif fate == "purged":
            await client.purge("child")
        await handle.rewind()
        assert await handle.result(timeout=10) == "good"


async def _exists(client: ds.Client, instance_id: str) -> bool:
    try:
        return bool(await client.status(instance_id))
    except ds.InstanceNotFound:
        return False


async def test_rewind_after_mending_an_exception_of_the_orchestrator_itself(server_url: str) -> None:
    broken, fixed = ds.App(), ds.App()
    runs: list[str] = []

    async def prepare() -> str:
        runs.append("prepare")
        return "prepared"

    @broken.orchestrator(name="work")
    async def with_a_bug(ctx: ds.OrchestrationContext) -> str:
        value = await ctx.call_activity("prepare", return_type=str)
        raise KeyError(value)

    @fixed.orchestrator(name="work")
    async def without(ctx: ds.OrchestrationContext) -> str:
        return await ctx.call_activity("prepare", return_type=str) + " and done"

    for app in (broken, fixed):
        app.activity(name="prepare")(prepare) if app is broken else app.include(_only_activities(prepare))
    async with ds.Client(server_url) as client:
        async with ds.Worker(broken, server_url, lease=1):
            handle = await client.start(with_a_bug)
            await until_status(handle, "Failed")
        async with ds.Worker(fixed, server_url, lease=1):
            await handle.rewind()
            assert await handle.result(timeout=10) == "prepared and done"
    assert runs == ["prepare"]


def _only_activities(function: Any) -> ds.App:
    app = ds.App()
    app.activity(name="prepare")(function)
    return app


# ---------------------------------------------------------------- restart, replace, purge, retention


async def test_restart_runs_an_ended_instance_again_from_the_beginning(server_url: str) -> None:
    app = ds.App()
    runs: list[str] = []

    @app.activity
    async def note(text: str) -> int:
        runs.append(text)
        return len(runs)

    @app.orchestrator
    async def once(ctx: ds.OrchestrationContext, text: str) -> int:
        return await ctx.call_activity(note, text)

    async with serving(app, server_url) as client:
        handle = await client.start(once, "x", instance_id="again", tags={"colour": "red"})
        assert await handle.result(timeout=10) == 1
        first = await handle.status()
        await handle.restart()
        assert await handle.result(timeout=10) == 2
        second = await handle.status()
        assert (second.input, second.output, second.tags) == ("x", 2, {"colour": "red"})
        assert second.execution_id != first.execution_id
        await handle.purge()
        assert residue(server_url, "again") == []


async def test_purge_leaves_nothing(server_url: str) -> None:
    app = waiting_app()

    @app.activity
    async def work() -> None: ...

    @app.orchestrator
    async def busy(ctx: ds.OrchestrationContext) -> None:
        await ctx.call_activity(work)
        ctx.create_timer(3600)
        ctx.set_custom_status("purge-me is busy")
        await ctx.wait_for_external_event("go")

    async with serving(app, server_url) as client:
        done = await client.start(busy, instance_id="purge-me")
        await done.raise_event("go")
        await done.result(timeout=10)
        scheduled = await client.start("waits", instance_id="purge-me-too", start_at=3600)
        stopped = await client.start("waits", instance_id="purge-me-as-well")
        for handle in (scheduled, stopped):
            await handle.terminate()
            await handle.wait(timeout=10)
        with pytest.raises(ds.Conflict):
            running = await client.start("waits", instance_id="not-me")
            await running.purge()
        for handle in (done, scheduled, stopped):
            await handle.purge()
            with pytest.raises(ds.InstanceNotFound):
                await handle.status()
        assert residue(server_url, "purge-me") == []
        again = await client.start("waits", "new ", instance_id="purge-me")
        await again.raise_event("go", "life")
        assert await again.result(timeout=10) == "new life"


async def test_many_rounds_of_purge_and_start_of_one_id(server_url: str) -> None:
    app = ds.App()

    @app.orchestrator
    async def quick(ctx: ds.OrchestrationContext, n: int) -> int:
        return n

    async with serving(app, server_url) as client:
        for n in range(50):
            handle = await client.start(quick, n, instance_id="phoenix")
            assert await handle.result(timeout=10) == n
            await handle.purge()


async def test_what_happens_when_an_id_is_taken(server_url: str) -> None:
    app = waiting_app()
    async with serving(app, server_url) as client:
        first = await client.start("waits", "first ", instance_id="one")
        execution_id = (await until_status(first, "Running")).execution_id
        with pytest.raises(ds.InstanceExists):
            await client.start("waits", instance_id="one")
        same = await client.start("waits", "ignored ", instance_id="one", if_exists="ignore")
        assert same.execution_id == execution_id
        replaced = await client.start("waits", "second ", instance_id="one", if_exists="replace")
        await replaced.raise_event("go", "x")
        assert await replaced.result(timeout=10) == "second x"
        assert (await client.status("one")).execution_id == replaced.execution_id != execution_id
        ended = await client.start("waits", "third ", instance_id="one", if_exists="replace")
        await ended.raise_event("go", "y", check=False)  # the record may still be that of the ended one
        assert await ended.result(timeout=10) == "third y"
        await ended.purge()
        assert residue(server_url, "one\n") + residue(server_url, "i:one") == []


async def test_replacing_a_running_one_ends_its_children(server_url: str) -> None:
    app = waiting_app()

    @app.orchestrator
    async def parent(ctx: ds.OrchestrationContext, child: str) -> None:
        ctx.create_timer(3600)
        await ctx.call_sub_orchestrator("waits", instance_id=child)

    async with serving(app, server_url) as client:
        first = await client.start(parent, "child-1", instance_id="parent")
        await until(lambda: _exists(client, "child-1"))
        await client.start(parent, "child-2", instance_id="parent", if_exists="replace")
        await until_status(client.handle("child-1"), "Terminated")
        await until(lambda: _exists(client, "child-2"))
        await first.terminate()
        await until_status(client.handle("child-2"), "Terminated")
        await until(lambda: not leftovers(server_url), "timers of both executions are gone")


async def test_a_scheduled_start_begins_at_its_time(server_url: str) -> None:
    app = ds.App()

    @app.orchestrator
    async def when(ctx: ds.OrchestrationContext) -> float:
        return ctx.current_utc_datetime.timestamp()

    async with serving(app, server_url) as client:
        at = datetime.now(UTC).timestamp() + 0.3
        by_moment = await client.start(when, start_at=datetime.fromtimestamp(at, UTC))
        by_delay = await client.start(when, start_at=0.2)
        past = await client.start(when, start_at=datetime(2020, 1, 1, tzinfo=UTC))
        assert await by_moment.result(timeout=10) >= int(at * 1000) / 1000
        assert await past.result(timeout=10) <= await by_delay.result(timeout=10)
        assert (await by_delay.status()).start_at is not None


async def test_scheduled_starts_wait_through_a_change_of_workers(server_url: str) -> None:
    app = waiting_app()
    async with ds.Client(server_url) as client:
        handle = await client.start("waits", start_at=0.2)
        async with ds.Worker(app, server_url, lease=1):
            await until_status(handle, "Running")
        await handle.raise_event("go", "on")
        async with ds.Worker(app, server_url, lease=1):
            assert await handle.result(timeout=10) == "on"


async def test_ended_instances_are_gone_after_the_retention_of_their_hub(server_url: str) -> None:
    await create_hub(server_url, "brief", retention_s=1)
    app = ds.App()

    @app.orchestrator
    async def quick(ctx: ds.OrchestrationContext, n: int) -> int:
        return n

    async with ds.Worker(app, server_url, hub="brief", lease=1), ds.Client(server_url, hub="brief") as client:
        handles = await client.start_many(quick, range(20), instance_ids=[f"brief-{n}" for n in range(20)])
        await client.wait_all(handles, timeout=10)
        assert (await client.counts())["Completed"] == 20
        await until(lambda: _gone(client))
        assert residue(server_url, "brief-") == []


async def _gone(client: ds.Client) -> bool:
    return not any((await client.counts()).values())


async def test_tags_and_versions_are_kept_and_shown(server_url: str) -> None:
    app = ds.App()

    @app.orchestrator(name="priced", version="1.9")
    async def old(ctx: ds.OrchestrationContext) -> str:
        return f"old {ctx.version}"

    @app.orchestrator(name="priced", version="1.10")
    async def new(ctx: ds.OrchestrationContext) -> str:
        return f"new {ctx.version}"

    @app.orchestrator
    async def parent(ctx: ds.OrchestrationContext) -> list[str]:
        return [
            await ctx.call_sub_orchestrator("priced", version="1.9"),
            await ctx.call_sub_orchestrator(new),
            await ctx.call_sub_orchestrator("priced"),
        ]

    async with serving(app, server_url) as client:
        tagged = await client.start(old, tags={"customer": "ü 7"})
        assert await tagged.result(timeout=10) == "old 1.9"
        status = await tagged.status()
        assert (status.tags, status.version) == ({"customer": "ü 7"}, "1.9")
        assert await (await client.start("priced", version="1.10")).result(timeout=10) == "new 1.10"
        assert await (await client.start(parent)).result(timeout=10) == ["old 1.9", "new 1.10", "new 1.10"]
        by_name = await client.start("priced")
        await by_name.result(timeout=10)
        assert (await by_name.status()).version == "1.10"


async def test_concurrent_operations_on_one_instance_leave_it_in_order(server_url: str) -> None:
    app = waiting_app()
    async with serving(app, server_url) as client:
        handles = [await client.start("waits", instance_id=f"x{n}") for n in range(10)]
        await asyncio.gather(*(h.suspend() for h in handles), *(h.raise_event("go", "a") for h in handles))
        await asyncio.gather(*(h.resume() for h in handles))
        assert await client.wait_all(handles, timeout=10) == ["a"] * 10
