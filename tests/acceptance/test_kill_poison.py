"""Work that ends its worker process every time it is tried: it is told from its neighbours, and they go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import durastream as ds
from tests.acceptance import oracle, poison_app
from tests.acceptance.processes import WorkerProcess, fleet
from tests.acceptance.serving import until_status
from tests.conftest import NO_SERVER, REAL_SERVERS, Servers
from tests.support import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.real_server]

TARGET = "tests.acceptance.poison_app:app"


@pytest.fixture
def cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that mends the deadly orchestrators once it exists."""
    path = tmp_path / "cure"
    monkeypatch.setenv("DURASTREAM_TEST_CURE", str(path))
    return path


WHERE: list[Any] = [*REAL_SERVERS][-1:]


@pytest.fixture(params=WHERE or [NO_SERVER])
def one_server_url(request: pytest.FixtureRequest, servers: Servers) -> str:
    """One server is enough here: nothing depends on its kind."""
    return servers.url(request.param)


@asynccontextmanager
async def supervised(url: str, count: int, target: str = TARGET) -> AsyncIterator[list[WorkerProcess]]:
    """Workers that are started again when they have ended, as a process manager would."""
    with fleet(url, target, count, lease_s=0.5) as workers:
        watch = asyncio.create_task(_start_again(workers))
        try:
            yield workers
        finally:
            watch.cancel()


async def _start_again(workers: Sequence[WorkerProcess]) -> None:
    while True:
        for worker in workers:
            if not worker.alive:
                worker.start()
        await asyncio.sleep(0.02)  # time must pass: a poller


def deaths(workers: Sequence[WorkerProcess]) -> int:
    return sum(worker.starts - 1 for worker in workers)


@pytest.mark.parametrize("processes", [1, 3])
async def test_a_deadly_activity(one_server_url: str, processes: int, cure: Path) -> None:
    """It fails after so many deaths; those that ran beside it on the same workers do not."""
    async with supervised(one_server_url, processes) as workers, ds.Client(one_server_url) as client:
        bad = await client.start(poison_app.calls_deadly, "now")
        good = await client.start_many(poison_app.neighbour, list(range(8)))
        assert await bad.result(timeout=30) == "WorkerCrashed"
        assert await client.wait_all(good, timeout=30) == list(range(8))
        assert 5 <= deaths(workers) <= 6
        await oracle.quiet(one_server_url)


@pytest.mark.parametrize("kind", ["deadly_start", "deadly_later", "deadly_timer", "mother"])
async def test_a_deadly_turn(one_server_url: str, kind: str, cure: Path) -> None:
    """The instance is parked after so many deaths, its neighbours complete, and with mended code it goes on."""
    async with supervised(one_server_url, 2) as workers, ds.Client(one_server_url) as client:
        bad = await client.start(kind, 7, instance_id="bad")
        if kind == "deadly_later":
            await bad.raise_event("go")
        good = await client.start_many(poison_app.neighbour, list(range(40)))
        assert await client.wait_all(good, timeout=40) == list(range(40))
        victim = client.handle("bad:0.1") if kind == "mother" else bad
        status = await _until_parked(victim)
        assert status.problem is not None
        assert status.problem["kind"] == "worker-crashed"
        assert "died" in status.problem["message"]
        counted = deaths(workers)
        assert 4 <= counted <= 7
        # Nobody tries it again by himself: not this worker, and not one that takes over.
        workers[0].stop()
        more = await client.start_many(poison_app.neighbour, list(range(20)))
        assert await client.wait_all(more, timeout=20) == list(range(20))
        assert deaths(workers) == counted + 1
        cure.touch()
        await victim.resume("mended")
        assert await bad.result(timeout=20) == 7
        await oracle.quiet(one_server_url)


async def _until_parked(handle: ds.Handle[Any]) -> ds.InstanceStatus:
    async def look() -> ds.InstanceStatus | None:
        try:
            status = await handle.status()
        except ds.InstanceNotFound:
            return None
        return status if status.problem is not None else None

    parked: ds.InstanceStatus = await eventually(look, 40, pause_s=0.1, what="the instance is parked")
    return parked


async def test_a_parked_one_can_be_terminated(one_server_url: str, cure: Path) -> None:
    async with supervised(one_server_url, 1), ds.Client(one_server_url) as client:
        bad = await client.start(poison_app.deadly_start, 7)
        await _until_parked(bad)
        await bad.terminate("never mind")
        await until_status(bad, "Terminated")
        await oracle.quiet(one_server_url)
