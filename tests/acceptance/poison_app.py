"""Code that ends its process whenever it runs, and neighbours that must go on beside it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import durastream as ds

app = ds.App()


@app.activity
async def deadly(how: str) -> str:
    os._exit(3)


@app.activity
async def slow(n: int) -> int:
    await asyncio.sleep(0.7)
    return n


@app.orchestrator
async def calls_deadly(ctx: ds.OrchestrationContext, how: str) -> str:
    """Gives the type of the failure."""
    try:
        return await ctx.call_activity(deadly, how)
    except ds.ActivityFailed as error:
        return error.type


@app.orchestrator
async def neighbour(ctx: ds.OrchestrationContext, n: int) -> int:
    return await ctx.call_activity(slow, n)


def _end_process() -> None:
    """Unless somebody has mended the code."""
    if not Path(os.environ["DURASTREAM_TEST_CURE"]).exists():
        os._exit(3)


@app.orchestrator
async def deadly_start(ctx: ds.OrchestrationContext, n: int) -> int:
    _end_process()
    return n


@app.orchestrator
async def deadly_later(ctx: ds.OrchestrationContext, n: int) -> int:
    await ctx.wait_for_external_event("go")
    _end_process()
    return n


@app.orchestrator
async def deadly_timer(ctx: ds.OrchestrationContext, n: int) -> int:
    await ctx.create_timer(0.5)
    _end_process()
    return n


@app.orchestrator
async def mother(ctx: ds.OrchestrationContext, n: int) -> int:
    return await ctx.call_sub_orchestrator(deadly_start, n)
