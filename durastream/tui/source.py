"""All that the terminal UI asks of a hub. The application uses `client_source`; tests give it one that is made up."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from durastream.client.entity_views import EntityStatus, QueuedMessage
from durastream.client.views import InstanceStatus
from durastream.core.entity_id import EntityId
from durastream.core.events import Event
from durastream.core.status import Status
from durastream.inspect.facts import HubFacts, InstanceFacts
from durastream.inspect.filter import Filter
from durastream.inspect.hub import Overview


class Row(NamedTuple):
    """An instance as the list holds it: without its payloads, which may be large. `note`: error, problem or custom status."""

    id: str
    name: str
    status: Status
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None
    note: str


class Newest(NamedTuple):
    """The newest instances that fit.

    since: all that were created after it are here; None: all that there are. until: when the newest looked at was created.
    """

    rows: list[Row]
    since: datetime | None
    until: datetime | None


class EntityView(NamedTuple):
    """`status` is None when there is nothing: no state, no lock, nothing queued."""

    id: EntityId
    status: EntityStatus | None
    queue: Sequence[QueuedMessage]
    problem: Any


class Source(Protocol):
    """Every call may raise DurastreamError; StoreUnavailable when the server cannot be reached."""

    hub: str
    where: str  # host and port, for people

    async def overview(self) -> Overview: ...

    async def server(self) -> HubFacts:
        """What the server says of itself; asked for seldom."""
        ...

    def walk(self, wanted: Filter) -> AsyncGenerator[Row | None, None]:
        """All instances that fit, newest first where the filter has no prefix of the id. None stands for a hundred that do not
        fit: a place to rest."""
        ...

    async def newest(self, wanted: Filter, count: int) -> Newest:
        """Those that fit among the newest `count`."""
        ...

    async def rows(self, ids: Sequence[str], wanted: Filter) -> dict[str, Row | None]:
        """These instances as they are now; None for one that is gone or does not fit any more."""
        ...

    async def status(self, instance_id: str) -> InstanceStatus: ...

    async def instance(self, instance_id: str, hub: HubFacts) -> InstanceFacts:
        """An instance with the end of its history."""
        ...

    async def events(self, instance_id: str, first: int, count: int) -> Sequence[Event]:
        """At most `count` events from number `first` on."""
        ...

    def entities(self, name: str | None, prefix: str) -> AsyncGenerator[EntityStatus, None]:
        """In the order of their texts."""
        ...

    async def entity(self, entity: EntityId) -> EntityView: ...

    async def change(self, verb: str, instance_id: str) -> None:
        """Carry out a verb of `actions.VERBS`."""
        ...

    async def raise_event(self, instance_id: str, name: str, data: Any) -> None: ...

    async def signal(self, entity: EntityId, operation: str, data: Any) -> None: ...

    async def clean(self) -> int:
        """Open locks that were left behind; how many."""
        ...
