"""Latency, flat cost and memory: figures that are no rates.

python -m benchmarks.scale latency|steps|fan_out|waiting URL SCALE
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

import durastream as ds
from benchmarks.app import fan_out, five, one, steps, wait
from benchmarks.engine import run_bulk, start_worker
from benchmarks.floor import run
from benchmarks.harness import Bench, Figure, process_cpu_s, process_memory_bytes, tell
from durastream.core.events import TaskCompleted

Found = list[Figure]
_IDLE_S: Final = 10.0


def latency(bench: Bench) -> Found:
    """Start to result of one activity, and what each further activity adds; nothing else running."""
    told = _ask(bench, "latency", 1_000)
    return [
        Figure("one activity, p50", told["one_p50"], "ms", "at most 1.5"),
        Figure("one activity, p99", told["one_p99"], "ms", "at most 5"),
        Figure("each further activity, p50", told["step_p50"], "ms", "at most 0.7"),
    ]


def long_sequence(bench: Bench) -> Found:
    """10,000 activities in one orchestration: the last thousand against the first."""
    told = _ask(bench, "steps", 10_000)
    return [Figure("last thousand of 10,000 steps, against the first", told["ratio"], "", "at most 1.2")]


def wide_fan_out(bench: Bench) -> Found:
    """10,000 activities at once from one orchestration, and the longest script call it took."""
    told = _ask(bench, "fan_out", 10_000)
    with bench.redis() as server:
        slowest = max((entry["duration"] for entry in server.slowlog_get(128)), default=0)
    return [
        Figure("fan-out of 10,000 activities", told["seconds"], "s"),
        Figure("its longest command (0: none over 10 ms)", slowest / 1_000, "ms", "at most 50"),
    ]


def waiting(bench: Bench) -> Found:
    """100,000 instances wait for an event: throughput of the others, and what each costs in memory."""
    worker = start_worker(bench)
    count = bench.count(100_000)
    with bench.redis() as server:
        memory = process_memory_bytes(worker.pid)
        told = bench.ask("benchmarks.scale", "waiting", count)
        memory = (process_memory_bytes(worker.pid) - memory) / 2**20
        figures = [
            Figure(f"throughput with {count:,} waiting, against none", told["ratio"], "", "at least 0.9"),
            Figure("server memory of a waiting instance", told["dataset"] / count, "bytes"),
            Figure("worker memory with all of them", memory, "MiB", "bounded: 64,000 kept"),
        ]
        cpu, commands = process_cpu_s(worker.pid), _commands(server)
        time.sleep(_IDLE_S)
        figures.append(
            Figure("idle worker", 100 * (process_cpu_s(worker.pid) - cpu) / _IDLE_S, "% of a core", "under 1")
        )
        figures.append(Figure("idle worker, server commands", (_commands(server) - commands) / _IDLE_S, "per second"))
        return figures


def _ask(bench: Bench, mode: str, scale: int) -> dict[str, float]:
    start_worker(bench)
    return bench.ask("benchmarks.scale", mode, bench.count(scale))


def _commands(server: Any) -> int:
    """Calls of clients and scripts alike."""
    return int(server.info("stats")["total_commands_processed"])


# ---------------------------------------------------------------- in the client's process


async def _latency(client: ds.Client, count: int) -> dict[str, float]:
    ones = await _timed(client, one, count)
    fives = await _timed(client, five, count)
    return {
        "one_p50": ones[len(ones) // 2],
        "one_p99": ones[len(ones) * 99 // 100],
        "step_p50": (fives[len(fives) // 2] - ones[len(ones) // 2]) / 4,
    }


async def _timed(client: ds.Client, orchestrator: Any, count: int) -> list[float]:
    """Milliseconds of each, sorted; one after another."""
    taken = []
    for _ in range(count):
        began = time.perf_counter()
        handle = await client.start(orchestrator, "x")
        await handle.result(timeout=30)
        taken.append((time.perf_counter() - began) * 1_000)
    return sorted(taken)


async def _steps(client: ds.Client, count: int) -> dict[str, float]:
    handle = await client.start(steps, count)
    await handle.result(timeout=600)
    times = [event.at for event in await handle.history() if isinstance(event, TaskCompleted)]
    part = count // 10
    return {"ratio": (times[-1] - times[-part]) / (times[part - 1] - times[0])}


async def _fan_out(client: ds.Client, count: int) -> dict[str, float]:
    began = time.perf_counter()
    handle = await client.start(fan_out, count)
    assert await handle.result(timeout=600) == count
    return {"seconds": time.perf_counter() - began}


async def _waiting(client: ds.Client, count: int) -> dict[str, float]:
    load = max(count // 5, 2_000)
    await _seconds(client, load)
    before = min([await _seconds(client, load) for _ in range(3)])
    base = await _dataset_now(client)
    await client.start_many(wait, range(count))
    while (await client.counts())["Pending"]:  # noqa: ASYNC110 - other processes, no event to wait for
        await asyncio.sleep(0.1)
    dataset = await _dataset_now(client)
    await _seconds(client, load)
    after = min([await _seconds(client, load) for _ in range(3)])
    return {"ratio": before / after, "dataset": dataset - base}


async def _dataset_now(client: ds.Client) -> float:
    """Bytes of data on the server, by a connection of its own: the client has no such verb."""
    import redis.asyncio

    async with redis.asyncio.Redis.from_url(sys.argv[2]) as server:
        return float((await server.info("memory"))["used_memory_dataset"])


async def _seconds(client: ds.Client, count: int) -> float:
    began = time.perf_counter()
    await run_bulk(client, count)
    return time.perf_counter() - began


MODES: Final[dict[str, Callable[[ds.Client, int], Coroutine[Any, Any, dict[str, float]]]]] = {
    "latency": _latency,
    "steps": _steps,
    "fan_out": _fan_out,
    "waiting": _waiting,
}


async def drive(mode: str, url: str, scale: int) -> None:
    async with ds.Client(url) as client:
        found = await MODES[mode](client, scale)
        await asyncio.to_thread(tell, found)


def main(argv: Sequence[str]) -> None:
    mode, url, scale = argv
    run(drive(mode, url, int(scale)))


if __name__ == "__main__":
    main(sys.argv[1:])
