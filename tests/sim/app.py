"""What the workers of a simulation run. Activities tell the ledger of each execution; nothing else leaves it."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import durastream as ds
from tests.sim.loop import PROCESS, pause

if TYPE_CHECKING:
    from tests.sim.world import World

app = ds.App()


def world() -> World:
    """The simulation that this code runs in."""
    return PROCESS.get().world  # type: ignore[no-any-return]


# ---------------------------------------------------------------- activities


@app.activity
async def double(order: tuple[str, int]) -> int:
    """`order`: what makes this execution one of its kind, and a number. Takes up to two leases now and then."""
    key, number = order
    simulation = world()
    runs = simulation.ledger.ran(f"double {key}")
    share = simulation.chance.number(f"double {key} {runs}")
    await pause(share**6 * 2 * simulation.knobs.lease_s)
    simulation.ledger.did("activity async")
    return number + number


@app.activity
def add_one(order: tuple[str, int]) -> int:
    key, number = order
    world().ledger.ran(f"add_one {key}")
    world().ledger.did("activity sync")
    return number + 1


@app.activity
async def fails_at_first(order: tuple[str, int]) -> int:
    """Raises until it has run so many times."""
    key, times = order
    runs = world().ledger.ran(f"fails_at_first {key}")
    if runs <= times:
        raise RuntimeError(f"run {runs} of {key}")
    world().ledger.did("activity retried")
    return times


@app.activity
async def broken(key: str) -> None:
    """Raises until somebody has mended it."""
    world().ledger.ran(f"broken {key}")
    if key not in world().mended:
        raise ValueError(f"{key} is broken")


@app.activity
async def says(order: tuple[str, int]) -> int:
    """The number it was given, after about a tenth of a second."""
    key, number = order
    world().ledger.ran(f"says {key}")
    await pause(0.2 * world().chance.number(f"says {key}"))
    return number


@app.activity(timeout=0.5)
async def never_ends(key: str) -> None:
    world().ledger.ran(f"never_ends {key}")
    world().ledger.did("activity timeout")
    await pause(3600)


# ---------------------------------------------------------------- orchestrators

RETRY = ds.RetryPolicy(max_attempts=6, first_interval=0.05, backoff=2)


@app.orchestrator
async def sequence(ctx: ds.OrchestrationContext, count: int) -> int:
    """2·(0+1+…), plus one for each, plus two."""
    total, me = 0, f"{ctx.instance_id} {ctx.execution_id}"
    for k in range(count):
        total += await ctx.call_activity(double, (f"{me}/{k}", k))
        total = await ctx.call_activity(add_one, (f"{me}/{k}", total))
    return total + await ctx.call_activity(fails_at_first, (me, 2), retry=RETRY)


@app.orchestrator
def fan_out(ctx: ds.OrchestrationContext, count: int) -> Generator[Any, Any, int]:
    me = ctx.instance_id
    found: list[int] = yield ds.when_all([ctx.call_activity(double, (f"{me}/{k}", k)) for k in range(count)])
    first = yield ds.when_any([ctx.call_activity(add_one, (f"{me}/{k}", 0)) for k in range(2)])
    added: int = first.result()
    return sum(found) + added


@app.orchestrator
async def tree(ctx: ds.OrchestrationContext, depth: int) -> int:
    """The number of leaves of a binary tree; leaves fail once, where their parent tries again."""
    if depth == 0:
        return 1
    children = [
        ctx.call_sub_orchestrator(tree, depth - 1),
        ctx.call_sub_orchestrator(tree, depth - 1, instance_id=f"{ctx.instance_id}+"),
    ]
    found = await ds.when_all(children)
    if depth == 1:
        found.append(await ctx.call_sub_orchestrator(stumbles, ctx.instance_id, retry=RETRY) - 1)
    return sum(found)


@app.orchestrator
async def stumbles(ctx: ds.OrchestrationContext, key: str) -> int:
    """Fails the first time it is tried: the activity is not tried again by itself."""
    return await ctx.call_activity(fails_at_first, (f"stumbles {key}", 1))


@app.orchestrator
async def sleeps(ctx: ds.OrchestrationContext, pauses: list[float]) -> list[int]:
    """Durable timers one after the other; how late each was, in ms. One that is not waited for is cancelled."""
    late: list[int] = []
    for seconds in pauses:
        begun = ctx.current_utc_datetime
        other = ctx.create_timer(3_600)
        timer = ctx.create_timer(seconds)
        await ds.when_any([timer, other])
        other.cancel()
        late.append(round((ctx.current_utc_datetime - begun).total_seconds() * 1_000) - round(seconds * 1_000))
    return late


@app.orchestrator
async def collects(ctx: ds.OrchestrationContext, state: tuple[int, list[str]]) -> list[str]:
    """Takes events "token" until "stop" comes; continues as new after every `state[0]` of them, with a pause of no time."""
    every, found = state
    for _ in range(every):
        token = await ctx.wait_for_external_event("token", type=str)
        if token == "stop":
            return found
        found.append(token)
    await ctx.create_timer(0)
    ctx.continue_as_new((every, found))
    return []


@app.orchestrator
async def generations(ctx: ds.OrchestrationContext, state: tuple[int, list[list[int]]]) -> list[list[int]]:
    """Counts down, an execution for each number, each of which may leave an activity behind that is not done yet."""
    left, found = state
    echo = ctx.call_activity(says, (f"{ctx.instance_id} {ctx.execution_id}", left))
    await ds.when_any([echo, ctx.create_timer(0.1)])
    if echo.done:
        found.append([left, echo.result()])
    if left == 0:
        return found
    ctx.continue_as_new((left - 1, found))
    return []


@app.orchestrator
async def times_out(ctx: ds.OrchestrationContext, seconds: float) -> str:
    """An event, or nothing by then; and an activity that never ends, which its timeout ends."""
    try:
        said = await ctx.wait_for_external_event("word", timeout=seconds, type=str)
    except ds.TimeoutError:
        said = "nothing"
    try:
        await ctx.call_activity(never_ends, ctx.instance_id)
    except ds.ActivityFailed as error:
        return f"{said} {error.type}"
    return "it ended"


@app.orchestrator
async def needs_mending(ctx: ds.OrchestrationContext, key: str) -> int:
    """Fails until somebody mends the activity; what was done before is not done again."""
    before = await ctx.call_activity(double, (f"{ctx.instance_id}/before", 21))
    await ctx.call_activity(broken, key)
    return before


@app.orchestrator
async def waits(ctx: ds.OrchestrationContext, depth: int) -> str:
    """For an event that may never come; so does a child of it."""
    ctx.set_custom_status("waits")
    if depth:
        return await ctx.call_sub_orchestrator(waits, depth - 1)
    return await ctx.wait_for_external_event("go", type=str)


@app.orchestrator
async def posts(ctx: ds.OrchestrationContext, order: tuple[str, int]) -> int:
    """Sends numbered events to another orchestration, and numbered signals to a log."""
    target, count = order
    for k in range(count):
        ctx.send_event(target, "token", f"{ctx.instance_id}:{k}")
        ctx.signal_entity(ds.EntityId("Log", target), "note", f"{ctx.instance_id}:{k}")
        await ctx.call_activity(add_one, (f"{ctx.instance_id}/{k}", k))
    return count


# ---------------------------------------------------------------- entities


@app.entity
class Log:
    """Notes what it is told, in order."""

    notes: list[str]

    def __init__(self) -> None:
        self.notes = []

    def note(self, text: str) -> int:
        self.notes.append(text)
        return len(self.notes)

    def fail(self, text: str) -> None:
        self.notes.append(text)  # of a failed operation nothing must stay
        raise ValueError(text)

    def begin(self, order: tuple[str, int], ctx: ds.EntityContext) -> None:
        """An entity that starts an orchestration."""
        instance_id, count = order
        ctx.start_orchestration("sequence", count, instance_id=instance_id)


@app.orchestrator
async def dictates(ctx: ds.OrchestrationContext, order: tuple[str, int]) -> list[int]:
    """Calls a log so many times, between them an operation that fails. What each call returned."""
    key, count = order
    log, found = ds.EntityId("Log", key), []
    for k in range(count):
        found.append(await ctx.call_entity(log, "note", f"{ctx.instance_id}:{k}"))
        try:
            await ctx.call_entity(log, "fail", f"failed {ctx.instance_id}:{k}")
        except ds.EntityFailed:
            continue
        raise AssertionError("an operation that fails did not")
    return found


OPENING = 100


@app.entity
class Account:
    """`moves`: transfer and amount, each time money came or went."""

    balance: int
    moves: list[tuple[int, int]]

    def __init__(self) -> None:
        self.balance = OPENING
        self.moves = []

    def move(self, move: tuple[int, int]) -> int:
        number, amount = move
        self.moves.append((number, amount))
        self.balance += amount
        if self.balance < 0:
            raise ValueError(f"transfer {number} would overdraw the account")
        return self.balance

    def read(self) -> int:
        return self.balance


def account(bank: str, number: int) -> ds.EntityId:
    return ds.EntityId("Account", f"{bank}-{number}")


@app.orchestrator
async def transfer(ctx: ds.OrchestrationContext, order: tuple[str, int, int, int, int]) -> bool:
    """`order`: bank, number, from, to, amount. Whether the money was moved. Inside the section nobody else moves any."""
    bank, number, source, target, amount = order
    async with ctx.lock_entities(account(bank, source), account(bank, target)):
        before = await ctx.call_entity(account(bank, source), "read")
        try:
            after = await ctx.call_entity(account(bank, source), "move", (number, -amount))
        except ds.EntityFailed:
            return False
        if after != before - amount:
            raise AssertionError(f"somebody moved money inside the section: {before} - {amount} became {after}")
        if number % 3 == 0:
            await ctx.create_timer(0.05)
        await ctx.call_entity(account(bank, target), "move", (number, amount))
        return True


@app.orchestrator
async def deposit(ctx: ds.OrchestrationContext, order: tuple[str, int, int, int]) -> int:
    """`order`: bank, number, account, amount. Locks nothing: it has to wait for whoever does."""
    bank, number, target, amount = order
    balance: int = await ctx.call_entity(account(bank, target), "move", (number, amount))
    return balance


@app.orchestrator
async def holds(ctx: ds.OrchestrationContext, order: tuple[str, str]) -> str:
    """Locks an account, and then does what `order` says with it: waits for ever, fails, or begins anew."""
    key, ending = order
    async with ctx.lock_entities(ds.EntityId("Account", key)):
        ctx.set_custom_status("inside")
        if ending == "fails":
            raise RuntimeError("inside a critical section")
        if ending == "continues":
            ctx.continue_as_new((key, "returns"))
        if ending == "waits":
            await ctx.wait_for_external_event("never")
    return ending
