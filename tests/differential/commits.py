"""Random commits: what one batch of turns might decide, right on most points, wrong on one now and then."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Final, NamedTuple, TypeAlias

from durastream.core.status import ALL, Status
from durastream.store.memory.state import Entity, Partition
from durastream.store.protocol import Commit, EntityChange, InstanceChange
from tests.differential.calls import Call, Ref, inbox_of
from tests.differential.sides import PARTITIONS
from tests.differential.world import ENTITIES, INSTANCES, QUEUES, World, blob, channel, some

WRONG: Final = 0.04
"""Chance that a change names a revision or a length that is not so."""

Value: TypeAlias = bytes | str | int | None


class Making(NamedTuple):
    """A commit under way."""

    rng: Random
    world: World
    place: Partition
    commit: Commit


def commit(rng: Random, world: World) -> Call:
    making = Making(rng, world, world.owned(rng), Commit())
    held = making.place.lease
    making.commit.outbox_first = max(held.sent + rng.choices((1, 0, 3), (20, 1, 1))[0], 1)
    for chance, part in _PARTS:
        if rng.random() < chance:
            part(making)
    sequence = max(held.sequence + rng.choices((1, 0, -1, 2), (20, 1, 1, 1))[0], 0)
    return Call("commit", (world.lease(rng, making.place.number), sequence, making.commit))


# ---------------------------------------------------------------- instances


def _changes(making: Making) -> None:
    ids = some(making.rng, INSTANCES[making.place.number], 3)
    making.commit.changes += [_change(making, one) for one in ids]


def _change(making: Making, instance_id: str) -> InstanceChange:
    rng, held = making.rng, making.place.instances.get(instance_id)
    record = making.place.record(instance_id)
    after: Status = rng.choice(ALL)
    length = 0 if held is None else len(held.history)
    before, created_at = (None, making.world.now) if record is None else (record.status, record.created_at)
    change = InstanceChange(
        instance_id,
        _maybe_wrong(rng, None if held is None else held.revision),
        {"status": after, "updated_at": making.world.now, **_fields(rng, _OF_INSTANCE)},
        (before, after, created_at),
        length if rng.random() > WRONG else length + rng.choice((-1, 1)),
        [blob(rng, "event") for _ in range(rng.choice((0, 1, 1, 2)))],
    )
    if held is None:
        change.fields |= {"execution_id": f"t{rng.randrange(3)}.0", "name": "order", "created_at": created_at}
    elif rng.random() < 0.2:
        change.first_event, change.replace_history = 0, True
        change.fields["execution_id"] = f"t{rng.randrange(3)}.{rng.randrange(1, 9)}"
    elif held.history and rng.random() < 0.15:
        change.overwrite = {rng.randrange(length): blob(rng, "rewound")}
    change.first_event = max(change.first_event, 0)
    return change


def _maybe_wrong(rng: Random, revision: int | None) -> int | None:
    if rng.random() > WRONG:
        return revision
    return rng.choice([one for one in (None, 0, (revision or 0) + 1, (revision or 0) - 1) if one != revision])


_OF_INSTANCE: Final[tuple[tuple[str, tuple[Value, ...]], ...]] = (
    ("output", (None, b'"done"')),
    ("failure", (None, b'{"message":"no"}')),
    ("custom_status", (None, b'"half"', b"null")),
    ("problem", (None, b'{"kind":"nondeterminism"}')),
    ("completed_at", (None, 17)),
    ("parent", (None, "p\nt.0\n3")),
    ("version", ("2", None)),
)


def _fields(rng: Random, known: tuple[tuple[str, tuple[Value, ...]], ...]) -> dict[str, Value]:
    return {name: rng.choice(values) for name, values in known if rng.random() < 0.3}


def _purged(making: Making) -> None:
    """Mostly such as are not changed by the same commit, under the status that they have."""
    changed = {change.instance_id: change.status[1] for change in making.commit.changes}
    for one in some(making.rng, INSTANCES[making.place.number], 2):
        record = making.place.record(one)
        held = making.rng.choice(ALL) if record is None else record.status
        making.commit.purged.append((one, changed.get(one, held)))


# ---------------------------------------------------------------- entities

_OF_ENTITY: Final[tuple[tuple[str, tuple[Value, ...]], ...]] = (
    ("state", (b"1", b'{"a":[]}', None)),
    ("updated_at", (18, 19)),
    ("lock", (None, "i1\nt.0\n4", "i2\nt.0\n4")),
    ("locked_at", (None, 20)),
)


def _entity_changes(making: Making) -> None:
    ids = some(making.rng, ENTITIES[making.place.number], 2)
    making.commit.entities += [_entity_change(making, one) for one in ids]


def _entity_change(making: Making, entity: str) -> EntityChange:
    rng, held = making.rng, making.place.entities.get(entity)
    queue = (held or Entity()).queue
    change = EntityChange(
        entity,
        _maybe_wrong(rng, None if held is None else held.revision),
        max(len(queue) + (0 if rng.random() > WRONG else rng.choice((-1, 1))), 0),
        _fields(rng, _OF_ENTITY),
        gone=rng.random() < 0.1,
    )
    if held is None:
        change.fields["created_at"] = making.world.now
    if rng.random() < 0.4:
        first = max(queue, default=0) + rng.choice((1, 1, 1, 0))
        change.queue_add = {number: blob(rng, "waits") for number in range(first, first + rng.randint(1, 3))}
    if rng.random() < 0.3:
        change.queue_remove = [*some(rng, sorted(queue), 3), *some(rng, [77], 1)]
    return change


# ---------------------------------------------------------------- the partition's own


def _consumed(making: Making) -> None:
    stream, present = inbox_of(making.place.number), list(making.place.inbox.entries)
    refs: list[Ref] = [making.world.entry(making.rng, stream, present) for _ in range(making.rng.randint(1, 3))]
    making.commit.consumed += refs  # type: ignore[arg-type]


def _timers(making: Making) -> None:
    rng = making.rng
    members = [f"{kind}\n{task}\nt.0\n{one}" for one in INSTANCES[making.place.number][:3] for kind, task in _KINDS]
    making.commit.timers_add += [(making.world.moment(rng), one) for one in some(rng, members, 3)]
    making.commit.timers_remove += some(rng, [*making.place.timers, *members[:2]], 2)


_KINDS: Final = (("T", 1), ("T", 2), ("S", 0), ("X", 0), ("D", 3))


def _work(making: Making) -> None:
    rng = making.rng
    making.commit.activities += [(rng.choice(QUEUES), blob(rng, "do")) for _ in range(rng.randint(1, 3))]


def _inbox(making: Making) -> None:
    making.commit.inbox += [blob(making.rng, "to self") for _ in range(making.rng.randint(1, 2))]


def _outbox(making: Making) -> None:
    rng = making.rng
    targets: tuple[int | str, ...] = (*range(PARTITIONS), "dead", "reply")
    making.commit.outbox += [(rng.choice(targets), blob(rng, "out")) for _ in range(rng.randint(1, 3))]


def _forgotten(making: Making) -> None:
    making.commit.forgotten += some(making.rng, [*making.place.outbox, (1, 1)], 3)


def _notices(making: Making) -> None:
    """Often about an instance that is watched, on a channel that watches it."""
    for _ in range(making.rng.randint(1, 3)):
        one = making.rng.choice([*making.place.watch, *INSTANCES[making.place.number][:2]])
        channels = [None, channel(making.rng), *making.place.watch.get(one, [])]
        making.commit.notices.append((one, making.rng.choice(channels), blob(making.rng, "notice")))


def _reasons(making: Making) -> None:
    rng = making.rng
    for held, ids in ((making.commit.parked, INSTANCES), (making.commit.stalled, ENTITIES)):
        for one in some(rng, ids[making.place.number], 2):
            held[one] = rng.choice((None, b'{"kind":"unknown"}', blob(rng, "why")))


Part: TypeAlias = Callable[[Making], Any]

_PARTS: Final[tuple[tuple[float, Part], ...]] = (
    (0.5, _changes),
    (0.35, _entity_changes),
    (0.4, _consumed),
    (0.3, _timers),
    (0.35, _work),
    (0.3, _inbox),
    (0.3, _outbox),
    (0.15, _forgotten),
    (0.3, _notices),
    (0.2, _reasons),
    (0.1, _purged),
)
