"""The two stores behind one face: do a call, say what came of it, show the whole state."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

import redis

from durastream.errors import DurastreamError
from durastream.store.connect import Endpoint
from durastream.store.connection import Connection
from durastream.store.keys import HubKeys
from durastream.store.memory import MemoryServer
from durastream.store.memory.state import Hub
from durastream.store.memory.waiting import Listener
from durastream.store.protocol import WorkerStore
from durastream.store.redis import RedisStore
from tests.differential.calls import Call, Ranks, resolved
from tests.differential.following import FOLLOWING
from tests.differential.state import CLOCK, RedisState, State, model_state
from tests.support import ManualClock

HUB = "default"
PARTITIONS = 2
HANDLES = 2
RETENTION_MS = 1_000
CHANNELS = ("c1", "c2", "c 3")
START = 2_000_000_000_000
"""The first time, in ms. Ahead of every server's own clock, or ids of streams would seem to come from the future (`mend`)."""

PAGES_MAX = 8  # of one walk
_SENTINEL = "differential:heard"

Heard: TypeAlias = dict[str, list[bytes]]


class Failure(str):
    """An error in the place of a reply, by name. One that is not of ours has its text too."""

    __slots__ = ()

    @classmethod
    def of(cls, error: Exception) -> Failure:
        ours = isinstance(error, DurastreamError) and type(error).__module__ == DurastreamError.__module__
        return cls(type(error).__name__ if ours else f"{type(error).__name__}: {error}")

    @property
    def named(self) -> bool:
        return ":" not in self

    def __repr__(self) -> str:
        return f"raised {self}"


class Side(ABC):
    """One store with two handles on one hub."""

    def __init__(self, never: str) -> None:
        self.ranks = Ranks(never)
        self.handles: list[WorkerStore] = []

    async def do(self, call: Call) -> Any:
        """The reply, or a Failure. Entry ids are still this store's own."""
        args = resolved(call.args, self.ranks)
        options = resolved(dict(call.options), self.ranks)
        try:
            special = _SPECIAL.get(call.verb)
            if special is not None:
                return await special(self, replace(call, args=args, options=options))
            return await getattr(self.handles[call.handle], call.verb)(*args, **options)
        except Exception as error:  # whatever it is: that is what is compared
            return Failure.of(error)

    async def reopen(self, handle: int, partitions: int | None, retention_ms: int | None) -> None:
        """Another process takes the place of this handle's."""
        opened = await self.open(partitions, retention_ms)
        await self.handles[handle].close()
        self.handles[handle] = opened

    @abstractmethod
    async def open(self, partitions: int | None, retention_ms: int | None) -> WorkerStore: ...

    @abstractmethod
    async def pass_time(self, ms: int) -> None: ...

    @abstractmethod
    async def ingress(self, fields: dict[bytes, bytes]) -> None: ...

    @abstractmethod
    async def state(self) -> State: ...

    @abstractmethod
    async def heard(self) -> Heard:
        """What was published since the last time, by channel."""

    async def close(self) -> None:
        for one in self.handles:
            await one.close()


class _Ear(Listener):
    """Collects what is published on one channel."""

    def __init__(self, server: MemoryServer, channel: str) -> None:
        super().__init__(server.channels, channel)
        self.blobs_heard: list[bytes] = []
        server.channels.join(self)

    def put(self, blob: bytes) -> None:
        self.blobs_heard.append(blob)


class ModelSide(Side):
    def __init__(self) -> None:
        super().__init__("0")
        self.clock = ManualClock(START)
        self.server = MemoryServer(self.clock)
        self._ears = [_Ear(self.server, channel) for channel in CHANNELS]

    @classmethod
    async def start(cls) -> ModelSide:
        side = cls()
        side.handles = [await side.open(PARTITIONS, RETENTION_MS) for _ in range(HANDLES)]
        return side

    @property
    def hub(self) -> Hub:
        return self.server.hubs[HUB]

    def follow(self, call: Call, reply: Any) -> Any:
        """The same choice as the server's, where it was one. `reply` has entry ids of this store."""
        return FOLLOWING[call.verb](self.hub, call, reply)

    async def open(self, partitions: int | None, retention_ms: int | None) -> WorkerStore:
        return self.server.store(HUB, partitions=partitions, retention_ms=retention_ms)

    async def pass_time(self, ms: int) -> None:
        self.clock.advance(ms)
        self.server.lists = {key: one for key, one in self.server.lists.items() if one.expires_at > self.clock()}

    async def ingress(self, fields: dict[bytes, bytes]) -> None:
        self.server.ingress(HUB, fields)

    async def state(self) -> State:
        return model_state(self.server, self.hub, self.ranks)

    async def heard(self) -> Heard:
        found = {ear.channel: ear.blobs_heard for ear in self._ears if ear.blobs_heard}
        for ear in self._ears:
            ear.blobs_heard = []
        return found


class RedisSide(Side):
    """The store on a server that is emptied for it. `url`: of a real server that belongs to the test."""

    def __init__(self, url: str, connection: Connection) -> None:
        super().__init__("9-9")
        self._url = url
        self._now = START
        self._connection = connection
        self._state = RedisState(connection, HUB, PARTITIONS, self.ranks)
        self._keys = HubKeys(HUB, PARTITIONS)
        self._client = redis.Redis.from_url(url, protocol=2)
        self._ears = self._client.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
        self._replies: dict[str, int] = {}  # reply list → when it expires

    @classmethod
    async def start(cls, url: str) -> RedisSide:
        side = cls(url, await Connection.open(Endpoint.parse(url), client_name="differential"))
        await side._connection.call("FLUSHALL")
        await side.pass_time(0)
        side.handles = [await side.open(PARTITIONS, RETENTION_MS) for _ in range(HANDLES)]
        side._ears.subscribe(*CHANNELS, _SENTINEL)
        return side

    async def do(self, call: Call) -> Any:
        reply = await super().do(call)
        if call.verb == "reply" and not isinstance(reply, Failure):
            self._replies |= {key: self._now + 3_600_000 for key, _ in call.args[0]}
        return reply

    async def open(self, partitions: int | None, retention_ms: int | None) -> WorkerStore:
        return await RedisStore.open(self._url, HUB, partitions=partitions, retention_ms=retention_ms)

    async def pass_time(self, ms: int) -> None:
        """Scripts read the new time. The server's own expiry does not: what would be gone by now is deleted."""
        self._now += ms
        await self._connection.call("SET", CLOCK, self._now)
        for key in [key for key, ends in self._replies.items() if ends <= self._now]:
            await self._connection.call("DEL", key)
            del self._replies[key]

    async def ingress(self, fields: dict[bytes, bytes]) -> None:
        await self._connection.call("XADD", self._keys.ingress, "*", *(x for item in fields.items() for x in item))

    async def state(self) -> State:
        return await self._state.read()

    async def heard(self) -> Heard:
        """All that was published before the sentinel, which comes last."""
        await self._connection.call("PUBLISH", _SENTINEL, "")
        found: Heard = {}
        ends = time.monotonic() + 5
        while time.monotonic() < ends:
            message = self._ears.get_message(timeout=5)
            if message is None:  # word of a subscription
                continue
            channel = message["channel"].decode()
            if channel == _SENTINEL:
                return found
            found.setdefault(channel, []).append(message["data"])
        raise AssertionError("the server did not deliver what was published on a channel within 5 s")

    async def close(self) -> None:
        await super().close()
        self._ears.close()
        self._client.close()
        await self._connection.close()


# ---------------------------------------------------------------- what is more than one call of a verb

Special: TypeAlias = Callable[[Side, Call], Awaitable[Any]]


async def _walk(side: Side, call: Call) -> Any:
    """All pages, each with the cursor of the one before."""
    verb = getattr(side.handles[call.handle], call.verb)
    pages, cursor = [], None
    for _ in range(PAGES_MAX):
        page = await verb(*call.args, cursor=cursor, **call.options)
        pages.append(page[0])
        cursor = page.cursor
        if cursor is None:
            break
    return pages, cursor is None


async def _scan(side: Side, call: Call) -> Any:
    """All entries: in which steps they come is the store's choice."""
    pages, ended = await _walk(side, call)
    return sorted({entry for page in pages for entry in page}), ended


async def _open(side: Side, call: Call) -> None:
    await side.reopen(call.handle, *call.args)


async def _closed(side: Side, call: Call) -> Any:
    """A verb of a handle that was closed."""
    verb, args = call.args
    opened = await side.open(None, None)
    await opened.close()
    return await getattr(opened, verb)(*args)


async def _pass_time(side: Side, call: Call) -> None:
    await side.pass_time(*call.args)


async def _ingress(side: Side, call: Call) -> None:
    await side.ingress(*call.args)


_SPECIAL: Mapping[str, Special] = {
    "page": _walk,
    "entity_page": _walk,
    "scan_ids": _scan,
    "open": _open,
    "closed": _closed,
    "pass_time": _pass_time,
    "ingress": _ingress,
}
