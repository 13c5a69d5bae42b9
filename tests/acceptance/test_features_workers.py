"""Workers from end to end: memory that is too small, hand-over, user code that blocks, stopping, idling; and the memory store."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import pytest

import durastream as ds
from durastream import wire
from durastream.core.ids import partition_of
from durastream.core.messages import Message, Restart, Start
from durastream.store.keys import HubKeys
from durastream.store.memory import MemoryServer
from durastream.worker import partition as partitions
from tests.acceptance.oracle import leftovers
from tests.acceptance.serving import serving, until, until_status
from tests.servers.looking import connect

pytestmark = pytest.mark.anyio


def counting_app(log: list[str]) -> ds.App:
    """Each step is noted, so that one that runs twice is seen."""
    app = ds.App()

    @app.activity
    async def step(name: str) -> str:
        log.append(name)
        await asyncio.sleep(0.001)
        return name

    @app.orchestrator
    async def steps(ctx: ds.OrchestrationContext, count: int) -> int:
        for n in range(count):
            await ctx.call_activity(step, f"{ctx.instance_id} {n}")
        return count

    @app.orchestrator
    async def waits(ctx: ds.OrchestrationContext, n: int) -> list[Any]:
        first = await ctx.call_activity(step, f"{n} first")
        got = await ctx.wait_for_external_event("go", type=int)
        await ctx.create_timer(0.01)
        return [first, got, await ctx.call_activity(step, f"{n} last")]

    return app


async def test_thousands_of_waiting_instances_with_room_for_a_few(
    server_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nearly every message finds its instance evicted, and has it replayed from its history."""
    log: list[str] = []
    monkeypatch.setattr("durastream.worker.host.max", lambda *_: 5, raising=False)  # live_max of a partition
    replays = 0
    original = partitions.Partition._revive

    def counted(self: partitions.Partition, instance_id: str, loaded: Any) -> Any:
        nonlocal replays
        replays += 1
        return original(self, instance_id, loaded)

    monkeypatch.setattr(partitions.Partition, "_revive", counted)
    async with ds.Worker(counting_app(log), server_url, lease=2) as worker, ds.Client(server_url) as client:
        handles = await client.start_many("waits", range(2_000), instance_ids=[f"w{n}" for n in range(2_000)])
        await until(lambda: len(log) == 2_000)
        await asyncio.gather(*(h.raise_event("go", n, check=False) for n, h in enumerate(handles)))
        results = await client.wait_all(handles, timeout=60)
        assert results == [[f"{n} first", n, f"{n} last"] for n in range(2_000)]
        assert len(log) == len(set(log)) == 4_000
        assert replays > 1_000
        assert all(len(one._live) < 300 for one in worker.host.owned.values())


async def test_partitions_move_when_a_worker_joins_and_when_one_leaves(server_url: str) -> None:
    log: list[str] = []
    app = counting_app(log)
    async with ds.Client(server_url) as client, ds.Worker(app, server_url, lease=1, name="first") as first:
        handles = await client.start_many("steps", [30] * 40, instance_ids=[f"s{n}" for n in range(40)])
        await until(lambda: len(log) > 50)
        async with ds.Worker(app, server_url, lease=1, name="second") as second:
            await until(lambda: len(second.host.owned) + len(first.host.owned) == 16)
            await until(lambda: min(len(second.host.owned), len(first.host.owned)) > 2)
            await until(lambda: len(log) > 400)
        await until(lambda: len(first.host.owned) == 16)
        assert await client.wait_all(handles, timeout=30) == [30] * 40
    assert len(log) == len(set(log)) == 1_200, "an activity ran twice in a clean hand-over"
    assert leftovers(server_url) == {}


async def test_a_worker_that_leaves_is_replaced_at_once_not_after_its_lease(server_url: str) -> None:
    app = counting_app([])
    async with ds.Client(server_url) as client, ds.Worker(app, server_url, lease=30) as stays:
        async with ds.Worker(app, server_url, lease=30) as other:
            await until(lambda: len(other.host.owned) > 2)
        await until(lambda: len(stays.host.owned) == 16)  # gives up after 10 s, a third of the lease
        assert [one.worker_id for one in await client._session.store.workers()] == [stays.worker_id]


async def test_code_that_blocks_the_loop_costs_no_lease(server_url: str, caplog: pytest.LogCaptureFixture) -> None:
    app = ds.App()
    runs: list[str] = []

    @app.activity
    async def blocks() -> str:
        runs.append("blocks")
        time.sleep(2.5)  # with a lease of one second
        return "done"

    @app.orchestrator
    async def asks(ctx: ds.OrchestrationContext) -> str:
        return await ctx.call_activity(blocks)

    with caplog.at_level(logging.WARNING, logger="durastream"):
        async with ds.Worker(app, server_url, lease=1) as worker, ds.Client(server_url) as client:
            handle = await client.start(asks)
            epochs = {number: one.lease.epoch for number, one in worker.host.owned.items()}
            assert await handle.result(timeout=10) == "done"
            assert {number: one.lease.epoch for number, one in worker.host.owned.items()} == epochs
    assert runs == ["blocks"]
    messages = [record.getMessage() for record in caplog.records]
    assert [text for text in messages if "stood still" in text]
    assert not [text for text in messages if "lost partition" in text]


async def test_run_until_idle_does_all_that_can_be_done(server_url: str) -> None:
    log: list[str] = []
    app = counting_app(log)

    @app.orchestrator
    async def asks_for_what_nobody_has(ctx: ds.OrchestrationContext) -> None:
        await ctx.call_activity("nobody")

    async with ds.Client(server_url) as client:
        done = await client.start_many("steps", [3] * 20)
        waiting = await client.start("waits", 1)
        later = await client.start("steps", 1, start_at=3600)
        unknown = await client.start("unknown")
        lacking = await client.start(asks_for_what_nobody_has)
        await ds.Worker(app, server_url, lease=1).run_until_idle(timeout=15)
        assert await client.wait_all(done, timeout=1) == [3] * 20
        statuses = [(await one.status()).runtime_status for one in (waiting, later, unknown, lacking)]
        assert statuses == ["Running", "Pending", "Pending", "Running"]


async def test_a_message_that_cannot_be_handled_becomes_a_dead_letter_and_stops_nothing(server_url: str) -> None:
    app = counting_app([])
    bad: list[Message] = [
        Start("bad", "no-generation", "steps", None, b"1", None, None, None, None, "error", False),
        Start("bad", "token\nwith.0", "steps", None, b"1", None, None, None, None, "error", False),
        Start("b\x07d", "token.0", "steps", None, b"1", None, None, None, None, "error", False),
        Restart("bad", "", None),
    ]
    keys = HubKeys("default", 16)
    async with serving(app, server_url) as client:
        with connect(server_url) as server:
            for message in bad:
                home = partition_of(message[0], 16)
                server.xadd(keys.partitions[home].inbox, {"m": wire.pack_message(message)})
            elsewhere = (partition_of("bad", 16) + 1) % 16
            good = Start("bad", "token.0", "steps", None, b"1", None, None, None, None, "error", False)
            server.xadd(keys.partitions[elsewhere].inbox, {"m": wire.pack_message(good)})
            server.xadd(keys.partitions[3].inbox, {"m": b"rubbish"})
            await until(lambda: server.xlen(keys.dead) == 6)
            reasons = [fields[b"reason"].decode() for _, fields in server.xrange(keys.dead)]
        assert all(reasons)
        handles = await client.start_many("steps", [2] * 50)
        assert await client.wait_all(handles, timeout=10) == [2] * 50


async def test_a_record_changed_by_hand_is_read_again(server_url: str) -> None:
    """The commit is refused; the owner throws away what it holds, reads afresh, and goes on."""
    app = counting_app([])
    async with serving(app, server_url) as client:
        handles = await client.start_many("waits", range(10), instance_ids=[f"h{n}" for n in range(10)])
        for handle in handles:
            await until_status(handle, "Running", events=3)
        with connect(server_url) as server:
            status = await handles[0].status()
            server.hincrby(HubKeys("default", 16).partitions[status.partition].instance("h0"), "revision", 7)
        await asyncio.gather(*(handle.raise_event("go", 5) for handle in handles))
        assert await client.wait_all(handles, timeout=10) == [[f"{n} first", 5, f"{n} last"] for n in range(10)]


# ---------------------------------------------------------------- the memory store


async def test_the_features_work_on_the_memory_store_too() -> None:
    server = MemoryServer(clock=lambda: time.time_ns() // 1_000_000)
    log: list[str] = []
    app = counting_app(log)

    @app.orchestrator
    async def parent(ctx: ds.OrchestrationContext) -> list[Any]:
        children = [ctx.call_sub_orchestrator("waits", n, instance_id=f"child-{n}") for n in range(5)]
        for n in range(5):
            ctx.send_event(f"child-{n}", "go", n)
        return await ds.when_all(children)

    store = server.store()
    async with ds.Client(server.store()) as client:
        async with ds.Worker(app, store, lease=1) as worker:
            scheduled = await client.start("steps", 2, start_at=0.1)
            handle = await client.start(parent)
            assert await handle.result(timeout=10) == [[f"{n} first", n, f"{n} last"] for n in range(5)]
            assert await scheduled.result(timeout=10) == 2
            waiting = await client.start("waits", 9)
            await until_status(waiting, "Running", events=3)
            assert len(worker.host.owned) == 16
        assert await store.now() > 0, "a store that was given is not closed with the worker"
        async with ds.Worker(app, server.store(), lease=1):
            await waiting.suspend()
            await waiting.raise_event("go", 9)
            await until_status(waiting, "Suspended")
            await waiting.resume()
            assert await waiting.result(timeout=10) == ["9 first", 9, "9 last"]
            await waiting.purge()
    assert len(log) == len(set(log))


# ---------------------------------------------------------------- cost and fairness


async def test_an_idle_worker_asks_the_server_for_next_to_nothing(server_url: str) -> None:
    async with serving(counting_app([]), server_url, lease=10) as client:
        handles = await client.start_many("waits", range(100))
        for handle in handles:
            await until_status(handle, "Running", events=3)
        with connect(server_url) as server:

            async def quiet() -> bool:
                before = server.info("stats")["total_commands_processed"]
                await asyncio.sleep(1)  # time must pass: what is counted is what happens while nothing is to be done
                used: int = server.info("stats")["total_commands_processed"] - before
                return used < 30

            await until(quiet)  # taking over looks at every partition once
            assert await quiet() or await quiet()


async def test_a_large_fan_out_does_not_starve_small_instances(server_url: str) -> None:
    """While one instance has 2,000 activities to do, others in other partitions come and go: none waits until half of
    them are done. (In its own partition activities are done in the order in which they came.)"""
    app = counting_app([])
    done = 0

    @app.activity
    async def part(n: int) -> int:
        nonlocal done
        await asyncio.sleep(0.002)
        done += 1
        return n

    @app.orchestrator
    async def large(ctx: ds.OrchestrationContext) -> int:
        return len(await ds.when_all([ctx.call_activity(part, n) for n in range(2_000)]))

    home = partition_of("large", 16)
    small = [name for name in map("small-{}".format, range(200)) if partition_of(name, 16) != home]
    overtaken: list[int] = []  # parts that were done while a small one was under way
    async with serving(app, server_url, concurrency=32) as client:
        big = await client.start(large, instance_id="large")
        await until(lambda: done > 0)
        for name in small:
            before = done
            assert await (await client.start("steps", 1, instance_id=name)).result(timeout=60) == 1
            overtaken.append(done - before)
            if done > 1_500:
                break
        assert await big.result(timeout=60) == 2_000
    print("parts done meanwhile", overtaken)
    assert len(overtaken) >= 3, f"only {len(overtaken)} instances were through while there was much to do"
    assert max(overtaken) < 1_000, f"one waited for {max(overtaken)} of 2,000 parts"
