"""One worker: which partitions it owns, and the roles that run beside each other.

Ownership follows from the list of live workers alone (`sharing`): this file compares what it should own with what it does, takes
what is free, and hands over what belongs to another, after its commits are done.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from durastream import environment
from durastream.app import App
from durastream.errors import DurastreamError, Fenced, StoreError, StoreUnavailable
from durastream.payload import Payloads
from durastream.store.protocol import Lease, Outbound, WorkerStore
from durastream.worker import about, lifeline
from durastream.worker.activities import Activities
from durastream.worker.backoff import persist
from durastream.worker.clock import ServerClock
from durastream.worker.courier import Courier
from durastream.worker.executor import PythonExecutor
from durastream.worker.fetcher import Fetcher
from durastream.worker.ingress import Ingress
from durastream.worker.keeper import Keeper, Shared
from durastream.worker.partition import Partition, Surroundings
from durastream.worker.relay import Relay
from durastream.worker.runner import Runner
from durastream.worker.sharing import desired_owners
from durastream.worker.timers import Timers

log = logging.getLogger("durastream.worker")

_INGRESS = -1
_TICK_S = 1.0
_PULSE_S = 0.2  # how often the main loop shows that it turns
_RESCUE_EVERY_LEASES = (
    6.0  # looks for claims of the dead also when nobody seems to have died, every so many lease times
)
LIVE_MIN = 100
"""Instances that one partition may keep in memory at least, however many partitions there are."""

_CLIENT_SILENT_MS = 3_600_000  # a client that has sent nothing for so long does not repeat anything any more


@dataclass(frozen=True, slots=True)
class Options:
    """How a worker works. Times in seconds."""

    worker_id: str
    queues: tuple[str, ...] = ("default",)
    concurrency: int = 256  # activities at once
    lease_s: float = 10.0
    grace_s: float = 10.0  # for running activities at shutdown
    live_max: int = 64_000  # instances kept in memory
    deaths_max: int = 5  # of workers, that one activity may cause


class Host:
    """Runs the roles. `open_store` gives the keeper a store of its own; without it the keeper shares this one and this loop."""

    def __init__(
        self,
        app: App,
        store: WorkerStore,
        options: Options,
        open_store: Callable[[], Awaitable[WorkerStore]] | None = None,
    ) -> None:
        self.store = store
        self.options = options
        self.clock = ServerClock()
        self.owned: dict[int, Partition] = {}
        self._relays: dict[int, Relay] = {}
        self._courier = Courier(store)
        self._taking: set[int] = set()
        self._ingress: Ingress | None = None
        self._ingress_task: asyncio.Task[None] | None = None
        self._restarts = 0  # of the server, as far as it was seen
        self._shared = Shared()
        self._open_store = open_store
        self._tasks: list[asyncio.Task[None]] = []
        self._tick_now = asyncio.Event()
        self._stopping = False
        self._gone = False
        self._rescue_at = 0.0
        self._rescued_with: list[str] = []
        self._failed = asyncio.Event()
        self.failure: BaseException | None = None
        self._payloads = Payloads(store.hub.payload_bytes_max)
        self._executor = PythonExecutor(app, self._payloads)
        self.activities = Activities(
            store,
            app,
            worker_id=options.worker_id,
            queues=list(options.queues),
            slots=options.concurrency,
            runner=Runner(self._payloads, options.concurrency),
            deaths_max=options.deaths_max,
            lease_ms=int(options.lease_s * 1_000),
        )
        self._about = about.About(app, options, self.clock)
        self._fetcher = Fetcher(store, self.owned)
        self._timers = Timers(store, self.owned, self.clock)
        self._surroundings = Surroundings(
            store,
            self._executor,
            self.clock,
            lease_ms=int(options.lease_s * 1_000),
            live_max=max(LIVE_MIN, options.live_max // store.hub.partitions),
            committed=self._committed,
            timers_changed=self._timers.changed,
            lost=self._lost,
            one_at_a_time=asyncio.Lock(),
        )

    # -- life

    async def start(self) -> None:
        """Begin: announce this worker, then take its share."""
        loop = asyncio.get_running_loop()
        self._shared.about = self._about.describe(self.owned, self.activities, self._shared.live)
        self._keeper = Keeper(
            self._shared,
            clock=self.clock,
            worker_id=self.options.worker_id,
            ttl_ms=int(self.options.lease_s * 1_000),
            changed=lambda: loop.call_soon_threadsafe(self._tick_now.set),
            lost=lambda leases: loop.call_soon_threadsafe(self._leases_gone, leases),
            failed=lambda error: loop.call_soon_threadsafe(self.fail, "the hub is another one by now", error),
        )
        await self._keeper.beat(self.store)
        if self._open_store is not None:
            self._keeper.start_thread(self._open_store)
        else:
            self._spawn(self._keeper.run(self._same_store, close=False))
        self._pulse()
        for role in (self._fetcher.run(), self._timers.run(), self.activities.run(), self._ticks()):
            self._spawn(role)

    async def _same_store(self) -> WorkerStore:
        return self.store

    def _pulse(self) -> None:
        self._shared.progress_at = environment.monotonic()
        self._shared.applied = {one.lease: one.committer.applied for one in self.owned.values()}
        if not self._gone:
            asyncio.get_running_loop().call_later(_PULSE_S, self._pulse)

    def _spawn(self, role: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(role)
        task.add_done_callback(self._role_ended)
        self._tasks.append(task)

    def _role_ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.remove(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fail("a role of this worker failed", error)

    def fail(self, what: str, error: BaseException) -> None:
        """Make the worker stop, loudly. Only the first failure counts."""
        if self.failure is None:
            known = isinstance(error, DurastreamError)
            log.critical("%s; it stops%s", what, f": {error}" if known else "", exc_info=None if known else error)
            self.failure = error
            self._failed.set()

    async def wait_failed(self) -> BaseException | None:
        """Return when a role of this worker has failed, with its error. A worker that lacks a role must not go on."""
        await self._failed.wait()
        return self.failure

    async def stop(self) -> None:
        """Stop reading, finish or give back what is under way, hand over the partitions, say goodbye."""
        self._stopping = True
        self._tick_now.set()
        self.activities.stop()
        await self.activities.drain(self.options.grace_s)
        if self._ingress is not None:
            self._ingress.stop()
        self._fetcher.stop()
        self._timers.stop()
        await asyncio.gather(*(self._hand_over(number) for number in list(self.owned)))
        await self._end_ingress()
        await self._keeper.stop()
        self._gone = True
        try:
            await self.store.leave(self.options.worker_id)
        except StoreUnavailable as error:
            log.warning("could not say goodbye: %s", error)
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=2.0)
            for task in late:
                task.cancel()

    # -- ownership

    async def _ticks(self) -> None:
        while not self._stopping:
            self._tick_now.clear()
            try:
                await self._share()
                await self._look_after()
            except StoreUnavailable as error:
                log.debug("the store is away: %s", error)
            except StoreError as error:
                log.error("looking after the partitions failed, and is tried again: %s", error)
            self._shared.about = self._about.describe(self.owned, self.activities, self._shared.live)
            try:
                async with asyncio.timeout(min(_TICK_S, self.options.lease_s / 4)):
                    await self._tick_now.wait()
            except TimeoutError:
                continue

    async def _share(self) -> None:
        """Take what should be ours and is free; hand over what should be another's."""
        me = self.options.worker_id
        owners = desired_owners(self._shared.live, self.store.hub.partitions + 1)
        ingress_owner = owners.pop()
        mine = {number for number, owner in enumerate(owners) if owner == me}
        await asyncio.gather(*(self._take(number) for number in mine - self.owned.keys() - self._taking))
        await asyncio.gather(*(self._hand_over(number) for number in self.owned.keys() - mine if owners[number]))
        if ingress_owner == me and self._ingress is None:
            await self._take_ingress()
        elif ingress_owner != me and ingress_owner is not None and self._ingress is not None:
            await self._end_ingress()

    async def _take(self, number: int) -> None:
        self._taking.add(number)
        restarts = self._restarts
        try:
            ttl_ms = int(self.options.lease_s * 1_000)
            lease = await self.store.acquire(number, self.options.worker_id, environment.token(8), ttl_ms)
            if lease is None:
                return
            partition = Partition(lease, self._surroundings)
            relay = Relay(self.store, lease, self._courier, partition.committer)
            await partition.take_over()
            await relay.take_over()
            if self._stopping or restarts != self._restarts:
                relay.close()
                await self.store.release(lease)
                return
            self.owned[number], self._relays[number] = partition, relay
            self._publish()
            self._rescue_at = 0.0
            partition.begin()
            log.info("took over partition %d (epoch %d)", number, lease.epoch)
        except Fenced as error:
            log.warning("lost partition %d while taking it over: %s", number, error)
        finally:
            self._taking.discard(number)

    @property
    def held(self) -> int:
        """Messages of the owned partitions that wait for something which is not there: an orchestrator, a fixed deploy."""
        return sum(partition.held for partition in self.owned.values())

    async def _hand_over(self, number: int) -> None:
        """Let go of a partition once everything read is committed and relayed."""
        partition = self.owned.pop(number, None)
        if partition is None:
            return
        relay = self._relays.pop(number)
        try:
            async with asyncio.timeout(self.options.lease_s / 2):
                await partition.settle()
                await relay.drain()
            self._forget(partition, relay)
            await self.store.release(partition.lease)
            log.info("handed over partition %d", number)
        except (TimeoutError, StoreError) as error:
            log.warning("partition %d is left to its lease: %s", number, error)
            self._forget(partition, relay)

    def _forget(self, partition: Partition, relay: Relay) -> None:
        partition.close()
        relay.close()
        self._publish()

    def _publish(self) -> None:
        """Tell keeper, fetcher and timers what is owned now."""
        leases = [partition.lease for partition in self.owned.values()]
        if self._ingress is not None:
            leases.append(self._ingress.lease)
        self._shared.leases = tuple(leases)
        self._fetcher.changed()
        self._timers.changed()

    def _lost(self, lease: Lease, error: Fenced) -> None:
        """A script refused us, or a partition gave up: everything in memory about it is void."""
        partition = self.owned.get(lease.partition)
        if partition is None or partition.lease != lease:
            return
        log.warning("lost partition %d: %s", lease.partition, error)
        del self.owned[lease.partition]
        self._forget(partition, self._relays.pop(lease.partition))
        self._tick_now.set()

    def server_restarted(self) -> None:
        """The server was started again, or another took its place: it may lack its newest writes, and whatever is in memory may
        rest on those. So all of it is given up, and read afresh."""
        self._restarts += 1
        leases = [partition.lease for partition in self.owned.values()]
        for partition in list(self.owned.values()):
            del self.owned[partition.number]
            self._forget(partition, self._relays.pop(partition.number))
        if self._ingress is not None:
            leases.append(self._ingress.lease)
            self._ingress.stop()
        if leases and not self._stopping:
            log.warning("the server was restarted or replaced: %d leases are given up and taken anew", len(leases))
            self._spawn(self._give_back(leases))

    async def _give_back(self, leases: list[Lease]) -> None:
        """So that nobody, not even this worker, has to wait until they end."""
        for lease in leases:
            try:
                await persist(lambda lease=lease: self.store.release(lease))  # type: ignore[misc]
            except StoreError as error:
                log.warning("partition %d is left to its lease: %s", lease.partition, error)
        self._tick_now.set()

    def _leases_gone(self, leases: list[Lease]) -> None:
        for lease in leases:
            if lease.partition != _INGRESS:
                self._lost(
                    lease, Fenced("its lease had expired when it was renewed, or the store has forgotten commits")
                )
            elif self._ingress is not None and self._ingress.lease == lease:
                self._ingress.stop()

    # -- the hub's ingress

    async def _take_ingress(self) -> None:
        ttl_ms = int(self.options.lease_s * 1_000)
        lease = await self.store.acquire_ingress(self.options.worker_id, environment.token(8), ttl_ms)
        if lease is None:
            return
        self._ingress = Ingress(self.store, lease, self._payloads)
        self._ingress_task = asyncio.get_running_loop().create_task(self._run_ingress(self._ingress))
        self._publish()

    async def _run_ingress(self, ingress: Ingress) -> None:
        try:
            await ingress.run()
        finally:
            self._ingress = None
            self._publish()

    async def _end_ingress(self) -> None:
        ingress, task = self._ingress, self._ingress_task
        if ingress is None or task is None:
            return
        ingress.stop()
        await asyncio.wait([task], timeout=self.options.lease_s / 2)
        try:
            await self.store.release(ingress.lease)
        except StoreUnavailable as error:
            log.warning("the ingress is left to its lease: %s", error)

    # -- care

    async def _look_after(self) -> None:
        """Rescue claims of the dead when somebody may have died, learn of split queues, tell activities of endings."""
        live = [one.worker_id for one in self._shared.live]
        now = environment.monotonic()
        if now >= self._rescue_at or live != self._rescued_with:
            self._rescue_at, self._rescued_with = now + _RESCUE_EVERY_LEASES * self.options.lease_s, live
            for partition in list(self.owned.values()):
                await self._care_for(partition)
        self.activities.read_also(about.split_queues(self._shared.live))
        await self.activities.notice_endings()

    async def _care_for(self, partition: Partition) -> None:
        try:
            rescued = await lifeline.rescue(self.store, partition.lease, int(self.options.lease_s * 1_000))
            await self.store.tidy(partition.lease, _CLIENT_SILENT_MS)
            await partition.mend()
        except Fenced as error:
            self._lost(partition.lease, error)
            return
        if rescued:
            log.info("put back %d activities of dead workers in partition %d", rescued, partition.number)
        self.activities.learn(await self.store.queues(partition.number))

    def _committed(self, partition: int, entries: list[Outbound]) -> None:
        relay = self._relays.get(partition)
        if relay is not None:
            relay.add(entries)
