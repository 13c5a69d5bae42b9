"""A program for `durastream top`: orders that fail until a file appears, and approvals that wait for a person."""

from __future__ import annotations

import os
from pathlib import Path

import durastream as ds

app = ds.App()


@app.activity
async def charge(amount: int) -> int:
    if not Path(os.environ["CARD_FILE"]).exists():
        raise ds.NonRetryableError("card declined")
    return amount


@app.orchestrator
async def order(ctx: ds.OrchestrationContext, amount: int) -> int:
    return await ctx.call_activity(charge, amount)


@app.orchestrator
async def approval(ctx: ds.OrchestrationContext, number: int) -> bool:
    return await ctx.wait_for_external_event("decision", type=bool)
