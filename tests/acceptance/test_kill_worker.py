"""kill -9 of workers at random moments: everything completes, every activity is recorded once, nothing is left over."""

from __future__ import annotations

import asyncio

import pytest

import durastream as ds
from tests.acceptance import kill_app, oracle
from tests.acceptance.processes import fleet, seeded

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.real_server]

COUNT = 1_000
WAVES = 10  # a worker is killed in each
TARGET = "tests.acceptance.kill_app:app"


async def test_workers_are_killed_at_random(server_url: str) -> None:
    rng = seeded()
    with fleet(server_url, TARGET) as workers:
        async with ds.Client(server_url) as client:
            handles: list[ds.Handle[int]] = []
            for wave in range(WAVES):
                inputs = range(wave * COUNT // WAVES, (wave + 1) * COUNT // WAVES)
                handles += await client.start_many(kill_app.work, inputs)
                await asyncio.sleep(rng.uniform(0.01, 0.2))  # time must pass: the moment of each kill is random
                victim = rng.choice(workers)
                victim.kill()
                victim.start()
            results = await oracle.finish(client, server_url, handles, timeout=60)
            assert results == [kill_app.expected(n) for n in range(COUNT)]
            await oracle.quiet(server_url)
            assert await oracle.check_all(client, (handle.id for handle in handles)) == []
            counts = await client.counts()
            assert counts["Completed"] == 2 * COUNT == sum(counts.values())
