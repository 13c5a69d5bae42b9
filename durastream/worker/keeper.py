"""Keeps a worker alive in the eyes of the others: heartbeats, and renewal of its leases.

It runs on a thread and event loop of its own, with a connection of its own, so that user code which blocks the main loop costs
the worker neither its leases nor its claims. It does watch that the main loop makes progress: it warns when the loop stands
still, and lets go when it has stood still for so long that something must be wrong with it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from durastream.errors import StoreError, StoreUnavailable
from durastream.store.protocol import Lease, WorkerInfo, WorkerStore
from durastream.worker.clock import ServerClock

log = logging.getLogger("durastream.worker.keeper")

BLOCKED_WARN_S = 1.0
BLOCKED_GIVE_UP_S = 60.0


@dataclass
class Shared:
    """What the main loop and the keeper tell each other. Each field is written by one side and replaced whole."""

    leases: tuple[Lease, ...] = ()  # main → keeper
    about: Mapping[str, object] = field(default_factory=dict)  # main → keeper
    progress_at: float = field(default_factory=time.monotonic)  # main → keeper: last time the loop turned
    live: tuple[WorkerInfo, ...] = ()  # keeper → main


class Keeper:
    """`beat_s` between heartbeats; leases are renewed with every beat and last `ttl_ms`."""

    def __init__(
        self,
        open_store: Callable[[], Awaitable[WorkerStore]],
        shared: Shared,
        clock: ServerClock,
        *,
        worker_id: str,
        ttl_ms: int,
        changed: Callable[[], object],
        lost: Callable[[list[Lease]], object],
    ) -> None:
        self._open_store = open_store
        self._shared = shared
        self._clock = clock
        self._worker_id = worker_id
        self._ttl_ms = ttl_ms
        self._changed = changed
        self._lost = lost
        self._beat_s = min(1.0, ttl_ms / 4_000)
        self._stopping = threading.Event()
        self._warned = False
        self._renew_in = 0.0

    def start_thread(self) -> threading.Thread:
        thread = threading.Thread(target=lambda: asyncio.run(self.run()), name="durastream-keeper", daemon=True)
        thread.start()
        return thread

    def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> None:
        store: WorkerStore | None = None
        while not self._stopping.is_set():
            try:
                if store is None:
                    store = await self._open_store()
                if self._main_loop_turns():
                    await self.beat(store)
            except StoreUnavailable as error:
                log.debug("heartbeat failed: %s", error)
            except StoreError as error:
                log.error("heartbeat failed: %s", error)
            await asyncio.sleep(self._beat_s)
        if store is not None:
            await store.close()

    async def beat(self, store: WorkerStore) -> None:
        """One heartbeat, and a renewal of all leases when a third of their time has gone."""
        sent = time.monotonic_ns()
        now, live = await store.heartbeat(self._worker_id, self._shared.about, self._ttl_ms)
        self._clock.observe(now, sent, time.monotonic_ns())
        before, self._shared.live = self._shared.live, tuple(live)
        if [one.worker_id for one in before] != [one.worker_id for one in live] or _parked(before) != _parked(live):
            self._changed()
        leases = self._shared.leases
        if leases and time.monotonic() >= self._renew_in:
            held = set(await store.renew(leases, self._worker_id, self._ttl_ms))
            self._renew_in = time.monotonic() + self._ttl_ms / 3_000 - self._beat_s / 2
            gone = [lease for lease in leases if lease not in held]
            if gone:
                self._lost(gone)

    def _main_loop_turns(self) -> bool:
        """Whether the main loop lives. A loop that user code blocks for a while does; one that never turns again does not."""
        silent_s = time.monotonic() - self._shared.progress_at
        if silent_s < BLOCKED_WARN_S:
            self._warned = False
            return True
        if not self._warned:
            self._warned = True
            log.warning(
                "the event loop has stood still for %.1f s: an async activity or an orchestrator does something slow without"
                " awaiting. Make it a plain `def` activity, which runs in a thread. Running: %s",
                silent_s,
                self._shared.about.get("running", "unknown"),
            )
        return silent_s < BLOCKED_GIVE_UP_S


def _parked(workers: tuple[WorkerInfo, ...] | list[WorkerInfo]) -> list[object]:
    return [one.about.get("parked") for one in workers]
