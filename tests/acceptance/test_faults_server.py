"""What happens to servers in daily life: scripts flushed, connections killed, restarts, a busy script, no memory left."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import redis
import redis.asyncio

import durastream as ds
from durastream.store.embedded import EmbeddedServer
from tests.acceptance import kill_app, oracle
from tests.acceptance.planting import garden
from tests.acceptance.processes import fleet, seeded
from tests.conftest import NO_SERVER, REAL_SERVERS

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.real_server]

TARGET = "tests.acceptance.kill_app:app"
LINES_PER_S_MAX = 10  # of one process while the server is away


WHERE: list[Any] = [*REAL_SERVERS.values()]


@pytest.fixture(params=WHERE or [NO_SERVER])
def server(request: pytest.FixtureRequest) -> Iterator[EmbeddedServer]:
    """A server of its own: its settings are changed, it is stopped."""
    with EmbeddedServer.start(request.param) as started:
        yield started


@pytest.fixture(params=WHERE[:1] or [NO_SERVER])
def any_server(request: pytest.FixtureRequest) -> Iterator[EmbeddedServer]:
    """For what does not depend on the kind of server."""
    with EmbeddedServer.start(request.param) as started:
        yield started


class Load:
    """Starts go on until `stop`; then all of them must complete, once."""

    def __init__(self, client: ds.Client, url: str, rng: random.Random) -> None:
        self._client = client
        self._url = url
        self._rng = rng
        self._handles: list[ds.Handle[int]] = []
        self._task = asyncio.create_task(self._run())
        self._over = False

    async def _run(self) -> None:
        while not self._over:
            count = self._rng.randint(1, 10)
            inputs = range(len(self._handles), len(self._handles) + count)
            self._handles += await asyncio.gather(*(self._client.start(kill_app.work, n) for n in inputs))
            await asyncio.sleep(0.02)  # time must pass: the load is moderate

    async def complete(self) -> None:
        self._over = True
        await self._task
        wanted = [kill_app.expected(n) for n in range(len(self._handles))]
        assert await oracle.finish(self._client, self._url, self._handles, timeout=40) == wanted
        await oracle.quiet(self._url)
        assert await oracle.check_all(self._client, (handle.id for handle in self._handles)) == []
        counts = await self._client.counts()
        assert counts["Completed"] == 2 * len(wanted) == sum(counts.values())
        with garden(self._url) as plants:
            assert plants.dead() == []


@asynccontextmanager
async def load(url: str) -> AsyncIterator[Load]:
    """Two worker processes and a client under load; all must live, and complete everything in the end."""
    rng = seeded()
    with fleet(url, TARGET, 2) as workers:
        async with ds.Client(url) as client:
            for worker in workers:
                await worker.until_serving()
            began, lines = time.monotonic(), sum(len(worker.complaints().splitlines()) for worker in workers)
            made = Load(client, url, rng)
            yield made
            await made.complete()
            assert all(worker.alive for worker in workers)
            seconds = time.monotonic() - began
            said = sum(len(worker.complaints().splitlines()) for worker in workers) - lines
            assert said <= LINES_PER_S_MAX * seconds * len(workers), f"{said} lines in {seconds:.1f} s"


async def during(seconds: float, pause_s: float, action: Callable[[], Awaitable[object]]) -> int:
    """Do it again and again; how often."""
    ends, times = time.monotonic() + seconds, 0
    while time.monotonic() < ends:
        await action()
        times += 1
        await asyncio.sleep(pause_s)  # time must pass: faults come again and again
    return times


@asynccontextmanager
async def admin(url: str) -> AsyncIterator[Any]:
    async with redis.asyncio.Redis.from_url(url, protocol=2) as connection:
        yield connection


async def test_scripts_are_forgotten_again_and_again(any_server: EmbeddedServer) -> None:
    async with load(any_server.url), admin(any_server.url) as connection:
        assert await during(2, 0, connection.script_flush) > 100


async def test_connections_are_killed_again_and_again(server: EmbeddedServer) -> None:
    async with load(server.url), admin(server.url) as connection:

        async def kill() -> None:
            await connection.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            await connection.execute_command("CLIENT", "KILL", "TYPE", "pubsub")

        assert await during(3, 0.1, kill) > 10


async def test_the_server_is_restarted_under_load(server: EmbeddedServer) -> None:
    async with load(server.url):
        for _ in range(3):
            await asyncio.sleep(0.5)  # time must pass: work is done between the restarts
            await asyncio.to_thread(server.restart)


async def test_a_long_outage_costs_little(any_server: EmbeddedServer) -> None:
    """Longer than leases: workers neither spin nor flood their logs, and go on when it is back."""
    async with load(any_server.url) as going:
        await asyncio.sleep(0.3)  # time must pass: work is under way
        any_server.kill()
        await asyncio.sleep(3)  # time must pass: the outage
        await asyncio.to_thread(any_server.restart)
        await going.complete()


SPIN = "local n = 0; while n < tonumber(ARGV[1]) do n = n + 1 end"


async def test_a_foreign_script_keeps_the_server_busy(any_server: EmbeddedServer) -> None:
    async with admin(any_server.url) as connection:
        rounds = await _rounds_of_a_second(connection)
        await connection.config_set("busy-reply-threshold", 100)
        async with load(any_server.url):
            for _ in range(2):
                await connection.eval(SPIN, 0, 2 * rounds)
                await asyncio.sleep(0.3)  # time must pass: work is done in between


async def _rounds_of_a_second(connection: Any) -> int:
    began = time.monotonic()
    await connection.eval(SPIN, 0, 1_000_000)
    return int(1_000_000 / (time.monotonic() - began))


async def test_memory_runs_out_under_load(server: EmbeddedServer) -> None:
    """Nothing is half written and nothing is buried; it goes on when there is room again."""
    async with load(server.url), admin(server.url) as connection:
        for _ in range(2):
            await asyncio.sleep(0.5)  # time must pass: work is under way
            await connection.config_set("maxmemory", 1_000_000)
            with pytest.raises(redis.exceptions.OutOfMemoryError):
                await connection.set("x", "y")
            await asyncio.sleep(1.5)  # time must pass: longer than leases
            with garden(server.url) as plants:
                assert plants.dead() == []
            await connection.config_set("maxmemory", 0)


async def test_a_start_without_memory_says_so(any_server: EmbeddedServer) -> None:
    async with admin(any_server.url) as connection, ds.Client(any_server.url, retry_for_s=0.3) as client:
        await connection.config_set("maxmemory", 1_000_000)
        with pytest.raises(ds.StoreUnavailable, match="out of memory"):
            await client.start(kill_app.work, 1, instance_id="big")
        await connection.config_set("maxmemory", 0)
        with garden(any_server.url) as plants:
            assert plants.instances() == set()
            assert plants.waiting() == {}
