"""Money between accounts: a critical section over two entities, so that nothing is lost, doubled or overdrawn.

    durastream dev workers.bank:app

    durastream entity signal Account ann deposit --input 100
    durastream entity signal Account ben deposit --input 20
    durastream start transfer --input '{"source": "ann", "target": "ben", "amount": 30}' --wait
    durastream start transfer --input '{"source": "ann", "target": "ben", "amount": 300}' --wait
    durastream start audit --input '["ann", "ben"]' --wait
    durastream entity list Account

The second transfer is refused. The audit sums up what it has locked: 120, however many transfers run at the same time.
"""

from __future__ import annotations

from dataclasses import dataclass

import durastream as ds

app = ds.App()


class Overdrawn(ds.NonRetryableError):
    """There is not as much in the account."""


@app.entity
class Account:
    balance: int = 0

    def deposit(self, amount: int) -> int:
        self.balance += _positive(amount)
        return self.balance

    def withdraw(self, amount: int) -> int:
        """Refuses by itself, too: not everyone who withdraws looks at the balance first."""
        if _positive(amount) > self.balance:
            raise Overdrawn(f"{amount} is more than the balance of {self.balance}")
        self.balance -= amount
        return self.balance

    def get(self) -> int:
        return self.balance


@dataclass(frozen=True)
class Transfer:
    source: str
    target: str
    amount: int


def account(owner: str) -> ds.EntityId:
    return ds.EntityId("Account", owner)


@app.orchestrator
async def transfer(ctx: ds.OrchestrationContext, order: Transfer) -> str:
    """From here to the end of the block nobody else sees or changes the two accounts, and no two transfers wait in a circle.

    Both halves are decided in one step and leave together: there is no moment at which the money is nowhere, not even when
    this orchestration is terminated inside the block.
    """
    source, target = account(order.source), account(order.target)
    if source == target or order.amount <= 0:
        raise ds.NonRetryableError(f"{order} is no transfer: it takes two accounts and a positive amount")
    async with ctx.lock_entities(source, target):
        balance = await ctx.call_entity(source, "get", return_type=int)
        if balance < order.amount:
            return f"refused: {order.source} has {balance}"
        withdrawn = ctx.call_entity(source, "withdraw", order.amount)
        deposited = ctx.call_entity(target, "deposit", order.amount)
        await ds.when_all([withdrawn, deposited])
    return "done"


@app.orchestrator
async def audit(ctx: ds.OrchestrationContext, owners: list[str]) -> int:
    """The sum of up to 100 accounts at one moment."""
    accounts = [account(owner) for owner in owners]
    async with ctx.lock_entities(*accounts):
        return sum(await ds.when_all([ctx.call_entity(one, "get", return_type=int) for one in accounts]))


def _positive(amount: int) -> int:
    if amount <= 0:
        raise ValueError(f"an amount is positive, not {amount}")
    return amount
