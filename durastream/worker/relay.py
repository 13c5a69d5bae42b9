"""Carries outbox entries to where they are meant to go: other partitions, the dead-letter stream, reply lists.

In order per target, each taken once by a partition (its high-water mark per source), removed from the outbox when delivered. A
target that takes nothing holds up its own entries only: they stay in the outbox and are tried again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterable
from itertools import groupby
from typing import Any

import msgpack

from durastream.errors import Fenced, StoreError
from durastream.store.keys import PREFIX
from durastream.store.protocol import Lease, Outbound, Parcel, WorkerStore
from durastream.worker.backoff import persist
from durastream.worker.committer import Committer
from durastream.worker.courier import Courier

log = logging.getLogger("durastream.worker.relay")

_BATCH = 500
_RETRY_S = 2.0  # between attempts at a target that takes nothing


class Relay:
    """The outbox of one partition, for as long as it is owned. Begins with what the last owner left."""

    def __init__(self, store: WorkerStore, lease: Lease, courier: Courier, committer: Committer) -> None:
        self._store = store
        self._lease = lease
        self._courier = courier
        self._committer = committer
        self._queue: deque[Outbound] = deque()
        self._stuck: defaultdict[int | str, list[Outbound]] = defaultdict(list)  # by target, in order
        self._task: asyncio.Task[None] | None = None
        self._retry: asyncio.TimerHandle | None = None
        # For good: who drops some entries and goes on with later ones makes their target take the former for old.
        self._closed = False
        self._special: dict[str, Callable[[list[Outbound]], Awaitable[None]]] = {
            "dead": self._dead_letters,
            "reply": self._replies,
        }

    async def take_over(self) -> None:
        """Queue what stands in the outbox. Comes before the first commit of this owner. One that has lost its lease meanwhile may
        find entries of a later owner: to carry those as well, in their order and none left out, does no harm."""
        after = (0, 0)
        while True:
            found = await persist(lambda after=after: self._store.outbox(self._lease, after, _BATCH))  # type: ignore[misc]
            self.add(found)
            if len(found) < _BATCH:
                return
            after = found[-1].number

    def add(self, entries: Iterable[Outbound]) -> None:
        if self._closed:
            return
        self._queue.extend(entries)
        if self._task is None and (self._queue or self._due_again):
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def drain(self) -> None:
        """Return once everything is delivered that can be."""
        while self._task is not None:
            await asyncio.shield(self._task)

    def close(self) -> None:
        self._end()
        if self._task is not None:
            self._task.cancel()
        if self._retry is not None:
            self._retry.cancel()

    def _end(self) -> None:
        self._closed = True
        self._queue.clear()
        self._stuck.clear()

    async def _run(self) -> None:
        try:
            while self._queue or self._due_again:
                if self._due_again:
                    self._queue.extendleft(reversed([one for entries in self._stuck.values() for one in entries]))
                    self._stuck.clear()
                batch = [self._queue[k] for k in range(min(len(self._queue), _BATCH))]
                delivered = await self._deliver(batch)
                await self._forget(self._committer.forget(delivered))
                for _ in batch:
                    self._queue.popleft()
        except Fenced:
            log.info("partition %d has another owner, which relays its outbox", self._lease.partition)
            self._end()
        finally:
            self._task = None

    async def _forget(self, numbers: list[tuple[int, int]]) -> None:
        if numbers:
            await persist(lambda: self._store.forget(self._lease, numbers))

    async def _deliver(self, batch: list[Outbound]) -> list[tuple[int, int]]:
        """The numbers of those that are where they belong."""
        ordered = sorted(batch, key=lambda entry: str(entry.target))  # stable: order per target is kept
        groups = [(target, list(group)) for target, group in groupby(ordered, key=lambda entry: entry.target)]
        done = await asyncio.gather(*(self._attempt(target, entries) for target, entries in groups))
        return [entry.number for (_, entries), well in zip(groups, done, strict=True) if well for entry in entries]

    async def _attempt(self, target: int | str, entries: list[Outbound]) -> bool:
        if target not in self._stuck:
            try:
                await self._to(target, entries)
                return True
            except Fenced:
                raise
            except StoreError as error:
                here = self._lease.partition
                log.error("partition %d: %s takes nothing, tried again in %g s: %s", here, target, _RETRY_S, error)
        self._stuck[target] += entries
        if self._retry is None:
            self._retry = asyncio.get_running_loop().call_later(_RETRY_S, self._try_again)
        return False

    @property
    def _due_again(self) -> bool:
        return bool(self._stuck) and self._retry is None

    def _try_again(self) -> None:
        self._retry = None
        self.add(())

    async def _to(self, target: int | str, entries: list[Outbound]) -> None:
        if isinstance(target, str):
            await self._special.get(target, self._malformed)(entries)
            return
        if target >= self._store.hub.partitions:
            await self._malformed(entries)
            return
        source = f"p{self._lease.partition}"
        for epoch, group in groupby(entries, key=lambda entry: entry.number[0]):
            batch = [(entry.number[1], entry.blob) for entry in group]
            await self._courier.deliver(target, Parcel(source, (epoch, ""), batch))

    # -- what does not go to a partition

    async def _dead_letters(self, entries: list[Outbound]) -> None:
        letters = [_pair(entry.blob) or self._letter(entry) for entry in entries]
        await persist(lambda: self._store.dead_letter(letters))

    async def _malformed(self, entries: list[Outbound]) -> None:
        letters = [self._letter(entry) for entry in entries]
        await persist(lambda: self._store.dead_letter(letters))

    def _letter(self, entry: Outbound) -> tuple[str, bytes]:
        return f"malformed entry in outbox of partition {self._lease.partition}, for {entry.target}", entry.blob

    async def _replies(self, entries: list[Outbound]) -> None:
        await asyncio.gather(*(self._reply(entry) for entry in entries))

    async def _reply(self, entry: Outbound) -> None:
        answer = _pair(entry.blob)
        if answer is None or answer[0].startswith(PREFIX):
            await self._malformed([entry])
            return
        try:
            await persist(lambda: self._store.reply([answer]))
        except StoreError as error:  # the key that was named holds something else
            letter = (f"reply list {answer[0][:80]!a} takes no answer: {error}", answer[1])
            await persist(lambda: self._store.dead_letter([letter]))


def _pair(blob: bytes) -> tuple[str, bytes] | None:
    """msgpack [text, bytes]; None for anything else, since anybody can write to a stream."""
    try:
        read: Any = msgpack.unpackb(blob)
    except (ValueError, msgpack.exceptions.UnpackException):
        return None
    if not (isinstance(read, list) and len(read) == 2 and isinstance(read[0], str) and isinstance(read[1], bytes)):
        return None
    return read[0], read[1]
