"""What the tests of entities under faults run: a bank, ledgers that watch the order of senders, and operations that do harm."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import durastream as ds

app = ds.App()

OPENING = 100
"""What each account is opened with."""


# ---------------------------------------------------------------- a bank


@app.entity
class Account:
    """`moves`: transfer and amount, each time money came or went; so that half a transfer and a double one are seen."""

    opened: int
    balance: int
    moves: list[tuple[int, int]]

    def __init__(self) -> None:
        self.opened = self.balance = 0
        self.moves = []

    def open(self, amount: int) -> None:
        self.opened += amount
        self.balance += amount

    def move(self, move: tuple[int, int]) -> int:
        number, amount = move
        self.moves.append((number, amount))  # before it is refused: a failed operation must leave nothing of it
        self.balance += amount
        if self.balance < 0:
            raise ValueError(f"transfer {number} would overdraw the account")
        return self.balance


def account(number: int) -> ds.EntityId:
    return ds.EntityId("Account", f"{number:04}")


@app.orchestrator
async def transfer(ctx: ds.OrchestrationContext, order: tuple[int, int, int, int]) -> bool:
    """`order`: number, from, to, amount. Whether the money was moved."""
    number, source, target, amount = order
    async with ctx.lock_entities(account(source), account(target)):
        try:
            await ctx.call_entity(account(source), "move", (number, -amount))
        except ds.EntityFailed:
            return False
        await ctx.call_entity(account(target), "move", (number, amount))
        return True


@app.orchestrator
def transfer_by_steps(ctx: ds.OrchestrationContext, order: tuple[int, int, int, int]) -> Generator[Any, Any, bool]:
    """The same as a generator."""
    number, source, target, amount = order
    with (yield ctx.lock_entities(account(source), account(target))):
        try:
            yield ctx.call_entity(account(source), "move", (number, -amount))
        except ds.EntityFailed:
            return False
        yield ctx.call_entity(account(target), "move", (number, amount))
        return True


# ---------------------------------------------------------------- the order of senders


@app.entity
class Watcher:
    """Hears numbers of many senders, and notes each that does not follow the last one of its sender."""

    last: dict[str, int]
    wrong: list[str]

    def __init__(self) -> None:
        self.last = {}
        self.wrong = []

    def hear(self, said: tuple[str, int]) -> int:
        sender, number = said
        before = self.last.get(sender, 0)
        if number != before + 1:
            self.wrong.append(f"{sender}: {number} after {before}")
        self.last[sender] = number
        return number


def watcher(number: int) -> ds.EntityId:
    return ds.EntityId("Watcher", f"{number}")


@app.entity
class Repeater:
    """Tells all watchers one number for each it is told: an entity as a sender."""

    told: int = 0

    def tell(self, watchers: int, ctx: ds.EntityContext) -> None:
        self.told += 1
        for number in range(watchers):
            ctx.signal_entity(watcher(number), "hear", (f"repeater {ctx.key}", self.told))


@app.activity
async def rest() -> None:
    await asyncio.sleep(0.002)


@app.orchestrator
async def talker(ctx: ds.OrchestrationContext, plan: tuple[int, int]) -> int:
    """`plan`: watchers, and how often each is told a number: by a signal or a call, in one turn or after another."""
    watchers, count = plan
    me = f"talker {ctx.instance_id}"
    for n in range(1, count + 1):
        if n % 5 == 0:
            await ctx.call_activity(rest)
        for number in range(watchers):
            ctx.signal_entity(watcher(number), "hear", (me, 2 * n - 1))
        calls = [ctx.call_entity(watcher(number), "hear", (me, 2 * n)) for number in range(watchers)]
        assert await ds.when_all(calls) == [2 * n] * watchers
    return 2 * count


@app.orchestrator
async def holder(ctx: ds.OrchestrationContext, plan: tuple[int, int]) -> int:
    """The same within critical sections over two watchers each: what others send waits meanwhile."""
    watchers, count = plan
    me = f"holder {ctx.instance_id}"
    for n in range(1, count + 1):
        for first in range(watchers):
            pair = {watcher(first), watcher((first + 1) % watchers)}
            async with ctx.lock_entities(*pair):
                await ctx.create_timer(0.002)
                await ctx.call_entity(watcher(first), "hear", (me, n))
    return count


# ---------------------------------------------------------------- operations that do harm


@app.entity
class Fragile:
    """`die` ends the process, unless somebody has mended the code."""

    done: list[int]

    def __init__(self) -> None:
        self.done = []

    def work(self, n: int) -> int:
        self.done.append(n)
        return n

    def die(self, n: int) -> int:
        if not Path(os.environ["DURASTREAM_TEST_CURE"]).exists():
            os._exit(3)
        return n

    async def die_later(self, n: int) -> int:
        await asyncio.sleep(0.05)  # time must pass: the operation is under way for a while
        return self.die(n)


@app.orchestrator
async def calls_fragile(ctx: ds.OrchestrationContext, plan: tuple[str, str, int]) -> Any:
    """`plan`: key, operation, input. The result, or the type of the failure."""
    key, operation, n = plan
    try:
        return await ctx.call_entity(ds.EntityId("Fragile", key), operation, n)
    except ds.EntityFailed as error:
        return error.type


@app.orchestrator
async def holds_fragile(ctx: ds.OrchestrationContext, key: str) -> str:
    async with ctx.lock_entities(ds.EntityId("Fragile", key)):
        ctx.set_custom_status("inside")
        return await ctx.wait_for_external_event("go", type=str)


@app.orchestrator
async def dies_inside(ctx: ds.OrchestrationContext, key: str) -> str:
    fragile = ds.EntityId("Fragile", key)
    async with ctx.lock_entities(fragile):
        await ctx.call_entity(fragile, "work", 1)
        try:
            await ctx.call_entity(fragile, "die", 1)
        except ds.EntityFailed as error:
            await ctx.call_entity(fragile, "work", 2)
            return error.type
    return "lives"
