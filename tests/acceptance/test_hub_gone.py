"""A hub that somebody wiped while it was at work: FLUSHALL, or its keys deleted by hand."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

import durastream as ds
from durastream.store.embedded import EmbeddedServer
from durastream.store.keys import HUBS, HubKeys
from durastream.store.redis.hubs import create_hub, hub_info, list_hubs
from tests.acceptance.bad_input_app import app, neighbour
from tests.conftest import NO_SERVER, REAL_SERVERS
from tests.support import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.real_server]

HUB = "default"
PARTITIONS = 5  # not the default: a hub made anew by somebody who knows no better would have that
_KEYS = HubKeys(HUB, PARTITIONS)


def _delete_keys(connection: redis.Redis) -> None:
    connection.delete(*connection.scan_iter(f"{_KEYS.tag}*"), *connection.scan_iter(f"{_KEYS.partitions_prefix}*"))
    connection.srem(HUBS, HUB)


WIPES: dict[str, Callable[[redis.Redis], object]] = {
    "flushed": lambda connection: connection.flushall(),
    "deleted": _delete_keys,
}


WHERE: list[Any] = [*REAL_SERVERS.values()]


@pytest.fixture(params=WHERE or [NO_SERVER])
def server(request: pytest.FixtureRequest) -> Iterator[EmbeddedServer]:
    with EmbeddedServer.start(request.param) as started:
        yield started


@pytest.mark.parametrize("wipe", WIPES)
async def test_it_is_made_again_whole_and_works(
    server: EmbeddedServer, wipe: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="durastream")
    before = await create_hub(server.url, HUB, partitions=PARTITIONS, retention_s=77)
    connection = redis.Redis.from_url(server.url)
    async with (
        ds.Client(server.url) as client,
        ds.Worker(app, server.url, lease=1) as one,
        ds.Worker(app, server.url, lease=1) as other,
    ):
        await client.wait_all(await client.start_many(neighbour, range(40)), timeout=20)
        WIPES[wipe](connection)
        await eventually(lambda: connection.exists(_KEYS.settings) and connection.sismember(HUBS, HUB), 20)
        assert await client.wait_all(await client.start_many(neighbour, range(40)), timeout=20) == list(range(40))
        async with ds.Client(server.url) as late:  # what it learns of the hub is what the others know
            assert await late.wait_all(await late.start_many(neighbour, range(40)), timeout=20) == list(range(40))
        assert one.host.failure is other.host.failure is None
    assert await hub_info(server.url, HUB) == before
    assert await list_hubs(server.url) == [HUB]
    assert [one for one in caplog.messages if "was gone" in one and "made again" in one]
    connection.close()


async def test_one_made_anew_with_other_partitions_ends_its_old_workers(server: EmbeddedServer) -> None:
    """They know partitions that nobody looks into any more, or lack some: each would mislead the others."""
    await create_hub(server.url, HUB, partitions=PARTITIONS)
    with redis.Redis.from_url(server.url) as connection:
        async with ds.Worker(app, server.url, lease=1) as worker:
            pipe = connection.pipeline()
            pipe.flushall().hset(_KEYS.settings, mapping={"partitions": PARTITIONS + 1})
            pipe.execute()
            await eventually(lambda: worker.host.failure is not None, 20)
            failure = worker.host.failure
    assert isinstance(failure, ds.HubMismatch)
    assert "6 partitions" in str(failure) and "knows 5" in str(failure)
