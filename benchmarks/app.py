"""What the benchmarks run: next to nothing, so that what is measured is the engine."""

from __future__ import annotations

import time

import durastream as ds
from workers import bank

app = ds.App()
app.include(bank.app)


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


@app.entity
class Counter:
    value: int = 0

    def add(self, amount: int) -> int:
        self.value += amount
        return self.value


@app.orchestrator
async def calls(ctx: ds.OrchestrationContext, keys: list[str]) -> list[float]:
    """Call one counter after another; the seconds that each took."""
    return [await _timed(ctx.call_entity(ds.EntityId("Counter", key), "add", 1)) for key in keys]


@app.orchestrator
async def timed_steps(ctx: ds.OrchestrationContext, count: int) -> list[float]:
    """The same with activities."""
    return [await _timed(ctx.call_activity(echo, "x")) for _ in range(count)]


async def _timed(task: ds.Task[object]) -> float:
    """A stopwatch has no place in other orchestrators: a replay finds other times. Here nothing is replayed."""
    began = time.perf_counter()
    await task
    return time.perf_counter() - began
