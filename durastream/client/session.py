"""What an open client holds: the store, its lanes, its waits. Made when the client is entered, ended with it."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from durastream.client.retry import Retry
from durastream.client.sender import MessageLane, Source, StartLane
from durastream.client.tasks import Tasks
from durastream.client.waits import Waits, channel_name
from durastream.core.ids import partition_of
from durastream.core.messages import Message
from durastream.errors import InstanceNotFound
from durastream.payload import Payloads
from durastream.store.protocol import ClientStore, Record
from durastream.wire import pack_message

T = TypeVar("T")


class Session:
    """One run of a client against one hub. Needs a running event loop."""

    def __init__(self, store: ClientStore, *, payloads: Payloads, patience_s: float, rng: random.Random) -> None:
        self.store = store
        self.payloads = payloads
        self.retry = Retry(patience_s, rng)
        self._rng = rng
        self._tasks = Tasks()
        self.client_id = self.token()
        partitions = range(store.hub.partitions)
        source = Source(f"c:{self.client_id}", self.token())
        self.starts = [StartLane(store, p, self.retry, self._tasks) for p in partitions]
        self.messages = [MessageLane(store, p, source, self.retry, self._tasks) for p in partitions]
        self.waits = Waits(store, channel_name(store.hub, self.client_id), self.retry, self._tasks)
        self.waits.open()

    async def close(self) -> None:
        """End waits and refuse what was not sent. The store stays open: whoever opened it closes it."""
        await self.waits.close()
        for starts, messages in zip(self.starts, self.messages, strict=True):
            starts.close()
            messages.close()
        await self._tasks.close()

    def token(self) -> str:
        """16 random hexadecimal digits."""
        return f"{self._rng.getrandbits(64):016x}"

    def names(self) -> tuple[str, str]:
        """A random instance id (32 digits) and a token, at the price of one."""
        digits = f"{self._rng.getrandbits(192):048x}"
        return digits[:32], digits[32:]

    def partition(self, address: str) -> int:
        """Where an instance, or an entity as text, lives."""
        return partition_of(address, self.store.hub.partitions)

    async def read(self, what: str, attempt: Callable[[], Awaitable[T]]) -> T:
        """A verb that only reads, repeated while the store is unavailable and patience lasts."""
        return await self.retry.run(what, attempt)

    async def find(self, instance_id: str) -> Record | None:
        (record,) = await self.read(f"read {instance_id!r}", lambda: self.store.records([instance_id]))
        return record

    async def record(self, instance_id: str) -> Record:
        """The instance's record. Raises InstanceNotFound."""
        record = await self.find(instance_id)
        if record is None:
            raise InstanceNotFound(f"instance {instance_id!r} does not exist in hub {self.store.hub.name!r}")
        return record

    async def post(self, message: Message) -> None:
        """Put a message into the inbox of the partition of its instance or entity; it is there for good when this returns."""
        blob = pack_message(message)
        await self.messages[self.partition(message[0])].put(blob, len(blob))
