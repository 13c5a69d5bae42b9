"""Workloads on a real server, and what its append-only file says of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import durastream as ds
from durastream.store.embedded import EmbeddedServer
from durastream.store.redis.hubs import create_hub
from tests.acceptance.processes import fleet
from tests.prefixes import aof
from tests.prefixes.journal import Journal, connected
from tests.prefixes.workloads import HUB, TARGET, Run, Workload

PARTITIONS = 3
LEASE_S = 1.0


@dataclass(frozen=True)
class Recording:
    """`data`: the file, byte by byte; `units`: what stands in it."""

    workload: Workload
    data: bytes
    units: list[aof.Unit]
    journal: Journal
    server: str  # kind and version


async def record(workload: Workload, binary: str, directory: Path, *, gives_up_s: float | None = None) -> Recording:
    """Run it on a server of its own. `directory`: where its file goes. `gives_up_s`: for engines that are known to be broken:
    what they did until then is kept, also when the workload fails."""
    journal = Journal()
    server = await asyncio.to_thread(EmbeddedServer.start, binary, directory, extra_args=aof.OPTIONS)
    try:
        await create_hub(server.url, HUB, partitions=PARTITIONS, retention_s=workload.retention_s)
        async with _run(workload, server.url, journal) as run:
            if gives_up_s is None:
                await workload.run(run)
            else:
                await _as_far_as_it_goes(workload.run(run), gives_up_s)
    finally:
        await asyncio.to_thread(server.stop)
    data = aof.read(directory)
    return Recording(workload, data, aof.units(data), journal, f"{server.kind} {server.version}")


async def _as_far_as_it_goes(working: Awaitable[None], gives_up_s: float) -> None:
    try:
        await asyncio.wait_for(working, gives_up_s)
    except (AssertionError, TimeoutError, ds.DurastreamError) as error:
        print(f"the workload went no further: {type(error).__name__} {error}"[:200])


@asynccontextmanager
async def _run(workload: Workload, url: str, journal: Journal) -> AsyncIterator[Run]:
    with connected(url) as server:
        if not workload.processes:
            async with ds.Worker(workload.app, url, lease=LEASE_S, grace=0.2), ds.Client(url) as client:
                yield Run(client, server, journal)
            return
        with fleet(url, TARGET, workload.processes, lease_s=LEASE_S) as workers:
            for worker in workers:
                await worker.until_serving()
            async with ds.Client(url) as client:
                yield Run(client, server, journal, workers)
