"""What the benchmarks run: next to nothing, so that what is measured is the engine."""

from __future__ import annotations

import durastream as ds

app = ds.App()


@app.activity
async def echo(text: str) -> str:
    return text


@app.orchestrator
async def one(ctx: ds.OrchestrationContext, text: str) -> str:
    return await ctx.call_activity(echo, text)


@app.orchestrator
async def five(ctx: ds.OrchestrationContext, text: str) -> str:
    for _ in range(5):
        text = await ctx.call_activity(echo, text)
    return text


@app.orchestrator
async def steps(ctx: ds.OrchestrationContext, count: int) -> int:
    for _ in range(count):
        await ctx.call_activity(echo, "x")
    return count


@app.orchestrator
async def fan_out(ctx: ds.OrchestrationContext, count: int) -> int:
    return len(await ds.when_all([ctx.call_activity(echo, "x") for _ in range(count)]))


@app.orchestrator
async def wait(ctx: ds.OrchestrationContext, _number: int) -> None:
    await ctx.wait_for_external_event("go")
