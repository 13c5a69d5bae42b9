"""Durable timers, external events, when_all and when_any, continue-as-new, from end to end."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import durastream as ds
from durastream.core.events import TimerCreated, TimerFired
from tests.acceptance.oracle import leftovers
from tests.acceptance.serving import serving, until, until_status

pytestmark = pytest.mark.anyio


async def test_timers_fire_when_due_and_not_before(server_url: str) -> None:
    app = ds.App()

    @app.orchestrator
    async def sleeper(ctx: ds.OrchestrationContext) -> float:
        began = ctx.current_utc_datetime
        await ctx.create_timer(0.05)
        await ctx.create_timer(ctx.current_utc_datetime + timedelta(milliseconds=30))
        await ctx.create_timer(timedelta(seconds=-1))
        return (ctx.current_utc_datetime - began).total_seconds()

    async with serving(app, server_url) as client:
        handles = [await client.start(sleeper) for _ in range(20)]
        passed = await client.wait_all(handles, timeout=10)
        assert min(passed) >= 0.08
        assert max(passed) < 2
        for handle in handles:
            events = await handle.history()
            for fired in (one for one in events if isinstance(one, TimerFired)):
                created = events[fired.task]
                assert isinstance(created, TimerCreated)
                assert fired.at >= created.due


async def test_a_cancelled_timer_and_the_loser_of_a_race_leave_nothing_behind(server_url: str) -> None:
    app = ds.App()

    @app.orchestrator
    async def race(ctx: ds.OrchestrationContext) -> list[str]:
        said = []
        never = ctx.create_timer(3600)
        assert never.cancel()
        try:
            await never
        except ds.TaskCancelled:
            said.append("cancelled")
        approved, deadline = ctx.wait_for_external_event("approved"), ctx.create_timer(3600)
        winner = await ds.when_any([approved, deadline])
        deadline.cancel()
        said.append("approved" if winner is approved else "deadline")
        late, soon = ctx.wait_for_external_event("never"), ctx.create_timer(0.01)
        said.append("never" if await ds.when_any([late, soon]) is late else "soon")
        return said

    async with serving(app, server_url) as client:
        handle = await client.start(race)
        await handle.raise_event("approved", True)
        assert await handle.result(timeout=10) == ["cancelled", "approved", "soon"]
        await until(lambda: not leftovers(server_url), "no timers are left")


async def test_a_timer_of_centuries_is_set_and_can_be_cancelled(server_url: str) -> None:
    app = ds.App()
    far = datetime(2900, 1, 1, tzinfo=UTC)

    @app.orchestrator
    async def patient(ctx: ds.OrchestrationContext) -> str:
        moment, span = ctx.create_timer(far), ctx.create_timer(timedelta(days=60))  # over 2^32 ms
        event = ctx.wait_for_external_event("now")
        winner = await ds.when_any([moment, span, event])
        return "event" if winner is event else "timer"

    async with serving(app, server_url) as client:
        handle = await client.start(patient)
        await until_status(handle, "Running", events=3)
        created = [one.due for one in await handle.history() if isinstance(one, TimerCreated)]
        assert created[0] == int(far.timestamp() * 1_000)
        await handle.raise_event("NOW")
        assert await handle.result(timeout=10) == "event"
        await until(lambda: not leftovers(server_url), "open timers go with the instance")


async def test_events_are_buffered_in_order_and_names_have_no_case(server_url: str) -> None:
    app = ds.App()

    @app.orchestrator
    async def listener(ctx: ds.OrchestrationContext) -> list[Any]:
        await ctx.wait_for_external_event("go")
        got: list[Any] = [await ctx.wait_for_external_event("Number", type=int) for _ in range(3)]
        got.append(await ctx.wait_for_external_event("letter", timeout=10))
        try:
            await ctx.wait_for_external_event("letter", timeout=0.02)
        except ds.TimeoutError:
            got.append("none")
        return got

    async with serving(app, server_url) as client:
        handle = await client.start(listener)
        for n in range(3):
            await handle.raise_event("numBER", n)
        await handle.raise_event("LETTER", "a")
        await handle.raise_event("Go")
        assert await handle.result(timeout=10) == [0, 1, 2, "a", "none"]


async def test_events_before_a_scheduled_start_are_kept_for_it(server_url: str) -> None:
    app = ds.App()

    @app.orchestrator
    async def listener(ctx: ds.OrchestrationContext) -> list[int]:
        return [await ctx.wait_for_external_event("n") for _ in range(3)]

    async with serving(app, server_url) as client:
        handle = await client.start(listener, start_at=0.4)
        for n in range(3):
            await handle.raise_event("n", n)
        assert (await handle.status()).runtime_status == "Pending"
        assert await handle.result(timeout=10) == [0, 1, 2]
        status = await handle.status()
        assert status.start_at is not None
        assert status.updated_at >= status.start_at
        await until(lambda: not leftovers(server_url), "nothing waits")


async def test_no_event_is_lost_or_doubled_around_continue_as_new(server_url: str) -> None:
    """300 generations, each of which takes two of the events that are raised meanwhile."""
    app = ds.App()

    @app.orchestrator
    async def counter(ctx: ds.OrchestrationContext, state: dict[str, Any]) -> dict[str, Any]:
        for _ in range(2):
            state["got"].append(await ctx.wait_for_external_event("n", type=int))
        state["generation"] += 1
        if len(state["got"]) < 600:
            ctx.continue_as_new(state)
        return state

    async with serving(app, server_url) as client:
        handle = await client.start(counter, {"got": [], "generation": 0})

        async def raise_some(numbers: range) -> None:
            for n in numbers:
                await handle.raise_event("n", n, check=False)

        senders = [range(start, start + 150) for start in range(0, 600, 150)]
        await asyncio.gather(*(raise_some(numbers) for numbers in senders))
        result = await handle.result(timeout=20)
    assert result["generation"] == 300
    assert sorted(result["got"]) == list(range(600))
    for numbers in senders:  # FIFO per sender
        assert [n for n in result["got"] if n in numbers] == list(numbers)


async def test_events_that_an_execution_no_longer_wants_do_not_stop_it(server_url: str) -> None:
    app = ds.App()

    @app.orchestrator
    async def two_lives(ctx: ds.OrchestrationContext, life: int) -> int:
        if life == 1:
            await ctx.wait_for_external_event("go")
            ctx.continue_as_new(2)
        return life

    async with serving(app, server_url) as client:
        handle = await client.start(two_lives, 1)
        await asyncio.gather(*(handle.raise_event("unwanted", n) for n in range(5)))
        await handle.raise_event("go")
        assert await handle.result(timeout=10) == 2


async def test_continue_as_new_can_drop_events_and_keeps_no_history(server_url: str) -> None:
    app = ds.App()

    @app.activity
    async def work(n: int) -> int:
        return n

    @app.orchestrator
    async def loop(ctx: ds.OrchestrationContext, n: int) -> str:
        await ctx.call_activity(work, n)
        if n < 50:
            ctx.continue_as_new(n + 1, keep_events=False)
            return ""
        try:
            await ctx.wait_for_external_event("early", timeout=0.01)
        except ds.TimeoutError:
            return ctx.execution_id.rpartition(".")[2]
        return "an event came through"

    async with serving(app, server_url) as client:
        handle = await client.start(loop, 0)
        await handle.raise_event("early")
        assert await handle.result(timeout=10) == "50"
        status = await handle.status()
        assert (status.events, status.input) == (len(await handle.history()), 50)
        assert status.events < 12


async def test_when_all_raises_the_first_failure_in_order_after_all_are_done(server_url: str) -> None:
    app = ds.App()
    done: list[str] = []

    @app.activity
    async def step(name: str) -> str:
        await asyncio.sleep({"slow": 0.05}.get(name, 0))
        done.append(name)
        if name.startswith("bad"):
            raise ValueError(name)
        return name

    @app.orchestrator
    async def gather(ctx: ds.OrchestrationContext) -> str:
        tasks = [ctx.call_activity(step, name) for name in ("slow", "bad one", "bad two")]
        try:
            await ds.when_all(tasks)
        except ds.ActivityFailed as error:
            return error.message
        return "?"

    async with serving(app, server_url) as client:
        assert await (await client.start(gather)).result(timeout=10) == "bad one"
    assert sorted(done) == ["bad one", "bad two", "slow"]


async def test_a_turn_may_decide_thousands_of_things(server_url: str) -> None:
    app = ds.App()

    @app.activity
    async def square(n: int) -> int:
        return n * n

    @app.orchestrator
    async def fan(ctx: ds.OrchestrationContext, count: int) -> int:
        return sum(await ds.when_all([ctx.call_activity(square, n) for n in range(count)]))

    async with serving(app, server_url) as client:
        handle = await client.start(fan, 3_000)
        assert await handle.result(timeout=30) == sum(n * n for n in range(3_000))
        kinds = [type(one).__name__ for one in await handle.history()]
        assert kinds.count("TurnSplit") == 5
        assert kinds.count("TaskScheduled") == kinds.count("TaskCompleted") == 3_000


async def test_custom_status_is_shown_while_it_runs_and_afterwards(server_url: str) -> None:
    app = ds.App()

    @app.orchestrator
    async def reports(ctx: ds.OrchestrationContext) -> None:
        ctx.set_custom_status({"step": 1})
        await ctx.wait_for_external_event("go")
        ctx.set_custom_status("done")

    async with serving(app, server_url) as client:
        handle = await client.start(reports)
        await until_status(handle, "Running", custom_status={"step": 1})
        await handle.raise_event("go")
        await until_status(handle, "Completed", custom_status="done")


async def test_what_an_orchestrator_sees_repeats_on_replay(server_url: str) -> None:
    """Between two workers: time, uuids, random numbers; and its logger is silent about what was logged before."""
    app = ds.App()
    logged: list[str] = []

    @app.orchestrator
    async def recorder(ctx: ds.OrchestrationContext) -> list[Any]:
        seen = [ctx.current_utc_datetime.isoformat(), str(ctx.new_uuid()), ctx.random.random()]
        ctx.logger.warning("first")
        if not ctx.is_replaying:
            logged.append("live")
        await ctx.wait_for_external_event("go")
        if ctx.is_replaying:
            logged.append("replaying")
        return seen

    async with ds.Client(server_url) as client:
        async with ds.Worker(app, server_url, lease=1):
            handle = await client.start(recorder)
            await until_status(handle, "Running")
        async with ds.Worker(app, server_url, lease=1):
            await handle.raise_event("go")
            seen = await handle.result(timeout=10)
    assert len(seen) == 3
    assert logged == ["live"]


async def test_events_sent_by_an_orchestration_arrive_once_across_partitions(server_url: str) -> None:
    app = ds.App()

    @app.orchestrator
    async def ponger(ctx: ds.OrchestrationContext, other: str) -> list[int]:
        got = []
        for _ in range(5):
            n = await ctx.wait_for_external_event("ball", type=int)
            got.append(n)
            ctx.send_event(other, "ball", n + 1)
        return got

    async with serving(app, server_url) as client:
        handles = [
            await client.start(ponger, f"player-{1 - n}-{pair}", instance_id=f"player-{n}-{pair}")
            for pair in range(10)
            for n in (0, 1)
        ]
        for pair in range(10):
            await client.raise_event(f"player-0-{pair}", "ball", 0)
        results = await client.wait_all(handles, timeout=10)
    assert results == [[0, 2, 4, 6, 8], [1, 3, 5, 7, 9]] * 10
