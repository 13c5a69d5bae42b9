"""Carries outbox entries to where they are meant to go: other partitions, the dead-letter stream, reply lists.

In order per target, each taken once by a partition (its high-water mark per source), removed from the outbox when delivered.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from itertools import groupby

import msgpack

from durastream.errors import Fenced
from durastream.store.protocol import Lease, Outbound, WorkerStore
from durastream.worker.backoff import persist

log = logging.getLogger("durastream.worker.relay")

_BATCH = 500


class Relay:
    """The outbox of one partition, for as long as it is owned. Begins with what the last owner left."""

    def __init__(self, store: WorkerStore, lease: Lease) -> None:
        self._store = store
        self._lease = lease
        self._queue: deque[Outbound] = deque()
        self._task: asyncio.Task[None] | None = None
        self._special: dict[str, Callable[[list[Outbound]], Awaitable[None]]] = {
            "dead": self._dead_letters,
            "reply": self._replies,
        }

    async def take_over(self) -> None:
        """Queue what stands in the outbox. Comes before the first commit of this owner."""
        after = (0, 0)
        while True:
            found = await persist(lambda after=after: self._store.outbox(self._lease, after, _BATCH))  # type: ignore[misc]
            self.add(found)
            if len(found) < _BATCH:
                return
            after = found[-1].number

    def add(self, entries: Iterable[Outbound]) -> None:
        self._queue.extend(entries)
        if self._task is None and self._queue:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def drain(self) -> None:
        while self._task is not None:
            await asyncio.shield(self._task)

    def close(self) -> None:
        self._queue.clear()
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        try:
            while self._queue:
                batch = [self._queue[k] for k in range(min(len(self._queue), _BATCH))]
                await self._deliver(batch)
                numbers = [entry.number for entry in batch]
                await persist(lambda numbers=numbers: self._store.forget(self._lease, numbers))  # type: ignore[misc]
                for _ in batch:
                    self._queue.popleft()
        except Fenced:
            log.info("partition %d has another owner, which relays its outbox", self._lease.partition)
            self._queue.clear()
        finally:
            self._task = None

    async def _deliver(self, batch: list[Outbound]) -> None:
        ordered = sorted(batch, key=lambda entry: str(entry.target))  # stable: order per target is kept
        groups = [(target, list(group)) for target, group in groupby(ordered, key=lambda entry: entry.target)]
        await asyncio.gather(*(self._to(target, entries) for target, entries in groups))

    async def _to(self, target: int | str, entries: list[Outbound]) -> None:
        if isinstance(target, str):
            await self._special.get(target, self._dead_letters)(entries)
            return
        source = f"p{self._lease.partition}"
        for epoch, group in groupby(entries, key=lambda entry: entry.number[0]):
            batch = [(entry.number[1], entry.blob) for entry in group]
            await persist(lambda epoch=epoch, batch=batch: self._store.deliver(target, source, (epoch, ""), batch))  # type: ignore[misc]

    async def _dead_letters(self, entries: list[Outbound]) -> None:
        letters = [tuple(msgpack.unpackb(entry.blob)) for entry in entries]
        await persist(lambda: self._store.dead_letter(letters))

    async def _replies(self, entries: list[Outbound]) -> None:
        answers = [tuple(msgpack.unpackb(entry.blob)) for entry in entries]
        await persist(lambda: self._store.reply(answers))
