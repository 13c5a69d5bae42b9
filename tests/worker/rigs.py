"""Parts of a worker on the memory store, each alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

import durastream as ds
from durastream import wire
from durastream.core.messages import Message, Start
from durastream.errors import Fenced
from durastream.payload import Payloads
from durastream.store.memory import MemoryServer, MemoryStore
from durastream.store.protocol import Commit, Lease, NewInstance, Outbound
from durastream.worker.clock import ServerClock
from durastream.worker.executor import PythonExecutor
from durastream.worker.partition import Partition, Surroundings
from tests.support import eventually

HOUR_MS = 3_600_000


async def until(condition: Callable[[], object]) -> None:
    """Like `eventually`, for conditions that have to be awaited."""
    await eventually(condition)


def memory_server() -> MemoryServer:
    return MemoryServer(clock=lambda: time.time_ns() // 1_000_000)


class Watched:
    """A store that keeps the commits it is given, and can be told to fail."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.hub = store.hub
        self.commits: list[Commit] = []
        self.failures: list[Exception] = []
        self.replies = asyncio.Event()  # cleared: commits are applied, but nobody hears of it
        self.replies.set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, lease: Lease, sequence: int, commit: Commit) -> None:
        if self.failures:
            raise self.failures.pop(0)
        await self._store.commit(lease, sequence, commit)
        self.commits.append(commit)
        await self.replies.wait()


class Rig:
    """One partition of a hub that has only this one, owned here."""

    def __init__(self, app: ds.App, server: MemoryServer, lease: Lease, *, live_max: int = 1_000) -> None:
        self.store = Watched(server.store(partitions=1))
        self.lost: list[Fenced] = []
        self.outbound: list[Outbound] = []
        executor = PythonExecutor(app, Payloads())
        self.partition = Partition(
            lease,
            Surroundings(
                self.store,
                executor,
                ServerClock(),
                lease_ms=HOUR_MS,
                live_max=live_max,
                committed=lambda _, entries: self.outbound.extend(entries),
                timers_changed=lambda: None,
                lost=lambda _, error: self.lost.append(error),
                one_at_a_time=asyncio.Lock(),
            ),
        )

    @classmethod
    async def own(cls, app: ds.App, server: MemoryServer, *, live_max: int = 1_000) -> Rig:
        lease = await server.store(partitions=1).acquire(0, "me", f"n{time.monotonic_ns()}", HOUR_MS)
        assert lease is not None
        rig = cls(app, server, lease, live_max=live_max)
        await rig.partition.take_over()
        rig.partition.begin()
        return rig

    async def send(self, *messages: Message) -> None:
        """Put messages into the inbox as another partition's relay would, and let the owner do what follows."""
        now = time.monotonic_ns()
        batch = [(now + k, wire.pack_message(message)) for k, message in enumerate(messages)]
        await self.store.deliver(0, f"c:{now}", (1, ""), batch)
        await self.settle()

    async def start(
        self, name: str, instance_id: str, *, data: bytes | None = None, start_at: int | None = None
    ) -> None:
        message = Start(instance_id, "tok.0", name, None, data, None, None, None, None, "error", True)
        blob = wire.pack_message(message)
        new = NewInstance(instance_id, "tok.0", name, None, data, None, start_at, None, None, blob)
        await self.store.start(0, [new])
        await self.settle()

    async def settle(self) -> None:
        """Feed what waits until nothing comes any more."""
        await self.partition.settle()
        while await self.feed():
            await self.partition.settle()

    async def feed(self) -> bool:
        """Give it what has come to the inbox; whether there was anything."""
        found = await self.store.read_inboxes({0: self.partition.cursor}, 1_000, 0)
        if found:
            self.partition.feed(found[0][1])
        return bool(found)

    async def fire(self) -> None:
        members, _ = await self.store.due(self.partition.lease, 1_000)
        self.partition.fire(members)
        await self.settle()

    async def status(self, instance_id: str) -> str:
        (record,) = await self.store.records([instance_id])
        return "absent" if record is None else record.status

    async def inbox(self) -> list[Message]:
        """What waits in the inbox."""
        found = await self.store.read_inboxes({0: "0"}, 1_000, 0)
        return [wire.unpack_message(entry.blob) for _, entries in found for entry in entries]

    def committed(self, since: int = 0) -> Sequence[Commit]:
        return self.store.commits[since:]
