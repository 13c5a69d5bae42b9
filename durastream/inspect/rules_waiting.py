"""Rules of diagnosis for what an instance waits for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Final, TypeAlias

from durastream.inspect.ages import ago, words
from durastream.inspect.facts import InstanceFacts
from durastream.inspect.finding import Finding
from durastream.inspect.hub import PartitionRow, QueueRow, reads
from durastream.inspect.waiting import Wait

Rule: TypeAlias = Callable[[InstanceFacts], Iterator[Finding]]

PENDING_LONG: Final = timedelta(seconds=10)
"""As long as a lease: within it, any work that anybody can do has begun."""

SLOW_ACTIVITY: Final = timedelta(minutes=5)
"""An activity without a time limit is worth a look after this."""

BUILT_IN: Final = "durastream."
"""Activities whose names begin so every worker has."""

_SLACK: Final = timedelta(seconds=2)
"""Between the time of a turn and that of the entries its commit wrote."""


def listed(names: Sequence[str], limit: int = 5) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more if names else "none"


def unserved_queue(facts: InstanceFacts) -> Iterator[Finding]:
    """No live worker reads the queue of an activity it waits for."""
    live = facts.hub.overview.live_workers
    for queue in sorted({wait.queue for wait in facts.waits if wait.kind == "activity"}):
        if live and not any(reads(worker, queue) for worker in live):
            names = sorted({wait.what for wait in facts.waits if wait.queue == queue})
            read = sorted({one for worker in live for one in worker.queues})
            yield Finding(
                "unserved-queue",
                "error",
                f"no live worker reads the queue {queue}, where {listed(names)} wait; they read: {listed(read)}",
                f"start one: durastream worker module:app --queues {queue}",
            )


def unknown_activity(facts: InstanceFacts) -> Iterator[Finding]:
    live = facts.hub.overview.live_workers
    waiting = {(wait.what, wait.queue) for wait in facts.waits if wait.kind == "activity"}
    for name, queue in sorted(waiting):
        readers = [worker for worker in live if reads(worker, queue)]
        if readers and not name.startswith(BUILT_IN) and not any(name in worker.activities for worker in readers):
            known = sorted({one for worker in readers for one in worker.activities})
            elsewhere = sorted({worker.id for worker in live if name in worker.activities})
            hint = f"; {listed(elsewhere)} has it but reads other queues" if elsewhere else ""
            yield Finding(
                "unknown-activity",
                "error",
                f"no live worker that reads the queue {queue} has the activity {name}{hint}; they have: {listed(known)}",
                "start a worker whose app has it and that reads this queue",
            )


def unknown_entity(facts: InstanceFacts) -> Iterator[Finding]:
    live = facts.hub.overview.live_workers
    for name in sorted({_name(entity) for wait in facts.waits for entity in wait.entities}):
        if live and not any(name in worker.entities for worker in live):
            known = sorted({one for worker in live for one in worker.entities})
            yield Finding(
                "unknown-entity",
                "error",
                f"no live worker has the entity {name}; they have: {listed(known)}",
                "start a worker whose app has it",
            )


def _name(entity: str) -> str:
    return entity.split("@", 2)[1] if entity.startswith("@") else entity


def queued_activity(facts: InstanceFacts) -> Iterator[Finding]:
    """It has not begun for longer than a lease: entries as old as it still wait in its queue."""
    now = facts.hub.overview.now
    for wait in _oldest_activities(facts, PENDING_LONG):
        late = [row for row in _queues(facts, wait) if row.waiting and row.oldest and row.oldest <= wait.since + _SLACK]
        if late and all(row.workers for row in late):
            waiting, slots = sum(row.waiting for row in late), f"{late[0].busy:,} of {late[0].slots:,} slots are taken"
            yield Finding(
                "queued-activity",
                "warning",
                f"activity {wait.what} was scheduled {ago(wait.since, now)} and has not begun: {waiting:,} wait in queue"
                f" {wait.queue}, {slots}",
                "start more workers for this queue, or raise --concurrency",
            )


def slow_activity(facts: InstanceFacts) -> Iterator[Finding]:
    """Pending for longer than it may take."""
    now = facts.hub.overview.now
    for wait in _oldest_activities(facts, SLOW_ACTIVITY):
        limit = f"; its time limit is {words(timedelta(milliseconds=wait.timeout_ms))}" if wait.timeout_ms else ""
        running = sum(row.running for row in _queues(facts, wait))
        yield Finding(
            "slow-activity",
            "warning",
            f"activity {wait.what} was scheduled {ago(wait.since, now)} and has no outcome yet{limit}; {running:,} run from"
            f" queue {wait.queue}",
            "if it hangs, give it a timeout; the list of workers shows what each of them runs",
        )


def lost_activity(facts: InstanceFacts) -> Iterator[Finding]:
    """It is awaited, but neither waits, nor runs, nor is its outcome on its way."""
    row, overview = home(facts), facts.hub.overview
    if row is None or row.backlog or overview.now - facts.status.updated_at < PENDING_LONG:
        return
    for wait in _oldest_activities(facts, PENDING_LONG):
        if overview.queues and not any(one.waiting or one.running for one in _queues(facts, wait)):
            yield Finding(
                "lost-activity",
                "error",
                f"activity {wait.what} is awaited, but nothing waits or runs in queue {wait.queue}: its entry was deleted, or"
                " lost with the server's memory",
                f"terminate and restart it: durastream terminate {facts.status.id}, durastream restart {facts.status.id}",
            )


def _oldest_activities(facts: InstanceFacts, patience: timedelta) -> list[Wait]:
    """For each queue the activity that was awaited longest, where that is longer than patience and time limit allow."""
    now, oldest = facts.hub.overview.now, dict[str, Wait]()
    for wait in facts.waits:
        allowed = patience if wait.timeout_ms is None else timedelta(milliseconds=wait.timeout_ms) + PENDING_LONG
        if wait.kind == "activity" and now - wait.since > allowed:
            oldest.setdefault(wait.queue, wait)
    return list(oldest.values())


def _queues(facts: InstanceFacts, wait: Wait) -> list[QueueRow]:
    """Where the entry of an activity may be: its queue, or the one of its own name beside it."""
    names = (wait.queue, f"{wait.queue}/{wait.what}")
    return [row for row in facts.hub.overview.queues if row.queue in names]


def home(facts: InstanceFacts) -> PartitionRow | None:
    """The partition where the instance lives."""
    return next((row for row in facts.hub.overview.partitions if row.number == facts.status.partition), None)


def held_lock(facts: InstanceFacts) -> Iterator[Finding]:
    """An entity has been in another's critical section for long."""
    now = facts.hub.overview.now
    for wait in facts.waits:
        if wait.holder is not None and now - wait.since > PENDING_LONG:
            yield Finding(
                "held-lock",
                "warning",
                f"entity {wait.entity} is held by {wait.holder}; waited for since {words(now - wait.since)}",
                f"see why that one does not go on: durastream show {wait.holder}; locks left behind:"
                " durastream entity clean",
            )


RULES: Final[tuple[Rule, ...]] = (
    unserved_queue,
    unknown_activity,
    unknown_entity,
    lost_activity,
    queued_activity,
    slow_activity,
    held_lock,
)
