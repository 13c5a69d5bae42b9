"""The walk through a hub: all its keys, then what each partition refers to. Memory does not grow with the hub."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Final

from durastream.inspect.fsck.carriers import Carriers
from durastream.inspect.fsck.entries import problem
from durastream.inspect.fsck.layout import Layout, Place
from durastream.inspect.fsck.looks import Looks, Patience
from durastream.inspect.fsck.report import Progress, Report
from durastream.inspect.fsck.subjects import (
    ClaimsOf,
    EntityAt,
    EntryAt,
    Hub,
    InstanceAt,
    KeyAt,
    LeaseAt,
    Look,
    MarksOf,
    StreamAt,
    Subject,
    TimerAt,
)
from durastream.inspect.invariants.hub import MEMBER
from durastream.inspect.invariants.needs import Need
from durastream.inspect.invariants.snapshots import MemberSnapshot
from durastream.inspect.invariants.violation import Violation, check
from durastream.store.keys import PartitionKeys
from durastream.store.redis.fsck import RawHub

_SUSPECTS_MAX: Final = 1_000  # looked at again in one go
_NEEDS_MAX: Final = 20_000  # searched for in one go


class Walk:
    """One `run`."""

    def __init__(self, hub: RawHub, *, patience: Patience, progress: Progress) -> None:
        self._hub = hub
        self._progress = progress
        self._layout = Layout(hub.keys)
        self._carriers = Carriers(hub)
        self._looks = Looks(hub, self._layout, self._carriers, patience)
        self._suspects: dict[Subject, None] = {}
        self._needs: dict[Need, tuple[str, ...]] = {}
        self._needed_by: dict[Need, Subject] = {}
        self._queues: set[tuple[int, str, str]] = set()  # activity streams: partition, key, queue
        self.report = Report()

    async def run(self) -> Report:
        hub, width = self._hub, self._hub.hub.partitions
        await self._look([Hub(), LeaseAt(-1)])
        await self._keys()
        for number, names in enumerate(hub.keys.partitions):
            self._progress("partitions", number, width)
            await self._partition(number, names)
        await self._look([StreamAt(-1, hub.keys.ingress, "ingress"), StreamAt(-1, hub.keys.dead, "dead")])
        await self._search()
        await self._confirm()
        (dead,) = await hub.stream_states([hub.keys.dead])
        self.report.dead_letters = 0 if dead is None else dead.length
        self._progress("partitions", width, width)
        return self.report

    # -- looking

    async def _look(self, subjects: Sequence[Subject]) -> None:
        for one, look in (await self._looks.at(subjects)).items():
            self._note(one, look)
        if len(self._needs) >= _NEEDS_MAX:
            await self._search()
        if len(self._suspects) >= _SUSPECTS_MAX:
            await self._confirm()

    def _note(self, one: Subject, look: Look) -> None:
        if look.violations:
            self._suspects[one] = None
        for need, places in look.needs.items():
            self._needs[need] = places
            self._needed_by[need] = one

    async def _search(self) -> None:
        """Whoever needs something that is not seen under way is looked at again."""
        needs, needed_by = self._needs, self._needed_by
        self._needs, self._needed_by = {}, {}
        if needs:
            found = await self._carriers.find(needs)
            self._suspects |= dict.fromkeys(needed_by[need] for need in needs if need not in found)

    async def _confirm(self) -> None:
        suspects, self._suspects = list(self._suspects), {}
        for first in range(0, len(suspects), _SUSPECTS_MAX):
            self.report.add(await self._looks.confirmed(suspects[first : first + _SUSPECTS_MAX]))

    # -- keys

    async def _keys(self) -> None:
        total, done = await self._hub.count_of_keys(), 0
        self._progress("keys", 0, total)
        async for names in self._hub.key_names():
            await self._look([KeyAt(name) for name in names])
            await self._places([place for name in names if (place := self._layout.place(name)) is not None])
            done += len(names)
            self.report.looked_at["keys"] += len(names)
            self._progress("keys", min(done, total), total)

    async def _places(self, places: Sequence[Place]) -> None:
        subjects: list[Subject] = [
            *self._of("instance", places, InstanceAt),
            *self._of("entity", places, EntityAt),
            *await self._orphans("history", "instance", places, InstanceAt),
            *await self._orphans("queue_of", "entity", places, EntityAt),
        ]
        for place in places:
            if place.family == "activities":
                key = self._hub.keys.partitions[place.partition].activities(place.of)
                self._carriers.noticed(key)
                self._queues.add((place.partition, key, place.of))
        self.report.looked_at["instances"] += sum(isinstance(one, InstanceAt) for one in subjects)
        self.report.looked_at["entities"] += sum(isinstance(one, EntityAt) for one in subjects)
        await self._look(subjects)

    @staticmethod
    def _of(family: str, places: Iterable[Place], kind: type[InstanceAt] | type[EntityAt]) -> list[Subject]:
        return [kind(place.partition, place.of) for place in places if place.family == family]

    async def _orphans(
        self, family: str, record: str, places: Iterable[Place], kind: type[InstanceAt] | type[EntityAt]
    ) -> list[Subject]:
        """What belongs to a record that is not there."""
        some = [place for place in places if place.family == family]
        keys = [getattr(self._hub.keys.partitions[place.partition], record)(place.of) for place in some]
        there = await self._hub.existing(keys)
        return [kind(place.partition, place.of) for place, exists in zip(some, there, strict=True) if not exists]

    # -- partitions

    async def _partition(self, number: int, names: PartitionKeys) -> None:
        queues = sorted((key, queue) for partition, key, queue in self._queues if partition == number)
        await self._look([LeaseAt(number), MarksOf(number), StreamAt(number, names.inbox, "inbox")])
        await self._look([StreamAt(number, names.outbox, "outbox")])
        await self._look([StreamAt(number, key, "activities", queue) for key, queue in queues])
        await self._look([ClaimsOf(number, key) for key, _ in queues])
        await self._entries(number, names.inbox, "inbox")
        await self._entries(number, names.outbox, "outbox")
        for key, _ in queues:
            await self._entries(number, key, "activities")
        for index in names.status.values():
            await self._referred(index, self._members(index), InstanceAt, number)
        for key in (names.parked, names.watch):
            await self._referred(key, self._fields(key), InstanceAt, number)
        await self._referred(names.entities, self._members(names.entities), EntityAt, number)
        for key in (names.locks, names.stalled):
            await self._referred(key, self._fields(key), EntityAt, number)
        async for page in self._members(names.timers):
            self.report.looked_at["timers"] += len(page)
            await self._look([TimerAt(number, raw) for raw in page])

    async def _entries(self, number: int, key: str, role: str) -> None:
        width = self._hub.hub.partitions
        async for page in self._hub.walk_stream(key):
            self.report.looked_at["messages"] += len(page)
            bad = [entry_id for entry_id, fields in page if problem(role, fields, width)]
            await self._look([EntryAt(number, key, role, entry_id) for entry_id in bad])

    async def _members(self, key: str) -> AsyncIterator[list[bytes]]:
        async for page in self._hub.walk_zset(key):
            yield [member for member, _ in page]

    async def _fields(self, key: str) -> AsyncIterator[list[bytes]]:
        async for page in self._hub.walk_hash(key):
            yield [field for field, _ in page]

    async def _referred(
        self, key: str, pages: AsyncIterator[list[bytes]], kind: type[InstanceAt] | type[EntityAt], number: int
    ) -> None:
        """What is referred to and has no record: those that have one are looked at with that."""
        names = self._hub.keys.partitions[number]
        record = names.instance if kind is InstanceAt else names.entity
        async for page in pages:
            ids, strays = _decoded(page)
            self.report.add(
                _stray(key, "hash" if key in (names.parked, names.watch, names.locks, names.stalled) else "zset", raw)
                for raw in strays
            )
            there = await self._hub.existing([record(one) for one in ids])
            await self._look([kind(number, one) for one, exists in zip(ids, there, strict=True) if not exists])


def _decoded(members: Iterable[bytes]) -> tuple[list[str], list[bytes]]:
    ids: list[str] = []
    strays: list[bytes] = []
    for member in members:
        try:
            ids.append(member.decode())
        except UnicodeDecodeError:
            strays.append(member)
    return ids, strays


def _stray(key: str, kind: str, raw: bytes) -> Violation:
    (violation,) = check(MemberSnapshot(key, kind, raw), MEMBER)
    return violation
