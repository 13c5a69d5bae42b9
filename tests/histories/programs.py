"""The orchestrators whose histories are recorded beside this file. Changing one may make its histories unreadable:
that is what the test is there to tell."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from durastream.app import App
from durastream.core.context import OrchestrationContext
from durastream.core.entity_id import EntityId
from durastream.core.retry import RetryPolicy
from durastream.core.tasks import Task, when_all, when_any
from durastream.errors import ActivityFailed, EntityFailed, TimeoutError

app = App()


@dataclass
class Order:
    sku: str
    amount: int


@app.activity(retry=RetryPolicy(max_attempts=3, first_interval=2, backoff=2))
async def charge(order: Order) -> str:
    return f"payment of {order.amount}"


@app.activity
async def ship(order: Order) -> str:
    return f"parcel with {order.sku}"


@app.activity
async def refund(payment: str) -> None: ...


@app.orchestrator
async def order(ctx: OrchestrationContext, order: Order) -> str:
    """Activities with retries, a compensation, custom status, an event to another instance."""
    payment = await ctx.call_activity(charge, order)
    ctx.set_custom_status({"paid": payment})
    try:
        parcel = await ctx.call_activity(ship, order)
    except ActivityFailed as failure:
        await ctx.call_activity(refund, payment)
        return f"refunded: {failure.message}"
    ctx.send_event("warehouse", "shipped", order.sku)
    return parcel


@app.orchestrator
async def approval(ctx: OrchestrationContext) -> str:
    """A wait with a timeout, then a race of an event and a timer."""
    try:
        return str(await ctx.wait_for_external_event("Approved", timeout=60, type=bool))
    except TimeoutError:
        late, deadline = ctx.wait_for_external_event("approved", type=bool), ctx.create_timer(3600)
        winner = await when_any([late, deadline])
        return "late" if winner is late else "never"


@app.orchestrator
def family(ctx: OrchestrationContext, count: int) -> Generator[Task[Any], Any, list[Any]]:
    """Sub-orchestrations side by side, in the generator style; random numbers decide."""
    children = [ctx.call_sub_orchestrator("order", {"sku": "book", "amount": n}) for n in range(count)]
    results = yield when_all(children)
    if ctx.random.random() < 2:
        yield ctx.create_timer(1)
    return [*results, str(ctx.new_uuid())]


@app.orchestrator
async def eternal(ctx: OrchestrationContext, seen: list[int]) -> None:
    """Continues as new with each event."""
    seen.append(await ctx.wait_for_external_event("tick", type=int))
    ctx.continue_as_new(seen)


@app.orchestrator
async def wide(ctx: OrchestrationContext, count: int) -> int:
    """More decisions than one turn carries."""
    return sum(await when_all([ctx.call_activity("measure", n, return_type=int) for n in range(count)]))


@app.entity
class Account:
    balance: int = 0

    def deposit(self, amount: int) -> int:
        self.balance += amount
        return self.balance

    def withdraw(self, amount: int) -> int:
        if amount > self.balance:
            raise ValueError("not enough money")
        self.balance -= amount
        return self.balance


@dataclass
class Transfer:
    source: str
    target: str
    amount: int


@app.orchestrator
async def salary(ctx: OrchestrationContext, names: list[str]) -> int:
    """Calls of entities side by side, and signals, one of them for later."""
    accounts = [EntityId("Account", name) for name in names]
    balances: list[int] = await when_all([ctx.call_entity(account, "deposit", 100) for account in accounts])
    ctx.signal_entity(EntityId("Report", "monthly"), "paid", sum(balances))
    ctx.signal_entity(EntityId("Report", "monthly"), "close", at=timedelta(days=3))
    try:
        await ctx.call_entity(accounts[0], "withdraw", 1_000)
    except EntityFailed as failure:
        ctx.set_custom_status(failure.message)
    return sum(balances)


@app.orchestrator
async def transfer(ctx: OrchestrationContext, order: Transfer) -> int:
    """A critical section that an exception may leave, and work after it."""
    source, target = EntityId("Account", order.source), EntityId("Account", order.target)
    try:
        async with ctx.lock_entities(target, source):
            await ctx.call_entity(source, "withdraw", order.amount)
            left: int = await ctx.call_entity(target, "deposit", order.amount)
    except EntityFailed as failure:
        ctx.signal_entity(EntityId("Report", "failures"), "note", failure.message)
        return -1
    await ctx.create_timer(1)
    return left


@app.orchestrator
def patient(ctx: OrchestrationContext, names: list[str]) -> Generator[Task[Any], Any, str]:
    """Locks in the generator style: a request that is given up when a timer fires first, then a section."""
    lock, timer = ctx.lock_entities(*[EntityId("Account", name) for name in names]), ctx.create_timer(10)
    winner: Task[Any] = yield when_any([lock, timer])
    if winner is timer:
        lock.cancel()
        with (yield ctx.lock_entities(EntityId("Account", "reserve"))):
            yield ctx.call_entity(EntityId("Account", "reserve"), "withdraw", 1)
        return "from the reserve"
    timer.cancel()
    with lock.result():
        yield ctx.call_entity(EntityId("Account", names[0]), "withdraw", 1)
    return "as planned"
