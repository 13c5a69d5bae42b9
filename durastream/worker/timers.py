"""Fires durable timers: one alarm for the earliest due time of all owned partitions; the server's clock decides what is due."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from durastream.errors import Fenced, StoreError, StoreUnavailable
from durastream.store.protocol import WorkerStore
from durastream.worker.backoff import Backoff
from durastream.worker.clock import ServerClock
from durastream.worker.partition import Partition

log = logging.getLogger("durastream.worker.timers")

_LIMIT = 500
_LOOK_AGAIN_MS = 10  # while due members are still on their way out of the set
_LONGEST_S = 30.0
_SPOILT_MS = 2_000  # between attempts at timers that cannot be read


class Timers:
    """Loops until `stop`."""

    def __init__(self, store: WorkerStore, owned: Mapping[int, Partition], clock: ServerClock) -> None:
        self._store = store
        self._owned = owned
        self._clock = clock
        self._wake = asyncio.Event()
        self._stopping = False

    def changed(self) -> None:
        """A timer earlier than all others was added, or a partition was taken over."""
        self._wake.set()

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        backoff = Backoff()
        while not self._stopping:
            self._wake.clear()
            # Side by side: where partitions are on different servers, one that is down holds up nobody else.
            fired = await asyncio.gather(
                *(self._fire(one) for one in list(self._owned.values())), return_exceptions=True
            )
            errors = [error for error in fired if error is not None]
            for error in errors:
                if not isinstance(error, StoreUnavailable):
                    raise error
            if errors:
                await backoff.pause()
                continue
            backoff.reset()
            await self._until_next()

    async def _fire(self, partition: Partition) -> None:
        due_at = partition.next_due
        if due_at is None or due_at > self._clock.now() or partition.careful:
            return
        partition.next_due = None
        limit = _LIMIT + partition.firing  # those come again, first
        try:
            members, following = await self._store.due(partition.lease, limit)
        except Fenced:
            return  # whoever owns it now looks at its timers
        except StoreUnavailable:
            partition.next_due = due_at
            raise
        except StoreError as error:  # somebody put another thing under its key: the other partitions go on
            log.error("the timers of partition %d cannot be read, and are tried again: %s", partition.number, error)
            partition.next_due = self._clock.now() + _SPOILT_MS
            return
        if members:
            partition.fire(members)
            following = self._clock.now() + _LOOK_AGAIN_MS if len(members) == limit else following
        if following is not None and (partition.next_due is None or following < partition.next_due):
            partition.next_due = following

    async def _until_next(self) -> None:
        known = [one.next_due for one in self._owned.values() if one.next_due is not None and not one.careful]
        pause_s = min((min(known) - self._clock.now() + 1) / 1_000, _LONGEST_S) if known else _LONGEST_S
        try:
            async with asyncio.timeout(max(pause_s, 0.001)):
                await self._wake.wait()
        except TimeoutError:
            return
