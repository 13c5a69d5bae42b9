"""Deliberate bugs, put into the engine for as long as a simulation runs. Each must be caught: one that gets away shows that the
workload is too tame, or an oracle too lenient.

Those of the store stand for the same mistake in a Lua script: the model is what scripts are held equal to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from durastream.client.ending import NOT_COVERED
from durastream.client.sender import MessageLane
from durastream.client.waits import Waits
from durastream.core.entity_run import EntityRun
from durastream.core.gate import Gate
from durastream.core.messages import EntityOperation, UnlockEntities
from durastream.errors import Fenced, Refused, StoreUnavailable
from durastream.store.memory import claims, committing
from durastream.store.memory import store as verbs
from durastream.store.memory.state import LeaseState, Mark, Partition
from durastream.store.protocol import Lease, Outcome
from durastream.worker import activities, handlers, lifeline
from durastream.worker import partition as owning
from durastream.worker.committer import Committer
from durastream.worker.completer import Completer
from durastream.worker.live_entity import LiveEntity
from durastream.worker.recorder import Recorder
from durastream.worker.relay import Relay


class Patch(NamedTuple):
    """What stands in the place of `name` in `where` (a class or module)."""

    where: Any
    name: str
    value: Any


@contextmanager
def mutated(name: str | None) -> Iterator[None]:
    """The engine has this bug inside. None: it has none."""
    patches = [] if name is None else (MUTANTS | RARE)[name]()
    before = [Patch(where, attribute, where.__dict__[attribute]) for where, attribute, _ in patches]
    try:
        for where, attribute, value in patches:
            setattr(where, attribute, value)
        yield
    finally:
        for where, attribute, value in before:
            setattr(where, attribute, value)


def _nothing(*args: Any, **options: Any) -> None:
    """In the place of something that matters."""


# ---------------------------------------------------------------- guards of the store


def _no_fence() -> list[Patch]:
    return [Patch(LeaseState, "check", _nothing)]


def _no_revision() -> list[Patch]:
    return [Patch(committing, "_check", _nothing), Patch(committing, "_check_entity", _nothing)]


def _no_sequence() -> list[Patch]:
    """A commit that is repeated after a lost reply is applied again."""

    def apply(partition: Partition, lease: Lease, sequence: int, commit: Any) -> dict[str, bytes]:
        partition.lease.check(lease)
        partition.lease.sequence = sequence - 1
        partition.lease.sent = 0
        return original(partition, lease, sequence, commit)

    original = committing.apply
    return [Patch(committing, "apply", apply), *_no_revision()]


def _epoch_kept() -> list[Patch]:
    """A new owner gets the epoch of the last one."""

    def acquire(self: LeaseState, worker_id: str, nonce: str, *, now: int, ttl_ms: int) -> int | None:
        before = self.epoch
        epoch = original(self, worker_id, nonce, now=now, ttl_ms=ttl_ms)
        if epoch is not None and before:
            self.epoch = epoch = before
        return epoch

    original = LeaseState.acquire
    return [Patch(LeaseState, "acquire", acquire)]


def _no_mark() -> list[Patch]:
    def deliver(self: Partition, source: str, incarnation: Any, batch: Any, *, now: int) -> None:
        for _, blob in batch:
            self.inbox.append((blob, 0))

    return [Patch(Partition, "deliver", deliver)]


def _mark_without_incarnation() -> list[Patch]:
    """Only sequences are compared: a source that counts from 1 again is taken for its own repeats."""

    def deliver(self: Partition, source: str, incarnation: Any, batch: Any, *, now: int) -> None:
        mark = self.marks.get(source, Mark(0, "", 0, now))
        for sequence, blob in batch:
            if sequence > mark.sequence:
                self.inbox.append((blob, 0))
                mark = self.marks[source] = Mark(incarnation[0], incarnation[1], sequence, now)

    return [Patch(Partition, "deliver", deliver)]


def _read_is_taken() -> list[Patch]:
    """Messages leave the inbox when they are read, not with the commit that records what they did."""

    def inboxes(self: Any, cursors: Any, count: int) -> Any:
        found = original(self, cursors, count)
        for number, entries in found:
            for entry in entries:
                self._state.partitions[number].inbox.remove(entry.entry_id)
        return found

    original = verbs.OwnerVerbs._inboxes
    return [Patch(verbs.OwnerVerbs, "_inboxes", inboxes)]


def _due_is_taken() -> list[Patch]:
    """Timers leave their set when somebody asks what is due."""

    async def due(self: Any, lease: Lease, limit: int) -> Any:
        members, following = await original(self, lease, limit)
        for member in members:
            self._state.partitions[lease.partition].timers.pop(member, None)
        return members, following

    original = verbs.OwnerVerbs.due
    return [Patch(verbs.OwnerVerbs, "due", due)]


def _timers_early() -> list[Patch]:
    async def due(self: Any, lease: Lease, limit: int) -> Any:
        clock, self._server.clock = self._server.clock, lambda: clock() + 400
        try:
            return await original(self, lease, limit)
        finally:
            self._server.clock = clock

    original = verbs.OwnerVerbs.due
    return [Patch(verbs.OwnerVerbs, "due", due)]


def _outcome_unclaimed() -> list[Patch]:
    """Whoever comes with an outcome is believed, also when the activity was completed before."""

    def complete(partition: Partition, outcomes: Sequence[Outcome]) -> int:
        for queue, entry_id, message in outcomes:
            claims._take(partition, queue, entry_id)
            partition.inbox.append((message, 0))
        return len(outcomes)

    return [Patch(claims, "complete", complete)]


def _routed_twice() -> list[Patch]:
    def routed(place: Partition, entry_id: str, item: Any, now: int) -> Any:
        place.routed.discard(entry_id)
        return original(place, entry_id, item, now)

    original = verbs._routed
    return [Patch(verbs, "_routed", routed)]


def _overtaken_routed() -> list[Patch]:
    """A call of the router counts, however late it comes."""

    async def route(self: Any, partition: int, lease: Lease, batch: Any, forget: Any, *, turn: int = 0) -> Any:
        place = self._state.partitions[partition]
        place.router_turn = min(place.router_turn, turn)
        return await original(self, partition, lease, batch, forget, turn=turn)

    original = verbs.MemoryStore.route
    return [Patch(verbs.MemoryStore, "route", route)]


def _history_kept() -> list[Patch]:
    """A purge forgets to take the instance out of its index."""

    def move(partition: Partition, lease: Lease, commit: Any) -> None:
        index = {status: dict(ids) for status, ids in partition.index.items()}
        original(partition, lease, commit)
        for instance_id, status in commit.purged:
            partition.index[status][instance_id] = index[status].get(instance_id, 0)

    original = committing._move
    return [Patch(committing, "_move", move)]


# ---------------------------------------------------------------- the owner of a partition


def _inbox_unread() -> list[Patch]:
    """A new owner does not read what the last one left in the inbox."""

    async def take_over(self: Any) -> None:
        await original(self)
        found = await self.store.read_inboxes({self.number: "0"}, 10_000, 0)
        if found:
            self.cursor = found[0][1][-1].entry_id

    original = owning.Partition.take_over
    return [Patch(owning.Partition, "take_over", take_over)]


def _outbox_forgotten() -> list[Patch]:
    """A new owner does not send what the last one had decided to send."""

    async def take_over(self: Relay) -> None:
        return None

    return [Patch(Relay, "take_over", take_over)]


def _outbox_forgotten_first() -> list[Patch]:
    """Entries leave the outbox before they are delivered."""

    async def deliver(self: Relay, batch: Any) -> Any:
        await self._forget([entry.number for entry in batch])
        return await original(self, batch)

    original = Relay._deliver
    return [Patch(Relay, "_deliver", deliver)]


def _relay_reopened() -> list[Patch]:
    """A relay that heard that it has no lease drops what it had, and goes on with what it still reads of its successor."""

    def end(self: Relay) -> None:
        self._queue.clear()

    return [Patch(Relay, "_end", end)]


def _removal_lost() -> list[Patch]:
    """What was delivered, and should have been removed by a commit that was refused, stays in the outbox."""

    def forget(self: Committer, numbers: Any) -> Any:
        self._unforgotten = []
        return original(self, numbers)

    original = Committer.forget
    return [Patch(Committer, "forget", forget)]


def _cache_kept() -> list[Patch]:
    """After a refused commit the owner goes on with what it has in memory."""

    def failed(self: Any, error: Any) -> None:
        if isinstance(error, Refused | Fenced) and not self.careful:
            self.committer.discard()
        else:
            original(self, error)

    original = owning.Partition._failed
    return [Patch(owning.Partition, "_failed", failed)]


def _commit_abandoned() -> list[Patch]:
    """A commit whose reply was lost is taken for applied."""

    async def send(self: Committer, commit: Any) -> None:
        try:
            await self._store.commit(self._lease, self._sequence + 1, commit)
        except StoreUnavailable as error:
            del error
        self._sequence += 1

    return [Patch(Committer, "_send", send)]


def _commit_repeated_as_new() -> list[Patch]:
    """A commit whose reply was lost is sent again under a new number."""

    async def send(self: Committer, commit: Any) -> None:
        while True:
            self._sequence += 1
            try:
                await self._store.commit(self._lease, self._sequence, commit)
            except StoreUnavailable:
                continue
            return

    return [Patch(Committer, "_send", send), *_no_revision()]


def _events_dropped() -> list[Patch]:
    """Continue-as-new forgets the events that were not consumed."""

    def continue_as_new(self: Recorder, live: Any, change: Any, turn: Any, now: int) -> None:
        turn.continued.carried = []
        original(self, live, change, turn, now)

    original = Recorder._continue_as_new
    return [Patch(Recorder, "_continue_as_new", continue_as_new)]


def _old_generation_heard() -> list[Patch]:
    """Outcomes are taken by whichever execution is there."""

    def task_result(partition: Any, live: Any, message: Any) -> Any:
        return original(partition, live, message._replace(execution_id=live.execution_id))

    original = handlers.task_result
    table = dict(handlers.HANDLERS)
    kind = next(kind for kind, handler in table.items() if handler is original)
    return [Patch(handlers, "HANDLERS", table | {kind: task_result})]


def _suspend_ignored() -> list[Patch]:
    table = dict(handlers.HANDLERS)
    kind = next(kind for kind, handler in table.items() if handler is handlers.suspend)
    return [Patch(handlers, "HANDLERS", table | {kind: lambda *args: None})]


def _locks_kept() -> list[Patch]:
    """Who is terminated inside of a critical section keeps its locks."""

    def turn(self: Recorder, live: Any, turn: Any, now: int) -> None:
        if turn.status == "Terminated":
            turn.messages = [one for one in turn.messages if not isinstance(one, UnlockEntities)]
        original(self, live, turn, now)

    original = Recorder.turn
    return [Patch(Recorder, "turn", turn)]


def _locks_open() -> list[Patch]:
    """An entity runs operations of everybody, whoever holds it."""

    def admit(self: Gate, message: Any, source: Any, now: int) -> Any:
        holder = self.holder
        if holder is None or not isinstance(message, EntityOperation) or message.due is not None:
            return original(self, message, source, now)
        self.holder = None
        try:
            return original(self, message, source, now)
        finally:
            self.holder = holder

    original = Gate._admit
    return [Patch(Gate, "_admit", admit)]


def _failed_kept() -> list[Patch]:
    """An operation that raises leaves in memory what it had done until then."""

    def forget(self: Any) -> None:
        return None

    return [Patch(kind, "forget", forget) for kind in EntityRun.__subclasses__() if "forget" in kind.__dict__]


def _entity_time_back() -> list[Patch]:
    """An entity is written with whatever the owner takes for the time."""
    return [Patch(LiveEntity, "updated_at", property(lambda self: 0, _nothing))]


# ---------------------------------------------------------------- activities


def _dead_unrescued() -> list[Patch]:
    async def rescue(store: Any, lease: Lease, ttl_ms: int) -> int:
        return 0

    return [Patch(lifeline, "rescue", rescue)]


def _living_rescued() -> list[Patch]:
    """Claims are taken from workers that live."""

    async def rescue(store: Any, lease: Lease, ttl_ms: int) -> int:
        claimants = await store.claimants(lease.partition)
        return len(await store.reclaim(lease, sorted(claimants), 100)) if claimants else 0

    return [Patch(lifeline, "rescue", rescue)]


def _silent_blamed() -> list[Patch]:
    """Who has lost its lease counts as dead, though it lives."""

    async def the_dead(store: Any, suspected: Any, ttl_ms: int, enough: int) -> list[str]:
        return sorted(suspected)

    return [Patch(lifeline, "the_dead", the_dead)]


def _claims_unasked() -> list[Patch]:
    """A worker does not look for what it has claimed without knowing."""

    async def claimed(self: Any) -> list[Any]:
        self._looks = []
        return []

    return [Patch(activities.Activities, "_claimed_before", claimed)]


def _claims_asked_once() -> list[Patch]:
    """It looks right after an error only: a request that arrives later claims something that nobody knows of."""
    return [Patch(activities, "_LOOKS_S", (0.0,))]


def _outcome_unrecorded() -> list[Patch]:
    """An outcome that could not be recorded at once is dropped."""

    async def record(self: Completer, partition: int, outcomes: Any) -> None:
        try:
            await self._store.complete(partition, self._worker_id, outcomes)
        except StoreUnavailable:
            return

    return [Patch(Completer, "_record", record)]


# ---------------------------------------------------------------- the client


def _message_renumbered() -> list[Patch]:
    """A message that is repeated gets a new number."""

    def prepare(self: MessageLane, values: list[bytes]) -> Any:
        async def attempt() -> Sequence[None]:
            numbered = list(enumerate(values, self._last + 1))
            self._last += len(values)
            await self._store.deliver(self._partition, self._source.name, (0, self._source.nonce), numbered)
            return [None] * len(numbered)

        return attempt

    return [Patch(MessageLane, "_prepare", prepare)]


def _met_is_covered() -> list[Patch]:
    """Who meets an instance that another client started waits for word that goes to the other one."""

    def nothing_stale(self: Waits, ending: Any) -> None:
        covered = ending.covered
        original(self, ending)
        ending.covered = covered if covered != NOT_COVERED else NOT_COVERED

    original = Waits.nothing_stale
    return [Patch(Waits, "nothing_stale", nothing_stale), Patch(Waits, "_look_around", _never)]


async def _never(self: Any) -> None:
    """No look around that would make up for it."""


MUTANTS: Final[dict[str, Callable[[], list[Patch]]]] = {
    "no-fence": _no_fence,
    "no-sequence": _no_sequence,
    "no-revision": _no_revision,
    "epoch-kept": _epoch_kept,
    "no-mark": _no_mark,
    "mark-without-incarnation": _mark_without_incarnation,
    "read-is-taken": _read_is_taken,
    "due-is-taken": _due_is_taken,
    "timers-early": _timers_early,
    "outcome-unclaimed": _outcome_unclaimed,
    "routed-twice": _routed_twice,
    "overtaken-routed": _overtaken_routed,
    "entity-time-back": _entity_time_back,
    "purged-in-index": _history_kept,
    "inbox-unread": _inbox_unread,
    "outbox-forgotten": _outbox_forgotten,
    "outbox-forgotten-first": _outbox_forgotten_first,
    "cache-kept": _cache_kept,
    "commit-abandoned": _commit_abandoned,
    "commit-repeated-as-new": _commit_repeated_as_new,
    "events-dropped": _events_dropped,
    "old-generation-heard": _old_generation_heard,
    "suspend-ignored": _suspend_ignored,
    "locks-kept": _locks_kept,
    "locks-open": _locks_open,
    "failed-kept": _failed_kept,
    "dead-unrescued": _dead_unrescued,
    "living-rescued": _living_rescued,
    "claims-unasked": _claims_unasked,
    "claims-asked-once": _claims_asked_once,
    "outcome-unrecorded": _outcome_unrecorded,
    "message-renumbered": _message_renumbered,
    "met-is-covered": _met_is_covered,
}

RARE: Final[dict[str, Callable[[], list[Patch]]]] = {
    "removal-lost": _removal_lost,
    "relay-reopened": _relay_reopened,
    "silent-blamed": _silent_blamed,
}
"""Those that take more seeds than a hunt has: stored cases show that they are found."""
