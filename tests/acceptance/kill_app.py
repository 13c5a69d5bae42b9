"""What the kill tests run: a few activities in sequence and in parallel, one of them a sub-orchestration, one after a timer."""

from __future__ import annotations

import asyncio

import durastream as ds

app = ds.App()


@app.activity
async def double(n: int) -> int:
    await asyncio.sleep(0.002)
    return 2 * n


@app.activity
def add(numbers: list[int]) -> int:
    return sum(numbers)


@app.orchestrator
async def child(ctx: ds.OrchestrationContext, n: int) -> int:
    return await ctx.call_activity(double, n)


@app.orchestrator
async def work(ctx: ds.OrchestrationContext, n: int) -> int:
    first = await ctx.call_activity(double, n)
    await ctx.create_timer(0.01)
    parts = await ds.when_all([ctx.call_activity(double, first), ctx.call_sub_orchestrator(child, first)])
    return await ctx.call_activity(add, parts)


def expected(n: int) -> int:
    return 8 * n
