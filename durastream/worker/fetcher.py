"""Reads the inboxes of all owned partitions with one blocked read and feeds their owners."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from durastream.errors import StoreUnavailable
from durastream.store.protocol import WorkerStore
from durastream.worker.backoff import Backoff
from durastream.worker.partition import Partition

COUNT = 128  # entries of one partition in one read
BLOCK_MS = 2_000
_CROWDED_MS = 3  # longest wait for others while a partition has more than it can commit; it is asked again after that


class Fetcher:
    """Loops until cancelled at a safe point by `stop`. `changed` ends a blocked read, so that new partitions are read too."""

    def __init__(self, store: WorkerStore, owned: Mapping[int, Partition]) -> None:
        self._store = store
        self._owned = owned
        self._stopping = False
        self._wake = asyncio.Event()

    def changed(self) -> None:
        self._wake.set()
        self._store.interrupt()

    def stop(self) -> None:
        self._stopping = True
        self.changed()

    async def run(self) -> None:
        backoff = Backoff()
        while not self._stopping:
            self._wake.clear()
            cursors = {number: one.cursor for number, one in self._owned.items() if one.ready}
            if not cursors:
                await self._some_room()
                continue
            try:
                block_ms = BLOCK_MS if len(cursors) == len(self._owned) else _CROWDED_MS
                found = await self._store.read_inboxes(cursors, COUNT, block_ms)
            except StoreUnavailable:
                await backoff.pause()
                continue
            backoff.reset()
            for number, entries in found:
                partition = self._owned.get(number)
                # Taken over anew, or reset, while the read was under way: what came is from before.
                if partition is not None and partition.ready and partition.cursor == cursors[number]:
                    partition.feed(entries)

    async def _some_room(self) -> None:
        """Nothing is owned, or every partition has more than a commit in flight."""
        if not self._owned:
            await self._wake.wait()
        else:
            await asyncio.sleep(_CROWDED_MS / 1_000)
