"""One real server for tests of access rules, with no users but the default one when a test begins.

The best one of this machine. Where a test is about the server, it asks for `server_url` of `tests/conftest.py`: each kind.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from tests.conftest import REAL_SERVERS, Servers


def forget_users(url: str) -> None:
    with redis.Redis.from_url(url, protocol=2, decode_responses=True) as server:
        for user in server.acl_users():
            if user != "default":
                server.acl_deluser(user)
        server.execute_command("ACL", "LOG", "RESET")


@pytest.fixture
def ruled_url(servers: Servers) -> Iterator[str]:
    """URL of an emptied server without users; `-m real_server` is not needed: it is skipped where there is none."""
    if not REAL_SERVERS:
        pytest.skip("no server on this machine")
    url = servers.url(next(iter(REAL_SERVERS)))
    forget_users(url)
    yield url
    forget_users(url)


@pytest.fixture
def each_url(server_url: str) -> Iterator[str]:
    """Like `ruled_url`, for each kind of server."""
    forget_users(server_url)
    yield server_url
    forget_users(server_url)
