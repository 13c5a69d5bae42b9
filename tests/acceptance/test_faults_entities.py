"""Entities when things go wrong: operations that end their process, workers that freeze or are stopped, no memory left."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio

import durastream as ds
from durastream import wire
from durastream.core.messages import EntityOperation
from durastream.errors import Refused
from durastream.store.embedded import EmbeddedServer
from tests.acceptance import entity_app, oracle
from tests.acceptance.entity_app import Fragile
from tests.acceptance.planting import garden
from tests.acceptance.processes import WorkerProcess, fleet, seeded
from tests.acceptance.serving import Gate, until, until_status
from tests.acceptance.test_kill_bank import check_bank, open_accounts, orders, run_orders
from tests.acceptance.test_kill_poison import cure, deaths, one_server_url, supervised
from tests.conftest import NO_SERVER, REAL_SERVERS

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.real_server]

__all__ = ["cure", "one_server_url"]  # fixtures

TARGET = "tests.acceptance.entity_app:app"
LEASE_S = 0.6


# ---------------------------------------------------------------- operations that end their process


async def done(client: ds.Client, key: str) -> list[int]:
    state = await client.read_entity(ds.EntityId("Fragile", key), type=Fragile)
    return [] if state is None else state.done


@pytest.mark.parametrize("operation", ["die", "die_later"])
@pytest.mark.parametrize("processes", [1, 3])
async def test_a_deadly_call_fails_and_the_entity_goes_on(
    one_server_url: str, operation: str, processes: int, cure: Path
) -> None:
    url = one_server_url
    async with supervised(url, processes, TARGET) as workers, ds.Client(url) as client:
        before = await client.start(entity_app.calls_fragile, ("bad", "work", 1))
        assert await before.result(timeout=20) == 1
        bad = await client.start(entity_app.calls_fragile, ("bad", operation, 1))
        good = await client.start_many(entity_app.calls_fragile, [(f"good {n}", "work", n) for n in range(40)])
        after = await client.start_many(entity_app.calls_fragile, [("bad", "work", n) for n in range(2, 6)])
        assert await bad.result(timeout=40) == "WorkerCrashed"
        assert await client.wait_all(good, timeout=40) == list(range(40))
        assert await client.wait_all(after, timeout=40) == [2, 3, 4, 5]
        assert sorted(await done(client, "bad")) == [1, 2, 3, 4, 5]
        assert 4 <= deaths(workers) <= 7
        await oracle.quiet(url)
        with garden(url) as plants:
            assert plants.dead() == []


async def test_a_deadly_signal_becomes_a_dead_letter_and_the_entity_goes_on(one_server_url: str, cure: Path) -> None:
    url, bad = one_server_url, ds.EntityId("Fragile", "bad")
    async with supervised(url, 2, TARGET) as workers, ds.Client(url) as client:
        await client.signal_entities([(bad, "work", 1), (bad, "die", 2), (bad, "work", 3)])
        await until_done(client, [1, 3])
        assert 4 <= deaths(workers) <= 7
        await one_dead_letter(url, EntityOperation(str(bad), "die", b"2", None, None, None))


async def one_dead_letter(url: str, message: EntityOperation) -> None:
    """That signal, and nothing else is left over."""
    with garden(url) as plants:
        await until(plants.dead)
        ((reason, blob),) = plants.dead()
        assert "WorkerCrashed" in reason
        plants.redis.delete(plants.keys.dead)
    await oracle.quiet(url, 5)
    assert wire.unpack_message(blob) == message


async def until_done(client: ds.Client, wanted: list[int]) -> None:
    ends = time.monotonic() + 40
    while (found := await done(client, "bad")) != wanted:
        assert time.monotonic() < ends, f"{found}, not {wanted}"
        await asyncio.sleep(0.05)


async def test_a_deadly_signal_for_later(one_server_url: str, cure: Path) -> None:
    url, bad = one_server_url, ds.EntityId("Fragile", "bad")
    async with supervised(url, 2, TARGET), ds.Client(url) as client:
        await client.signal_entity(bad, "work", 1)
        await client.signal_entity(bad, "die", 2, at=4)
        await client.signal_entity(bad, "work", 3, at=4.2)
        due = await _due(client, bad)
        await until_done(client, [1, 3])
        await one_dead_letter(url, EntityOperation(str(bad), "die", b"2", None, None, due))


async def _due(client: ds.Client, entity: ds.EntityId) -> int:
    """Of the first signal for later that waits."""
    await until(lambda: _queued(client, entity, 2))
    (first, _) = await client.entity_queue(entity)
    assert first.due is not None
    return round(first.due.timestamp() * 1_000)


@pytest.mark.parametrize("place", [0, 1, 3])
async def test_a_deadly_operation_that_waited_behind_a_lock(one_server_url: str, place: int, cure: Path) -> None:
    """It alone fails, wherever it stands in the queue: those that wait with it are applied, once and in order."""
    url, bad = one_server_url, ds.EntityId("Fragile", "bad")
    async with supervised(url, 2, TARGET), ds.Client(url) as client:
        holder = await client.start(entity_app.holds_fragile, "bad")
        await until_status(holder, "Running", custom_status="inside")
        calls = []
        for n in range(4):
            operation = "die" if n == place else "work"
            calls.append(await client.start(entity_app.calls_fragile, ("bad", operation, n)))
            await until(lambda: _queued(client, bad, n + 1))  # noqa: B023
        await client.signal_entity(bad, "work", 9)
        await until(lambda: _queued(client, bad, 5))
        await holder.raise_event("go", "on")
        assert await holder.result(timeout=40) == "on"
        wanted: list[Any] = ["WorkerCrashed" if n == place else n for n in range(4)]
        assert await client.wait_all(calls, timeout=40) == wanted
        await until_done(client, [n for n in [0, 1, 2, 3, 9] if n != place])
        await oracle.quiet(url)
        with garden(url) as plants:
            assert plants.dead() == []


async def _queued(client: ds.Client, entity: ds.EntityId, count: int) -> bool:
    return len(await client.entity_queue(entity)) == count


async def test_a_deadly_operation_within_a_section_and_the_lock_is_opened(one_server_url: str, cure: Path) -> None:
    url = one_server_url
    async with supervised(url, 2, TARGET), ds.Client(url) as client:
        handles = await client.start_many(entity_app.dies_inside, ["bad"] * 2)
        assert await client.wait_all(handles, timeout=60) == ["WorkerCrashed"] * 2
        await until_done(client, [1, 2, 1, 2])
        await oracle.quiet(url)


# ---------------------------------------------------------------- frozen workers


async def test_frozen_workers_do_no_harm_to_the_bank_when_they_wake(one_server_url: str) -> None:
    url, rng, count = one_server_url, seeded(), 40
    todo = orders(rng, 1_500, count)
    with fleet(url, TARGET, lease_s=LEASE_S) as workers:
        async with ds.Client(url) as client:
            freezer = asyncio.create_task(_freeze_now_and_then(workers, rng))
            await open_accounts(client, count)
            results: list[bool] = []
            for first in range(0, len(todo), 100):
                results += await run_orders(client, url, todo[first : first + 100])
            await freezer
            await oracle.quiet(url)
            await check_bank(client, todo, results, count)
            with garden(url) as plants:
                assert plants.dead() == []
            assert all(worker.alive for worker in workers)


async def _freeze_now_and_then(workers: list[WorkerProcess], rng: random.Random) -> None:
    for worker in workers:
        await worker.until_serving()
    for _ in range(4):
        victims = rng.sample(workers, rng.choice([1, 1, 2]))
        for victim in victims:
            victim.freeze()
        await asyncio.sleep(rng.uniform(1.5, 3) * LEASE_S)  # time must pass: leases run out
        for victim in victims:
            victim.thaw()
        await asyncio.sleep(rng.uniform(0, LEASE_S))  # time must pass: as above


# ---------------------------------------------------------------- the server


KINDS: list[Any] = [*REAL_SERVERS.values()]


@pytest.fixture(params=KINDS or [NO_SERVER])
def server(request: pytest.FixtureRequest) -> Iterator[EmbeddedServer]:
    """A server of its own: its settings are changed."""
    with EmbeddedServer.start(request.param) as started:
        yield started


async def test_memory_runs_out_while_the_bank_works(server: EmbeddedServer) -> None:
    """Nothing is half written and nothing is buried; it goes on when there is room again."""
    rng, count = seeded(), 40
    todo = orders(rng, 1_500, count)
    with fleet(server.url, TARGET, 2) as workers:
        async with ds.Client(server.url) as client, redis.asyncio.Redis.from_url(server.url) as admin:
            for worker in workers:
                await worker.until_serving()
            await open_accounts(client, count)
            working = asyncio.create_task(run_orders(client, server.url, todo))
            for _ in range(2):
                await asyncio.sleep(0.4)  # time must pass: work is under way
                await admin.config_set("maxmemory", 1_000_000)
                await asyncio.sleep(1.5)  # time must pass: longer than leases
                with garden(server.url) as plants:
                    assert plants.dead() == []
                await admin.config_set("maxmemory", 0)
            results = await working
            await oracle.quiet(server.url)
            await check_bank(client, todo, results, count)
            with garden(server.url) as plants:
                assert plants.dead() == []


# ---------------------------------------------------------------- operations that take long


class Slow:
    """An app whose operations can be held up; `runs` notes where each began."""

    def __init__(self) -> None:
        self.app = ds.App()
        self.gate = Gate()
        self.let_go = asyncio.Event()
        self.cancelled = 0
        self.runs: list[str] = []
        slow = self

        @self.app.entity
        class Machine:
            value: int = 0

            async def wait(self, n: int, ctx: ds.EntityContext) -> int:
                slow.runs.append(f"wait {n}")
                self.value += n  # before it waits: of a run that is cut short nothing must stay
                await slow.gate.wait()
                return self.value

            async def stubborn(self, n: int) -> int:
                """Takes its time when it is cancelled, and then goes on as if nothing had happened."""
                slow.runs.append(f"stubborn {n}")
                before = self.value
                try:
                    await slow.gate.wait()
                except asyncio.CancelledError:
                    slow.cancelled += 1
                    await slow.let_go.wait()
                self.value = before + n
                return self.value

            def add(self, n: int) -> int:
                self.value += n
                return self.value

            def block(self, seconds: float) -> int:
                slow.runs.append("block")
                time.sleep(seconds)  # time must pass: it blocks the loop
                self.value += 1
                return self.value

        @self.app.orchestrator
        async def calls(ctx: ds.OrchestrationContext, plan: tuple[str, Any]) -> int:
            operation, value = plan
            return await ctx.call_entity(ds.EntityId("Machine", "m"), operation, value, return_type=int)


MACHINE = ds.EntityId("Machine", "m")


@pytest.mark.parametrize("operation", ["wait", "stubborn"])
async def test_an_operation_that_hangs_is_run_elsewhere_when_its_worker_is_stopped(
    one_server_url: str, operation: str
) -> None:
    url, first, second = one_server_url, Slow(), Slow()
    second.gate.open()
    async with ds.Client(url) as client:
        async with (
            asyncio.timeout(30),
            ds.Worker(first.app, url, lease=1, grace=0.2),
        ):  # it stops, though the operation hangs
            handle = await client.start("calls", (operation, 5))
            await until(lambda: first.gate.came == 1)
            later = await client.start("calls", ("add", 1))
            await client.signal_entity(MACHINE, "add", 2)
        assert await client.read_entity(MACHINE) is None
        async with ds.Worker(second.app, url, lease=1):
            first.let_go.set()
            assert await handle.result(timeout=10) == 5
            assert await later.result(timeout=10) in (6, 8)
            await until(lambda: _value(client, 8))
            assert second.runs == [f"{operation} 5"]
        await oracle.quiet(url)


async def _value(client: ds.Client, wanted: int) -> bool:
    state = await client.read_entity(MACHINE)
    return state is not None and state["value"] == wanted


@pytest.mark.parametrize("lets_go", ["before", "after"])
@pytest.mark.parametrize("operation", ["wait", "stubborn"])
async def test_an_operation_under_way_when_its_partition_is_read_afresh(
    one_server_url: str, operation: str, lets_go: str
) -> None:
    """What the first run of it does is void, also when it is not to be cancelled and ends before or after the second."""
    slow = Slow()
    async with ds.Worker(slow.app, one_server_url, lease=1) as worker, ds.Client(one_server_url) as client:
        await client.signal_entity(MACHINE, operation, 5)
        await until(lambda: slow.gate.came == 1)
        for _ in range(10):
            await client.signal_entity(MACHINE, "add", 1)
        home = client._session.partition(str(MACHINE))
        worker.host.owned[home]._failed(Refused("a test has it read afresh"))
        await until(lambda: slow.gate.came == 2, "it runs again")
        assert slow.cancelled == (operation == "stubborn")
        if lets_go == "before":
            slow.let_go.set()
            await asyncio.sleep(0.1)  # time must pass: the first run ends, and nobody may notice
            slow.gate.open()
        else:
            slow.gate.open()
            await until(lambda: _value(client, 15), "the second run counts, whatever the first one does")
            slow.let_go.set()
        await until(lambda: _value(client, 15))
        for _ in range(10):
            await client.signal_entity(MACHINE, "add", 1)
        await until(lambda: _value(client, 25))
        assert slow.runs == [f"{operation} 5"] * 2
        with garden(one_server_url) as plants:
            assert plants.dead() == []
        await oracle.quiet(one_server_url)


async def test_an_operation_that_blocks_the_loop_costs_no_lease(
    one_server_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    slow = Slow()
    with caplog.at_level(logging.WARNING, logger="durastream"):
        async with ds.Worker(slow.app, one_server_url, lease=1) as worker, ds.Client(one_server_url) as client:
            handle = await client.start("calls", ("block", 2.5))
            epochs = {number: one.lease.epoch for number, one in worker.host.owned.items()}
            assert await handle.result(timeout=10) == 1
            assert {number: one.lease.epoch for number, one in worker.host.owned.items()} == epochs
    assert slow.runs == ["block"]
    messages = [record.getMessage() for record in caplog.records]
    assert [text for text in messages if "stood still" in text]
    assert not [text for text in messages if "lost partition" in text]
