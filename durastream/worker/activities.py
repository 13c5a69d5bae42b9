"""Claims activities for the free slots of this worker, runs them, and hands on their outcomes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from durastream import environment, wire
from durastream.activity import ActivityContext
from durastream.app import App
from durastream.core.definitions import ActivityDefinition
from durastream.core.events import Failure
from durastream.core.messages import ActivityItem, TaskResult
from durastream.errors import StoreUnavailable, WireError
from durastream.store.protocol import SUSPECT, Activity, Outcome, WorkerStore
from durastream.worker import lifeline
from durastream.worker.backoff import Backoff, persist
from durastream.worker.builtin import builtin
from durastream.worker.completer import Completer
from durastream.worker.runner import Runner

log = logging.getLogger("durastream.worker.activities")

BLOCK_MS = 2_000
_LOOKS_S = (0.0, 3.0, 10.0, 30.0, 100.0, 300.0)
"""When to look for claims that nobody knows of, in seconds after an error: a request whose connection broke may be carried out
long after that, and what it claimed would wait for as long as this worker lives."""

_CLAIM_ENDS_S = 1.0  # for a claim under way when the worker is stopped
SPLIT = "/"  # between a queue and the name of an activity that not every reader of the queue has


@dataclass(slots=True)
class Running:
    """An activity that occupies a slot."""

    activity: Activity
    item: ActivityItem
    context: ActivityContext | None
    task: asyncio.Task[None] | None = None


class Activities:
    """The activity side of a worker. `slots` activities run at once; no more than that are ever claimed."""

    def __init__(
        self, store: WorkerStore, app: App, *, worker_id: str, queues: list[str], slots: int, runner: Runner, deaths_max: int,
        lease_ms: int,
    ) -> None:  # fmt: skip
        self._store = store
        self._app = app
        self._worker_id = worker_id
        self._own_queues = queues
        self.queues = list(queues)
        self.split: set[str] = set()
        self._handed_on: set[str] = set()  # split queues that were warned of: once is enough
        self._slots = slots
        self._runner = runner
        self._deaths_max = deaths_max
        self._lease_ms = lease_ms
        self.completer = Completer(store, worker_id)
        self.running: dict[tuple[int, str, str], Running] = {}
        self._freed = asyncio.Event()
        self._one_suspect = asyncio.Lock()
        self._stopping = False
        self._ended = False  # nothing begins any more
        self._claiming: asyncio.Task[None] | None = None
        self._looks: list[float] = []  # when to look for claims that nobody knows of
        self.done = 0

    # -- claiming

    def learn(self, queues: Iterable[str]) -> None:
        """Queues found in a partition: the split ones among them are told to all workers."""
        self.split.update(queue for queue in queues if SPLIT in queue)

    def read_also(self, split_queues: set[str]) -> None:
        """Queues that hold activities which some worker lacked: read those whose activity this app has."""
        mine = [
            name
            for name in sorted(split_queues)
            if name.partition(SPLIT)[0] in self._own_queues and self._app.find_activity(name.partition(SPLIT)[2])
        ]
        wanted = [*self._own_queues, *mine]
        if wanted != self.queues:
            self.queues = wanted
            self._store.interrupt()

    def stop(self) -> None:
        self._stopping = True
        self._freed.set()
        self._store.interrupt()

    async def run(self) -> None:
        self._claiming = asyncio.current_task()
        backoff = Backoff()
        self._doubt()  # an earlier process of this name may have claimed something
        while not self._stopping:
            free = self._slots - len(self.running)
            if free <= 0:
                self._freed.clear()
                await self._freed.wait()
                continue
            try:
                if self._looks and self._looks[0] <= environment.monotonic():
                    claimed = await self._claimed_before()
                else:
                    claimed = await self._store.claim_activities(self._worker_id, self.queues, free, BLOCK_MS)
            except StoreUnavailable:
                self._doubt()
                await backoff.pause()
                continue
            backoff.reset()
            for activity in claimed:
                self._begin(activity)

    def _doubt(self) -> None:
        """Something may have been claimed in this worker's name, or may still be."""
        now = environment.monotonic()
        self._looks = [now + after_s for after_s in _LOOKS_S]

    async def _claimed_before(self) -> list[Activity]:
        """What this worker has claimed and does not know of: neither running, nor done and about to be recorded."""
        await self.completer.drain()
        known = set(self.running)
        now = environment.monotonic()
        self._looks = [at for at in self._looks if at > now]
        claimed = await self._store.claimed(self._worker_id, self.queues)
        return [one for one in claimed if (one.partition, one.queue, one.entry_id) not in known]

    def _begin(self, activity: Activity) -> None:
        key = (activity.partition, activity.queue, activity.entry_id)
        if key in self.running or self._ended:  # a claim that came too late: the owner of the partition puts it back
            return
        try:
            item = wire.unpack_activity(activity.blob)
        except WireError:
            # It goes to the inbox as it is, where the owner finds it malformed too and makes it a dead letter.
            self.completer.add(activity.partition, Outcome(activity.queue, activity.entry_id, activity.blob))
            return
        definition = self._app.find_activity(item.name) or builtin.find_activity(item.name)
        if definition is None:
            asyncio.get_running_loop().create_task(self._hand_on(activity, item))
            return
        self._start(key, activity, item, definition)

    def _start(
        self, key: tuple[int, str, str], activity: Activity, item: ActivityItem, definition: ActivityDefinition
    ) -> None:
        context = None
        if definition.context_parameter is not None or item.timeout_ms is not None:
            context = ActivityContext(item.instance_id, item.execution_id, item.task, item.name, item.attempt)
        running = self.running[key] = Running(activity, item, context)
        running.task = asyncio.get_running_loop().create_task(self._run(key, running, definition))

    async def _run(self, key: tuple[int, str, str], running: Running, definition: ActivityDefinition) -> None:
        try:
            if len(running.activity.died) < min(SUSPECT, self._deaths_max):
                result: TaskResult | None = await self._runner.run(definition, running.item, running.context)
            else:
                result = await self._run_suspect(running, definition)
        finally:
            del self.running[key]
            self._freed.set()
        if result is not None:
            self._finish(running.activity, result)

    async def _run_suspect(self, running: Running, definition: ActivityDefinition) -> TaskResult | None:
        """No other suspect runs beside it, so that it is known which one this process died of. None: it is gone."""
        dead = await lifeline.the_dead(self._store, running.activity.died, self._lease_ms, self._deaths_max)
        if dead:
            return _poisoned(running.item, dead)
        async with self._one_suspect:
            if not await persist(lambda: self._store.begin(self._worker_id, running.activity)):
                return None
            return await self._runner.run(definition, running.item, running.context)

    def _finish(self, activity: Activity, result: TaskResult) -> None:
        self.done += 1
        outcome = Outcome(activity.queue, activity.entry_id, wire.pack_message(result))
        self.completer.add(activity.partition, outcome)

    async def _hand_on(self, activity: Activity, item: ActivityItem) -> None:
        """An activity this app lacks goes to a queue of its own name, which only workers that have it read."""
        base = activity.queue.partition(SPLIT)[0]
        split = f"{base}{SPLIT}{item.name}"
        self.split.add(split)
        entry = (activity.queue, activity.entry_id, split)
        if split not in self._handed_on:
            self._handed_on.add(split)
            log.warning(
                "this worker has no activity %r (it has: %s); such ones wait for a worker that has it",
                item.name,
                ", ".join(self._app.activity_names()),
            )
        await persist(lambda: self._store.put_back(activity.partition, self._worker_id, [entry]))

    # -- watching over what runs

    async def notice_endings(self) -> None:
        """Tell running activities whose instance no longer needs them that they are cancelled."""
        watched = [one for one in self.running.values() if one.context is not None and not one.context.cancelled]
        ids = sorted({one.item.instance_id for one in watched})
        if not ids:
            return
        records = dict(zip(ids, await self._store.records(ids), strict=True))
        for one in watched:
            record = records[one.item.instance_id]
            over = record is None or record.completed_at is not None or record.execution_id != one.item.execution_id
            if over and one.context is not None:
                one.context.cancel()

    # -- stopping

    async def _claims_end(self) -> None:
        """Wait for a claim under way, which may bring more. It may be between two reads when it is interrupted: ask again."""
        deadline = environment.monotonic() + _CLAIM_ENDS_S
        while self._claiming is not None and not self._claiming.done() and environment.monotonic() < deadline:
            self._store.interrupt()
            await asyncio.wait([self._claiming], timeout=0.01)

    async def drain(self, grace_s: float) -> None:
        """Let what runs finish within `grace_s`, give the rest back, record every outcome."""
        await self._claims_end()
        tasks = [one.task for one in self.running.values() if one.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=grace_s)
        self._ended = True
        left = list(self.running.values())
        for one in left:
            if one.context is not None:
                one.context.cancel()
            if one.task is not None:
                one.task.cancel()
        try:
            async with asyncio.timeout(max(grace_s, 1.0)):
                await self.completer.drain()
        except TimeoutError:
            log.warning(
                "the store is away: outcomes of finished activities are not recorded; others will run them again"
            )
        for one in left:
            activity = one.activity
            entry = (activity.queue, activity.entry_id, activity.queue)
            try:
                await self._store.put_back(activity.partition, self._worker_id, [entry])
            except StoreUnavailable:
                return  # the owner of the partition puts it back once this worker is known to be gone
        self._runner.close()


def _poisoned(item: ActivityItem, dead: Sequence[str]) -> TaskResult:
    names = ", ".join(dead)
    text = f"activity {item.name!r}: its worker process died {len(dead)} times while running it ({names:.200})"
    failure = Failure("WorkerCrashed", text, non_retryable=True)
    return TaskResult(item.instance_id, item.execution_id, item.task, None, failure)
