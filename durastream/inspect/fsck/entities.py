"""Entities as snapshots: record, queue, lock and everything that refers to them."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final

from durastream import wire
from durastream.core import timer_member
from durastream.core.events import Event, Parent
from durastream.core.ids import partition_of
from durastream.core.messages import EntityOperation, LockEntities
from durastream.core.status import TERMINAL
from durastream.errors import WireError
from durastream.inspect.fsck.instances import Instances
from durastream.inspect.fsck.subjects import EntityAt, InstanceAt, Look
from durastream.inspect.invariants import history
from durastream.inspect.invariants.entity import ENTITY, needs_of
from durastream.inspect.invariants.needs import Need
from durastream.inspect.invariants.snapshots import EntitySnapshot, QueueEntry
from durastream.inspect.invariants.values import natural, parent, text
from durastream.inspect.invariants.violation import check
from durastream.store.redis.fsck import RawHub

_FIELDS: Final = ("state", "revision", "created_at", "updated_at", "lock", "locked_at")
_TOLD_MAX: Final = 100  # entries of one queue of which something is told


class Entities:
    """Looks at entities."""

    def __init__(self, hub: RawHub, instances: Instances) -> None:
        self._hub = hub
        self._instances = instances

    async def look(self, subjects: Sequence[EntityAt], carried: AbstractSet[Need] | None) -> dict[EntityAt, Look]:
        """`carried`: needs that are known to be under way; None: nobody has looked."""
        found: dict[EntityAt, Look] = {}
        for one in subjects:  # one by one: a state may be large
            snapshot = await self.snapshot(one, carried)
            version = (snapshot.fields.get("revision"), snapshot.queue_length, snapshot.fields.get("lock"))
            found[one] = Look(check(snapshot, ENTITY), needs_of(snapshot), version)
        return found

    async def snapshot(self, one: EntityAt, carried: AbstractSet[Need] | None) -> EntitySnapshot:
        hub, names = self._hub, self._hub.keys.partitions[one.partition]
        now = await hub.now()
        values, length, score, locked, stalled = await hub.ask(
            [
                ("HMGET", names.entity(one.entity), *_FIELDS),
                ("HLEN", names.queue_of(one.entity)),
                ("ZSCORE", names.entities, one.entity),
                ("HGET", names.locks, one.entity),
                ("HGET", names.stalled, one.entity),
            ]
        )
        fields = {name: value for name, value in zip(_FIELDS, values or (), strict=False) if value is not None}
        waiting, waits = await self._queue(one) if length else ([], 0)
        holder = parent(fields.get("lock"))
        return EntitySnapshot(
            one.entity,
            one.partition,
            partition_of(one.entity, hub.hub.partitions),
            names.entity(one.entity),
            names.queue_of(one.entity),
            fields=fields,
            state_size=len(fields.get("state", b"")),
            queue_length=length or 0,
            waiting=waiting,
            waits=waits,
            indexed=None if score is None else float(score),
            locked=locked,
            stalled=stalled,
            holder_believes=None if holder is None else await self._believes(holder, one.entity),
            carried=carried,
            now=now,
            payload_bytes_max=hub.hub.payload_bytes_max,
        )

    async def _queue(self, one: EntityAt) -> tuple[list[QueueEntry], int]:
        """Entries of which something may be to tell, and how many wait for the lock."""
        told: list[QueueEntry] = []
        waits = 0
        async for page in self._hub.walk_hash(self._hub.keys.partitions[one.partition].queue_of(one.entity)):
            entries = [_entry(field, blob, one.entity) for field, blob in page]
            waits += sum(1 for entry in entries if entry is None)
            later = [entry for entry in entries if entry is not None]
            told += await self._with_timers(one, later[: _TOLD_MAX - len(told)])
        return told, waits

    async def _with_timers(self, one: EntityAt, entries: list[QueueEntry]) -> list[QueueEntry]:
        wanted = [timer_member.signal(natural(entry.field) or 0, entry.due or 0, one.entity) for entry in entries]
        timers = self._hub.keys.partitions[one.partition].timers
        scores = await self._hub.scores([(timers, member) for member in wanted])
        made = (
            QueueEntry(entry.field, entry.problem, entry.due, score, entry.blob)
            for entry, score in zip(entries, scores, strict=True)
        )
        return [entry for entry in made if entry.problem or entry.timer != entry.due]

    async def _believes(self, holder: Parent, entity: str) -> bool | None:
        """Whether the execution goes on, and its history asks for this lock and has not left the section. None: its history
        cannot be read."""
        hub = self._hub
        at = InstanceAt(partition_of(holder.instance_id, hub.hub.partitions), holder.instance_id)
        key = hub.keys.partitions[at.partition].instance(holder.instance_id)
        ((execution, status, events),) = await hub.fields([key], "execution_id", "status", "events")
        if text(execution) != holder.execution_id or text(status) in TERMINAL:
            return False
        slots = await self._instances.history(at, natural(events) or 0)
        if holder.task < len(slots) and not isinstance(slots[holder.task], Event):
            return None
        return history.asks_for_lock(slots, holder.task, entity)


def _entry(field: bytes, blob: bytes, entity: str) -> QueueEntry | None:
    """None for what simply waits for the lock."""
    if natural(field) is None:
        return QueueEntry(field, "its number is none that a worker gives", blob=blob)
    try:
        message: Any = wire.unpack_message(blob)
    except WireError as error:
        return QueueEntry(field, str(error), blob=blob)
    if not isinstance(message, EntityOperation | LockEntities):
        return QueueEntry(field, f"{type(message).__name__} does not wait in a queue", blob=blob)
    if message.entity != entity:
        return QueueEntry(field, f"it is for {message.entity}", blob=blob)
    due = message.due if isinstance(message, EntityOperation) else None
    return None if due is None else QueueEntry(field, due=due, blob=blob)
