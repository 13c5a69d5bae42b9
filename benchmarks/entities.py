"""Entities: signals, calls, critical sections, memory. One worker process, one client process, one server.

python -m benchmarks.entities hot|many|transfers URL COUNT
python -m benchmarks.entities call|fill|fill-more URL SCALE
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Callable, Coroutine, Iterable, Iterator
from itertools import pairwise, repeat
from typing import Any, Final

import durastream as ds
from benchmarks.app import calls, timed_steps
from benchmarks.engine import start_worker
from benchmarks.entity_floor import COUNT, ENTITIES, HOT, MANY
from benchmarks.floor import run
from benchmarks.harness import Bench, Figure, Measurement, begin, end, process_memory_bytes, tell
from durastream.core.ids import partition_of
from workers import bank

Found = list[Measurement | Figure]
TRANSFERS: Final = 10_000
ACCOUNTS: Final = 1_000
DEPOSIT: Final = 1_000
CALLERS: Final = 200
CALLS: Final = 200  # of one orchestration, one after another
RESTING: Final = 100_000
_MODULE: Final = "benchmarks.entities"
_WARM_UP: Final = 500
_POLL_S: Final = 0.01


def hot(bench: Bench) -> Found:
    """Signals to one entity, until all are applied."""
    measured = _measure(bench, "hot", "signals to one entity", "signals", count=bench.count(COUNT), base=HOT)
    with ds.SyncClient(bench.url) as client:
        assert client.read_entity(_counter("hot")) == {"value": measured.items}
    return [measured, _goal(measured, 30_000)]


def many(bench: Bench) -> Found:
    """Signals to 10,000 entities in turn, until all are applied."""
    name = f"signals to {ENTITIES:,} entities"
    measured = _measure(bench, "many", name, "signals", count=bench.count(COUNT), base=MANY)
    with ds.SyncClient(bench.url) as client:
        values = [one.state["value"] for one in client.list_entities("Counter", prefix="many-")]
    assert values == [COUNT // ENTITIES] * bench.count(ENTITIES)
    return [measured, _goal(measured, 15_000)]


def call(bench: Bench) -> Found:
    """A call from an orchestrator to an entity in another partition, and back; nothing else running."""
    start_worker(bench)
    told = bench.ask(_MODULE, "call", bench.count(20))
    return [
        Figure("call of an entity in another partition, p50", told["p50"], "ms", "at most 1.5"),
        Figure("the same, p99", told["p99"], "ms"),
        Figure("the same, p50 against that of an activity", told["p50"] / told["activity_p50"], ""),
    ]


def transfers(bench: Bench) -> Found:
    """Transfers between two of 1,000 accounts that are locked meanwhile (`workers/bank.py`), 200 at a time."""
    name, count = "transfers under two locks", bench.count(TRANSFERS)
    measured = _measure(bench, "transfers", name, "transfers", count=count, base=None)
    with ds.SyncClient(bench.url) as client:
        balances = [one.state["balance"] for one in client.list_entities("Account")]
        assert len(balances) == ACCOUNTS and sum(balances) == ACCOUNTS * DEPOSIT
        assert not list(client.list_entities(locked=True))
    return [measured, _goal(measured, 1_000)]


def memory(bench: Bench) -> Found:
    """100,000 entities at rest, then as many more: what each takes on the server, and that the worker forgets some."""
    worker, count = start_worker(bench), bench.count(RESTING)
    with bench.redis() as server:
        bench.ask(_MODULE, "warm-up", _WARM_UP)
        before, of_worker = server.info("memory")["used_memory"], [process_memory_bytes(worker.pid)]
        for mode in ("fill", "fill-more"):
            bench.ask(_MODULE, mode, count)
            of_worker.append(process_memory_bytes(worker.pid))
        used = server.info("memory")["used_memory"] - before
    grown = [(after - earlier) / 2**20 for earlier, after in pairwise(of_worker)]
    return [
        Figure("server memory of an entity at rest", used / (2 * count), "bytes"),
        Figure(f"worker memory for {count:,} entities", grown[0], "MiB", "bounded: 64,000 kept"),
        Figure("worker memory for as many more", grown[1], "MiB", "near 0"),
    ]


def _measure(bench: Bench, mode: str, name: str, unit: str, *, count: int, base: str | None) -> Measurement:
    worker = start_worker(bench)
    client = bench.python("-m", _MODULE, mode, bench.url, str(count))
    return bench.measure(name, unit, client, [worker.pid], base=base)


def _goal(measured: Measurement, goal: int) -> Figure:
    return Figure(measured.name, measured.rate, "per second", f"at least {goal:,}")


def _counter(key: object) -> ds.EntityId:
    return ds.EntityId("Counter", str(key))


# ---------------------------------------------------------------- rates, in the client's process


async def _hot(client: ds.Client, count: int) -> None:
    await _signal(client, repeat("warm", _WARM_UP))
    began = begin()
    await _signal(client, repeat("hot", count))
    end(began, count)


async def _many(client: ds.Client, count: int) -> None:
    await _signal(client, repeat("warm", _WARM_UP))
    keys = [f"many-{number}" for number in range(count * ENTITIES // COUNT)]
    began = begin()
    await _signal(client, (keys[number % len(keys)] for number in range(count)))
    end(began, count)


async def _signal(client: ds.Client, keys: Iterable[str]) -> None:
    """Add 1 to each counter, and wait until that is done."""
    await client.signal_entities((_counter(key), "add", 1) for key in keys)
    await _all_applied(client)


async def _all_applied(client: ds.Client) -> None:
    """A message is deleted by the commit that has its effect."""
    while any(one.backlog for one in await client.partitions()):  # noqa: ASYNC110 - other processes, no event to wait for
        await asyncio.sleep(_POLL_S)


async def _transfers(client: ds.Client, count: int) -> None:
    owners = [f"owner-{number}" for number in range(ACCOUNTS)]
    await client.signal_entities((bank.account(owner), "deposit", DEPOSIT) for owner in owners)
    await _all_applied(client)
    await _transfer(client, _orders(owners, _WARM_UP))
    began = begin()
    await _transfer(client, _orders(owners, count))
    end(began, count)


async def _transfer(client: ds.Client, orders: Iterator[bank.Transfer]) -> None:
    """Over when all results are there and no lock is left: the last unlocking follows the last result.

    200 callers hold up to 400 of the accounts. Were all started at once, most would wait in chains, each for the next.
    """

    async def caller() -> None:
        for order in orders:
            handle = await client.start(bank.transfer, order)
            assert await handle.result(timeout=60) == "done"

    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    while [one async for one in client.list_entities(locked=True, limit=1)]:  # noqa: ASYNC110 - the same
        await asyncio.sleep(_POLL_S)


def _orders(owners: list[str], count: int) -> Iterator[bank.Transfer]:
    rng = random.Random(count)
    for _ in range(count):
        source, target = rng.sample(owners, 2)
        yield bank.Transfer(source, target, 1)


# ---------------------------------------------------------------- figures, in the client's process


async def _call(client: ds.Client, orchestrations: int) -> dict[str, float]:
    partitions = len(await client.partitions())
    called: list[float] = []
    activities: list[float] = []
    for number in range(orchestrations + 1):
        instance_id = f"calls-{number}"
        handle = await client.start(calls, _elsewhere(instance_id, partitions), instance_id=instance_id)
        seconds = await handle.result(timeout=60)
        steps = await (await client.start(timed_steps, CALLS)).result(timeout=60)
        if number:  # the first one warms up
            called += seconds
            activities += steps
    return {"p50": _ms(called, 0.5), "p99": _ms(called, 0.99), "activity_p50": _ms(activities, 0.5)}


def _elsewhere(instance_id: str, partitions: int) -> list[str]:
    """Keys of counters that do not live where the instance does."""
    home, keys = partition_of(instance_id, partitions), map(str, range(2 * CALLS))
    return [key for key in keys if partition_of(str(_counter(key)), partitions) != home][:CALLS]


def _ms(seconds: list[float], quantile: float) -> float:
    return sorted(seconds)[int(len(seconds) * quantile)] * 1_000


async def _warm_up(client: ds.Client, count: int) -> dict[str, float]:
    await _signal(client, repeat("warm", count))
    return {}


async def _fill(client: ds.Client, count: int) -> dict[str, float]:
    await _signal(client, (f"sensor-{number}" for number in range(count)))
    return {}


async def _fill_more(client: ds.Client, count: int) -> dict[str, float]:
    await _signal(client, (f"sensor-{number}" for number in range(count, 2 * count)))
    return {}


RATES: Final[dict[str, Callable[[ds.Client, int], Coroutine[Any, Any, None]]]] = {
    "hot": _hot,
    "many": _many,
    "transfers": _transfers,
}
FIGURES: Final[dict[str, Callable[[ds.Client, int], Coroutine[Any, Any, dict[str, float]]]]] = {
    "call": _call,
    "warm-up": _warm_up,
    "fill": _fill,
    "fill-more": _fill_more,
}


async def drive(mode: str, url: str, scale: int) -> None:
    async with ds.Client(url) as client:
        if mode in RATES:
            await RATES[mode](client, scale)
        else:
            await asyncio.to_thread(tell, await FIGURES[mode](client, scale))


def main(mode: str, url: str, scale: str) -> None:
    run(drive(mode, url, int(scale)))


if __name__ == "__main__":
    main(*sys.argv[1:])
