"""An order as a saga: reserve, charge, ship. If a step fails, what was done before is undone, last first.

    durastream dev workers.order_saga:app

    durastream start place_order --input '{"sku": "book", "amount": 20}' --wait
    durastream start place_order --input '{"sku": "piano", "amount": 9000}' --wait

The second order is too large for the card: the reservation is released, and the orchestration completes with
`"cancelled: …"`. A piano cannot be shipped at all, whatever it costs: try an amount of 500.
"""

from __future__ import annotations

from dataclasses import dataclass

import durastream as ds

app = ds.App()

CARD_LIMIT = 1_000


@dataclass(frozen=True)
class Order:
    sku: str
    amount: int


class CardDeclined(ds.NonRetryableError):
    """Trying again would not help."""


@app.activity
async def reserve(order: Order) -> str:
    return f"reservation of {order.sku}"


@app.activity
async def charge(order: Order) -> str:
    if order.amount > CARD_LIMIT:
        raise CardDeclined(f"{order.amount} is over the limit of {CARD_LIMIT}")
    return f"payment of {order.amount}"


@app.activity
async def ship(order: Order) -> str:
    if order.sku == "piano":
        raise ds.NonRetryableError("nobody carries a piano")
    return f"parcel with {order.sku}"


@app.activity
async def release(reservation: str) -> str:
    return f"released {reservation}"


@app.activity
async def refund(payment: str) -> str:
    return f"refunded {payment}"


@app.orchestrator
async def place_order(ctx: ds.OrchestrationContext, order: Order) -> str:
    """Each step that is done pushes how to undo it; a failure runs that list backwards."""
    undo: list[tuple[str, str]] = []
    try:
        undo.append(("release", await ctx.call_activity(reserve, order)))
        undo.append(("refund", await ctx.call_activity(charge, order)))
        parcel = await ctx.call_activity(ship, order)
    except ds.ActivityFailed as failure:
        undone = [await ctx.call_activity(name, what, return_type=str) for name, what in reversed(undo)]
        return f"cancelled: {failure.message}; {', '.join(undone)}"
    return f"shipped: {parcel}"
