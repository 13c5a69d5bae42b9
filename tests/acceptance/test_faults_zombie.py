"""A worker that was frozen for longer than its lease, and wakes up: it does no harm."""

from __future__ import annotations

import asyncio
import random

import pytest

import durastream as ds
from tests.acceptance import kill_app, oracle
from tests.acceptance.processes import WorkerProcess, fleet, seeded
from tests.support import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.real_server]

COUNT = 600
LEASE_S = 0.6
FREEZES = 4
TARGET = "tests.acceptance.kill_app:app"


async def test_frozen_workers_have_no_effect_when_they_wake(server_url: str) -> None:
    rng = seeded()
    with fleet(server_url, TARGET, lease_s=LEASE_S) as workers:
        async with ds.Client(server_url) as client:
            freezer = asyncio.create_task(_freeze_now_and_then(workers, rng))
            handles: list[ds.Handle[int]] = []
            while len(handles) < COUNT or not freezer.done():
                handles += await client.start_many(kill_app.work, list(range(len(handles), len(handles) + 10)))
                await asyncio.sleep(0.05)  # time must pass: the work is spread over the freezes
            await freezer
            assert await oracle.finish(client, server_url, handles, timeout=40) == [
                kill_app.expected(n) for n in range(len(handles))
            ]
            await oracle.quiet(server_url)
            assert await oracle.check_all(client, (handle.id for handle in handles)) == []
            counts = await client.counts()
            assert counts["Completed"] == 2 * len(handles) == sum(counts.values())
            assert all(worker.alive for worker in workers)
            await eventually(lambda: _all_own(client), 10, what="the woken ones work again")


async def _freeze_now_and_then(workers: list[WorkerProcess], rng: random.Random) -> None:
    for worker in workers:
        await worker.until_serving()
    for _ in range(FREEZES):
        victims = rng.sample(workers, rng.choice([1, 1, 2]))
        for victim in victims:
            victim.freeze()
        await asyncio.sleep(rng.uniform(1.5, 3) * LEASE_S)  # time must pass: leases run out
        for victim in victims:
            victim.thaw()
        await asyncio.sleep(rng.uniform(0, LEASE_S))  # time must pass: as above


async def _all_own(client: ds.Client) -> bool:
    owners = {lease.owner for lease in await client.partitions()}
    return len(owners) == 3 and None not in owners
