"""A worker and a client of one hub in this process, for tests of features from end to end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import durastream as ds
from tests.servers.looking import connect
from tests.support import eventually

LEASE_S = 1.0


@asynccontextmanager
async def serving(app: ds.App, url: str, **options: Any) -> AsyncIterator[ds.Client]:
    """A client of a hub that one worker serves. What the worker leaves behind is given up at once, not after grace."""
    async with ds.Worker(app, url, **{"lease": LEASE_S, "grace": 0.2, **options}), ds.Client(url) as client:
        yield client


async def until_status(handle: ds.Handle[Any], status: str, **more: Any) -> ds.InstanceStatus:
    """Wait for a status; `more`: other attributes of the status that must have these values."""

    seen = await handle.status()

    async def look() -> bool:
        nonlocal seen
        seen = await handle.status()
        return seen.runtime_status == status and all(getattr(seen, name) == value for name, value in more.items())

    await until(look, what=f"{handle.id} is {status} {more or ''}")
    return seen


async def until(condition: Callable[[], object], what: str = "") -> None:
    """Like `eventually`, for lambdas that give an awaitable too."""
    await eventually(condition, what=what)


class Gate:
    """Holds activities until it is opened; counts those that came."""

    def __init__(self) -> None:
        self.came = 0
        self._open = asyncio.Event()

    async def wait(self) -> None:
        self.came += 1
        await self._open.wait()

    def open(self) -> None:
        self._open.set()


def residue(url: str, needle: str) -> list[str]:
    """Keys whose name or value holds `needle`, over the whole database, streams included."""
    wanted = needle.encode()
    with connect(url) as server:
        keys = server.scan_iter(count=1_000)
        return [key.decode() for key in keys if wanted in key or wanted in _content(server, key)]


def _content(server: Any, key: bytes) -> bytes:
    readers: dict[bytes, Callable[[], object]] = {
        b"hash": lambda: server.hgetall(key),
        b"stream": lambda: server.xrange(key),
        b"zset": lambda: server.zrange(key, 0, -1),
        b"set": lambda: server.smembers(key),
        b"list": lambda: server.lrange(key, 0, -1),
        b"string": lambda: server.get(key),
    }
    return repr(readers[server.type(key)]()).encode()
