"""What the tests of the ingress start."""

from __future__ import annotations

from typing import Any

import durastream as ds

app = ds.App()


@app.activity
async def echo(value: Any) -> Any:
    return value


@app.orchestrator
async def greet(ctx: ds.OrchestrationContext, value: Any) -> Any:
    return await ctx.call_activity(echo, value)


@app.orchestrator
async def collect(ctx: ds.OrchestrationContext, count: int) -> list[int]:
    """So many events, in the order they came."""
    return [await ctx.wait_for_external_event("n") for _ in range(count)]
