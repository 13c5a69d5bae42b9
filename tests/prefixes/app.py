"""What the workloads run: something of each kind of operation, with results that can be foretold.

Whatever is done to a `Ledger` is noted by a label that nothing else has: so a lost and a doubled operation are both seen.
"""

from __future__ import annotations

import asyncio
from typing import Any

import durastream as ds

app = ds.App()

HEALTHY: set[str] = set()
"""Instances whose `repair` succeeds: what somebody mends before a rewind."""


@app.activity
async def double(n: int) -> int:
    await asyncio.sleep(0.002)
    return 2 * n


@app.activity
def in_thread(n: int) -> int:
    return n + 1


@app.activity(retry=ds.RetryPolicy(max_attempts=2, first_interval=0.01))
async def refuse(n: int) -> int:
    raise ValueError(f"{n} is refused")


@app.activity
async def repair(instance_id: str) -> str:
    if instance_id not in HEALTHY:
        raise ds.NonRetryableError("not yet")
    return "mended"


@app.entity
class Ledger:
    notes: list[str]

    def __init__(self) -> None:
        self.notes = []

    def note(self, label: str) -> int:
        self.notes.append(label)
        return len(self.notes)

    def refuse(self, label: str) -> None:
        self.notes.append(label)  # a failed operation must leave nothing of it
        raise ValueError(label)

    def pass_on(self, label: str, ctx: ds.EntityContext) -> None:
        self.notes.append(label)
        head, _, hops = label.rpartition(" ")
        if int(hops) > 0:
            ctx.signal_entity(ledger(int(hops) % 3), "pass_on", f"{head} {int(hops) - 1}")

    def forget(self) -> None:
        self.notes.clear()


def ledger(number: int) -> ds.EntityId:
    return ds.EntityId("Ledger", f"{number}")


@app.orchestrator
async def sequence(ctx: ds.OrchestrationContext, n: int) -> int:
    n = await ctx.call_activity(double, n)
    n = await ctx.call_activity(in_thread, n)
    return await ctx.call_activity(double, n)


@app.orchestrator
async def fan(ctx: ds.OrchestrationContext, n: int) -> int:
    results: list[int] = await ds.when_all([ctx.call_activity(double, k) for k in range(n)])
    return sum(results)


@app.orchestrator
async def leaf(ctx: ds.OrchestrationContext, n: int) -> int:
    await ctx.create_timer(0.01)
    return await ctx.call_activity(double, n)


@app.orchestrator
async def tree(ctx: ds.OrchestrationContext, n: int) -> int:
    """Its children live in any partition."""
    children = [ctx.call_sub_orchestrator(leaf, k, instance_id=f"{ctx.instance_id}.{k}") for k in range(n)]
    results: list[int] = await ds.when_all(children)
    return sum(results)


@app.orchestrator
async def rounds(ctx: ds.OrchestrationContext, n: int) -> str:
    """Continues as new with an event that was not taken, most of the time."""
    if n > 0:
        await ctx.call_activity(double, n)
        ctx.continue_as_new(n - 1)
        return ""
    return await ctx.wait_for_external_event("go", type=str)


@app.orchestrator
async def patient(ctx: ds.OrchestrationContext, label: str) -> str:
    """The timer of the timeout is cancelled when the event comes."""
    await ctx.create_timer(0.02)
    return label + await ctx.wait_for_external_event("go", type=str, timeout=3600)


@app.orchestrator
async def fails(ctx: ds.OrchestrationContext, n: int) -> int:
    return await ctx.call_activity(refuse, n)


@app.orchestrator
async def mended(ctx: ds.OrchestrationContext, n: int) -> str:
    await ctx.call_activity(double, n)
    return await ctx.call_activity(repair, ctx.instance_id)


@app.orchestrator
async def parent_of_mended(ctx: ds.OrchestrationContext, n: int) -> str:
    return await ctx.call_sub_orchestrator(mended, n, instance_id=f"{ctx.instance_id}.child")


@app.orchestrator
async def notes(ctx: ds.OrchestrationContext, count: int) -> str:
    """Calls, signals, signals for later, and a failed call."""
    me = ctx.instance_id
    for number in range(count):
        await ctx.call_entity(ledger(number), "note", f"{me} call {number}")
        ctx.signal_entity(ledger(number + 1), "note", f"{me} signal {number}")
    ctx.signal_entity(ledger(0), "note", f"{me} later", at=0.02)
    try:
        await ctx.call_entity(ledger(1), "refuse", f"{me} refused")
    except ds.EntityFailed as error:
        return error.type
    return "not refused"


@app.orchestrator
async def locks(ctx: ds.OrchestrationContext, n: int) -> str:
    """Two locks in two partitions, and the same number from both: nobody else notes anything meanwhile."""
    first, second = ledger(n % 3), ledger(n % 3 + 3)
    async with ctx.lock_entities(first, second):
        await ctx.call_entity(first, "note", f"{ctx.instance_id} first")
        await ctx.create_timer(0.005)
        await ctx.call_entity(second, "note", f"{ctx.instance_id} second")
    return "done"


@app.orchestrator
async def holds(ctx: ds.OrchestrationContext, n: int) -> Any:
    """Inside its section until somebody lets it go on, or ends it."""
    async with ctx.lock_entities(ledger(n)):
        ctx.set_custom_status("inside")
        return await ctx.wait_for_external_event("go", type=str)
