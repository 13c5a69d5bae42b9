"""A hub that is made up: instances, histories and entities in memory, at a time that stands still."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from durastream.client import EntityStatus, InstanceStatus, QueuedMessage
from durastream.core import events as ev
from durastream.core.entity_id import EntityId
from durastream.core.events import Event
from durastream.core.status import ALL
from durastream.errors import Conflict, InstanceNotFound, StoreUnavailable
from durastream.inspect.facts import HubFacts, InstanceFacts
from durastream.inspect.filter import Filter
from durastream.inspect.hub import LEASE_MS, Overview, overview
from durastream.inspect.waiting import waits
from durastream.store.protocol import LeaseInfo, PartitionLoad, QueueLoad, ServerInfo, WorkerInfo
from durastream.tui.client_source import row
from durastream.tui.source import EntityView, Newest, Row

NOW = datetime(2031, 5, 1, 12, tzinfo=UTC)
NOW_MS = round(NOW.timestamp() * 1000)

PROGRAM = {
    "host": "host-a", "pid": 7, "started_at": NOW_MS - 3_600_000, "owned": [0, 1, 2], "busy": 2, "concurrency": 64,
    "running": ["charge"], "queues": ["default"], "orchestrators": ["order"], "activities": ["charge", "ship"],
    "entities": ["Counter"], "runs": ["order"], "turns": 1_200, "operations": 30, "activities_done": 900, "skew_ms": 2,
}  # fmt: skip


def instance(instance_id: str, number: int = 0, **changes: Any) -> InstanceStatus:
    """A running instance, created `number` seconds before an hour ago, but for `changes`."""
    created = NOW - timedelta(hours=1, seconds=number)
    plain = InstanceStatus(
        id=instance_id, name="order", runtime_status="Running", created_at=created, updated_at=created, completed_at=None,
        input={"sku": "book", "amount": 20}, output=None, failure=None, custom_status=None, tags={}, parent_id=None,
        version=None, execution_id="e1", problem=None, events=3, partition=1, start_at=None,
    )  # fmt: skip
    return replace(plain, **changes)


def failed(instance_id: str, number: int = 0, message: str = "card declined", **changes: Any) -> InstanceStatus:
    failure = ev.Failure("ValueError", message, '  File "app.py", line 7, in charge\n    raise ValueError(…)')
    ended = {"runtime_status": "Failed", "failure": failure, "completed_at": NOW - timedelta(minutes=50)}
    return instance(instance_id, number, **(ended | changes))


def a_history(status: InstanceStatus) -> list[Event]:
    """Two steps; the second is under way, or what the instance failed of."""
    at = round(status.created_at.timestamp() * 1000)
    events: list[Event] = [
        ev.ExecutionStarted(at, status.name, None, b'{"sku":"book"}', None, 0),
        ev.TaskScheduled(at, "reserve", b"1", "default", None, 1),
        ev.TaskCompleted(at + 400, 1, b'"reserved"'),
        ev.TaskScheduled(at + 400, "charge", b"20", "default", None, 1),
    ]
    if status.failure is not None:
        events += [ev.TaskFailed(at + 900, 3, status.failure), ev.ExecutionFailed(at + 900, status.failure)]
    return events


def entity(key: str, **changes: Any) -> EntityStatus:
    plain = EntityStatus(
        id=EntityId("Counter", key), state={"value": 5}, revision=3, created_at=NOW - timedelta(hours=2),
        updated_at=NOW - timedelta(minutes=1), locked_by=None, locked_at=None, queued=0, partition=1,
    )  # fmt: skip
    return replace(plain, **changes)


class FakeSource:
    """See `durastream.tui.source.Source`. `lost`: every call fails so. `calls`: what was changed. `refuse`: ids that refuse."""

    def __init__(self, *statuses: InstanceStatus) -> None:
        self.hub = "default"
        self.where = "localhost:6379"
        self.instances = {one.id: one for one in statuses}
        self.histories: dict[str, list[Event]] = {}
        self.known_entities: dict[str, EntityStatus] = {}
        self.queue: list[QueuedMessage] = []
        self.workers = [WorkerInfo("worker-a", NOW_MS - 200, PROGRAM)]
        self.info = ServerInfo(NOW_MS, "redis", "8.2.2", aof=True, policy="noeviction", appendfsync="always")
        self.lost: Exception | None = None
        self.calls: list[tuple[Any, ...]] = []
        self.refuse: set[str] = set()
        self.walked = 0
        self.read = 0  # rows read again by their ids

    def add(self, *statuses: InstanceStatus) -> None:
        self.instances |= {one.id: one for one in statuses}

    def _newest_first(self) -> list[InstanceStatus]:
        return sorted(self.instances.values(), key=lambda one: one.created_at, reverse=True)

    def _check(self) -> None:
        if self.lost is not None:
            raise self.lost

    # -- the hub

    async def overview(self) -> Overview:
        self._check()
        counts = {status: sum(one.runtime_status == status for one in self.instances.values()) for status in ALL}
        return overview(
            self.hub, NOW_MS, counts=counts, workers=self.workers, leases=self._leases(), loads=self._loads()
        )

    def _leases(self) -> list[LeaseInfo]:
        return [LeaseInfo(number, "worker-a", 9, NOW_MS + LEASE_MS, number, 2, 0, 1) for number in range(3)]

    def _loads(self) -> list[PartitionLoad]:
        return [PartitionLoad(n, NOW_MS - 50, 0, 0, (QueueLoad("default", n, 1, NOW_MS - 70),)) for n in range(3)]

    async def server(self) -> HubFacts:
        return HubFacts(await self.overview(), self.info, 1, 0.4)

    # -- instances

    async def walk(self, wanted: Filter) -> AsyncGenerator[Row | None, None]:
        for one in self._newest_first():
            self._check()
            if one.created_at <= (wanted.bounds.before or NOW) and wanted.matches(one):
                self.walked += 1
                yield row(one)

    async def newest(self, wanted: Filter, count: int) -> Newest:
        self._check()
        found = [one for one in self._newest_first() if one.runtime_status in wanted.statuses][:count]
        since = found[-1].created_at if len(found) == count else None
        rows = [row(one) for one in found if wanted.matches(one)]
        return Newest(rows, since, found[0].created_at if found else None)

    async def rows(self, ids: Sequence[str], wanted: Filter) -> dict[str, Row | None]:
        self._check()
        self.read += len(ids)
        found = {one: self.instances.get(one) for one in ids}
        return {key: row(one) if one is not None and wanted.matches(one) else None for key, one in found.items()}

    async def status(self, instance_id: str) -> InstanceStatus:
        self._check()
        if instance_id not in self.instances:
            raise InstanceNotFound(f"instance {instance_id!r} does not exist in hub 'default'")
        return self.instances[instance_id]

    def _history(self, instance_id: str) -> list[Event]:
        return self.histories.get(instance_id) or a_history(self.instances[instance_id])

    async def instance(self, instance_id: str, hub: HubFacts) -> InstanceFacts:
        status = await self.status(instance_id)
        events = self._history(instance_id)
        first = max(len(events) - 200, 0)
        status = replace(status, events=len(events))
        return InstanceFacts(status, hub, events[first:], first, waits(status, events[first:], first))

    async def events(self, instance_id: str, first: int, count: int) -> Sequence[Event]:
        self._check()
        return self._history(instance_id)[first : first + count]

    # -- entities

    async def entities(self, name: str | None, prefix: str) -> AsyncGenerator[EntityStatus, None]:
        for text in sorted(self.known_entities):
            self._check()
            if text.startswith("@" if name is None else f"@{name}@{prefix}"):
                yield self.known_entities[text]

    async def entity(self, entity: EntityId) -> EntityView:
        self._check()
        return EntityView(entity, self.known_entities.get(str(entity)), self.queue, None)

    # -- changes

    def _note(self, *call: Any) -> None:
        self._check()
        if call[1] in self.refuse:
            raise Conflict(f"{call[1]!r} cannot be changed now")
        self.calls.append(call)

    async def change(self, verb: str, instance_id: str) -> None:
        self._note(verb, instance_id)

    async def raise_event(self, instance_id: str, name: str, data: Any) -> None:
        self._note("raise_event", instance_id, name, data)

    async def signal(self, entity: EntityId, operation: str, data: Any) -> None:
        self._note("signal", str(entity), operation, data)

    async def clean(self) -> int:
        self._note("clean", "")
        return 2


def unreachable() -> StoreUnavailable:
    return StoreUnavailable("cannot use redis at localhost:6379: connection refused: is it running?")
