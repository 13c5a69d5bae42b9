"""Hello, durable world.

Start a server and a worker, then say hello from a second terminal:

    durastream dev workers.quickstart:app

    durastream start hello --input '"world"' --wait
    durastream start sequence --input '["Tokyo", "Seattle", "London"]' --wait
"""

from __future__ import annotations

import durastream as ds

app = ds.App()


@app.activity
async def greet(name: str) -> str:
    return f"Hello, {name}!"


@app.orchestrator
async def hello(ctx: ds.OrchestrationContext, name: str) -> str:
    """One step."""
    return await ctx.call_activity(greet, name)


@app.orchestrator
async def sequence(ctx: ds.OrchestrationContext, names: list[str]) -> list[str]:
    """One step after another: each result is recorded before the next begins."""
    return [await ctx.call_activity(greet, name) for name in names]
