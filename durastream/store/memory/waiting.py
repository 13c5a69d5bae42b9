"""What waits in memory: blocked reads and listeners of channels. Everything runs in one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

T = TypeVar("T")
Sleepers = set["asyncio.Future[bool]"]


class Doorbell:
    """Wakes blocked reads of all handles when something has arrived anywhere. Readers look again for themselves."""

    def __init__(self) -> None:
        self._sleepers: Sleepers = set()

    def ring(self) -> None:
        _wake(self._sleepers, True)

    async def wait(self, own: Sleepers, timeout_s: float) -> bool:
        """True when the bell rang; False when time ran out or the owner of `own` was interrupted."""
        sleeper: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._sleepers.add(sleeper)
        own.add(sleeper)
        try:
            await asyncio.wait((sleeper,), timeout=timeout_s)
            return sleeper.done() and sleeper.result()
        finally:
            self._sleepers.discard(sleeper)
            own.discard(sleeper)


class Reader:
    """The blocked reads of one handle."""

    def __init__(self, bell: Doorbell) -> None:
        self._bell = bell
        self._sleepers: Sleepers = set()

    def interrupt(self) -> None:
        _wake(self._sleepers, False)

    async def read(self, take: Callable[[], list[T]], block_ms: int) -> list[T]:
        """What `take` finds, as soon as it finds anything; [] after `block_ms` or an interrupt.

        Nothing is awaited between `take` and the wait or the return: no arrival is missed, nothing taken is lost.
        """
        loop = asyncio.get_running_loop()
        ends = loop.time() + block_ms / 1000
        while not (found := take()):
            left = ends - loop.time()
            if left <= 0 or not await self._bell.wait(self._sleepers, left):
                return []
        return found


def _wake(sleepers: Sleepers, arrived: bool) -> None:
    for sleeper in sleepers:
        if not sleeper.done():
            sleeper.set_result(arrived)


class Channels:
    """Publish and subscribe: who listens gets it, nobody else ever does."""

    def __init__(self) -> None:
        self._listeners: dict[str, list[Listener]] = {}

    def publish(self, channel: str, blob: bytes) -> None:
        for listener in self._listeners.get(channel, ()):
            listener.put(blob)

    def join(self, listener: Listener) -> None:
        self._listeners.setdefault(listener.channel, []).append(listener)

    def part(self, listener: Listener) -> None:
        others = self._listeners[listener.channel]
        others.remove(listener)
        if not others:
            del self._listeners[listener.channel]


class Listener:
    """One subscription, ended by `end`."""

    def __init__(self, channels: Channels, channel: str) -> None:
        self.channel = channel
        self._channels = channels
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue()  # None ends it

    def put(self, blob: bytes) -> None:
        self._queue.put_nowait(blob)

    def end(self) -> None:
        self._queue.put_nowait(None)

    async def blobs(self) -> AsyncIterator[bytes | None]:
        self._channels.join(self)
        try:
            yield None
            while (blob := await self._queue.get()) is not None:
                yield blob
        finally:
            self._channels.part(self)
