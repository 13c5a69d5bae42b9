"""`ds.Worker`: the public face of a worker process."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from durastream import environment
from durastream.app import App
from durastream.core.ids import check_name
from durastream.errors import ServerUnsuitable
from durastream.store.protocol import WorkerStore
from durastream.store.redis import RedisStore
from durastream.worker.host import Host, Options

log = logging.getLogger("durastream.worker")

_LOOK_S = 0.1  # between looks whether everything is idle


class Worker:
    """Runs an app's orchestrators and activities against one hub.

    app: what it can run. store: a Redis URL, or a store object (tests). queues: activity queues it serves. concurrency:
    activities at once, coroutines and threads together. lease: seconds after which the others take over from a worker that fell
    silent (two to thirty is sensible; recovery from `kill -9` takes about this long). grace: seconds that running activities get
    to finish when the worker is stopped; what has not finished then is given back to the others. name: begins the id by which
    lists and logs show it (default: host and process number); the rest is drawn anew for each process. deaths_max: workers that
    one activity may take down before it fails.

    ```python
    async with ds.Worker(app, "redis://localhost:6379"):
        ...                      # works until left
    await ds.Worker(app).run()   # works until SIGTERM or SIGINT
    ```
    Raises ValueError or InvalidId for settings that make no sense, StoreUnavailable when the server cannot be reached at start
    (later it keeps trying), HubMismatch, ServerUnsuitable, AccessDenied. When the server refuses its user later on, it stops, and
    `run` raises that.
    """

    def __init__(
        self,
        app: App,
        store: str | WorkerStore | None = None,
        *,
        hub: str = "default",
        queues: Sequence[str] = ("default",),
        concurrency: int = 256,
        lease: float = 10.0,
        grace: float = 10.0,
        name: str | None = None,
        live_max: int = 64_000,
        deaths_max: int = 5,
    ) -> None:
        if lease < 0.2 or concurrency < 1 or not queues:
            raise ValueError("a worker needs lease >= 0.2 s, concurrency >= 1, and at least one queue")
        self._app = app
        self._target = store or os.environ.get("DURASTREAM_REDIS_URL", "redis://localhost:6379")
        self._hub = hub
        # No two processes have the same: who counts the dead must not take one for the other.
        base = check_name(name, "worker") if name else f"{socket.gethostname()}-{os.getpid()}"
        self.worker_id = f"{base}-{environment.token(3)}"
        self._options = Options(
            self.worker_id,
            queues=tuple(queues),
            concurrency=concurrency,
            lease_s=lease,
            grace_s=grace,
            live_max=live_max,
            deaths_max=deaths_max,
        )
        self._host: Host | None = None
        self._store: WorkerStore | None = None
        self._stop = asyncio.Event()

    @property
    def host(self) -> Host:
        """The running parts, for inspection."""
        if self._host is None:
            raise RuntimeError("the worker is not running: use `async with worker` or `await worker.run()`")
        return self._host

    async def start(self) -> None:
        """Connect, announce, and begin to work. Returns once the worker is known to the others."""
        self._loop = asyncio.get_running_loop()
        if isinstance(self._target, str):
            url = self._target
            store = await self._open(url)
            store.on_restart = self._restarted
            await store.warn_of_settings()
            self._store = store
            self._host = Host(self._app, store, self._options, lambda: self._beside(store))
        else:
            self._host = Host(self._app, self._target, self._options)
        await self._host.start()
        log.info("worker %s serves hub %s", self.worker_id, self._hub)

    def _restarted(self) -> None:
        if self._host is not None:
            self._host.server_restarted()

    async def _open(self, url: str) -> RedisStore:
        """When the server refuses our user later on, this worker stops: nothing that it holds could be finished, and the others
        take it over."""
        store = await RedisStore.open(url, self._hub, role="worker")
        store.on_refusal = self._refused
        return store

    async def _beside(self, store: RedisStore) -> RedisStore:
        """One of the same hub for another thread. The hub is not read again: as this worker knows it, or not at all."""
        beside = RedisStore(store.place, store.hub)
        beside.on_refusal = self._refused
        return beside

    def _refused(self, error: ServerUnsuitable) -> None:
        """Also called from the keeper's thread."""
        host = self._host
        if host is not None and not self._stop.is_set():
            self._loop.call_soon_threadsafe(host.fail, "the server refuses the user of this worker", error)

    async def stop(self) -> None:
        """Finish or give back what is under way, hand over the partitions, disconnect. Bounded by grace and lease."""
        self._stop.set()
        host, self._host = self._host, None
        if host is not None:
            await host.stop()
        if self._store is not None:
            await self._store.close()
            self._store = None
        log.info("worker %s has stopped", self.worker_id)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def run(self) -> None:
        """Work until SIGTERM or SIGINT, then stop cleanly. A second signal ends the process at once."""
        loop = asyncio.get_running_loop()
        _tune_garbage_collection()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, number)
        try:
            async with self:
                await self._until_told()
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    def shut_down(self) -> None:
        """Make `run` stop the worker and return, as SIGTERM does."""
        self._stop.set()

    def _on_signal(self, number: int) -> None:
        if self._stop.is_set():
            log.warning("second signal: ending at once; the others take over when the lease runs out")
            os._exit(128 + number)
        log.info("%s: stopping", signal.Signals(number).name)
        self.shut_down()

    async def _until_told(self) -> None:
        failed = asyncio.ensure_future(self.host.wait_failed())
        told = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait((failed, told), return_when=asyncio.FIRST_COMPLETED)
            if failed.done() and (error := failed.result()) is not None:
                raise error
        finally:
            failed.cancel()
            told.cancel()

    async def run_until_idle(self, *, timeout: float | None = None) -> None:
        """Work until nothing can be run any more: what is left waits for events, timers of the future, or other workers."""
        async with self, asyncio.timeout(timeout):
            quiet = 0
            while quiet < 3:
                quiet = quiet + 1 if await self._idle() else 0
                await asyncio.sleep(_LOOK_S)

    async def _idle(self) -> bool:
        host = self.host
        leases = await host.store.leases()
        if any(one.owner is None for one in leases) or host.activities.running:
            return False
        # Activities that still wait are none this worker could have claimed.
        waiting = sum(one.backlog + one.outbox for one in leases)
        return waiting <= host.held and not await host.store.read_ingress("0", 1, 0)


def _tune_garbage_collection() -> None:
    """The process is the worker's. Tens of thousands of suspended instances make full collections expensive (measured: a fifth of
    the time at 20,000) and hold hardly any cycles, so they come more rarely, and never look at what was imported."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
