"""What the workloads run: orchestrations, activities that tell the witness of each run, and entities that keep all they heard."""

from __future__ import annotations

import asyncio
from typing import Any

import durastream as ds
from tests.chaos import witness

app = ds.App()

# ---------------------------------------------------------------- activities


@app.activity
async def square(work: tuple[str, int]) -> int:
    """`work`: what the witness is told, and a number."""
    key, n = work
    witness.note("square", key)
    await asyncio.sleep(0.03 * (n % 7))  # time must pass: some are under way when their worker dies
    return n * n


@app.activity
def leaf(work: tuple[str, int]) -> int:
    key, n = work
    witness.note("leaf", key)
    return n


@app.activity
async def rang(key: str) -> None:
    """`key` ends with the ms at which the timer was due."""
    witness.note("rang", key)


@app.activity
async def step(work: tuple[str, str], ctx: ds.ActivityContext) -> str:
    """`work`: key, and how it goes: "good", "fails", or "second" (the second attempt does it)."""
    key, mood = work
    witness.note("step", f"{key}#{ctx.attempt}")
    await asyncio.sleep(0.005)  # time must pass: as above
    if mood == "fails" or (mood == "second" and ctx.attempt == 1):
        raise RuntimeError(f"{key} is {mood}")
    return key


@app.activity
def undo(key: str) -> str:
    witness.note("undo", key)
    return key


# ---------------------------------------------------------------- fan-out, trees, sagas


@app.orchestrator
async def fan_out(ctx: ds.OrchestrationContext, count: int) -> int:
    tasks = [ctx.call_activity(square, (f"{ctx.instance_id}/{n}", n)) for n in range(count)]
    return sum(await ds.when_all(tasks))


@app.orchestrator
async def tree(ctx: ds.OrchestrationContext, node: tuple[int, int]) -> int:
    """`node`: levels below this one, and its number. The sum of the numbers of all leaves."""
    levels, number = node
    if not levels:
        return await ctx.call_activity(leaf, (ctx.instance_id, number))
    children = [ctx.call_sub_orchestrator(tree, (levels - 1, number * 3 + n)) for n in range(3)]
    return sum(await ds.when_all(children))


@app.orchestrator
async def saga(ctx: ds.OrchestrationContext, moods: list[str]) -> list[str]:
    """Steps in order; when one fails for good, those done before it are undone, the last one first."""
    policy = ds.RetryPolicy(max_attempts=2, first_interval=0.05)
    log: list[str] = []
    done: list[int] = []
    for number, mood in enumerate(moods):
        try:
            await ctx.call_activity(step, (f"{ctx.instance_id}/{number}", mood), retry=policy)
        except ds.ActivityFailed:
            for back in reversed(done):
                await ctx.call_activity(undo, f"{ctx.instance_id}/{back}")
                log.append(f"undo {back}")
            return log
        done.append(number)
        log.append(f"do {number}")
    return log


# ---------------------------------------------------------------- versions


@app.activity
def polish(work: tuple[str, int]) -> int:
    """Came with version 2 of `release`."""
    key, n = work
    witness.note("polish", key)
    return 2 * n


@app.orchestrator(name="release", version="1")
async def release_1(ctx: ds.OrchestrationContext, count: int) -> list[Any]:
    """Which version this is, and the sum of some numbers, one after the other: time for its partition to move."""
    total = 0
    for n in range(count):
        total += await ctx.call_activity(leaf, (f"{ctx.instance_id}/{n}", n))
        await ctx.create_timer(0.1)
    return ["1", total]


@app.orchestrator(name="release", version="2")
async def release_2(ctx: ds.OrchestrationContext, count: int) -> list[Any]:
    """Twice as much."""
    total = 0
    for n in range(count):
        await ctx.create_timer(0.1)
        total += await ctx.call_activity(polish, (f"{ctx.instance_id}/{n}", n))
    return ["2", total]


# ---------------------------------------------------------------- events


@app.orchestrator
async def loop(ctx: ds.OrchestrationContext, heard: list[int]) -> list[int]:
    """One event for each generation, until one is negative: all numbers that were heard, in order."""
    number = await ctx.wait_for_external_event("number", type=int)
    if number < 0:
        return heard
    if number % 3 == 0:
        await ctx.create_timer(0)
    if number % 5 == 0:
        await ctx.call_activity(square, (f"{ctx.instance_id}/{number}", number))
    ctx.continue_as_new([*heard, number])
    return heard


@app.orchestrator
async def ping(ctx: ds.OrchestrationContext, rounds: int) -> list[int]:
    """Plays with a child of its own; both say how often the ball came as it should."""
    peer = f"{ctx.instance_id}.pong"
    child = ctx.call_sub_orchestrator(pong, (ctx.instance_id, rounds), instance_id=peer)
    good = 0
    for n in range(rounds):
        ctx.send_event(peer, "ball", n)
        good += await ctx.wait_for_external_event("ball", type=int) == n
    return [good, await child]


@app.orchestrator
async def pong(ctx: ds.OrchestrationContext, game: tuple[str, int]) -> int:
    peer, rounds = game
    good = 0
    for n in range(rounds):
        good += await ctx.wait_for_external_event("ball", type=int) == n
        ctx.send_event(peer, "ball", n)
    return good


@app.orchestrator
async def patient(ctx: ds.OrchestrationContext, _: Any = None) -> Any:
    """Waits until it is told to go, and says what it was told."""
    return await ctx.wait_for_external_event("go")


# ---------------------------------------------------------------- timers


@app.orchestrator
async def storm(ctx: ds.OrchestrationContext, delays_ms: list[int]) -> list[int]:
    """Sets all timers at once and one more that it gives up; how many ms each was told of before it was due (0, or a bug)."""
    begin = ctx.current_utc_datetime
    never = ctx.create_timer(3_600)
    tasks = [(delay, ctx.create_timer(delay / 1000)) for delay in sorted(delays_ms)]
    early = []
    for n, (delay, task) in enumerate(tasks):
        await task
        passed = round((ctx.current_utc_datetime - begin).total_seconds() * 1000)
        early.append(max(0, delay - passed))
        await ctx.call_activity(rang, f"{ctx.instance_id}/{n}/{round(begin.timestamp() * 1000) + delay}")
    never.cancel()
    return early


# ---------------------------------------------------------------- a bank, and counters

OPENING = 100
"""What each account is opened with."""


@app.entity
class Account:
    """`moves`: transfer and amount, each time money came or went; so that half a transfer and a double one are seen."""

    opened: int
    balance: int
    moves: list[tuple[str, int]]

    def __init__(self) -> None:
        self.opened = self.balance = 0
        self.moves = []

    def open(self, amount: int) -> None:
        self.opened += amount
        self.balance += amount

    def move(self, move: tuple[str, int]) -> int:
        transfer_id, amount = move
        self.moves.append((transfer_id, amount))  # before it is refused: a failed operation must leave nothing of it
        self.balance += amount
        if self.balance < 0:
            raise ValueError(f"transfer {transfer_id} would overdraw the account")
        return self.balance


def account(number: int) -> ds.EntityId:
    return ds.EntityId("Account", f"{number:03}")


@app.orchestrator
async def transfer(ctx: ds.OrchestrationContext, order: tuple[int, int, int]) -> bool:
    """`order`: from, to, amount. Whether the money was moved."""
    source, target, amount = order
    async with ctx.lock_entities(account(source), account(target)):
        try:
            await ctx.call_entity(account(source), "move", (ctx.instance_id, -amount))
        except ds.EntityFailed:
            return False
        await ctx.call_entity(account(target), "move", (ctx.instance_id, amount))
        return True


@app.entity
class Tally:
    """The numbers it was told, by who told them, in the order they came."""

    heard: dict[str, list[int]]

    def __init__(self) -> None:
        self.heard = {}

    def add(self, said: tuple[str, int]) -> None:
        sender, number = said
        self.heard.setdefault(sender, []).append(number)


def tally(number: int) -> ds.EntityId:
    return ds.EntityId("Tally", f"{number}")
