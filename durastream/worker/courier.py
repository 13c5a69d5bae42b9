"""Delivers what the partitions of this worker send: one call for each target, whatever the number of senders.

While a call to a target is under way, what others want delivered there waits for the next one. With 16 partitions that send
to each other this saves most of the calls: there are 240 pairs of them, and 16 targets.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict

from durastream.errors import StoreError
from durastream.store.protocol import Parcel, WorkerStore
from durastream.worker.backoff import persist

log = logging.getLogger("durastream.worker.courier")


class Courier:
    """Shared by all relays of a worker."""

    def __init__(self, store: WorkerStore) -> None:
        self._store = store
        self._waiting: defaultdict[int, list[tuple[Parcel, asyncio.Future[None]]]] = defaultdict(list)
        self._rounds: dict[int, asyncio.Task[None]] = {}

    def deliver(self, target: int, parcel: Parcel) -> asyncio.Future[None]:
        """Done when it is in the target's inbox for good. Fails with StoreError if the target takes nothing."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[None] = loop.create_future()
        self._waiting[target].append((parcel, answer))
        if target not in self._rounds:
            self._rounds[target] = loop.create_task(self._run(target))
        return answer

    async def _run(self, target: int) -> None:
        while batch := self._waiting.pop(target, None):
            try:
                await persist(lambda batch=batch: self._store.deliver_all(target, _wanted(batch)))  # type: ignore[misc]
                _tell(batch, None)
            except StoreError as error:
                _tell(batch, error)
            except Exception as error:  # the others that wait must not wait for ever
                log.error("a delivery to partition %d failed", target, exc_info=error)
                _tell(batch, StoreError(f"not delivered: {type(error).__name__}: {error}"))
        del self._rounds[target]


def _wanted(batch: list[tuple[Parcel, asyncio.Future[None]]]) -> list[Parcel]:
    """Without those whose relay was closed: the store may have forgotten that they were ever sent."""
    return [parcel for parcel, answer in batch if not answer.done()]


def _tell(batch: list[tuple[Parcel, asyncio.Future[None]]], error: StoreError | None) -> None:
    for _, answer in batch:
        if answer.done():
            continue  # its relay was closed
        if error is None:
            answer.set_result(None)
        else:
            answer.set_exception(error)
