"""Activities from end to end: how they run, fail, are retried, time out, are cancelled, and how many run at once."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any

import pytest

import durastream as ds
from durastream.core.events import Failure
from tests.acceptance.serving import Gate, serving, until, until_status

pytestmark = pytest.mark.anyio


@dataclass
class Order:
    sku: str
    count: int


async def test_coroutines_and_functions_take_and_give_typed_values(server_url: str) -> None:
    app = ds.App()
    threads: list[int] = []

    @app.activity
    async def double(order: Order) -> Order:
        return Order(order.sku, order.count * 2)

    @app.activity
    def in_a_thread(order: Order) -> int:
        threads.append(threading.get_ident())
        return order.count

    @app.activity(name="nothing")
    async def nothing() -> None: ...

    @app.orchestrator
    async def both(ctx: ds.OrchestrationContext, order: Order) -> list[Any]:
        doubled = await ctx.call_activity(double, order)
        assert isinstance(doubled, Order)
        return [await ctx.call_activity(in_a_thread, doubled), await ctx.call_activity("nothing")]

    async with serving(app, server_url) as client:
        handle = await client.start(both, Order("a", 3))
        assert await handle.result(timeout=10) == [6, None]
    assert threads[0] != threading.get_ident()


async def test_context_tells_who_asks_and_which_attempt_it_is(server_url: str) -> None:
    app = ds.App()

    @app.activity
    async def second_time(value: int, ctx: ds.ActivityContext) -> list[Any]:
        if ctx.attempt < 2:
            raise ValueError("not yet")
        ctx.heartbeat({"at": value})
        return [ctx.instance_id, ctx.attempt, ctx.cancelled, value]

    @app.orchestrator
    async def ask(ctx: ds.OrchestrationContext) -> list[Any]:
        return await ctx.call_activity(second_time, 7, retry=ds.RetryPolicy(max_attempts=3, first_interval=0.01))

    async with serving(app, server_url) as client:
        handle = await client.start(ask, instance_id="who")
        assert await handle.result(timeout=10) == ["who", 2, False, 7]


async def test_retries_end_at_each_limit_of_the_policy(server_url: str) -> None:
    app = ds.App()
    tries: dict[str, int] = {}

    @app.activity
    async def fails(case: str) -> None:
        tries[case] = tries.get(case, 0) + 1
        raise {"fatal": ds.NonRetryableError, "listed": KeyError}.get(case, ValueError)(f"try {tries[case]}")

    def first_two(failure: Failure) -> bool:
        return failure.message != "try 2"

    policies = {
        "attempts": ds.RetryPolicy(max_attempts=4, first_interval=0.01, backoff=2, max_interval=0.02),
        "fatal": ds.RetryPolicy(max_attempts=4, first_interval=0.01),
        "listed": ds.RetryPolicy(max_attempts=4, first_interval=0.01, non_retryable=[KeyError]),
        "predicate": ds.RetryPolicy(max_attempts=4, first_interval=0.01, retry_if=first_two),
        "timeout": ds.RetryPolicy(max_attempts=99, first_interval=0.1, backoff=2, retry_timeout=0.25),
    }

    @app.orchestrator
    async def retried(ctx: ds.OrchestrationContext, case: str) -> str:
        try:
            await ctx.call_activity(fails, case, retry=policies[case])
        except ds.ActivityFailed as error:
            return error.type
        return "?"

    async with serving(app, server_url) as client:
        handles = await client.start_many(retried, list(policies))
        results = dict(zip(policies, await client.wait_all(handles, timeout=10), strict=True))
    assert results == {
        "attempts": "ValueError", "fatal": "NonRetryableError", "listed": "KeyError",
        "predicate": "ValueError", "timeout": "ValueError",
    }  # fmt: skip
    assert tries == {"attempts": 4, "fatal": 1, "listed": 1, "predicate": 2, "timeout": 2}


async def test_a_failure_keeps_type_message_stack_and_causes(server_url: str) -> None:
    app = ds.App()

    @app.activity
    async def broken() -> None:
        try:
            raise OSError("disk")
        except OSError as error:
            raise ValueError("cannot save") from error

    @app.activity
    def broken_in_a_thread() -> None:
        raise LookupError("not there")

    @app.orchestrator
    async def fails(ctx: ds.OrchestrationContext, name: str) -> None:
        await ctx.call_activity(name)

    async with serving(app, server_url) as client:
        with pytest.raises(ds.OrchestrationFailed) as caught:
            await (await client.start(fails, "broken")).result(timeout=10)
        with pytest.raises(ds.OrchestrationFailed, match="not there") as in_thread:
            await (await client.start(fails, "broken_in_a_thread")).result(timeout=10)
    assert caught.value.type == "ActivityFailed"
    (activity,) = caught.value.causes
    assert (activity.type, activity.message) == ("ValueError", "cannot save")
    assert 'raise ValueError("cannot save") from error' in activity.stack
    assert [(one.type, one.message) for one in activity.causes] == [("OSError", "disk")]
    assert "broken_in_a_thread" in in_thread.value.causes[0].stack


async def test_exits_cancellations_and_stop_iterations_of_user_code_are_failures(server_url: str) -> None:
    app = ds.App()

    @app.activity
    async def cancels_itself() -> None:
        raise asyncio.CancelledError

    @app.activity
    async def exits() -> None:
        sys.exit(3)

    @app.activity
    def exits_in_a_thread() -> None:
        sys.exit(3)

    @app.activity
    def stops_iteration() -> None:
        next(iter([]))

    names = app.activity_names()

    @app.orchestrator
    async def all_of_them(ctx: ds.OrchestrationContext) -> list[str]:
        tasks = [ctx.call_activity(name) for name in names]
        for task in tasks:
            await ds.when_any([task])
        return [type(task.exception()).__name__ for task in tasks]

    async with serving(app, server_url) as client:
        assert await (await client.start(all_of_them)).result(timeout=10) == ["ActivityFailed"] * 4


async def test_a_timeout_fails_one_attempt_and_a_timeout_error_of_the_code_is_its_own(server_url: str) -> None:
    app = ds.App()
    told = asyncio.Event()
    attempts = []

    @app.activity(timeout=0.05)
    async def slow(ctx: ds.ActivityContext) -> str:
        attempts.append(ctx.attempt)
        if ctx.attempt == 1:
            await asyncio.sleep(60)
        return "quick"

    @app.activity(timeout=0.05)
    def slow_thread(ctx: ds.ActivityContext) -> None:
        loop_until = time.monotonic() + 10
        while not ctx.cancelled and time.monotonic() < loop_until:
            time.sleep(0.005)
        asyncio.run_coroutine_threadsafe(_set(told), loop)

    @app.activity(timeout=5)
    async def raises_it() -> None:
        raise TimeoutError("the bank did not answer")

    @app.orchestrator
    async def work(ctx: ds.OrchestrationContext) -> list[str]:
        first = await ctx.call_activity(slow, retry=ds.RetryPolicy(max_attempts=2, first_interval=0))
        messages = [first]
        for name in ("slow_thread", "raises_it"):
            try:
                await ctx.call_activity(name)
            except ds.ActivityFailed as error:
                messages.append(f"{error.type}: {error.message}")
        return messages

    loop = asyncio.get_running_loop()
    async with serving(app, server_url) as client:
        quick, thread, own = await (await client.start(work)).result(timeout=10)
        await asyncio.wait_for(told.wait(), 10)
    assert (quick, attempts) == ("quick", [1, 2])
    assert thread == "TimeoutError: activity 'slow_thread' took longer than its timeout of 50 ms"
    assert own == "TimeoutError: the bank did not answer"


async def _set(event: asyncio.Event) -> None:
    event.set()


async def test_an_activity_hears_that_its_instance_was_terminated(server_url: str) -> None:
    app = ds.App()
    began, stopped = asyncio.Event(), asyncio.Event()

    @app.activity
    async def long(ctx: ds.ActivityContext) -> None:
        began.set()
        try:
            while True:
                ctx.heartbeat()
                await asyncio.sleep(0.01)
        except ds.ActivityCancelled:
            stopped.set()

    @app.orchestrator
    async def waits(ctx: ds.OrchestrationContext) -> None:
        await ctx.call_activity(long)

    async with serving(app, server_url) as client:
        handle = await client.start(waits)
        await asyncio.wait_for(began.wait(), 10)
        await handle.terminate("enough")
        await asyncio.wait_for(stopped.wait(), 10)
        await until_status(handle, "Terminated", output="enough")


async def test_no_more_run_at_once_than_there_are_slots(server_url: str) -> None:
    app = ds.App()
    running = most = 0

    @app.activity
    async def busy(_n: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.002)
        running -= 1

    @app.orchestrator
    async def fan(ctx: ds.OrchestrationContext) -> None:
        await ds.when_all([ctx.call_activity(busy, n) for n in range(60)])

    async with serving(app, server_url, concurrency=3) as client:
        await (await client.start(fan)).result(timeout=10)
    assert most == 3


async def test_a_worker_with_one_slot_leaves_the_rest_to_others(server_url: str) -> None:
    app = ds.App()
    gate, done_by_others = Gate(), []

    @app.activity
    async def step(n: int) -> None:
        if n == 0:
            await gate.wait()
        else:
            done_by_others.append(n)

    @app.orchestrator
    async def fan(ctx: ds.OrchestrationContext) -> None:
        await ds.when_all([ctx.call_activity(step, n) for n in range(20)])

    async with serving(app, server_url, concurrency=1) as client:
        handle = await client.start(fan)
        await until(lambda: gate.came == 1, "the only slot is taken")
        async with ds.Worker(app, server_url, lease=1, concurrency=1):
            await until(lambda: len(done_by_others) == 19)
            gate.open()
            await handle.result(timeout=10)


async def test_what_runs_when_a_worker_is_stopped_is_finished_or_given_to_another(server_url: str) -> None:
    app = ds.App()
    runs: list[str] = []

    @app.activity
    async def quick() -> str:
        runs.append("quick")
        await asyncio.sleep(0.1)
        return "quick"

    @app.activity
    async def endless() -> str:
        runs.append("endless")
        if runs.count("endless") == 1:
            await asyncio.sleep(60)
        return "endless"

    @app.orchestrator
    async def both(ctx: ds.OrchestrationContext) -> list[str]:
        return await ds.when_all([ctx.call_activity(quick), ctx.call_activity(endless)])

    async with ds.Client(server_url) as client:
        async with ds.Worker(app, server_url, lease=1, grace=0.3):
            handle = await client.start(both)
            await until(lambda: len(runs) == 2, "both run")
        assert (await handle.status()).runtime_status == "Running"
        async with ds.Worker(app, server_url, lease=1):
            assert await handle.result(timeout=10) == ["quick", "endless"]
    assert sorted(runs) == ["endless", "endless", "quick"]
