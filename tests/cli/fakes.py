"""A client that answers from memory, so that the commands are tested without a server."""

from __future__ import annotations

import builtins
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any

from typer.testing import Result

from durastream import errors
from durastream.client import CleanedEntities, EntityStatus, QueuedMessage
from durastream.client.looking import HistoryPage
from durastream.client.views import InstanceStatus
from durastream.core import events as ev
from durastream.core.entity_id import EntityId
from durastream.store.protocol import HubInfo, LeaseInfo, PartitionLoad, ServerInfo, WorkerInfo

CREATED = datetime(2031, 5, 1, 12, tzinfo=UTC)


def instance(instance_id: str, **changes: Any) -> InstanceStatus:
    """A running instance, but for `changes`."""
    plain = InstanceStatus(
        id=instance_id,
        name="flow",
        runtime_status="Running",
        created_at=CREATED,
        updated_at=CREATED,
        completed_at=None,
        input=None,
        output=None,
        failure=None,
        custom_status=None,
        tags={},
        parent_id=None,
        version=None,
        execution_id="e1",
        problem=None,
        events=1,
        partition=3,
        start_at=None,
    )
    return replace(plain, **changes)


def completed(instance_id: str, **changes: Any) -> InstanceStatus:
    ended = {"runtime_status": "Completed", "completed_at": CREATED + timedelta(seconds=2)}
    return instance(instance_id, **(ended | changes))


def entity(name: str, key: str, **changes: Any) -> EntityStatus:
    """An entity at rest, but for `changes`."""
    plain = EntityStatus(
        id=EntityId(name, key),
        state={"value": 5},
        revision=3,
        created_at=CREATED,
        updated_at=CREATED,
        locked_by=None,
        locked_at=None,
        queued=0,
        partition=1,
    )
    return replace(plain, **changes)


class FakeHandle:
    def __init__(self, client: FakeClient, instance_id: str) -> None:
        self.id = instance_id
        self._client = client

    async def result(self, *, timeout: float | None = None) -> Any:
        status = await self._client.status(self.id)
        if status.runtime_status == "Failed":
            assert status.failure is not None
            raise errors.OrchestrationFailed(f"orchestration {self.id!r} failed", status.failure)
        if status.runtime_status != "Completed":
            raise errors.TimeoutError(f"{self.id!r} is still {status.runtime_status} after {timeout:g} s")
        return status.output


class FakeClient:
    """Holds instances; notes every call that changes something."""

    def __init__(self) -> None:
        self.instances: dict[str, InstanceStatus] = {}
        self.histories: dict[str, list[ev.Event]] = {}
        self.calls: list[tuple[Any, ...]] = []
        self.asked: dict[str, Any] = {}
        self.refuse: dict[str, Exception] = {}
        self.unreachable = False
        self.hub_counts: dict[str, int] = {}
        self.leases: list[LeaseInfo] = []
        self.live: list[WorkerInfo] = []
        self.known_entities: dict[EntityId, EntityStatus] = {}
        self.queue: list[QueuedMessage] = []
        self.problems: dict[EntityId, Any] = {}
        self.left_behind: tuple[EntityId, ...] = ()
        self.load: builtins.list[PartitionLoad] = []
        self.server = ServerInfo(0)
        self.awaited: builtins.list[str] | None = None
        self.pages: builtins.list[tuple[int, int]] = []  # of histories that were asked for: first, count

    def add(self, *statuses: InstanceStatus) -> None:
        self.instances |= {status.id: status for status in statuses}

    def record(self, status: InstanceStatus, events: builtins.list[ev.Event]) -> None:
        """Add an instance with its history."""
        self.add(replace(status, events=len(events)))
        self.histories[status.id] = events

    async def __aenter__(self) -> FakeClient:
        if self.unreachable:
            raise errors.StoreUnavailable("no server at localhost:6379: connection refused")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    async def start(self, name: str, value: Any, *, instance_id: str | None, **options: Any) -> FakeHandle:
        self._note("start", instance_id or "", name, value, options)
        status = completed(instance_id or "new-1", name=name, input=value, output=value)
        self.add(status)
        return FakeHandle(self, status.id)

    def handle(self, instance_id: str) -> FakeHandle:
        return FakeHandle(self, instance_id)

    async def status(self, instance_id: str) -> InstanceStatus:
        if instance_id not in self.instances:
            raise errors.InstanceNotFound(f"instance {instance_id!r} does not exist in hub 'default'")
        return self.instances[instance_id]

    async def history(self, instance_id: str) -> builtins.list[ev.Event]:
        await self.status(instance_id)
        return self.histories.get(instance_id, [])

    async def history_page(self, instance_id: str, first: int | None = None, *, count: int = 200) -> HistoryPage:
        events = await self.history(instance_id)
        begin = max(len(events) - count, 0) if first is None else first
        self.pages.append((begin, count))
        return HistoryPage(begin, events[begin : begin + count])

    async def timers_set(self, status: InstanceStatus, tasks: Sequence[int]) -> frozenset[int]:
        return frozenset(tasks)

    async def awaited_events(self, instance_id: str, *, timeout: float = 1.0) -> builtins.list[str] | None:
        return self.awaited

    async def now(self) -> int:
        return round(time.time() * 1_000)

    async def loads(self) -> builtins.list[PartitionLoad]:
        return self.load

    async def server_info(self) -> ServerInfo:
        return self.server

    @property
    def hub(self) -> HubInfo:
        return HubInfo("default", 16, 259_200_000, 1_048_576, 1_935_403_200_000, 1)

    async def find(
        self, prefix: str, *, status: Sequence[str] | None = None, limit: int | None = None, payloads: bool = True
    ) -> AsyncIterator[InstanceStatus]:
        self.asked = {"prefix": prefix, "status": status, "limit": limit, "payloads": payloads}
        found = [each for each in self.instances.values() if each.id.startswith(prefix)]
        for each in [each for each in found if not status or each.runtime_status in status][:limit]:
            yield each

    async def list(
        self, *, limit: int | None = None, payloads: bool = True, **filters: Any
    ) -> AsyncIterator[InstanceStatus]:
        self.asked = filters | {"limit": limit, "payloads": payloads}
        wanted = filters.get("status")
        found = [each for each in self.instances.values() if not wanted or each.runtime_status in wanted]
        for each in found[:limit]:
            yield each

    async def counts(self) -> dict[str, int]:
        return self.hub_counts

    async def partitions(self) -> builtins.list[LeaseInfo]:
        return self.leases

    async def workers(self) -> builtins.list[WorkerInfo]:
        return self.live

    async def raise_event(self, instance_id: str, name: str, data: Any = None) -> None:
        self._note("raise_event", instance_id, name, data)

    async def suspend(self, instance_id: str, reason: str | None = None) -> None:
        self._note("suspend", instance_id, reason)

    async def resume(self, instance_id: str, reason: str | None = None) -> None:
        self._note("resume", instance_id, reason)

    async def terminate(self, instance_id: str, reason: str | None = None, *, recursive: bool = True) -> None:
        self._note("terminate", instance_id, reason, recursive)

    async def rewind(self, instance_id: str, reason: str | None = None) -> None:
        self._note("rewind", instance_id, reason)

    async def restart(self, instance_id: str) -> None:
        self._note("restart", instance_id)

    async def purge(self, instance_id: str) -> None:
        self._note("purge", instance_id)

    async def entity(self, entity_id: EntityId) -> EntityStatus:
        if entity_id not in self.known_entities:
            raise errors.EntityNotFound(f"entity {str(entity_id)!r} does not exist in hub 'default'")
        return self.known_entities[entity_id]

    async def entity_queue(self, entity_id: EntityId, *, limit: int) -> builtins.list[QueuedMessage]:
        return self.queue[:limit]

    async def entity_problem(self, entity_id: EntityId) -> Any:
        return self.problems.get(entity_id)

    async def list_entities(self, name: str | None, **filters: Any) -> AsyncIterator[EntityStatus]:
        self.asked = filters | {"name": name}
        for each in [*self.known_entities.values()][: filters["limit"]]:
            yield each

    async def signal_entity(self, entity_id: EntityId, operation: str, data: Any, *, at: Any) -> None:
        self._note("signal_entity", str(entity_id), operation, data, at)

    async def clean_entities(self) -> CleanedEntities:
        return CleanedEntities(self.left_behind)

    def add_entities(self, *statuses: EntityStatus) -> None:
        self.known_entities |= {status.id: status for status in statuses}

    def _note(self, verb: str, instance_id: str, *details: Any) -> None:
        if instance_id in self.refuse:
            raise self.refuse[instance_id]
        self.calls.append((verb, instance_id, *details))


Cli = Callable[..., Result]
