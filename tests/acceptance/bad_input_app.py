"""What the tests of bad input run beside it: neighbours that must go on."""

from __future__ import annotations

from typing import Any

import durastream as ds

app = ds.App()


@app.activity
async def echo(value: Any) -> Any:
    return value


@app.orchestrator
async def neighbour(ctx: ds.OrchestrationContext, n: int) -> int:
    first = await ctx.call_activity(echo, n)
    second: int = await ctx.call_activity(echo, first)
    return second


@app.orchestrator
async def waits(ctx: ds.OrchestrationContext, n: int) -> Any:
    """Waits for the event `go`, and gives its data back."""
    return await ctx.wait_for_external_event("go")


@app.orchestrator
async def passes_on(ctx: ds.OrchestrationContext, value: Any) -> Any:
    ctx.set_custom_status(value)
    return await ctx.call_activity(echo, value)


@app.orchestrator
async def parent(ctx: ds.OrchestrationContext, n: int) -> int:
    result: int = await ctx.call_sub_orchestrator(neighbour, n)
    return result


# ---------------------------------------------------------------- entities


@app.entity
class Keeper:
    kept: int = 0

    def keep(self, n: int) -> int:
        self.kept += n
        return self.kept


@app.orchestrator
async def keeps(ctx: ds.OrchestrationContext, key: str) -> Any:
    """What `keep 1` of this keeper gives, or type and message of its failure."""
    try:
        return await ctx.call_entity(ds.EntityId("Keeper", key), "keep", 1)
    except ds.EntityFailed as error:
        return [error.type, error.message]


@app.orchestrator
async def locks(ctx: ds.OrchestrationContext, keys: list[str]) -> str:
    """Holds these keepers until the event `go`."""
    async with ctx.lock_entities(*(ds.EntityId("Keeper", key) for key in keys)):
        ctx.set_custom_status("inside")
        return await ctx.wait_for_external_event("go", type=str)
