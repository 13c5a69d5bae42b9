"""Servers and hubs that are not what is needed: said loudly, with what to do."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator

import pytest
import redis

import durastream as ds
from durastream.errors import ServerUnsuitable
from durastream.store.connect import BadUrl
from durastream.store.connection import Connection
from durastream.store.embedded import free_port
from durastream.store.keys import SCHEMA
from durastream.store.redis import RedisStore
from durastream.store.redis.hubs import create_hub
from tests.acceptance.bad_input_app import app
from tests.servers.looking import connect

pytestmark = [pytest.mark.anyio, pytest.mark.real_server]


@pytest.fixture
def settings(server_url: str) -> Iterator[redis.Redis]:
    """A connection for CONFIG SET; what the tests change is put back."""
    with connect(server_url, decode_responses=True) as server:
        yield server
        server.config_set("maxmemory-policy", "noeviction")
        server.config_set("appendonly", "yes")


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
async def test_eviction(server_url: str, settings: redis.Redis, policy: str, caplog: pytest.LogCaptureFixture) -> None:
    settings.config_set("maxmemory-policy", policy)
    async with ds.Worker(app, server_url):
        (said,) = [record for record in caplog.records if "maxmemory-policy" in record.message]
    assert said.levelno == logging.ERROR
    assert policy in said.message and "DELETE" in said.message
    assert "CONFIG SET maxmemory-policy noeviction" in said.message


async def test_no_append_only_file(server_url: str, settings: redis.Redis, caplog: pytest.LogCaptureFixture) -> None:
    settings.config_set("appendonly", "no")
    async with ds.Worker(app, server_url):
        (said,) = [record for record in caplog.records if "append-only" in record.message]
    assert said.levelno == logging.WARNING
    assert "CONFIG SET appendonly yes" in said.message


@pytest.mark.parametrize(
    ("info", "shown"),
    [
        ("redis_version:6.2.14\r\n", "6.2.14"),
        ("redis_version:7.2.4\r\nvalkey_version:6.9.9\r\n", "6.9.9"),
        ("redis_version:3.2\r\n", "3.2"),
    ],
)
async def test_an_old_server(server_url: str, monkeypatch: pytest.MonkeyPatch, info: str, shown: str) -> None:
    answer = Connection.call

    def call(self: Connection, *args: str | bytes | int | float) -> object:
        future = answer(self, *args)
        if args != ("INFO",):
            return future
        told = self._loop.create_future()
        told.set_result(info.encode())
        return told

    monkeypatch.setattr(Connection, "call", call)
    for opened in (ds.Worker(app, server_url), ds.Client(server_url)):
        with pytest.raises(ServerUnsuitable, match=rf"version {shown}; durastream needs .* 7\.0 or newer"):
            async with opened:
                raise AssertionError("it was opened")


async def test_a_hub_with_other_settings(server_url: str) -> None:
    await create_hub(server_url, "here", partitions=4)
    with pytest.raises(
        ds.HubMismatch, match=r"'here' exists with partitions=4, not 8.*leave partitions out, or use another hub"
    ):
        await RedisStore.open(server_url, "here", partitions=8)
    with pytest.raises(ds.HubMismatch, match="other settings"):
        await create_hub(server_url, "here", partitions=8)
    async with ds.Client(server_url, hub="here") as client:
        assert client.hub.partitions == 4


async def test_a_hub_of_another_release(server_url: str, settings: redis.Redis) -> None:
    async with ds.Client(server_url):
        settings.hset("ds:{default}:hub", "schema", SCHEMA + 1)
    for opened in (ds.Worker(app, server_url), ds.Client(server_url)):
        with pytest.raises(ds.HubMismatch, match=f"schema {SCHEMA + 1}.*reads schema {SCHEMA}"):
            async with opened:
                raise AssertionError("it was opened")


@pytest.mark.parametrize("spoilt", [{"partitions": "many"}, {"partitions": "0"}, {"retention_ms": ""}, {"schema": "x"}])
async def test_a_hub_whose_settings_were_spoilt(server_url: str, settings: redis.Redis, spoilt: dict[str, str]) -> None:
    async with ds.Client(server_url):
        for name, value in spoilt.items():
            settings.hset("ds:{default}:hub", name, value)
    with pytest.raises(ds.HubMismatch, match="settings of hub 'default'"):
        async with ds.Client(server_url):
            raise AssertionError("it was opened")


async def test_a_server_that_cannot_be_reached() -> None:
    port = free_port()
    for opened in (ds.Worker(app, f"redis://127.0.0.1:{port}"), ds.Client(f"redis://127.0.0.1:{port}")):
        with pytest.raises(ds.StoreUnavailable, match=rf"127\.0\.0\.1:{port}.*refused.*is it running"):
            async with opened:
                raise AssertionError("it was opened")


async def test_what_is_no_server() -> None:
    """Something that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        with pytest.raises(ds.StoreUnavailable, match=rf"127\.0\.0\.1:{port}.*no answer"):
            async with ds.Client(f"redis://127.0.0.1:{port}?socket_timeout=0.2&socket_connect_timeout=0.2"):
                raise AssertionError("it was opened")


async def test_wrong_password_and_urls(server_url: str) -> None:
    with pytest.raises(ds.DurastreamError, match="password") as raised:
        async with ds.Client(server_url.replace("://", "://:topsecret@")):
            raise AssertionError("it was opened")
    assert "topsecret" not in str(raised.value)
    for url in ("http://localhost", "redis://localhost:99999", "localhost:6379", ""):
        with pytest.raises(BadUrl):
            async with ds.Client(url or "x"):
                raise AssertionError("it was opened")


@pytest.mark.parametrize("name", ["", "a b", "{x}", "a:b", "x" * 65, "*", "\u00e4"])
async def test_hub_names(server_url: str, settings: redis.Redis, name: str) -> None:
    with pytest.raises(ds.InvalidId, match="hub name"):
        async with ds.Client(server_url, hub=name):
            raise AssertionError("it was opened")
    assert settings.keys("*") == []
