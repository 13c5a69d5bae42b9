"""Keeps a worker alive in the eyes of the others: heartbeats, and renewal of its leases.

It runs on a thread and event loop of its own, with a connection of its own, so that user code which blocks the main loop costs
the worker neither its leases nor its claims. It does watch that the main loop makes progress: it warns when the loop stands
still, and lets go when it has stood still for so long that something must be wrong with it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from durastream import environment
from durastream.errors import HubMismatch, StoreError, StoreUnavailable
from durastream.store.protocol import Lease, WorkerInfo, WorkerStore
from durastream.worker.clock import ServerClock

log = logging.getLogger("durastream.worker.keeper")

OpenStore = Callable[[], Awaitable[WorkerStore]]

BLOCKED_WARN_S = 1.0
BLOCKED_GIVE_UP_S = 60.0
_STOP_S = 2.0  # longest wait for a heartbeat under way


@dataclass
class Shared:
    """What the main loop and the keeper tell each other. Each field is written by one side and replaced whole."""

    leases: tuple[Lease, ...] = ()  # main → keeper
    applied: Mapping[Lease, int] = field(default_factory=dict)  # main → keeper: commits of each, a moment ago
    about: Mapping[str, object] = field(default_factory=dict)  # main → keeper
    progress_at: float = field(default_factory=environment.monotonic)  # main → keeper: last time the loop turned
    live: tuple[WorkerInfo, ...] = ()  # keeper → main


class Keeper:
    """`beat_s` between heartbeats; leases are renewed with every beat and last `ttl_ms`."""

    def __init__(
        self,
        shared: Shared,
        *,
        clock: ServerClock,
        worker_id: str,
        ttl_ms: int,
        changed: Callable[[], object],
        lost: Callable[[list[Lease]], object],
        failed: Callable[[Exception], object],
    ) -> None:
        self._shared = shared
        self._clock = clock
        self._worker_id = worker_id
        self._ttl_ms = ttl_ms
        self._changed = changed
        self._lost = lost
        self._failed = failed
        self._beat_s = min(1.0, ttl_ms / 4_000)
        self._stopping = False
        self._wake: Callable[[], object] = _nothing
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()
        self._ended_here = asyncio.Event()  # the same for one that runs on the main loop
        self._warned = False
        self._renew_in = 0.0

    def start_thread(self, open_store: OpenStore) -> threading.Thread:
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self.run(open_store)), name="durastream-keeper", daemon=True
        )
        self._thread.start()
        return self._thread

    async def stop(self) -> None:
        """No heartbeat is sent once this returns: a late one would make the worker look alive after it has left."""
        self._stopping = True
        self._wake()
        if self._thread is not None:
            await asyncio.to_thread(self._ended.wait, _STOP_S)
            return
        try:
            async with asyncio.timeout(_STOP_S):
                await self._ended_here.wait()
        except TimeoutError:
            log.warning("a heartbeat is still under way: this worker may look alive for a while")

    async def run(self, open_store: OpenStore, *, close: bool = True) -> None:
        """Beat until stopped. `close`: whether the store is the keeper's own."""
        store: WorkerStore | None = None
        waker, loop = asyncio.Event(), asyncio.get_running_loop()
        self._wake = lambda: loop.call_soon_threadsafe(waker.set)
        while not self._stopping:
            try:
                if store is None:
                    store = await open_store()
                if self._main_loop_turns():
                    await self.beat(store)
            except StoreUnavailable as error:
                log.debug("heartbeat failed: %s", error)
            except HubMismatch as error:  # nothing that it holds is there any more
                self._failed(error)
            except Exception as error:  # without heartbeats the worker would lose all it owns: try again
                log.error("heartbeat failed: %s", error, exc_info=not isinstance(error, StoreError))
            await _pause(waker, self._beat_s)
        self._wake = _nothing
        if store is not None and close:
            await store.close()
        self._ended.set()
        if self._thread is None:
            self._ended_here.set()

    async def beat(self, store: WorkerStore) -> None:
        """One heartbeat, and a renewal of all leases when a third of their time has gone."""
        sent = environment.monotonic_ns()
        now, live = await store.heartbeat(self._worker_id, self._shared.about, self._ttl_ms)
        self._clock.observe(now, sent, environment.monotonic_ns())
        before, self._shared.live = self._shared.live, tuple(live)
        if [one.worker_id for one in before] != [one.worker_id for one in live] or _parked(before) != _parked(live):
            self._changed()
        leases = self._shared.leases
        if leases and environment.monotonic() >= self._renew_in:
            held = set(await store.renew(leases, self._worker_id, self._ttl_ms, self._shared.applied))
            self._renew_in = environment.monotonic() + self._ttl_ms / 3_000 - self._beat_s / 2
            gone = [lease for lease in leases if lease not in held]
            if gone:
                self._lost(gone)

    def _main_loop_turns(self) -> bool:
        """Whether the main loop lives. A loop that user code blocks for a while does; one that never turns again does not."""
        silent_s = environment.monotonic() - self._shared.progress_at
        if silent_s < BLOCKED_WARN_S:
            self._warned = False
            return True
        if not self._warned:
            self._warned = True
            log.warning(
                "the event loop has stood still for %.1f s: an async activity, an orchestrator or an entity does something slow"
                " without awaiting. Make it a plain `def` activity, which runs in a thread. Running: %s",
                silent_s,
                self._shared.about.get("running", "unknown"),
            )
        return silent_s < BLOCKED_GIVE_UP_S


def _nothing() -> None:
    """What wakes a keeper that does not run."""


async def _pause(waker: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await waker.wait()
    except TimeoutError:
        return


def _parked(workers: tuple[WorkerInfo, ...] | list[WorkerInfo]) -> list[object]:
    return [(one.about.get("parked"), one.about.get("kept")) for one in workers]
