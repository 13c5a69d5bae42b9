"""The entities of one partition as its owner runs them: messages in, operations one at a time, one change per commit out.

All operations that wait for an entity are run as one batch; what came of them is committed with everything else that the
partition decided meanwhile. Entities stay in memory while there is room. One whose code this worker lacks is stalled,
visibly: what is sent to it stays in the inbox until the partition belongs to a worker that has it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

import orjson

from durastream import wire
from durastream.core import timer_member
from durastream.core.entity_id import EntityId
from durastream.core.entity_run import Outcome
from durastream.core.events import Failure
from durastream.core.gate import Effects, Fired, Gate, Work
from durastream.core.messages import EntityMessage, EntityOperation, EntityResult, LockEntities, Message, UnlockEntities
from durastream.core.timer_member import SignalDue
from durastream.errors import Refused, WireError
from durastream.store.protocol import EntityChange, EntityRecord
from durastream.worker.backoff import persist
from durastream.worker.eviction import evict
from durastream.worker.live import Item, format_parent, parse_parent
from durastream.worker.live_entity import LiveEntity
from durastream.worker.sharing import entity_known_as

if TYPE_CHECKING:
    from durastream.worker.partition import Partition

log = logging.getLogger("durastream.worker.entities")

KINDS: frozenset[type] = frozenset((EntityOperation, LockEntities, UnlockEntities, SignalDue))
"""Messages and timers that are for entities."""

_BATCH_MAX = 256  # operations after which what came of them is recorded, so that a commit may be closed


class Entities:
    """Belongs to a partition, and works on its commits."""

    def __init__(self, partition: Partition, *, live_max: int) -> None:
        self.operations = 0
        self.stalled: dict[str, str] = {}  # entity → name that this worker lacks
        self._partition = partition
        self._live_max = live_max
        self._live: dict[str, LiveEntity] = {}
        self._waiting: dict[str, list[Item]] = {}  # for entities that are being loaded
        self._held: dict[str, list[Item]] = {}  # for stalled ones: stay in the inbox meanwhile
        self._missing: list[str] = []  # to be loaded
        self._touched: list[LiveEntity] = []
        self._known_stalled: set[str] = set()  # as the store has them
        self._stepping = False  # run the first of a queue, and nothing after it

    @property
    def held(self) -> int:
        """Messages that stay in the inbox until a worker has the code for them."""
        return sum(1 for items in self._held.values() for item in items if not item[1])

    async def take_over(self) -> None:
        """Learn what the last owner left behind."""
        partition = self._partition
        self._known_stalled = set(await persist(lambda: partition.store.stalled(partition.number)))

    def reset(self) -> None:
        """Forget everything that is not in the store. Operations under way have been cancelled."""
        for state in (self._live, self._waiting, self._held, self.stalled):
            state.clear()
        self._missing, self._touched = [], []

    # -- taking

    def take(self, item: Item) -> None:
        """What to do with it follows with `run`."""
        entity = item[2][0]
        live = self._live.get(entity)
        if live is not None:
            live.recent = True
            live.gate.arrive(_arrival(item[2]), item[:2])
            self._touch(live)
        elif entity in self._held:
            self._held[entity].append(item)
        elif entity in self._waiting:
            self._waiting[entity].append(item)
        else:
            self._waiting[entity] = [item]
            self._missing.append(entity)

    def run(self) -> None:
        """Run what can be run now, and load what has to be loaded."""
        touched, self._touched = self._touched, []
        for live in touched:
            live.touched = False
            if not live.busy:
                self._work(live)
                if live.vain:
                    del self._live[live.entity]
        if self._missing:
            missing, self._missing = self._missing, []
            self._partition.spawn(self._load(missing))

    def _touch(self, live: LiveEntity) -> None:
        if not live.touched:
            live.touched = True
            self._touched.append(live)

    # -- operations

    def _work(self, live: LiveEntity) -> None:
        """Run what may be run. In careful mode the queue is left to `step`."""
        partition, gate, done = self._partition, live.gate, 0
        now = partition.clock.now()
        failures: list[tuple[EntityOperation, Failure]] = []
        while (work := gate.next(now, queued=not partition.careful or self._stepping)) is not None:
            outcome = live.code.run(work.message, now)  # type: ignore[arg-type]
            if not isinstance(outcome, Outcome):
                live.busy = True
                partition.spawn(self._await(live, work, outcome))
                break
            self._conclude(live, work, outcome, failures)
            done += 1
            if self._stepping:
                break
            if done % _BATCH_MAX == 0:
                self._record(live, now)
        self._record(live, now)
        _report(live.entity, failures)

    async def _await(self, live: LiveEntity, work: Work, running: Awaitable[Outcome]) -> None:
        restarts = self._partition.restarts
        try:
            outcome = await running
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            outcome = live.code.failed(error)  # it cancelled itself
        if restarts != self._partition.restarts:
            return  # it would not be cancelled, and what it was run on is void
        live.busy = False
        failures: list[tuple[EntityOperation, Failure]] = []
        self._conclude(live, work, outcome, failures)
        _report(live.entity, failures)
        self._touch(live)
        self._partition.take(())

    def _conclude(
        self, live: LiveEntity, work: Work, outcome: Outcome, failures: list[tuple[EntityOperation, Failure]]
    ) -> None:
        operation: Any = work.message
        sends: list[Message] = outcome.messages
        if operation.caller is not None:
            sends = [*sends, _answer(operation, outcome)]
        elif outcome.failure is not None:
            failures.append((operation, outcome.failure))
        live.gate.finish(work, sends)
        self.operations += 1

    # -- recording

    def _record(self, live: LiveEntity, now: int) -> None:
        """Put what has passed into the open commit, whole."""
        partition, effects = self._partition, live.gate.take_effects()
        for source in effects.taken:
            partition.consume(source)
        for message in effects.sends:
            partition.recorder.send(message)
        for due, number in effects.timers:
            partition.committer.open.timers_add.append((due, timer_member.signal(number, due, live.entity)))
        if effects.stored or effects.removed or effects.lock_changed or live.code.state != live.state:
            self._change(live, effects, now)
        if partition.committer.full:
            partition.committer.seal()

    def _change(self, live: LiveEntity, effects: Effects, now: int) -> None:
        committer, state, holder = self._partition.committer, live.code.state, live.gate.holder
        now = max(now, live.updated_at)  # the server's clock may have been set back
        change = committer.entities.get(live.entity)
        if change is None:
            change = EntityChange(live.entity, live.revision, live.queued)
            committer.entities[live.entity] = change
            live.unsaved += 1
        if live.revision is None:
            change.fields["created_at"] = now
        live.updated_at = change.fields["updated_at"] = now
        if state != live.state:
            live.state = change.fields["state"] = state
        if effects.lock_changed:
            change.fields |= {"lock": format_parent(holder), "locked_at": None if holder is None else now}
        size = len(state or b"") + _queue(change, effects)
        live.queued += len(effects.stored) - len(effects.removed)
        change.gone = state is None and holder is None and not live.queued
        live.revision = None if change.gone else 0 if change.revision is None else change.revision + 1
        if change.gone and change.revision is None:  # it came and went: there is nothing to write
            del committer.entities[live.entity]
            live.unsaved -= 1
        committer.weigh(1 + len(effects.stored) + len(effects.removed), size)

    def saved(self, change: EntityChange) -> None:
        """A change is in the store."""
        live = self._live.get(change.entity)
        if live is not None:
            live.unsaved -= 1
            if live.vain:
                del self._live[change.entity]

    # -- loading and forgetting

    async def _load(self, ids: list[str]) -> None:
        partition = self._partition
        restarts = partition.restarts
        try:
            found = await persist(lambda: partition.store.load_entities(partition.lease, ids))
            if restarts != partition.restarts:
                return
            for entity, loaded in zip(ids, found, strict=True):
                self._loaded(entity, loaded)
        except (Refused, ValueError) as error:  # a record that somebody has spoilt
            if restarts == partition.restarts:
                partition.refused(error)
            return
        partition.take(())
        self.evict()

    def _loaded(self, entity: str, loaded: tuple[EntityRecord, list[tuple[int, bytes]]] | None) -> None:
        items = self._waiting.pop(entity, [])
        record, queue = loaded or (None, [])
        code = self._partition.executor.open_entity(EntityId.parse(entity), None if record is None else record.state)
        if code is None:
            self._stall(entity, items)
            return
        self._go_on(entity)
        lock = None if record is None else parse_parent(record.lock)
        readable, unreadable = _read_queue(queue)
        live = self._live[entity] = LiveEntity(entity, Gate(lock, readable), code)
        if record is not None:
            live.revision, live.queued, live.updated_at = record.revision, len(queue), record.updated_at
        for number, blob in unreadable:
            self._partition.recorder.dead_letter(f"malformed message {number} in the queue of {entity}", blob)
            live.gate.drop(number)
        for item in items:
            live.gate.arrive(_arrival(item[2]), item[:2])
        self._touch(live)

    def evict(self) -> None:
        """Keep within bounds."""
        evict(self._live, self._live_max, lambda _, live: live.pinned, lambda _: None)

    # -- code that is not there

    def _stall(self, entity: str, items: list[Item]) -> None:
        name = EntityId.parse(entity).name
        self._held[entity] = items
        self.stalled[entity] = entity_known_as(name)
        if entity in self._known_stalled:
            return
        self._known_stalled.add(entity)
        known = ", ".join(self._partition.executor.entity_names()) or "none"
        message = (
            f"the owner of partition {self._partition.number} has no entity {name!r} (it has: {known})."
            " Its operations wait until a worker that has it appears."
        )
        log.warning("stalled %s: %s", entity, message)
        self._set_stalled(entity, orjson.dumps({"kind": "unknown-entity", "name": name, "message": message}))

    def _go_on(self, entity: str) -> None:
        if entity in self._known_stalled:
            self._known_stalled.discard(entity)
            self._set_stalled(entity, None)

    def _set_stalled(self, entity: str, reason: bytes | None) -> None:
        self._partition.committer.open.stalled[entity] = reason
        self._partition.committer.weigh(1, len(reason or b""))

    # -- one by one, after trouble

    async def first_queued(self, entity: str) -> tuple[int, EntityMessage] | None:
        """What the entity's queue lets through next, if its lock is free: number and message. See `recovery`."""
        if entity not in self._live and entity not in self._held:
            self._waiting.setdefault(entity, [])
            await self._load([entity])
            self._waiting.pop(entity, None)  # it could not be read
        live = self._live.get(entity)
        return None if live is None else live.gate.first

    def step(self, entity: str) -> None:
        """Run the first of the queue, and nothing after it."""
        self._stepping = True
        try:
            self._work(self._live[entity])
        finally:
            self._stepping = False
        self._partition.committer.flush()

    def refuse(self, item: Item, failure: Failure, blob: bytes) -> None:
        """Something that must not be tried again: its caller hears of it; where nobody waits it becomes a dead letter."""
        self._tell_refused(item[2], failure, blob)
        self._partition.consume(item[:2])

    async def refuse_queued(self, entity: str, number: int, failure: Failure) -> None:
        """The same with entry `number` of an entity's queue. What is in memory of the entity must be void."""
        partition = self._partition
        (loaded,) = await persist(lambda: partition.store.load_entities(partition.lease, [entity]))
        record, queue = loaded or (None, [])
        message = dict(_read_queue(queue)[0]).get(number)
        if record is None or message is None:
            return
        change = EntityChange(entity, record.revision, len(queue), queue_remove=[number])
        change.gone = record.state is None and record.lock is None and len(queue) == 1
        change.fields["updated_at"] = max(partition.clock.now(), record.updated_at)
        partition.committer.entities[entity] = change
        partition.committer.weigh(2, 0)
        self._tell_refused(message, failure, wire.pack_message(message))

    def _tell_refused(self, message: object, failure: Failure, blob: bytes) -> None:
        if isinstance(message, EntityOperation) and message.caller is not None:
            self._partition.recorder.send(_answer(message, Outcome(None, failure, [])))
        else:
            self._partition.recorder.dead_letter(f"{failure.type}: {failure.message}", blob)


def _arrival(message: Any) -> EntityMessage | Fired:
    return Fired(message.number) if message.__class__ is SignalDue else message


def _answer(operation: EntityOperation, outcome: Outcome) -> EntityResult:
    caller = operation.caller
    assert caller is not None
    return EntityResult(caller.instance_id, caller.execution_id, caller.task, outcome.result, outcome.failure)


def _queue(change: EntityChange, effects: Effects) -> int:
    """Bring the queue's part of a change up to date; the bytes that came."""
    size = 0
    for number, message in effects.stored.items():
        blob = change.queue_add[number] = wire.pack_message(message)
        size += len(blob)
    for number in effects.removed:
        if change.queue_add.pop(number, None) is None:
            change.queue_remove.append(number)
    return size


def _read_queue(
    queue: list[tuple[int, bytes]],
) -> tuple[list[tuple[int, EntityMessage]], list[tuple[int, bytes]]]:
    readable: list[tuple[int, EntityMessage]] = []
    unreadable: list[tuple[int, bytes]] = []
    for number, blob in queue:
        try:
            message = wire.unpack_message(blob)
        except WireError:
            message = None
        if isinstance(message, (EntityOperation, LockEntities)):
            readable.append((number, message))
        else:
            unreadable.append((number, blob))
    return readable, unreadable


def _report(entity: str, failures: list[tuple[EntityOperation, Failure]]) -> None:
    """Nobody waits for a signal: a line in the log, one for a batch, is all that tells of its failure."""
    if failures:
        operation, failure = failures[-1]
        log.warning(
            "%s: %d signals failed, the last one %r: %s: %s",
            entity, len(failures), operation.operation, failure.type, failure.message,
            extra={"entity": entity, "operation": operation.operation},
        )  # fmt: skip
