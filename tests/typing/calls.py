"""Checked by mypy, never run. A line marked `type: ignore` must be refused: if it is not, the unused mark is the error."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, assert_type

import durastream as ds

app = ds.App()


@dataclass
class Order:
    sku: str


@dataclass
class Receipt:
    id: str


@app.activity
async def charge(order: Order) -> Receipt:
    return Receipt(order.sku)


@app.activity(name="resize", timeout=30, retry=ds.RetryPolicy(max_attempts=5), queue="gpu")
def resize(path: str) -> str:
    return path


@app.activity
async def tick() -> int:
    return 1


@app.activity
async def watched(order: Order, ctx: ds.ActivityContext) -> int:
    return ctx.attempt


@app.activity
def context_first(ctx: ds.ActivityContext, order: Order) -> int:
    return ctx.attempt


@app.activity
def context_only(ctx: ds.ActivityContext) -> int:
    return ctx.attempt


@app.orchestrator
async def child(ctx: ds.OrchestrationContext, order: Order) -> str:
    return order.sku


@app.orchestrator(version="2")
def stepped(ctx: ds.OrchestrationContext, count: int) -> Generator[ds.Task[Any], Any, str]:
    yield ctx.create_timer(count)
    return "done"


@app.orchestrator
async def with_entities(ctx: ds.OrchestrationContext) -> int:
    a, b = ds.EntityId("Counter", "a"), ds.EntityId("Counter", "b")
    assert_type(await ctx.call_entity(a, "add", 5), Any)
    assert_type(await ctx.call_entity(a, "add", 5, return_type=int), int)
    ctx.signal_entity(a, "add", 5, at=60)
    async with ctx.lock_entities(a, b) as section:
        section.release()
    lock = ctx.lock_entities(a)
    assert_type(lock.cancel(), bool)
    with await lock:
        first: int = await ctx.call_entity(a, "add")
    await ctx.call_entity("Counter", "add")  # type: ignore[call-overload]
    await ctx.call_entity(a)  # type: ignore[call-overload]
    ctx.signal_entity("Counter", "add")  # type: ignore[arg-type]
    ctx.signal_entity(a, "add", at="tomorrow")  # type: ignore[arg-type]
    ctx.lock_entities([a, b])  # type: ignore[arg-type]
    with ctx.lock_entities(a):  # type: ignore[attr-defined]
        return first


@app.orchestrator
def with_entities_by_yield(ctx: ds.OrchestrationContext) -> Generator[ds.Task[Any], Any, int]:
    a = ds.EntityId("Counter", "a")
    with (yield ctx.lock_entities(a)):
        total: int = yield ctx.call_entity(a, "add", 5)
    return total


@app.orchestrator
async def parent(ctx: ds.OrchestrationContext, order: Order) -> str:
    assert_type(await ctx.call_activity(charge, order), Receipt)
    assert_type(await ctx.call_activity(resize, "a.png", timeout=5), str)
    assert_type(await ctx.call_activity(tick), int)
    assert_type(await ctx.call_activity(watched, order), int)
    assert_type(await ctx.call_activity(context_first, order), int)
    assert_type(await ctx.call_activity(context_only), int)
    assert_type(await ctx.call_activity("by name", order, return_type=Receipt), Receipt)
    assert_type(await ctx.call_activity("by name"), Any)
    await ctx.call_activity(charge, "an order")  # type: ignore[arg-type]
    await ctx.call_activity(charge)  # type: ignore[arg-type]
    await ctx.call_activity(resize, 1)  # type: ignore[arg-type]
    await ctx.call_activity(watched, 1)  # type: ignore[arg-type]
    await ctx.call_activity(tick, retry=3)  # type: ignore[call-overload]

    assert_type(await ctx.call_sub_orchestrator(child, order), str)
    assert_type(await ctx.call_sub_orchestrator(stepped, 3), str)
    await ctx.call_sub_orchestrator(child, 1)  # type: ignore[arg-type]

    assert_type(await ctx.wait_for_external_event("approved", type=bool), bool)
    assert_type(await ctx.wait_for_external_event("approved", timeout=5), Any)
    assert_type(await ctx.create_timer(1.5), None)
    await ctx.create_timer("tomorrow")  # type: ignore[arg-type]

    assert_type(await ds.when_all([ctx.call_activity(tick), ctx.call_activity(tick)]), list[int])
    winner = await ds.when_any([ctx.call_activity(tick), ctx.call_activity(tick)])
    assert_type(winner.result(), int)
    await ds.when_all([1])  # type: ignore[arg-type]
    receipt: str = await ctx.call_activity(charge, order)  # type: ignore[arg-type]
    return receipt
