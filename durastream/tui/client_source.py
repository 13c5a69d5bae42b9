"""A hub, asked through a client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any, Final, cast

from durastream.client import Client, EntityStatus, InstanceStatus
from durastream.core.entity_id import EntityId
from durastream.core.events import Event, Failure
from durastream.errors import EntityNotFound, InstanceNotFound
from durastream.inspect.facts import HubFacts, InstanceFacts
from durastream.inspect.fetch import fetch_hub, fetch_instance, fetch_overview, find
from durastream.inspect.filter import Filter
from durastream.inspect.hub import Overview
from durastream.inspect.rows import failure_line
from durastream.tui.source import EntityView, Newest, Row
from durastream.tui.text import value_text

RETRY_S: Final = 2.0
"""Patience of the client: the screen says at once that the server is away, and looks again by itself."""

_EVENTS: Final = 200
_QUEUE: Final = 200
_BREATH: Final = 100
_NOTE_MAX: Final = 200
_ACK_S: Final = 15.0
_CAUSES_MAX: Final = 10

_CHANGES: Final[dict[str, Callable[[Client, str], Awaitable[None]]]] = {
    "terminate": lambda client, one: client.terminate(one),
    "suspend": lambda client, one: client.suspend(one),
    "resume": lambda client, one: client.resume(one),
    "rewind": lambda client, one: client.rewind(one, timeout=_ACK_S),
    "restart": lambda client, one: client.restart(one, timeout=_ACK_S),
    "purge": lambda client, one: client.purge(one, timeout=_ACK_S),
}


class ClientSource:
    """See `source.Source`."""

    def __init__(self, client: Client, where: str, *, read_only: bool = False) -> None:
        """`read_only`: nothing is written at all, so owners are not asked which external events an instance waits for."""
        self.hub = client.hub.name
        self.where = where
        self._client = client
        self._read_only = read_only

    async def overview(self) -> Overview:
        return await fetch_overview(self._client)

    async def server(self) -> HubFacts:
        return await fetch_hub(self._client)

    # -- instances

    async def walk(self, wanted: Filter) -> AsyncGenerator[Row | None, None]:
        if wanted.nothing or wanted.prefix or wanted.ids is not None:
            async for status in find(self._client, wanted, payloads=False):
                yield row(status)
            return
        missed = 0
        listed = cast("AsyncGenerator[InstanceStatus, None]", self._client.list(payloads=False, **wanted.listing()))
        async with aclosing(listed):
            async for status in listed:
                if wanted.matches(status):
                    yield row(status)
                else:
                    missed += 1
                    if missed % _BREATH == 0:
                        yield None

    async def newest(self, wanted: Filter, count: int) -> Newest:
        if wanted.nothing:
            return Newest([], None, None)
        listing = wanted.listing()
        listing["prefix"] = None  # it would read on until it has found so many
        found = [status async for status in self._client.list(limit=count, payloads=False, **listing)]
        since = found[-1].created_at if len(found) == count else None
        until = found[0].created_at if found else None
        return Newest([row(status) for status in found if wanted.matches(status)], since, until)

    async def rows(self, ids: Sequence[str], wanted: Filter) -> dict[str, Row | None]:
        found = await asyncio.gather(*map(self._find, ids))
        return {
            one: None if status is None or not wanted.matches(status) else row(status)
            for one, status in zip(ids, found, strict=True)
        }

    async def _find(self, instance_id: str) -> InstanceStatus | None:
        try:
            return await self._client.status(instance_id)
        except InstanceNotFound:
            return None

    async def status(self, instance_id: str) -> InstanceStatus:
        return await self._client.status(instance_id)

    async def instance(self, instance_id: str, hub: HubFacts) -> InstanceFacts:
        return await fetch_instance(self._client, instance_id, hub=hub, history=_EVENTS, ask=not self._read_only)

    async def events(self, instance_id: str, first: int, count: int) -> Sequence[Event]:
        return (await self._client.history_page(instance_id, first, count=count)).events

    # -- entities

    async def entities(self, name: str | None, prefix: str) -> AsyncGenerator[EntityStatus, None]:
        async for status in self._client.list_entities(name, prefix=prefix or None):
            yield status

    async def entity(self, entity: EntityId) -> EntityView:
        status, queue, problem = await asyncio.gather(
            self._entity(entity),
            self._client.entity_queue(entity, limit=_QUEUE),
            self._client.entity_problem(entity),
        )
        return EntityView(entity, status, queue, problem)

    async def _entity(self, entity: EntityId) -> EntityStatus | None:
        try:
            return await self._client.entity(entity)
        except EntityNotFound:
            return None

    # -- changes

    async def change(self, verb: str, instance_id: str) -> None:
        await _CHANGES[verb](self._client, instance_id)

    async def raise_event(self, instance_id: str, name: str, data: Any) -> None:
        await self._client.raise_event(instance_id, name, data)

    async def signal(self, entity: EntityId, operation: str, data: Any) -> None:
        await self._client.signal_entity(entity, operation, data)

    async def clean(self) -> int:
        return len((await self._client.clean_entities()).released)


def row(status: InstanceStatus) -> Row:
    """What the list keeps of an instance."""
    return Row(
        status.id, status.name, status.runtime_status, status.created_at, status.updated_at, status.completed_at,
        _note(status)[:_NOTE_MAX],
    )  # fmt: skip


def _note(status: InstanceStatus) -> str:
    if status.problem is not None:
        problem = status.problem
        return "stuck: " + str(problem.get("message", problem) if isinstance(problem, dict) else problem)[:_NOTE_MAX]
    if status.failure is not None:
        return failure_line(_cause(status.failure))
    return "" if status.custom_status is None else value_text(status.custom_status)


def _cause(failure: Failure) -> Failure:
    """Where it began: `ActivityFailed: activity charge (event 3): …` says less in the room there is."""
    for _ in range(_CAUSES_MAX):
        if not failure.causes:
            break
        failure = failure.causes[0]
    return failure
