"""Invariants of one entity: its record, its queue, its lock, and what refers to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from durastream.core import timer_member
from durastream.core.entity_id import EntityId
from durastream.core.events import Parent
from durastream.errors import InvalidId
from durastream.inspect.invariants.needs import Need
from durastream.inspect.invariants.snapshots import EntitySnapshot
from durastream.inspect.invariants.values import AHEAD_MS, is_json, natural, parent, quoted, shown, text
from durastream.inspect.invariants.violation import Check, Found, Repair, invariant


def holder_of(one: EntitySnapshot) -> Parent | None:
    return parent(one.fields.get("lock"))


def needs_of(one: EntitySnapshot) -> dict[Need, tuple[str, ...]]:
    """What must be under way for an entity, if anything."""
    found: dict[Need, tuple[str, ...]] = {}
    holder = holder_of(one)
    if holder is not None and one.holder_believes is False:
        found[Need("release", one.entity, shown(holder))] = ()
    if one.stalled is not None or ("lock" not in one.fields and one.waits):
        found[Need("wake", one.entity)] = ()
    return found


@invariant("S13")
def entity_can_be_read(one: EntitySnapshot) -> Iterator[Found]:
    """State, revision and times of an entity are what we write."""
    if not one.fields:
        return
    state = one.fields.get("state")
    if state is not None and not is_json(state):
        yield Found(f"its state is no JSON: {quoted(state)}")
    for name in ("revision", "created_at", "updated_at"):
        if natural(one.fields.get(name)) is None:
            yield Found(f"{name} is {quoted(one.fields.get(name, b''))}, which is no number of ours")


@invariant("H4")
def state_is_within_limits(one: EntitySnapshot) -> Iterator[Found]:
    """No state is larger than the hub allows."""
    if one.payload_bytes_max and one.state_size > one.payload_bytes_max:
        yield Found(f"its state has {one.state_size:,} bytes, the hub's limit is {one.payload_bytes_max:,}")


@invariant("S27")
def entity_times_go_forward(one: EntitySnapshot) -> Iterator[Found]:
    """An entity is not updated before it was created, nor ahead of the clock."""
    created, updated = natural(one.fields.get("created_at")), natural(one.fields.get("updated_at"))
    if created is not None and updated is not None and updated < created:
        yield Found(f"it was updated at {updated}, before it was created at {created}")
    if updated is not None and updated > one.now + AHEAD_MS:
        yield Found(f"it was updated at {updated}, more than a day ahead of the server's clock")


@invariant("S20")
def entity_lives_at_home(one: EntitySnapshot) -> Iterator[Found]:
    """An entity's keys are in the partition that its text belongs to, and the text names one."""
    if one.partition != one.home:
        yield Found(f"it is in partition {one.partition}, but belongs to {one.home}: nobody will find it there")
    try:
        EntityId.parse(one.entity)
    except InvalidId as error:
        yield Found(str(error))


@invariant("H3")
def nothing_leaves_no_key(one: EntitySnapshot) -> Iterator[Found]:
    """An entity without state, lock and queue has no record; one with a queue has."""
    if one.fields and not {"state", "lock"} & one.fields.keys() and not one.queue_length:
        yield Found("it has neither state, nor lock, nor queue, but a record")
    if not one.fields and one.queue_length:
        yield Found(f"{one.queue_length} messages wait for it, but its record is gone", key=one.queue_key)


@invariant("S13")
def queue_can_be_read(one: EntitySnapshot) -> Iterator[Found]:
    """Each entry of its queue is numbered as we do it, and holds an operation or lock request for this entity."""
    for entry in one.waiting:
        if entry.problem:
            yield Found(f"entry {quoted(entry.field)}: {entry.problem}", key=one.queue_key)


@invariant("S10")
def signals_for_later_have_timers(one: EntitySnapshot) -> Iterator[Found]:
    """Each signal for later that waits in the queue has its timer."""
    for entry in one.waiting:
        number = natural(entry.field)
        if entry.due is None or number is None or entry.timer == entry.due:
            continue
        member = timer_member.signal(number, entry.due, one.entity)
        at = "is not set" if entry.timer is None else f"is set for {entry.timer:.0f}"
        yield Found(
            f"entry {number} is a signal for {entry.due}, but its timer {at}",
            Repair("set_signal_timer", (one.partition, one.entity, number, entry.blob, member, entry.due),
                   f"set the timer of signal {number} of {one.entity}"),
            key=one.queue_key,
        )  # fmt: skip


@invariant("S24")
def index_has_entity(one: EntitySnapshot) -> Iterator[Found]:
    """The index of entities has it if, and only if, there is a record; all scores are 0, so that order is that of the texts."""
    right = 0.0 if one.fields else None
    if one.indexed != right:
        there = "has it not" if one.indexed is None else f"has it at {one.indexed:g}"
        yield Found(
            f"{'there is a record' if one.fields else 'there is no record'}, but the index of entities {there}",
            Repair("index_entity", (one.partition, one.entity, one.fields.get("revision")),
                   f"{'put' if one.fields else 'take'} {one.entity} {'into' if one.fields else 'out of'} the index of entities"),
        )  # fmt: skip


@invariant("S24")
def lock_is_told_alike(one: EntitySnapshot) -> Iterator[Found]:
    """The hash of locks says what the record says."""
    lock = one.fields.get("lock")
    if lock != one.locked:
        yield Found(
            f"the record says that the lock is held by {_whom(lock)}, the hash of locks by {_whom(one.locked)}",
            Repair("index_lock", (one.partition, one.entity, lock, one.locked),
                   f"let the hash of locks say of {one.entity} what its record says"),
        )  # fmt: skip
    if (lock is None) != ("locked_at" not in one.fields):
        yield Found("lock and locked_at do not stand together")


@invariant("S15")
def holder_is_alive(one: EntitySnapshot) -> Iterator[Found]:
    """Who holds a lock is an execution that goes on and knows of it, or the release is under way."""
    lock = one.fields.get("lock")
    if lock is None:
        return
    holder = holder_of(one)
    if holder is None:
        yield Found(f"its lock is held by {quoted(lock)}, which is no execution")
        return
    if one.holder_believes is not False or one.carried is None:
        return
    if Need("release", one.entity, shown(holder)) not in one.carried:
        yield Found(
            f"its lock is held by {holder.instance_id} (execution {holder.execution_id}, event {holder.task}), which has"
            " ended or knows nothing of it, and no release is under way",
            Repair("unlock", (one.partition, one.entity, lock),
                   f"send {one.entity} the release of the lock of {holder.instance_id}; what waits for it goes on"),
        )  # fmt: skip


@invariant("S10")
def queue_behind_open_gate_moves(one: EntitySnapshot) -> Iterator[Found]:
    """What waits behind no lock has a message in the inbox that makes the owner look."""
    if one.carried is None or "lock" in one.fields or not one.waits or not one.fields:
        return
    if Need("wake", one.entity) not in one.carried:
        yield Found(
            f"{one.waits} messages wait in its queue though it is not locked, and nothing makes its owner look",
            Repair("wake", (one.partition, one.entity, one.fields.get("revision")),
                   f"send {one.entity} a release that nobody asked for, so that its owner looks at the queue"),
            key=one.queue_key,
        )  # fmt: skip


@invariant("S24")
def stalled_ones_are_waited_for(one: EntitySnapshot) -> Iterator[Found]:
    """An entity is among the stalled only while messages for it wait in the inbox."""
    if one.stalled is None or one.carried is None or Need("wake", one.entity) in one.carried:
        return
    yield Found(
        "it is among the stalled, but nothing waits for it",
        Repair("unstall", (one.partition, one.entity, one.stalled), f"take {one.entity} out of the hash of stalled entities"),
    )  # fmt: skip


def _whom(lock: bytes | None) -> str:
    return "nobody" if lock is None else quoted((text(lock) or repr(lock)).replace("\n", " "))


ENTITY: Final[tuple[Check[EntitySnapshot], ...]] = (
    entity_can_be_read,
    state_is_within_limits,
    entity_times_go_forward,
    entity_lives_at_home,
    nothing_leaves_no_key,
    queue_can_be_read,
    signals_for_later_have_timers,
    index_has_entity,
    lock_is_told_alike,
    holder_is_alive,
    queue_behind_open_gate_moves,
    stalled_ones_are_waited_for,
)
