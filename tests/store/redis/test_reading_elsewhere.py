"""A blocked read that leads to another server than the commands do: what it finds must not count."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from durastream.errors import StoreUnavailable
from durastream.store.connect import Endpoint
from durastream.store.connection import Link
from durastream.store.embedded import EmbeddedServer
from durastream.store.redis.readers import OneServer
from tests.conftest import NO_SERVER, REAL_SERVERS

pytestmark = [pytest.mark.anyio, pytest.mark.real_server]

_COMMAND = ("XREAD", "COUNT", 10)
_FROM = {"inbox": "0"}


WHERE: list[Any] = [*REAL_SERVERS.values()][:1]


@pytest.fixture(params=WHERE or [NO_SERVER])
async def links(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Link, Link]]:
    """To two servers, each with one entry."""
    with EmbeddedServer.start(request.param) as one, EmbeddedServer.start(request.param) as other:
        found = tuple(Link(Endpoint.parse(server.url), client_name="test") for server in (one, other))
        for link in found:
            await (await link.get()).call("XADD", "inbox", "1-1", "m", link.endpoint.address)
        yield found[0], found[1]
        for link in found:
            await link.close()


async def test_what_stands_in_another_servers_stream_is_not_read(links: tuple[Link, Link]) -> None:
    """Found by chaos (deployment sentinel, seed 5): after a failover a worker's reads led to the old primary, its commits to the
    new one. It applied messages of the one to the other, and their ids became cursors behind which it overlooked others."""
    here, there = links
    readers = OneServer(here, lambda _: there)
    with pytest.raises(StoreUnavailable, match="another server"):
        await readers.read("inbox", 100, _COMMAND, _FROM)
    assert there.live is None, "it is asked anew where to read"


async def test_what_came_while_the_commands_lost_their_connection_does_not_count(links: tuple[Link, Link]) -> None:
    here, _ = links
    reading = Link(here.endpoint, client_name="test")

    try:
        readers = OneServer(here, lambda _: reading)
        assert await readers.read("inbox", 100, _COMMAND, _FROM)
        connection = await reading.get()
        original = connection.call_blocking

        def lose_then_read(timeout_s: float, *args: str | bytes | int | float) -> object:
            here.drop()
            return original(timeout_s, *args)

        connection.call_blocking = lose_then_read  # type: ignore[method-assign, assignment]
        with pytest.raises(StoreUnavailable, match="another server"):
            await readers.read("inbox", 100, _COMMAND, _FROM)
    finally:
        await reading.close()
