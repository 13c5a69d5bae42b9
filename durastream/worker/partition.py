"""One partition as its owner runs it: messages in, turns, one open commit out.

Instances stay in memory while there is room (least recently used go first) and are replayed from their history only after a
takeover, an eviction or a refused commit. Whatever is in memory is either in the store or on its way there in the order of the
committer; when a commit is refused everything in memory is thrown away and read again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Sequence, Set
from dataclasses import dataclass
from typing import Any, cast

import orjson

from durastream import wire
from durastream.core.events import Event, ExecutionStarted
from durastream.core.ids import generation_of
from durastream.core.messages import Start
from durastream.core.status import PENDING, SUSPENDED
from durastream.errors import Fenced, NonDeterminismError, Refused, WireError
from durastream.store.protocol import Commit, InboxEntry, Lease, Outbound, Record, WorkerStore
from durastream.worker import administration, entities, handlers, intake, recovery
from durastream.worker.backoff import persist
from durastream.worker.clock import ServerClock
from durastream.worker.committer import Committer
from durastream.worker.eviction import evict
from durastream.worker.executor import Executor
from durastream.worker.live import Item, Live
from durastream.worker.recorder import Recorder
from durastream.worker.sharing import known_as
from durastream.worker.verdicts import HOLD, LATER, TURN

log = logging.getLogger("durastream.worker.partition")

_STAYS = frozenset(("refused", "worker-crashed"))
"""Kinds of problems for which an instance stays parked until it is resumed: to try again by oneself would do harm."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a partition needs of its worker."""

    store: WorkerStore
    executor: Executor
    clock: ServerClock
    lease_ms: int
    live_max: int  # instances kept in memory by one partition
    committed: Callable[[int, list[Outbound]], None]  # outbox entries that are now durable
    timers_changed: Callable[[], None]
    lost: Callable[[Lease, Fenced], None]
    one_at_a_time: asyncio.Lock  # held while a message is tried that may end this process


class Partition:
    """The owner's side of one partition. All methods run on the worker's event loop."""

    def __init__(self, lease: Lease, around: Surroundings) -> None:
        self.lease = lease
        self.number = lease.partition
        self.cursor = "0"  # last inbox entry read
        self.next_due: int | None = 0  # when to look for due timers; 0 = now
        self.parked: dict[str, str] = {}  # instance id → orchestrator it waits for, or "" for another reason
        self.dropped = 0  # late and duplicate inputs turned away
        self.turns = 0
        self._around = around
        hub = around.store.hub
        self.committer = Committer(around.store, lease, done=self._done, failed=self._failed)
        self.recorder = Recorder(
            self.committer,
            around.executor,
            partition=self.number,
            partitions=hub.partitions,
            retention_ms=hub.retention_ms,
        )
        self.entities = entities.Entities(self, live_max=around.live_max)
        self._live: dict[str, Live] = {}
        self._waiting: dict[str, list[Item]] = {}  # for instances being loaded
        self._held: dict[str, list[Item]] = {}  # for parked and not yet started ones: stay in the stream meanwhile
        self._firing: set[str] = set()  # timer members taken, not yet committed
        self._touched: list[Live] = []
        self._known_parked: set[str] = set()  # as the store had them at takeover
        self._jobs: set[asyncio.Task[None]] = set()
        self.restarts = 0  # counts resets: late replies to an earlier state are ignored
        self.refusal: Refused | None = None  # of the message that is tried in careful mode
        self._resumed: set[str] = set()  # instances that somebody wants to go on in spite of what they were parked for
        self.careful = False  # one message per commit, so that a bad one can be told (see `recovery`)

    @property
    def store(self) -> WorkerStore:
        return self._around.store

    @property
    def lease_ms(self) -> int:
        return self._around.lease_ms

    @property
    def one_at_a_time(self) -> asyncio.Lock:
        return self._around.one_at_a_time

    @property
    def executor(self) -> Executor:
        return self._around.executor

    @property
    def clock(self) -> ServerClock:
        return self._around.clock

    @property
    def held(self) -> int:
        """Messages that stay in the inbox until their instance can take them."""
        return self.entities.held + sum(1 for items in self._held.values() for item in items if not item[1])

    @property
    def firing(self) -> int:
        """Timers that are due and still in the set: on their way out of it, or of instances that cannot take them."""
        return len(self._firing)

    # -- reading

    @property
    def ready(self) -> bool:
        """Whether it wants to be given more."""
        return not self.careful and not self.committer.crowded and len(self._waiting) < self._around.live_max

    def feed(self, entries: Sequence[InboxEntry]) -> None:
        """Take what was read from the inbox."""
        self.cursor = entries[-1].entry_id
        items: list[Item] = []
        for entry in entries:
            item = intake.message(self, entry)
            if item is not None:
                items.append(item)
        self.take(items)

    def fire(self, members: Sequence[str]) -> None:
        """Take due timers."""
        if self.careful:
            return  # asked for before; they are looked for again after the recovery
        items: list[Item] = []
        for member in members:
            if member not in self._firing:
                self._firing.add(member)
                item = intake.timer(self, member)
                if item is not None:
                    items.append(item)
        self.take(items)

    def take(self, items: Iterable[Item]) -> None:
        """Apply what can be applied now, run the turns and operations, and send the commit."""
        missing: list[str] = []
        try:
            for item in items:
                if item[2].__class__ in entities.KINDS:
                    self.entities.take(item)
                    continue
                instance_id = item[2][0]
                if instance_id in self._waiting:
                    self._waiting[instance_id].append(item)
                    continue
                live = self._live.get(instance_id)
                if live is not None:
                    self._apply(live, item)
                    if self.committer.full:
                        self._run_turns()
                else:
                    self._waiting[instance_id] = [item]
                    missing.append(instance_id)
            self._run_turns()
            self.entities.run()
        except Exception as error:
            # A message that the engine cannot handle must not stop the worker, nor come back for ever.
            log.error("partition %d: a message could not be handled", self.number, exc_info=error)
            self._failed(Refused(f"{type(error).__name__}: {error}"))
            return
        if missing:
            self.spawn(self._load(missing))
        self.committer.flush()

    # -- applying

    def _apply(self, live: Live, item: Item) -> None:
        live.recent = True
        kind = type(item[2])
        held = self._held.get(live.instance_id)
        if held is not None and kind not in handlers.ALWAYS:
            held.append(item)
            return
        verdict = handlers.HANDLERS[kind](self, live, item[2])
        if verdict is None:
            self.consume(item)
        elif verdict is HOLD:
            self.hold(item)
        elif verdict is LATER:
            self._waiting.setdefault(live.instance_id, []).append(item)
        else:
            if verdict is not TURN:
                live.inputs.append(cast(Event, verdict))
            live.items.append(item)
            if not live.touched:
                live.touched = True
                self._touched.append(live)

    def consume(self, item: Item | tuple[str, bool]) -> None:
        """The message has done what it can: it leaves the store with the commit that records what it did."""
        commit = self.committer.open
        (commit.timers_remove if item[1] else commit.consumed).append(item[0])
        self.committer.weigh(1, 0)

    def _run_turns(self) -> None:
        touched, self._touched = self._touched, []
        for live in touched:
            self.run_turn(live)
            if self.committer.full:
                self.committer.seal()

    def run_turn(self, live: Live) -> None:
        """Make one turn of the inputs gathered for an instance."""
        live.touched = False
        inputs, items, execution = live.inputs, live.items, live.execution
        live.inputs, live.items = [], []
        if execution is not None:
            now = self.now(live)
            try:
                turn = execution.turn(now, inputs)
            except Exception as error:  # whatever it is, the instance stops here, visibly, and no other one with it
                self._held[live.instance_id] = items
                self.park(live, *_diagnosis(error))
                return
            self.turns += 1
            self.dropped += turn.dropped
            changed = turn.events or turn.custom_status_changed or turn.status != live.status
            if changed or live.problem or turn.continued is not None:
                self.recorder.turn(live, turn, now)
        for item in items:
            self.consume(item)

    def now(self, live: Live) -> int:
        """Time of a turn: the server's, but never before what the instance has seen."""
        now = self._around.clock.now()
        return now if now > live.updated_at else live.updated_at

    def expect_timer(self, due: int) -> None:
        if self.next_due is None or due < self.next_due:
            self.next_due = due
            self._around.timers_changed()

    # -- opening and parking

    def open(self, live: Live) -> ExecutionStarted | None:
        """Give an instance its execution; the event that starts it, or None when the orchestrator is unknown here."""
        live.execution = self._around.executor.open(live.name, live.version, live.instance_id, live.execution_id)
        if live.execution is None:
            self.park(live, "unknown-orchestrator", self._unknown(live))
            return None
        if live.version is None:
            self._settle_version(live)
        held = self.let_go(live)
        if held:
            self._take_later(held)
        generation = generation_of(live.execution_id)
        return ExecutionStarted(self.now(live), live.name, live.version, live.input, live.parent, generation)

    def create(self, live: Live, message: Start) -> Live:
        """Begin the record of an instance that no start script made."""
        live.created_at = live.updated_at = self.now(live)
        live.adopt(message)
        live.status = PENDING
        administration.write_record(self, live)
        self.recorder.change(live).fields["tags"] = message.tags
        return live

    def _settle_version(self, live: Live) -> None:
        """An instance keeps the version it begins with, also when it was started without saying which."""
        live.version = self._around.executor.version(live.name)
        if live.version is not None:
            self.recorder.change(live).fields["version"] = live.version

    def lacking(self) -> set[str]:
        """What waits here for code that this worker does not have (see `sharing`)."""
        return {name for name in self.parked.values() if name} | set(self.entities.stalled.values())

    def runs(self, among: Set[str]) -> list[str]:
        """Of which of these orchestrators (see `sharing.known_as`) there are executions in memory."""
        found = {known_as(live.name, live.version) for live in self._live.values() if live.execution is not None}
        return sorted(found & among)

    def _unknown(self, live: Live) -> str:
        version = f" version {live.version}" if live.version else ""
        known = ", ".join(self._around.executor.names()) or "none"
        return (
            f"the owner of partition {self.number} has no orchestrator {live.name!r}{version} (it has: {known})."
            " It goes on as soon as a worker that has it appears."
        )

    def park(self, live: Live, kind: str, message: str) -> None:
        """Set an instance aside, visibly. What is sent to it stays in the inbox until it can go on."""
        if live.execution is not None:
            live.execution.close()
            live.execution = None
        self.parked[live.instance_id] = known_as(live.name, live.version) if kind == "unknown-orchestrator" else ""
        self._held.setdefault(live.instance_id, [])
        reason = orjson.dumps({"kind": kind, "name": live.name, "version": live.version, "message": message})
        log.warning("parked %s: %s", live.instance_id, message, extra={"instance_id": live.instance_id, "kind": kind})
        self._known_parked.add(live.instance_id)
        if not live.exists or (live.problem and kind not in _STAYS):
            return
        change = self.recorder.change(live)
        if kind != "unknown-orchestrator":
            self.recorder.set_status(live, change, SUSPENDED, self.now(live))
        live.problem = True
        change.fields["problem"] = reason
        self.committer.open.parked[live.instance_id] = reason
        self.committer.weigh(2, len(reason))

    def stays(self, live: Live) -> bool:
        """Whether it is parked for something that trying again does not mend."""
        return live.problem and self.parked.get(live.instance_id) == ""

    def unpark(self, live: Live) -> None:
        """Try again: load the instance afresh, then give it what was held back."""
        self._waiting[live.instance_id] = self.let_go(live)
        self._resumed.add(live.instance_id)
        self.look_again(live.instance_id)

    def look_again(self, instance_id: str) -> None:
        """Load an instance afresh once everything decided so far is in the store. What comes for it waits."""
        self.spawn(self._reload(instance_id))

    async def _reload(self, instance_id: str) -> None:
        await self.committer.drain()
        self._live.pop(instance_id, None)
        await self._load([instance_id])

    def let_go(self, live: Live) -> list[Item]:
        """No longer parked or held; what was held back for it."""
        self.parked.pop(live.instance_id, None)
        return self._held.pop(live.instance_id, [])

    def _take_later(self, items: list[Item]) -> None:
        """Apply after what is being applied now."""
        restarts = self.restarts
        asyncio.get_running_loop().call_soon(lambda: self.take(items) if restarts == self.restarts else None)

    def hold(self, item: Item) -> None:
        """Leave a message in the inbox until its instance is let go."""
        self._held.setdefault(item[2][0], []).append(item)

    def adopt(self, message: Start, created_at: int) -> None:
        """A start script has just made this instance: the record says what the message says, so there is nothing to load."""
        instance_id = message.instance_id
        known = instance_id in self._live or instance_id in self._waiting or instance_id in self._known_parked
        if not known and not self.careful:
            self._live[instance_id] = Live.created(message, created_at)

    def keep(self, live: Live) -> None:
        """Hold an instance in memory (again)."""
        self._live[live.instance_id] = live

    def next_waiting(self, instance_id: str) -> list[Item]:
        """What waits for something begun with LATER to finish, that message first."""
        return self._waiting.pop(instance_id)

    # -- loading and forgetting

    async def _load(self, ids: list[str]) -> None:
        restarts = self.restarts
        try:
            found = await persist(lambda: self._around.store.load(self.lease, ids))
            for instance_id, loaded in zip(ids, found, strict=True):
                if restarts != self.restarts:
                    return
                self._loaded(instance_id, loaded)
        except (Refused, ValueError) as error:  # a record that somebody has spoilt
            if restarts == self.restarts:
                self.refused(error)
            return
        self._evict()

    def _loaded(self, instance_id: str, loaded: tuple[Record, list[bytes]] | None) -> None:
        live = self._revive(instance_id, loaded)
        items = self._waiting.pop(instance_id, [])
        self._live[instance_id] = live
        self.take(items)
        if not live.unsaved and (live.ended or not live.exists):
            self._live.pop(instance_id, None)

    def _revive(self, instance_id: str, loaded: tuple[Record, list[bytes]] | None) -> Live:
        """An instance as the store has it, its code brought to where its history ends."""
        if loaded is None:
            return Live(instance_id)
        record, history = loaded
        live = Live.loaded(record)
        if live.ended:
            return live
        if record.problem is not None and instance_id not in self._resumed and _stays(record.problem):
            self.parked[instance_id] = ""
            self._held.setdefault(instance_id, [])
            return live
        self._resumed.discard(instance_id)
        if not record.events:
            return live
        live.execution = self._around.executor.open(live.name, live.version, instance_id, live.execution_id)
        if live.execution is None:
            self.park(live, "unknown-orchestrator", self._unknown(live))
            return live
        try:
            if len(history) != record.events:
                raise WireError(f"the history has {len(history)} events, its record says {record.events}")
            live.execution.replay([wire.unpack_event(blob) for blob in history])
        except Exception as error:
            self.park(live, *_diagnosis(error))
            return live
        if live.problem:  # it was parked, and goes on with today's code
            live.touched = True
            self._touched.append(live)
        return live

    def _evict(self) -> None:
        evict(self._live, self._around.live_max, self._pinned, _close)

    def _pinned(self, instance_id: str, live: Live) -> bool:
        return live.unsaved > 0 or live.touched or instance_id in self._waiting

    # -- what became of commits

    def _done(self, commit: Commit, wanted: bool) -> None:
        if wanted:  # else what is in memory was read after a reset, and knows nothing of it
            for change in commit.changes:
                self._saved(change.instance_id)
            for instance_id, _ in commit.purged:
                self._saved(instance_id)
            for entity in commit.entities:
                self.entities.saved(entity)
            if self._firing:
                self._firing.difference_update(commit.timers_remove)
        if commit.timers_add:  # looked for any earlier, one that is due already would not have been in the set
            self.expect_timer(min(commit.timers_add)[0])
        if commit.outbox:
            first, epoch = commit.outbox_first, self.lease.epoch
            self._around.committed(
                self.number,
                [Outbound((epoch, first + k), target, blob) for k, (target, blob) in enumerate(commit.outbox)],
            )
        if len(self._live) > self._around.live_max:
            self._evict()
        self.entities.evict()

    def _saved(self, instance_id: str) -> None:
        live = self._live.get(instance_id)
        if live is None:
            return
        live.unsaved -= 1
        if not live.unsaved and (live.ended or not live.exists):
            del self._live[instance_id]

    def refused(self, error: Exception) -> None:
        """What is in the store cannot be read."""
        self._failed(Refused(str(error)))

    def _failed(self, error: Fenced | Refused) -> None:
        if isinstance(error, Fenced):
            self.committer.discard()
            self._around.lost(self.lease, error)
        elif self.careful:
            self.committer.discard()
            self.refusal = error
        else:
            log.warning("partition %d: a commit was refused, reading it afresh: %s", self.number, error)
            self._go_through(until=self.cursor, deadly=False)

    # -- taking over and recovering

    async def take_over(self) -> None:
        """Learn what the last owner left behind. Comes before the first read."""
        parked = await persist(lambda: self._around.store.parked(self.number))
        self._known_parked = set(parked)
        await self.entities.take_over()
        deaths = await persist(lambda: self._around.store.deaths(self.lease))
        self.careful = deaths >= recovery.DEATHS_MAX

    def begin(self) -> None:
        """Start to work, now that everybody knows of this partition."""
        if self.careful:
            log.warning(
                "partition %d: its last owners died soon after they took it; trying its messages one by one",
                self.number,
            )
            self._go_through(until=None, deadly=True)

    async def mend(self) -> None:
        """Have the store mend what somebody spoilt by hand, if there is anything."""
        inbox, foreign = await persist(lambda: self._around.store.mend(self.lease))
        if foreign:
            log.error(
                "partition %d: %d foreign entries were in its outbox; see the dead letters", self.number, len(foreign)
            )
            letters = [(f"foreign entry in outbox of partition {self.number}", blob) for blob in foreign]
            await persist(lambda: self._around.store.dead_letter(letters))
        if inbox and not self.careful:
            self._failed(Refused("the ids of its inbox had been spoilt, and are mended"))

    def _go_through(self, *, until: str | None, deadly: bool) -> None:
        self.careful = True
        self.reset()
        self.spawn(recovery.Recovery(self, until=until, deadly=deadly).run())

    def reset(self) -> None:
        """Forget everything that is not in the store."""
        self.restarts += 1
        self.committer.discard()
        for job in list(self._jobs):
            if job is not asyncio.current_task():
                job.cancel()
                self._jobs.discard(job)  # what it does from now on concerns nobody
        for live in self._live.values():
            _close(live)
        self.entities.reset()
        for state in (self._live, self._waiting, self._held, self.parked, self._firing, self._touched):
            state.clear()
        self.cursor = "0"

    def spawn(self, job: Coroutine[Any, Any, None]) -> None:
        """Run something beside the inbox; its end is awaited by `settle`."""
        task = asyncio.get_running_loop().create_task(job)
        self._jobs.add(task)
        task.add_done_callback(self._job_done)

    def _job_done(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        wanted = task in self._jobs
        self._jobs.discard(task)
        if error is None or not wanted:
            return
        if isinstance(error, Fenced):  # it slept while another took over: nothing is wrong here
            self._failed(error)
            return
        log.error("partition %d: %s", self.number, error, exc_info=error)
        self._around.lost(self.lease, Fenced(f"gave up partition {self.number}: {error}"))

    async def settle(self) -> None:
        """Return once all that was taken has been applied and committed."""
        me = asyncio.current_task()
        while True:
            jobs = [job for job in self._jobs if job is not me]
            if jobs:
                await asyncio.wait(jobs)
            elif self.committer.idle:
                return
            else:
                await self.committer.drain()

    def close(self) -> None:
        """Forget everything; the partition belongs to someone else now."""
        self.reset()
        self.committer.close()


def _close(live: Live) -> None:
    if live.execution is not None:
        live.execution.close()


def _diagnosis(error: Exception) -> tuple[str, str]:
    """Kind and text of the reason for which an instance is parked."""
    if isinstance(error, NonDeterminismError):
        return "nondeterminism", str(error)
    if isinstance(error, WireError):
        return "corrupt-history", str(error)
    log.error("a turn failed inside the engine", exc_info=error)
    return "turn-failed", f"{type(error).__name__}: {error}"


def _stays(problem: bytes) -> bool:
    try:
        return orjson.loads(problem)["kind"] in _STAYS
    except (ValueError, TypeError, KeyError):  # not written by us
        return False
