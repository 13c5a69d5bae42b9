"""Instances as snapshots: record, history and everything that refers to them, many in one go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Any, Final

from durastream import wire
from durastream.core import events as e
from durastream.core.events import Failure, SubOrchestrationCreated
from durastream.core.ids import partition_of
from durastream.core.limits import ID_BYTES_MAX
from durastream.errors import WireError
from durastream.inspect.fsck.subjects import InstanceAt, Look
from durastream.inspect.invariants import history
from durastream.inspect.invariants.instance import INSTANCE
from durastream.inspect.invariants.needs import Need
from durastream.inspect.invariants.obligations import OBLIGATIONS, expected_timers, needs_of
from durastream.inspect.invariants.snapshots import ChildView, InstanceSnapshot, Slot, Unreadable
from durastream.inspect.invariants.values import is_json, natural, parent, text
from durastream.inspect.invariants.violation import check
from durastream.store.redis.fsck import InstanceHead, RawHub

_EVENTS_TOGETHER: Final = 400  # short histories are read in one go up to so many events
_MISSING_MAX: Final = 1_000  # places beyond the length of a history that are looked at, whatever its record says
_PAYLOAD_BYTES: Final = 4 << 20  # read in one go

_PAYLOAD_OF: Final[Mapping[type, str]] = {
    e.ExecutionStarted: "input",
    e.TaskCompleted: "result",
    e.SubOrchestrationCompleted: "result",
    e.EventRaised: "data",
    e.EntityOperationCompleted: "result",
    e.TaskScheduled: "input",
    e.SubOrchestrationCreated: "input",
    e.EventSent: "data",
    e.EntityOperationCalled: "input",
    e.EntityOperationSignaled: "input",
    e.ExecutionCompleted: "result",
}
_FAILED: Final = (e.TaskFailed, e.SubOrchestrationFailed, e.EntityOperationFailed, e.ExecutionFailed)
_NO_FAILURE: Final = Failure("", "")


def slot(blob: bytes | None) -> Slot:
    """An event without its payload, so that a long history takes little memory."""
    if blob is None:
        return None
    try:
        event: Any = wire.unpack_event(blob)
    except WireError as error:
        return Unreadable(str(error))
    name = _PAYLOAD_OF.get(type(event))
    if name is not None:
        payload = getattr(event, name)
        if payload is not None and not is_json(payload):
            return Unreadable(f"its {name} is no JSON")
        event = event._replace(**{name: None})
    elif isinstance(event, _FAILED):
        event = event._replace(failure=_NO_FAILURE)
    slotted: Slot = event
    return slotted


class Instances:
    """Looks at instances."""

    def __init__(self, hub: RawHub) -> None:
        self._hub = hub

    async def look(self, subjects: Sequence[InstanceAt], carried: AbstractSet[Need] | None) -> dict[InstanceAt, Look]:
        """`carried`: needs that are known to be under way; None: nobody has looked."""
        found: dict[InstanceAt, Look] = {}
        for one, snapshot in (await self.snapshots(subjects)).items():
            needs = needs_of(snapshot)
            known = carried if needs else frozenset[Need]()  # where nothing is needed, nobody has to look for it
            whole = replace(snapshot, carried=known)
            found[one] = Look(check(whole, INSTANCE) + check(whole, OBLIGATIONS), needs, _version(snapshot))
        return found

    async def snapshots(self, subjects: Sequence[InstanceAt]) -> dict[InstanceAt, InstanceSnapshot]:
        hub = self._hub
        now = await hub.now()
        heads = await hub.heads([(one.partition, one.instance_id) for one in subjects])
        histories = await self._histories(subjects, heads)
        bad = await self._bad_payloads(subjects, heads)
        found = {}
        for one, head, events in zip(subjects, heads, histories, strict=True):
            found[one] = InstanceSnapshot(
                one.instance_id,
                one.partition,
                partition_of(one.instance_id, hub.hub.partitions),
                hub.keys.partitions[one.partition].instance(one.instance_id),
                fields=head.fields,
                sizes=head.sizes,
                bad_payloads=bad.get(one, ()),
                events=events,
                history_length=head.history_length,
                indexed=head.indexed,
                parked=head.parked,
                watched=head.watched,
                now=now,
                retention_ms=hub.hub.retention_ms,
                payload_bytes_max=hub.hub.payload_bytes_max,
            )
        return await self._surroundings(found)

    # -- histories and payloads

    async def _histories(self, subjects: Sequence[InstanceAt], heads: Sequence[InstanceHead]) -> list[list[Slot]]:
        counts = [_events_of(head) for head in heads]
        found: list[list[Slot]] = [[] for _ in subjects]
        for batch in _batches(counts, _EVENTS_TOGETHER):
            if len(batch) == 1:
                found[batch[0]] = await self.history(subjects[batch[0]], counts[batch[0]])
                continue
            wanted = [(subjects[at].partition, subjects[at].instance_id, counts[at]) for at in batch]
            for at, blobs in zip(batch, await self._hub.histories(wanted), strict=True):
                found[at] = [slot(blob) for blob in blobs]
        return found

    async def history(self, one: InstanceAt, count: int) -> list[Slot]:
        """Events 0 … count-1, page by page."""
        slots: list[Slot] = []
        async for page in self._hub.events(one.partition, one.instance_id, count):
            slots += map(slot, page)
        return slots

    async def _bad_payloads(
        self, subjects: Sequence[InstanceAt], heads: Sequence[InstanceHead]
    ) -> dict[InstanceAt, tuple[str, ...]]:
        bad: dict[InstanceAt, tuple[str, ...]] = {}
        sizes = [sum(head.sizes.values()) for head in heads]
        for batch in _batches(sizes, _PAYLOAD_BYTES):
            keys = [
                self._hub.keys.partitions[subjects[at].partition].instance(subjects[at].instance_id) for at in batch
            ]
            for at, values in zip(batch, await self._hub.fields(keys, *heads[batch[0]].sizes), strict=True):
                names = zip(heads[at].sizes, values, strict=True)
                wrong = tuple(name for name, value in names if value is not None and not is_json(value))
                if wrong:
                    bad[subjects[at]] = wrong
        return bad

    # -- what else is there of it

    async def _surroundings(self, found: dict[InstanceAt, InstanceSnapshot]) -> dict[InstanceAt, InstanceSnapshot]:
        timers = await self._timers(found)
        children = await self._children(found)
        locks = await self._locks(found)
        return {
            one: replace(snapshot, timers=timers.get(one, {}), children=children.get(one, {}), locks=locks.get(one, {}))
            for one, snapshot in found.items()
        }

    async def _timers(self, found: Mapping[InstanceAt, InstanceSnapshot]) -> dict[InstanceAt, dict[str, float]]:
        keys = self._hub.keys.partitions
        wanted = [(one, member) for one, snapshot in found.items() for member in expected_timers(snapshot)]
        scores = await self._hub.scores([(keys[one.partition].timers, member) for one, member in wanted])
        set_now: dict[InstanceAt, dict[str, float]] = {}
        for (one, member), score in zip(wanted, scores, strict=True):
            if score is not None:
                set_now.setdefault(one, {})[member] = score
        return set_now

    async def _children(self, found: Mapping[InstanceAt, InstanceSnapshot]) -> dict[InstanceAt, dict[int, ChildView]]:
        wanted = [
            (one, number, event.instance_id)
            for one, snapshot in found.items()
            for number, event in history.open_tasks(snapshot.events).items()
            if isinstance(event, SubOrchestrationCreated) and 0 < len(event.instance_id.encode()) <= ID_BYTES_MAX
        ]
        keys = [self._home(child).instance(child) for _, _, child in wanted]
        views: dict[InstanceAt, dict[int, ChildView]] = {}
        for (one, number, _), (status, told) in zip(
            wanted, await self._hub.fields(keys, "status", "parent"), strict=True
        ):
            views.setdefault(one, {})[number] = ChildView(text(status) or "", parent(told))
        return views

    async def _locks(self, found: Mapping[InstanceAt, InstanceSnapshot]) -> dict[InstanceAt, dict[str, str]]:
        wanted = [
            (one, entity)
            for one, snapshot in found.items()
            for entities in history.held_locks(snapshot.events).values()
            for entity in entities
        ]
        holders = await self._hub.values([(self._home(entity).entity(entity), "lock") for _, entity in wanted])
        locks: dict[InstanceAt, dict[str, str]] = {}
        for (one, entity), holder in zip(wanted, holders, strict=True):
            locks.setdefault(one, {})[entity] = text(holder) or ""
        return locks

    def _home(self, of: str) -> Any:
        return self._hub.keys.partitions[partition_of(of, self._hub.hub.partitions)]


def _events_of(head: InstanceHead) -> int:
    told = natural(head.fields.get("events")) or 0
    return min(max(told, head.history_length), head.history_length + _MISSING_MAX)


def _batches(sizes: Sequence[int], most: int) -> Iterator[list[int]]:
    """Positions of what is not empty, in groups that come to no more than `most`, or are of one."""
    batch: list[int] = []
    total = 0
    for at, size in enumerate(sizes):
        if not size:
            continue
        if batch and total + size > most:
            yield batch
            batch, total = [], 0
        batch.append(at)
        total += size
    if batch:
        yield batch


def _version(snapshot: InstanceSnapshot) -> tuple[Any, ...]:
    get = snapshot.fields.get
    return get("execution_id"), get("revision"), get("status"), snapshot.history_length
