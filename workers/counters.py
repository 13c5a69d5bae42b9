"""Entities: state with a name, changed by one operation at a time. The same counter twice, as a class and as a function.

    durastream dev workers.counters:app

    durastream entity signal Counter apples add --input 5
    durastream entity signal Tally apples add --input 5
    durastream entity show Counter apples
    durastream start count --input '{"key": "apples", "amounts": [1, 2, 3]}' --wait
    durastream entity list
    durastream entity signal Counter apples delete

A counter exists from its first operation until it is deleted; there is nothing to create. A signal is sent and forgotten;
a call, which only orchestrations can make, waits for the result. A class has the operation `delete` without writing it.
"""

from __future__ import annotations

from dataclasses import dataclass

import durastream as ds

app = ds.App()


@app.entity
class Counter:
    """Attributes are the state, public methods the operations."""

    value: int = 0

    def add(self, amount: int) -> int:
        if amount < 0:
            raise ValueError("a counter only counts up")  # the state stays as it was, and the caller hears of it
        self.value += amount
        return self.value

    def get(self) -> int:
        return self.value

    def reset(self) -> None:
        self.value = 0


@app.entity(name="Tally")
def tally(ctx: ds.EntityContext) -> int | None:
    """One function for all operations: it asks which one, and keeps any JSON value as its state."""
    value: int = ctx.get_state(int, default=0)
    match ctx.operation:
        case "add":
            value += ctx.get_input(int)
        case "get":
            return value
        case "reset":
            value = 0
        case "delete":
            ctx.delete_state()
            return None
        case unknown:
            raise ValueError(f"a tally cannot {unknown}")
    ctx.set_state(value)
    return value


@dataclass(frozen=True)
class Count:
    key: str
    amounts: list[int]


@app.orchestrator
async def count(ctx: ds.OrchestrationContext, work: Count) -> list[int]:
    """Add all amounts to both, in order; what both say then."""
    counter, tally = ds.EntityId("Counter", work.key), ds.EntityId("Tally", work.key)
    for amount in work.amounts:
        ctx.signal_entity(counter, "add", amount)
        ctx.signal_entity(tally, "add", amount)
    totals = [ctx.call_entity(entity, "get", return_type=int) for entity in (counter, tally)]
    return await ds.when_all(totals)
