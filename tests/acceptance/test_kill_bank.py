"""A bank whose workers are killed at random: each transfer happened whole and once, or not at all; no money is made or lost.

Transfers run in critical sections over two accounts. Each account keeps every move with the transfer's number, so what the
orchestrations say can be compared with what happened to both accounts.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

import durastream as ds
from tests.acceptance import entity_app, oracle
from tests.acceptance.entity_app import OPENING, Account, account
from tests.acceptance.planting import garden
from tests.acceptance.processes import WorkerProcess, fleet, seeded
from tests.conftest import NO_SERVER, REAL_SERVERS, Servers

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.real_server]

ACCOUNTS = 1_000
TRANSFERS = int(os.environ.get("DURASTREAM_TRANSFERS") or 20_000)
UNDER_WAY = 2_000  # transfers at once
KILLS_EVERY_S = (1.0, 3.5)
AMOUNT_MAX = OPENING  # so that some transfers are refused: an account is opened with no more
TARGET = "tests.acceptance.entity_app:app"

Order = tuple[int, int, int, int]


WHERE: list[Any] = [*REAL_SERVERS][-1:]


@pytest.fixture(params=WHERE or [NO_SERVER])
def url(request: pytest.FixtureRequest, servers: Servers) -> str:
    """One server is enough for so many: nothing depends on its kind."""
    return servers.url(request.param)


def orders(rng: random.Random, count: int, accounts: int) -> list[Order]:
    found = []
    for number in range(count):
        source, target = rng.sample(range(accounts), 2)
        found.append((number, source, target, rng.randint(1, AMOUNT_MAX)))
    return found


async def open_accounts(client: ds.Client, count: int) -> None:
    await client.signal_entities((account(number), "open", OPENING) for number in range(count))


async def run_orders(client: ds.Client, url: str, todo: Sequence[Order]) -> list[bool]:
    """What became of each, in order. Every fourth is run by a generator."""
    results: list[bool] = []
    for first in range(0, len(todo), UNDER_WAY):
        batch = todo[first : first + UNDER_WAY]
        kinds = (entity_app.transfer, entity_app.transfer_by_steps)
        handles = {
            order: handle
            for kind in (0, 1)
            for mine in ([order for order in batch if (order[0] % 4 == 0) == kind],)
            for order, handle in zip(mine, await client.start_many(kinds[kind], mine), strict=True)
        }
        results += await oracle.finish(client, url, [handles[order] for order in batch], timeout=120)
    return results


async def check_bank(client: ds.Client, todo: Sequence[Order], results: Sequence[bool], accounts: int) -> None:
    """Each account's moves are exactly those of the transfers that said they were done."""
    wanted: Counter[tuple[int, int, int]] = Counter()
    for (number, source, target, amount), done in zip(todo, results, strict=True):
        if done:
            wanted[source, number, -amount] += 1
            wanted[target, number, amount] += 1
    found: Counter[tuple[int, int, int]] = Counter()
    total = 0
    for number in range(accounts):
        state = await client.read_entity(account(number), type=Account)
        assert state is not None and state.opened == OPENING, (
            f"account {number} was opened with {state and state.opened}"
        )
        assert state.balance == OPENING + sum(amount for _, amount in state.moves) >= 0
        found.update((number, transfer, amount) for transfer, amount in state.moves)
        total += state.balance
    assert found - wanted == Counter(), "moved, though it was told that it was not, or moved twice"
    assert wanted - found == Counter(), "not moved, though it was told that it was"
    assert total == accounts * OPENING


async def test_transfers_while_workers_are_killed(url: str) -> None:
    rng = seeded()
    todo = orders(rng, TRANSFERS, ACCOUNTS)
    with fleet(url, TARGET) as workers:
        async with ds.Client(url) as client:
            for worker in workers:
                await worker.until_serving()
            began = time.monotonic()
            killer = asyncio.create_task(_kill_now_and_then(workers, rng))
            await open_accounts(client, ACCOUNTS)
            try:
                results = await run_orders(client, url, todo)
            finally:
                killer.cancel()
            seconds, kills = time.monotonic() - began, sum(worker.kills for worker in workers)
            print(f"{TRANSFERS} transfers, {results.count(True)} done, {kills} kills, {seconds:.1f} s")
            assert kills >= 2 and results.count(True) > TRANSFERS // 10
            await oracle.quiet(url)
            await check_bank(client, todo, results, ACCOUNTS)
            counts = await client.counts()
            assert counts["Completed"] == TRANSFERS == sum(counts.values())
            assert [entity async for entity in client.list_entities(locked=True)] == []
            with garden(url) as plants:
                assert plants.dead() == []
            some = [status.id async for status in client.list(limit=500)]
            assert await oracle.check_all(client, some) == []


async def _kill_now_and_then(workers: list[WorkerProcess], rng: random.Random) -> None:
    while True:
        await asyncio.sleep(rng.uniform(*KILLS_EVERY_S))  # time must pass: the moment of each kill is random
        victim = rng.choice(workers)
        victim.kill()
        victim.start()
