"""The samples that have entities do what their docstrings say."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import redis.asyncio

import durastream as ds
from tests.support import a_moment, eventually
from tests.workers.conftest import Running
from workers import bank, counters, devices, semaphore

pytestmark = pytest.mark.anyio


def state_is(client: ds.Client, entity: ds.EntityId, **expected: Any) -> Callable[[], Awaitable[bool]]:
    """A condition: these attributes have these values."""

    async def look() -> bool:
        state = await client.read_entity(entity) or {}
        return all(state.get(name) == value for name, value in expected.items())

    return look


# ---------------------------------------------------------------- counters


async def test_both_counters_count(running: Running) -> None:
    async with running(counters.app) as client:
        await client.signal_entity(ds.EntityId("Counter", "apples"), "add", 5)
        handle = await client.start(counters.count, counters.Count("apples", [1, 2, 3]))
        assert await handle.result(timeout=20) == [11, 6]
        counter = await client.read_entity(ds.EntityId("Counter", "apples"), type=counters.Counter)
        assert counter is not None and counter.get() == 11
        assert await client.read_entity(ds.EntityId("Tally", "apples")) == 6


@pytest.mark.parametrize("name", ["Counter", "Tally"])
async def test_a_counter_is_set_back_and_deleted(running: Running, name: str) -> None:
    counter, zero = ds.EntityId(name, "pears"), {"value": 0} if name == "Counter" else 0

    async def state() -> Any:
        return await client.read_entity(counter)

    async with running(counters.app) as client:
        await client.signal_entity(counter, "add", 5)
        await client.signal_entity(counter, "reset")
        await eventually(lambda: _equal(state, zero))
        await client.signal_entity(counter, "delete")
        await eventually(lambda: _equal(state, None))
        assert [entity async for entity in client.list_entities()] == []


async def _equal(what: Callable[[], Awaitable[Any]], expected: object) -> bool:
    return bool(await what() == expected)


@pytest.mark.parametrize(("name", "operation", "amount"), [("Counter", "add", -1), ("Tally", "divide", 2)])
async def test_what_a_counter_refuses_leaves_it_as_it_was(
    running: Running, name: str, operation: str, amount: int
) -> None:
    app = ds.App()
    app.include(counters.app)

    @app.orchestrator
    async def insist(ctx: ds.OrchestrationContext) -> int:
        counter = ds.EntityId(name, "a")
        await ctx.call_entity(counter, "add", 1)
        with pytest.raises(ds.EntityFailed, match="ValueError: a"):
            await ctx.call_entity(counter, operation, amount)
        return await ctx.call_entity(counter, "get", return_type=int)

    async with running(app) as client:
        assert await (await client.start(insist)).result(timeout=20) == 1


# ---------------------------------------------------------------- bank


async def _nothing_is_locked(client: ds.Client) -> bool:
    """The last unlocking may still be on its way when the result is there."""
    return not [one async for one in client.list_entities(locked=True)]


async def test_transfers_refuse_overdrafts(running: Running) -> None:
    async with running(bank.app) as client:
        await client.signal_entities([(bank.account("ann"), "deposit", 100), (bank.account("ben"), "deposit", 20)])
        first = await client.start(bank.transfer, bank.Transfer("ann", "ben", 30))
        assert await first.result(timeout=20) == "done"
        second = await client.start(bank.transfer, bank.Transfer("ann", "ben", 300))
        assert await second.result(timeout=20) == "refused: ann has 70"
        audit = await client.start(bank.audit, ["ann", "ben"])
        assert await audit.result(timeout=20) == 120
        await eventually(lambda: _nothing_is_locked(client))


@pytest.mark.parametrize("order", [bank.Transfer("ann", "ann", 1), bank.Transfer("ann", "ben", 0)])
async def test_what_is_no_transfer_fails(running: Running, order: bank.Transfer) -> None:
    async with running(bank.app) as client:
        handle = await client.start(bank.transfer, order)
        with pytest.raises(ds.OrchestrationFailed, match="two accounts and a positive amount"):
            await handle.result(timeout=20)


@pytest.mark.parametrize(
    ("operation", "amount", "why"), [("withdraw", 101, "more than the balance of 100"), ("deposit", -1, "positive")]
)
async def test_an_account_refuses_by_itself(running: Running, operation: str, amount: int, why: str) -> None:
    app = ds.App()
    app.include(bank.app)

    @app.orchestrator
    async def careless(ctx: ds.OrchestrationContext) -> int:
        await ctx.call_entity(bank.account("ann"), "deposit", 100)
        with pytest.raises(ds.EntityFailed, match=why):
            await ctx.call_entity(bank.account("ann"), operation, amount)
        return await ctx.call_entity(bank.account("ann"), "get", return_type=int)

    async with running(app) as client:
        assert await (await client.start(careless)).result(timeout=20) == 100


async def test_the_total_is_the_same_at_every_moment(running: Running) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    owners = [f"owner {number}" for number in range(10)]
    pairs = [rng.sample(owners, 2) for _ in range(200)]
    transfers = [bank.Transfer(source, target, rng.randint(1, 80)) for source, target in pairs]
    async with running(bank.app) as client:
        await client.signal_entities((bank.account(owner), "deposit", 100) for owner in owners)
        under_way = await client.start_many(bank.transfer, transfers)
        audits = await client.start_many(bank.audit, [owners] * 10)
        assert await client.wait_all(audits, timeout=60) == [1_000] * 10
        outcomes = await client.wait_all(under_way, timeout=60)
        assert all(outcome == "done" or outcome.startswith("refused: ") for outcome in outcomes)
        balances = [entity.state["balance"] async for entity in client.list_entities("Account")]
        assert sum(balances) == 1_000 and min(balances) >= 0
        assert balances == _replayed(owners, transfers, outcomes)
        await eventually(lambda: _nothing_is_locked(client))


def _replayed(owners: list[str], transfers: list[bank.Transfer], outcomes: list[str]) -> list[int]:
    """What the transfers that were carried out leave, in any order."""
    balances = dict.fromkeys(sorted(owners), 100)
    for transfer, outcome in zip(transfers, outcomes, strict=True):
        if outcome == "done":
            balances[transfer.source] -= transfer.amount
            balances[transfer.target] += transfer.amount
    return list(balances.values())


# ---------------------------------------------------------------- devices


async def test_a_silent_device_is_marked_offline_and_comes_back(running: Running) -> None:
    device = ds.EntityId("Device", "sensor-7")
    async with running(devices.app) as client:
        await client.signal_entity(device, "set_patience", 0.2)
        await client.signal_entity(device, "report", {"celsius": 21.5})
        await eventually(state_is(client, devices.FLEET, online=0, offline=1))
        assert await state_is(client, device, online=False, reports=1, last_report={"celsius": 21.5})()
        await client.signal_entity(device, "set_patience", 60)
        await client.signal_entity(device, "report", {"celsius": 22})
        await eventually(state_is(client, devices.FLEET, online=1, offline=0))
        seen = await client.read_entity(device, type=devices.Device)
        assert seen is not None and seen.online and seen.reports == 2 and seen.last_seen is not None
        assert (await client.entity(device)).queued == 1  # the signal to itself


async def test_a_device_that_goes_on_reporting_stays_online(running: Running) -> None:
    device = ds.EntityId("Device", "sensor-8")
    async with running(devices.app) as client:
        await client.signal_entity(device, "set_patience", 0.4)
        for tenth in range(0, 12, 2):
            await client.signal_entity(device, "report", {}, at=tenth / 10)
        await eventually(state_is(client, device, reports=6, online=True))
        assert await state_is(client, devices.FLEET, online=1, offline=0)()
        await eventually(state_is(client, devices.FLEET, online=0, offline=1))


async def test_any_redis_client_reports(running: Running, server_url: str) -> None:
    report: dict[Any, Any] = {
        "op": "signal",
        "entity": "Device",
        "key": "sensor-7",
        "operation": "report",
        "input": '{"celsius": 21.5}',
    }
    async with running(devices.app) as client, redis.asyncio.Redis.from_url(server_url, protocol=2) as other:
        await other.xadd("ds:{default}:in", report)
        await eventually(state_is(client, ds.EntityId("Device", "sensor-7"), last_report={"celsius": 21.5}))
        await eventually(state_is(client, devices.FLEET, online=1))


async def test_a_simulated_fleet_falls_silent(running: Running) -> None:
    async with running(devices.app) as client:
        plan = devices.Simulation(devices=20, reports=3, every_s=0.2, patience_s=1.5)
        handle = await client.start(devices.simulate, plan)
        assert await handle.result(timeout=20) == {"online": 20, "offline": 0}
        await eventually(state_is(client, devices.FLEET, online=0, offline=20))
        listed = [entity async for entity in client.list_entities("Device", prefix="simulated-")]
        assert [entity.state["reports"] for entity in listed] == [3] * 20


# ---------------------------------------------------------------- semaphore


GATE = ds.EntityId("Semaphore", "gate")


def gated(work: Callable[[], Awaitable[None]], *, lease_s: float) -> tuple[ds.App, Any]:
    """An app whose orchestrator `enter` runs an activity while it holds a permit."""
    app = ds.App()
    app.include(semaphore.app)

    @app.activity
    async def inside() -> None:
        await work()

    @app.orchestrator
    async def enter(ctx: ds.OrchestrationContext) -> str:
        ticket = str(ctx.new_uuid())
        ctx.signal_entity(GATE, "acquire", semaphore.Request(ticket, lease_s))
        await ctx.wait_for_external_event(f"permit {ticket}")
        await ctx.call_activity(inside)
        ctx.signal_entity(GATE, "release", ticket)
        return "was in"

    return app, enter


async def test_a_crawl_gets_all_pages(running: Running) -> None:
    async with running(semaphore.app) as client:
        handle = await client.start(semaphore.crawl, semaphore.Crawl("example.org", pages=20))
        assert await handle.result(timeout=20) == [f"example.org/{number}" for number in range(1, 21)]
        await eventually(state_is(client, ds.EntityId("Semaphore", "example.org"), permits=2, holders={}, waiting=[]))


@pytest.mark.parametrize("permits", [1, 3])
async def test_never_more_than_the_permits(running: Running, permits: int) -> None:
    inside, most = 0, 0

    async def work() -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await eventually(lambda: most >= permits)
        await a_moment()
        inside -= 1

    app, enter = gated(work, lease_s=60)
    async with running(app) as client:
        await client.signal_entity(GATE, "set_permits", permits)
        handles = await client.start_many(enter, [None] * 12)
        assert await client.wait_all(handles, timeout=30) == ["was in"] * 12
        assert most == permits


async def test_a_permit_comes_back_from_a_holder_that_is_gone(running: Running) -> None:
    entered: list[int] = []

    async def work() -> None:
        entered.append(len(entered))
        await eventually(lambda: len(entered) > 1, deadline_s=60)  # the first one stays inside until it is terminated

    app, enter = gated(work, lease_s=0.5)
    async with running(app) as client:
        first = await client.start(enter, instance_id="first")
        await eventually(lambda: entered)
        second = await client.start(enter, instance_id="second")
        await first.terminate("gone with the permit")
        assert await second.result(timeout=20) == "was in"
        await eventually(state_is(client, GATE, holders={}, waiting=[]))


async def test_who_no_longer_waits_gets_no_permit(running: Running) -> None:
    async with running(semaphore.app) as client:
        site = ds.EntityId("Semaphore", "example.org")
        await client.signal_entity(site, "set_permits", 0)
        handle = await client.start(semaphore.visit, semaphore.Page("example.org", 1))
        await eventually(lambda: _waits(client, site))
        (waiting,) = (await client.read_entity(site))["waiting"]
        assert waiting["instance_id"] == handle.id
        await client.signal_entity(site, "release", waiting["request"]["ticket"])
        await client.signal_entity(site, "set_permits", 1)
        await eventually(state_is(client, site, permits=1, holders={}, waiting=[]))


async def _waits(client: ds.Client, site: ds.EntityId) -> Any:
    return (await client.read_entity(site) or {}).get("waiting")
