"""Outcomes of activities on their way to the store: one batch in flight per partition, the next gathers meanwhile."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict

from durastream.errors import StoreError, StoreUnavailable
from durastream.store.protocol import Outcome, WorkerStore
from durastream.worker.backoff import Backoff

log = logging.getLogger("durastream.worker.completer")

_BATCH = 500


class Completer:
    """`add` never waits; `drain` returns once everything is recorded."""

    def __init__(self, store: WorkerStore, worker_id: str) -> None:
        self._store = store
        self._worker_id = worker_id
        self._waiting: defaultdict[int, list[Outcome]] = defaultdict(list)
        self._sending: dict[int, asyncio.Task[None]] = {}
        self._scheduled = False

    def add(self, partition: int, outcome: Outcome) -> None:
        self._waiting[partition].append(outcome)
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._scheduled = False
        loop = asyncio.get_running_loop()
        for partition, outcomes in self._waiting.items():
            if outcomes and partition not in self._sending:
                self._sending[partition] = loop.create_task(self._send(partition))

    async def _send(self, partition: int) -> None:
        try:
            while outcomes := self._waiting[partition][:_BATCH]:
                del self._waiting[partition][:_BATCH]
                await self._record(partition, outcomes)
        finally:
            del self._sending[partition]

    async def _record(self, partition: int, outcomes: list[Outcome]) -> None:
        """Until it is done: nobody else knows of an outcome, and its claim is kept by the life of this worker."""
        backoff, said = Backoff(), False
        while True:
            try:
                await self._store.complete(partition, self._worker_id, outcomes)
                return
            except StoreUnavailable:
                await backoff.pause()
            except StoreError as error:
                if not said:
                    log.error("partition %d takes no outcomes, tried again until it does: %s", partition, error)
                said = True
                await backoff.pause()

    async def drain(self) -> None:
        self._flush()
        while self._sending:
            await asyncio.wait(list(self._sending.values()))
