"""The proxy does what it says, and nothing else."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from durastream.errors import StoreUnavailable
from durastream.store.connect import Endpoint
from durastream.store.connection import Connection
from durastream.store.embedded import EmbeddedServer
from tests.chaos.proxy import Proxy, Weather
from tests.conftest import NO_SERVER, REAL_SERVERS
from tests.support import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.real_server]

WHERE: list[Any] = [*REAL_SERVERS.values()][:1]


@pytest.fixture(params=WHERE or [NO_SERVER])
async def proxy(request: pytest.FixtureRequest) -> AsyncIterator[Proxy]:
    with EmbeddedServer.start(request.param) as server:
        made = await Proxy(server.port, random.Random(1)).start()
        yield made
        await made.stop()


@asynccontextmanager
async def connected(proxy: Proxy) -> AsyncIterator[Connection]:
    endpoint = Endpoint.parse(f"redis://127.0.0.1:{proxy.port}?socket_timeout=0.5")
    connection = await Connection.open(endpoint, client_name="test")
    yield connection
    await connection.close()


async def count(proxy: Proxy) -> int:
    """What stands in the store, seen in good weather."""
    async with connected(proxy) as connection:
        return int(await connection.call("GET", "n") or 0)


@pytest.mark.parametrize(("fault", "applied"), [("cut_request", 0), ("cut_reply", 1), ("cut_frame", 1)])
async def test_a_cut_loses_the_request_or_the_reply(proxy: Proxy, fault: Any, applied: int) -> None:
    async with connected(proxy) as connection:
        proxy.begin(Weather(fault, chance=1))
        with pytest.raises(StoreUnavailable):
            await connection.call("INCR", "n")
        proxy.end()
    assert proxy.hit[fault] == 1
    assert await count(proxy) == applied


async def test_what_is_half_open_answers_nobody_and_is_cut_in_the_end(proxy: Proxy) -> None:
    async with connected(proxy) as connection:
        proxy.begin(Weather("half_open", chance=1))
        with pytest.raises(StoreUnavailable, match="no reply"):
            await connection.call("INCR", "n")
        proxy.end()
    assert await count(proxy) == 0, "what was on its way is gone with its connection"


@pytest.mark.parametrize("fault", ["delay", "trickle"])
async def test_slow_is_not_wrong(proxy: Proxy, fault: Any) -> None:
    async with connected(proxy) as connection:
        proxy.begin(Weather(fault, chance=1, delay_s=0.02))
        assert [await connection.call("INCR", "n") for _ in range(5)] == [1, 2, 3, 4, 5]
        assert await connection.call("ECHO", "x" * 500) == b"x" * 500
    assert proxy.hit[fault]


async def test_an_answer_that_comes_twice_costs_the_connection(proxy: Proxy) -> None:
    async with connected(proxy) as connection:
        for n in range(10):
            await connection.call("XADD", "s", "*", "n", n)
        proxy.begin(Weather("duplicate", chance=1))
        assert len((await connection.call_blocking(1, "XREAD", "BLOCK", 100, "STREAMS", "s", "0"))[0][1]) == 10
        await eventually(lambda: connection.closed)
    assert proxy.hit["duplicate"] == 1
