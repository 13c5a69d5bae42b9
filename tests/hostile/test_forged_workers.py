"""Workers that somebody with write access wrote into the list of those alive: they own nothing for longer than a silent one."""

from __future__ import annotations

import pytest

import durastream as ds
from tests.acceptance.bad_input_app import app, neighbour
from tests.acceptance.planting import PARTITIONS, garden
from tests.acceptance.serving import LEASE_S
from tests.conftest import REAL_SERVERS
from tests.support import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.real_server, pytest.mark.skipif(not REAL_SERVERS, reason="no server")]

AHEAD_MS = {"an hour": 3_600_000.0, "a year": 365 * 86_400_000.0, "for ever": float("inf")}
GHOSTS = [f"ghost-{number}" for number in range(5)]


@pytest.mark.parametrize("ahead", AHEAD_MS)
async def test_one_seen_in_the_future_is_silent_like_any_other(server_url: str, ahead: str) -> None:
    """Else the partitions that fall to it would be kept for it, and stand still, for that long."""
    with garden(server_url) as plants:

        def now_ms() -> int:
            seconds, microseconds = plants.redis.time()
            return int(seconds * 1_000 + microseconds // 1_000)

        def found_out() -> bool:
            seen = plants.redis.zmscore(plants.keys.workers, GHOSTS)
            return all(one is None or one <= now_ms() for one in seen)

        async with ds.Worker(app, server_url, lease=LEASE_S, grace=0.2) as worker, ds.Client(server_url) as client:
            await eventually(lambda: len(worker.host.owned) == PARTITIONS, 20)
            plants.redis.zadd(plants.keys.workers, dict.fromkeys(GHOSTS, now_ms() + AHEAD_MS[ahead]))
            await eventually(found_out, 20, what="nobody is seen in the future")
            handles = await client.start_many(neighbour, range(40))
            assert await client.wait_all(handles, timeout=30) == list(range(40))
            await eventually(lambda: len(worker.host.owned) == PARTITIONS, 20, what="it has all partitions again")
