"""S26: a worker that lives on while the store forgets. The server stops, loses the end of its log, and comes back.

The worker keeps its leases, and instances, entities and messages in memory that the store no longer has. It must notice, throw
them away, and never write anything of them back.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

import durastream as ds
from durastream.store.embedded import EmbeddedServer
from durastream.store.redis.hubs import create_hub
from tests.acceptance.processes import fleet
from tests.prefixes import aof, app
from tests.prefixes.exploring import hub_begins
from tests.prefixes.journal import COUNTER, Journal, connected
from tests.prefixes.recording import PARTITIONS
from tests.prefixes.recovering import finish
from tests.prefixes.workloads import HUB, TARGET, Run, done, load

LEASE_S = 5.0
"""Long enough to be held by the same worker before and after."""


async def outlive(binary: str, directory: Path, rng: Random, *, rounds: int) -> list[str]:
    """Let workers be ahead of the store `rounds` times; what is wrong after any of them."""
    server = EmbeddedServer.start(binary, directory, extra_args=aof.OPTIONS)
    journal = Journal()
    try:
        await create_hub(server.url, HUB, partitions=PARTITIONS)
        with fleet(server.url, TARGET, 2, lease_s=LEASE_S) as workers:
            for worker in workers:
                await worker.until_serving()
            for number in range(rounds):
                await _work(server.url, journal, number, busy=rng.random() < 0.7)
                lost = await _forget(server, directory, journal, rng)
                found = await finish(journal, server.url, None)
                if found:
                    return [f"round {number}, {lost} units lost: {one}" for one in found]
        return []
    finally:
        server.stop()


async def _work(url: str, journal: Journal, number: int, *, busy: bool) -> None:
    """Instances that wait in memory; when `busy`, others are under way as it ends."""
    with connected(url) as server:
        async with ds.Client(url) as client:
            run = Run(client, server, journal)
            for k in range(5):
                await run.start(app.patient, "p ", f"waiting {number} {k}", done("p on"))
            await load(run, 100 * number)
            if not busy:
                await run.ended(*(name for name in run.handles if not name.startswith("waiting")))


async def _forget(server: EmbeddedServer, directory: Path, journal: Journal, rng: Random) -> int:
    """Stop it at once, lose some of its last units, start it again. How many were lost."""
    server.kill()
    data = aof.read(directory)
    units = aof.units(data)
    lost = min(rng.choice((1, 2, 5, 20, 60)), len(units) - hub_begins(units) - 1)
    aof.cut(directory, len(data) - units[-lost - 1].end)
    server.restart()
    with connected(server.url) as connection:
        del journal.acks[int(connection.get(COUNTER) or 0) :]  # what was acknowledged later may be lost
    return lost
