"""Which server a client connects to, and what it says when there is none."""

from __future__ import annotations

import socket

import pytest

from durastream import errors
from durastream.client import Client
from durastream.store.memory import MemoryServer
from durastream.store.protocol import ClientStore
from durastream.store.redis import RedisStore

pytestmark = pytest.mark.anyio


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """(url, hub) of each store that was opened."""
    calls: list[tuple[str, str]] = []

    async def open_in_memory(url: str, hub: str) -> ClientStore:
        calls.append((url, hub))
        return MemoryServer(clock=lambda: 1).store(hub=hub)

    monkeypatch.setattr(RedisStore, "open", open_in_memory)
    return calls


async def test_the_url_comes_from_the_argument_the_environment_or_the_default(
    opened: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DURASTREAM_REDIS_URL", raising=False)
    async with Client():
        pass
    monkeypatch.setenv("DURASTREAM_REDIS_URL", "redis://env:1")
    async with Client(hub="h"):
        pass
    async with Client("redis://arg:2", hub="h") as client:
        assert client.hub.name == "h"
    assert opened == [("redis://localhost:6379", "default"), ("redis://env:1", "h"), ("redis://arg:2", "h")]


async def test_an_unreachable_server_is_named() -> None:
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(errors.StoreUnavailable, match=f"127.0.0.1:{port}"):
            async with Client(f"redis://127.0.0.1:{port}"):
                pass


async def test_a_payload_limit_of_its_own() -> None:
    async with Client(MemoryServer(clock=lambda: 1).store(), payload_bytes_max=10) as client:
        with pytest.raises(errors.PayloadTooLarge, match="input is 12 bytes"):
            await client.start("o", "x" * 10)


async def test_open_twice() -> None:
    async with Client(MemoryServer(clock=lambda: 1).store()) as client:
        with pytest.raises(errors.DurastreamError, match="open already"):
            async with client:
                pass
