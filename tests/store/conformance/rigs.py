"""What the suite needs of a store besides its verbs: new handles, a look from outside, and time that passes.

A further store joins the suite by a rig of its own and a name in `conftest.rig`.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from durastream.store.memory import MemoryServer
from durastream.store.protocol import WorkerStore
from durastream.store.redis import RedisStore
from tests.servers.looking import connect_async
from tests.support import ManualClock, eventually

T = TypeVar("T")
PARTITIONS = 4


class Rig(ABC):
    """One server, empty at first."""

    def __init__(self) -> None:
        self._opened: list[WorkerStore] = []

    async def open(
        self, hub: str = "default", *, partitions: int | None = PARTITIONS, retention_ms: int | None = None
    ) -> WorkerStore:
        """A new handle, as another process would have."""
        store = await self._open(hub, partitions, retention_ms)
        self._opened.append(store)
        return store

    @abstractmethod
    async def _open(self, hub: str, partitions: int | None, retention_ms: int | None) -> WorkerStore: ...

    @abstractmethod
    async def snapshot(self) -> dict[str, Any]:
        """Everything the server holds, comparable, by place."""

    @abstractmethod
    async def now(self) -> int:
        """The server's clock, in ms."""

    @abstractmethod
    async def ingress(self, fields: dict[bytes, bytes]) -> str:
        """Write into the ingress stream of hub "default"; the entry's id."""

    @abstractmethod
    async def dead_letters(self) -> list[tuple[str, bytes]]: ...

    @abstractmethod
    async def replies(self, key: str) -> list[bytes]: ...

    @abstractmethod
    async def reply_ttl_ms(self, key: str) -> int: ...

    @abstractmethod
    def tick(self) -> None:
        """Let a little time pass where it does not pass by itself."""

    async def eventually(self, condition: Callable[[], Awaitable[T]], deadline_s: float = 10) -> T:
        """Poll while time passes."""

        async def look() -> T:
            self.tick()
            return await condition()

        found: T = await eventually(look, deadline_s)
        return found

    async def close(self) -> None:
        for store in self._opened:
            await store.close()


class MemoryRig(Rig):
    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.server = MemoryServer(self.clock)

    async def _open(self, hub: str, partitions: int | None, retention_ms: int | None) -> WorkerStore:
        return self.server.store(hub, partitions=partitions, retention_ms=retention_ms)

    async def snapshot(self) -> dict[str, Any]:
        return copy.deepcopy({"hubs": self.server.hubs, "lists": self.server.lists})

    async def now(self) -> int:
        return self.clock()

    async def ingress(self, fields: dict[bytes, bytes]) -> str:
        return self.server.ingress("default", fields)

    async def dead_letters(self) -> list[tuple[str, bytes]]:
        return self.server.hubs["default"].dead

    async def replies(self, key: str) -> list[bytes]:
        return self.server.replies(key)

    async def reply_ttl_ms(self, key: str) -> int:
        return self.server.lists[key].expires_at - self.clock()

    def tick(self) -> None:
        self.clock.advance(5)


class RedisRig(Rig):
    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self._client = connect_async(url)

    async def _open(self, hub: str, partitions: int | None, retention_ms: int | None) -> WorkerStore:
        return await RedisStore.open(self._url, hub, partitions=partitions, retention_ms=retention_ms)

    async def snapshot(self) -> dict[str, Any]:
        return {key.decode(): await self._value(key) for key in sorted([key async for key in self._client.scan_iter()])}

    async def _value(self, key: bytes) -> Any:
        client = self._client
        readers: dict[bytes, Callable[[], Awaitable[Any]]] = {
            b"hash": lambda: client.hgetall(key),
            b"zset": lambda: client.zrange(key, 0, -1, withscores=True),
            b"set": lambda: client.smembers(key),
            b"list": lambda: client.lrange(key, 0, -1),
            b"stream": lambda: client.xrange(key),
        }
        return await readers[await client.type(key)]()

    async def now(self) -> int:
        seconds, microseconds = await self._client.time()
        return int(seconds * 1_000 + microseconds // 1_000)

    async def ingress(self, fields: dict[bytes, bytes]) -> str:
        return (await self._client.xadd("ds:{default}:in", fields)).decode()  # type: ignore[no-any-return]

    async def dead_letters(self) -> list[tuple[str, bytes]]:
        entries = await self._client.xrange("ds:{default}:dead")
        return [(fields[b"reason"].decode(), fields[b"m"]) for _, fields in entries]

    async def replies(self, key: str) -> list[bytes]:
        return await self._client.lrange(key, 0, -1)  # type: ignore[no-any-return]

    async def reply_ttl_ms(self, key: str) -> int:
        return await self._client.pttl(key)  # type: ignore[no-any-return]

    def tick(self) -> None:
        """It passes by itself."""

    async def close(self) -> None:
        await super().close()
        await self._client.aclose()
