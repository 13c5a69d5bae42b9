"""Fixtures for every test.

anyio_backend   asyncio: the event loop of tests marked `anyio`
servers         servers started so far in this session; `servers.url("fakeredis")` starts one when it is first asked for
server_url      URL of an emptied real server; the test runs once for each kind on this machine (Valkey, Redis)
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from durastream.store.embedded import EmbeddedServer, available_servers

REAL_SERVERS = dict(available_servers())
FAKE_SERVER = "fakeredis"


class Servers:
    """Embedded servers by name, shared by the whole session."""

    def __init__(self) -> None:
        self._running: dict[str, EmbeddedServer] = {}

    def url(self, name: str) -> str:
        """The URL of this server, emptied."""
        if name not in self._running:
            self._running[name] = EmbeddedServer.start(REAL_SERVERS.get(name, name))
        url = self._running[name].url
        with redis.Redis.from_url(url, protocol=2) as connected:
            connected.flushall()
        return url

    def stop(self) -> None:
        for server in self._running.values():
            server.stop()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    started = Servers()
    yield started
    started.stop()


NO_SERVER = pytest.param("none", marks=pytest.mark.skip("no server on this machine"))


@pytest.fixture(params=[*REAL_SERVERS] if REAL_SERVERS else [NO_SERVER])
def server_url(request: pytest.FixtureRequest, servers: Servers) -> str:
    return servers.url(request.param)
