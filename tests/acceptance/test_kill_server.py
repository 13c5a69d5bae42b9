"""The server is killed and started again under load: clients and workers ride through, nothing acknowledged is lost.

kill -9 of the process cannot tell `always` from `everysec`: both have written to the file before they answer.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import durastream as ds
from durastream.store.embedded import EmbeddedServer
from tests.acceptance import kill_app, oracle
from tests.acceptance.processes import WorkerProcess, fleet, seeded
from tests.conftest import NO_SERVER, REAL_SERVERS
from tests.prefixes import aof

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.real_server]

COUNT = 400
KILLS = 4
TARGET = "tests.acceptance.kill_app:app"
KINDS = [*REAL_SERVERS.values()]


WHERE: list[Any] = [(path, "always") for path in KINDS] + [(path, "everysec") for path in KINDS[:1]]


@pytest.fixture(params=WHERE or [NO_SERVER])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EmbeddedServer]:
    path, fsync = request.param
    with EmbeddedServer.start(path, tmp_path, appendfsync=fsync) as started:
        yield started


async def test_server_is_killed_while_starts_and_turns_go_on(server: EmbeddedServer, tmp_path: Path) -> None:
    rng = seeded()
    with fleet(server.url, TARGET) as workers:
        async with ds.Client(server.url) as client:
            killer = asyncio.create_task(_kill_the_server(server, tmp_path, workers, rng))
            handles = await _start_slowly(client, rng, killer.done)
            await killer
            results = await oracle.finish(client, server.url, handles, timeout=40)
            assert results == [kill_app.expected(n) for n in range(len(handles))]
            await oracle.quiet(server.url)
            assert await oracle.check_all(client, (handle.id for handle in handles)) == []
            # A start that was repeated because its answer was lost made one instance, not two; each has one child.
            counts = await client.counts()
            assert counts["Completed"] == 2 * len(handles) == sum(counts.values())
            assert all(worker.alive for worker in workers), "a worker gave up while the server was away"


async def _start_slowly(client: ds.Client, rng: random.Random, over: Callable[[], bool]) -> list[ds.Handle[int]]:
    """Starts one by one and in small groups, also while the server is down; ids are random, so a doubled start would show."""
    handles: list[ds.Handle[int]] = []
    while len(handles) < COUNT or not over():
        group = range(len(handles), len(handles) + rng.randint(1, 20))
        handles += await asyncio.gather(*(client.start(kill_app.work, n) for n in group))
        await asyncio.sleep(rng.uniform(0, 0.02))  # time must pass: the starts are spread over the outages
    return handles


async def _kill_the_server(
    server: EmbeddedServer, files: Path, workers: list[WorkerProcess], rng: random.Random
) -> None:
    for worker in workers:
        await worker.until_serving()
    for _ in range(KILLS):
        await asyncio.sleep(rng.uniform(0.3, 1.2))  # time must pass: the moment of each kill is random
        server.kill()
        victim = rng.choice(workers) if rng.random() < 0.3 else None
        if victim is not None:
            victim.kill()
        await asyncio.sleep(rng.uniform(0, 0.5))  # time must pass: outages last differently long
        aof.mend(files)
        await asyncio.to_thread(server.restart)
        if victim is not None:
            await victim.start().until_serving()
