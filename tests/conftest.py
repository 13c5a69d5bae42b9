"""Fixtures for every test.

anyio_backend   asyncio: the event loop of tests marked `anyio`
servers         servers started so far in this session; `servers.url("fakeredis")` starts one when it is first asked for
server_url      URL of emptied real servers. The test runs once for each kind on this machine (Valkey, Redis), and acceptance
                tests once more on a Cluster of three masters. A slow one runs on the first kind and the Cluster only.

With `--cluster` everything that takes `server_url` runs on the Cluster, and on nothing else. `single_server` marks tests that
need one server.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import redis

from durastream.store.embedded import EmbeddedServer, available_servers
from tests.servers.cluster import Cluster

REAL_SERVERS = dict(available_servers())
FAKE_SERVER = "fakeredis"
CLUSTER = "cluster"
_ACCEPTANCE = Path(__file__).parent / "acceptance"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--cluster", action="store_true", help="run tests of real servers on a Cluster of three masters only"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "server_url" in metafunc.fixturenames:
        metafunc.parametrize("server_url", _kinds(metafunc), indirect=True)


def _kinds(metafunc: pytest.Metafunc) -> Sequence[object]:
    if not REAL_SERVERS:
        return [NO_SERVER]
    if metafunc.definition.get_closest_marker("first_server"):
        return [*REAL_SERVERS][:1]
    alone = metafunc.definition.get_closest_marker("single_server")
    if metafunc.config.getoption("--cluster"):
        skipped = pytest.param(CLUSTER, marks=pytest.mark.skip("it is about a single server"))
        return [skipped if alone else CLUSTER]
    if alone or _ACCEPTANCE not in metafunc.definition.path.parents:
        return [*REAL_SERVERS]
    slow = metafunc.definition.get_closest_marker("slow")
    return [*([*REAL_SERVERS][:1] if slow else REAL_SERVERS), CLUSTER]


class Servers:
    """Embedded servers by name, and a Cluster, shared by the whole session."""

    def __init__(self) -> None:
        self._running: dict[str, EmbeddedServer] = {}
        self._cluster: Cluster | None = None

    def url(self, name: str) -> str:
        """The URL of this server, emptied."""
        if name == CLUSTER:
            return self._of_cluster()
        if name not in self._running:
            self._running[name] = EmbeddedServer.start(REAL_SERVERS.get(name, name))
        url = self._running[name].url
        with redis.Redis.from_url(url, protocol=2) as connected:
            connected.flushall()
        return url

    def _of_cluster(self) -> str:
        if self._cluster is None:
            self._cluster = Cluster.start()
        for node in self._cluster.nodes:
            self._cluster.ask(node, "FLUSHALL")
        return self._cluster.url

    def stop(self) -> None:
        for server in self._running.values():
            server.stop()
        if self._cluster is not None:
            self._cluster.stop()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    started = Servers()
    yield started
    started.stop()


NO_SERVER = pytest.param("none", marks=pytest.mark.skip("no server on this machine"))


@pytest.fixture
def server_url(request: pytest.FixtureRequest, servers: Servers) -> str:
    return servers.url(request.param)
