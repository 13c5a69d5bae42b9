"""The engine at full load: one worker process, one client process, one server, two cores.

python -m benchmarks.engine worker URL
python -m benchmarks.engine bulk|five|single URL COUNT
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from itertools import repeat
from typing import Any, Final

import durastream as ds
from benchmarks.app import app, five, one
from benchmarks.floor import COUNT, run
from benchmarks.harness import Bench, Child, Measurement, begin, end

CONCURRENCY: Final = 2_000  # activities at once in the worker; tasks at once in the client
WARM_UP: Final = 200


def bulk(bench: Bench) -> list[Measurement]:
    """One-activity orchestrations, bulk-started and awaited together."""
    return [load(bench, "bulk", "one activity, bulk", 1, base="floor")]


def single(bench: Bench) -> list[Measurement]:
    """One-activity orchestrations, each started and awaited by one of 2,000 tasks."""
    return [load(bench, "single", "one activity, one by one", 1, base="floor")]


def five_steps(bench: Bench) -> list[Measurement]:
    """Five activities in sequence; a rate of activities."""
    return [load(bench, "five", "five activities", 5, base="floor-sequence")]


def load(bench: Bench, mode: str, name: str, steps: int, *, base: str | None) -> Measurement:
    worker = start_worker(bench)
    client = bench.python("-m", "benchmarks.engine", mode, bench.url, str(bench.count(COUNT) // steps))
    unit = "orchestrations" if steps == 1 else "activities"
    return bench.measure(name, unit, client, [worker.pid], base=base)


def start_worker(bench: Bench) -> Child:
    """A worker process that has taken its partitions."""
    worker = bench.python("-m", "benchmarks.engine", "worker", bench.url)
    assert worker.line() == "ready"
    return worker


# ---------------------------------------------------------------- in their own processes


async def work(url: str) -> None:
    """A worker, until standard input is closed."""
    worker = ds.Worker(app, url, concurrency=CONCURRENCY)
    running = asyncio.create_task(worker.run())
    async with ds.Client(url) as client:
        await (await client.start(one, "x")).result(timeout=30)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    worker.shut_down()
    await running


async def run_bulk(client: ds.Client, count: int) -> int:
    handles = await client.start_many(one, repeat("x", count))
    await client.wait_all(handles, timeout=300)
    return count


async def run_five(client: ds.Client, count: int) -> int:
    handles = await client.start_many(five, repeat("x", count))
    await client.wait_all(handles, timeout=300)
    return 5 * count


async def run_single(client: ds.Client, count: int) -> int:
    left = iter(range(count))

    async def caller() -> None:
        for _ in left:
            handle = await client.start(one, "x")
            await handle.result(timeout=300)

    await asyncio.gather(*(caller() for _ in range(CONCURRENCY)))
    return count


MODES: Final[dict[str, Callable[[ds.Client, int], Coroutine[Any, Any, int]]]] = {
    "bulk": run_bulk,
    "five": run_five,
    "single": run_single,
}


async def drive(mode: str, url: str, count: int) -> None:
    async with ds.Client(url) as client:
        await MODES[mode](client, WARM_UP)
        began = begin()
        end(began, await MODES[mode](client, count))


def main(mode: str, url: str, *count: str) -> None:
    run(work(url) if mode == "worker" else drive(mode, url, int(count[0])))


if __name__ == "__main__":
    main(*sys.argv[1:])
