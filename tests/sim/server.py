"""The server of a simulation: the model of the store (held equal to Redis by tests/differential), with a clock that can jump.

Every verb is carried out at one go when its request arrives, as a Lua script is. Blocked reads wait here, and are served in the
order in which they came.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from durastream.store.memory import MemoryServer, MemoryStore
from durastream.store.memory.state import Hub
from durastream.store.memory.stream import Stream
from durastream.store.memory.waiting import Doorbell
from tests.sim.clocks import EPOCH_MS
from tests.sim.loop import SimLoop

HUB: Final = "sim"
BLOCKS: Final = {"read_inboxes": 2, "claim_activities": 3, "read_ingress": 2}
"""Verbs that may block, with the place of `block_ms` among their arguments."""


class _Bell(Doorbell):
    def __init__(self, rung: Callable[[], None]) -> None:
        super().__init__()
        self.ring = rung  # type: ignore[method-assign]


@dataclass(eq=False)
class Blocked:
    """A read that waits: `attempt` looks again, `answer` is told what it found, or [] when its time is up."""

    owner: object
    attempt: Callable[[], Any]
    answer: Callable[[Any], None]


class SimServer:
    """`observer` is told of every verb that was carried out: (verb, arguments, what came of it). It raises nothing."""

    def __init__(self, loop: SimLoop, *, partitions: int, retention_ms: int) -> None:
        self._loop = loop
        self.offset_ms = 0
        self.commands = 0
        self.down_until = 0.0
        self.lives = 1  # counts restarts
        self.observer: Callable[[str, tuple[Any, ...], Any], None] | None = None
        self._blocked: list[Blocked] = []
        self._looking = False
        self.model = MemoryServer(self.clock)
        self.model.bell = _Bell(self._rung)
        self.model.store(HUB, partitions=partitions, retention_ms=retention_ms)

    def clock(self) -> int:
        return EPOCH_MS + self.offset_ms + int(self._loop.time() * 1_000)

    @property
    def hub(self) -> Hub:
        return self.model.hubs[HUB]

    @property
    def down(self) -> bool:
        return self._loop.time() < self.down_until

    def handle(self) -> MemoryStore:
        return self.model.store(HUB)

    def execute(self, handle: MemoryStore, verb: str, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Carry out one verb, whole. Raises what it raises."""
        self.commands += 1
        coroutine = getattr(handle, verb)(*args, **options)
        try:
            while True:
                coroutine.send(None)
        except StopIteration as done:
            if self.observer is not None:
                self.observer(verb, args, done.value)
            return done.value

    # -- blocked reads

    def block(self, waiting: Blocked, timeout_s: float) -> None:
        self._blocked.append(waiting)
        self._loop.call_later(timeout_s, self._end, waiting, context=self._loop.host.context)

    def unblock(self, owner: object) -> None:
        """End all blocked reads of a connection, without losing an entry."""
        for one in [one for one in self._blocked if one.owner is owner]:
            self._end(one)

    def forget(self, owner: object) -> None:
        """The connection is gone: nobody reads there any more."""
        self._blocked = [one for one in self._blocked if one.owner is not owner]

    def _end(self, waiting: Blocked) -> None:
        if waiting in self._blocked:
            self._blocked.remove(waiting)
            waiting.answer([])

    def _rung(self) -> None:
        if self._blocked and not self._looking:
            self._looking = True
            self._loop.call_soon(self._look, context=self._loop.host.context)

    def _look(self) -> None:
        self._looking = False
        for one in list(self._blocked):
            if one in self._blocked and (found := one.attempt()):
                self._blocked.remove(one)
                one.answer(found)

    # -- harm

    def snapshot(self) -> Any:
        """The whole state as it is now, to be given to `restore`."""
        return copy.deepcopy((self.model.hubs, self.model.lists))

    def restore(self, snapshot: Any) -> None:
        """Restart with what was on the disk: all that came after the snapshot is lost."""
        last = max(stream.last for stream in self._streams())
        queues = [list(place.activities) for place in self.hub.partitions]
        self.model.hubs, self.model.lists = copy.deepcopy(snapshot)
        self.restart()
        for place, names in zip(self.hub.partitions, queues, strict=True):
            for name in names:
                place.queue(name)
        for stream in self._streams():  # ids of a server begin with its time: it does not use one again
            stream.last += last + 1

    def _streams(self) -> list[Stream[Any]]:
        places = self.hub.partitions
        activities = [stream for place in places for stream in place.activities.values()]
        return [self.hub.ingress, *(place.inbox for place in places), *activities]

    def restart(self) -> None:
        """Nothing is lost but what was on its way."""
        self.lives += 1
        self._blocked = []

    def expire_leases(self) -> None:
        now = self.clock()
        for lease in [*(place.lease for place in self.hub.partitions), self.hub.ingress_lease]:
            lease.until = min(lease.until, now)
