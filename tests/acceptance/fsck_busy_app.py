"""What keeps a hub busy in every way there is, for tests that look at it meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any

import durastream as ds

app = ds.App()


@app.activity
async def work(n: int) -> int:
    await asyncio.sleep(0.01)
    return n


@app.activity
async def flaky(n: int) -> int:
    if n % 3 == 0:
        raise ValueError("it fails now and then")
    return n


@app.entity
class Counter:
    value: int = 0

    def add(self, n: int) -> int:
        self.value += n
        return self.value

    def pass_on(self, n: int, ctx: ds.EntityContext) -> None:
        self.value += n
        if n > 1:
            ctx.signal_entity(counter(f"chain {n}"), "pass_on", n - 1)


def counter(key: object) -> ds.EntityId:
    return ds.EntityId("Counter", f"{key}")


@app.orchestrator
async def leaf(ctx: ds.OrchestrationContext, n: int) -> int:
    await ctx.create_timer(0.02)
    return await ctx.call_activity(work, n)


@app.orchestrator
async def tree(ctx: ds.OrchestrationContext, n: int) -> int:
    results: list[Any] = await ds.when_all([ctx.call_sub_orchestrator(leaf, n + k) for k in range(3)])
    return sum(results)


@app.orchestrator
async def fan(ctx: ds.OrchestrationContext, n: int) -> int:
    results: list[Any] = await ds.when_all([ctx.call_activity(work, k) for k in range(n % 17)])
    return sum(results)


@app.orchestrator
async def breaks(ctx: ds.OrchestrationContext, n: int) -> int:
    return await ctx.call_activity(flaky, n)


@app.orchestrator
async def locks(ctx: ds.OrchestrationContext, n: int) -> int:
    first, second = counter(n % 5), counter(5 + n % 3)
    async with ctx.lock_entities(first, second):
        await ctx.call_entity(first, "add", -1)
        await ctx.call_entity(second, "add", 1)
    ctx.signal_entity(counter(f"later {n % 4}"), "add", 1, at=0.05)
    return await ctx.call_entity(counter(n % 5), "add", 1, return_type=int)


@app.orchestrator
async def rounds(ctx: ds.OrchestrationContext, n: int) -> int:
    await ctx.call_activity(work, n)
    if n > 0:
        ctx.continue_as_new(n - 1)
    return n


@app.orchestrator
async def patient(ctx: ds.OrchestrationContext, n: int) -> str:
    """The timer is cancelled when the event comes."""
    try:
        return await ctx.wait_for_external_event("go", type=str, timeout=60)
    finally:
        ctx.signal_entity(counter("chain"), "pass_on", 4)


ORCHESTRATORS = (tree, fan, breaks, locks, rounds, patient)
