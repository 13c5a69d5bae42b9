"""kill -9 of workers at random moments: everything completes, every activity is recorded once, nothing is left over."""

from __future__ import annotations

import asyncio
import random

import pytest

import durastream as ds
from tests.acceptance import kill_app, oracle
from tests.acceptance.processes import WorkerProcess, fleet, seeded

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.real_server]

COUNT = 1_000
TARGET = "tests.acceptance.kill_app:app"


async def test_workers_are_killed_at_random(server_url: str) -> None:
    rng = seeded()
    with fleet(server_url, TARGET) as workers:
        async with ds.Client(server_url) as client:
            handles = await client.start_many(kill_app.work, list(range(COUNT)))
            killer = asyncio.create_task(_kill_now_and_then(client, workers, rng))
            results = await oracle.finish(client, server_url, handles, timeout=60)
            killer.cancel()
            assert results == [kill_app.expected(n) for n in range(COUNT)]
            assert sum(worker.kills for worker in workers) >= 3
            await oracle.quiet(server_url)
            assert await oracle.check_all(client, (handle.id for handle in handles)) == []
            counts = await client.counts()
            assert counts["Completed"] == 2 * COUNT == sum(counts.values())


async def _kill_now_and_then(client: ds.Client, workers: list[WorkerProcess], rng: random.Random) -> None:
    """Kill a worker whenever another tenth of the work is done, and start a new one in its place."""
    tenth = 1
    while True:
        done = (await client.counts())["Completed"]
        if done >= tenth * 2 * COUNT // 10:
            tenth += 1
            victim = rng.choice(workers)
            victim.kill()
            victim.start()
        await asyncio.sleep(rng.uniform(0.02, 0.2))  # time must pass: the moment of each kill is random
