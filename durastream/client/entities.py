"""Entities: signalling them, reading their state, listing them, and opening locks that were left behind."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing
from datetime import datetime
from functools import partial
from typing import Any, Final, TypeVar, overload

from durastream.client.base import Base
from durastream.client.entity_views import (
    EntityStatus,
    QueuedMessage,
    decode_state,
    entity_status,
    is_entity,
    queued_message,
)
from durastream.client.locks import CleanedEntities, locked_entities, release_orphans
from durastream.client.session import Session
from durastream.client.signals import SignalMany, address, due_ms, signal
from durastream.core.durations import Duration
from durastream.core.entity_id import EntityId, check_entity_name
from durastream.core.ids import check_instance_id
from durastream.errors import EntityNotFound, InvalidId
from durastream.store.protocol import EntityRecord

R = TypeVar("R")

_PAGE: Final = 100  # records of one page: each carries its state
QUEUE_MAX: Final = 1_000


class Entities(Base):
    async def signal_entity(
        self, entity_id: EntityId, operation: str, input: Any = None, *, at: datetime | Duration | None = None
    ) -> None:
        """Have an entity carry out an operation, once, without waiting for it; stored for good when this returns.

        at: when; a datetime (naive = UTC), or a timedelta or seconds from now by the server's clock. Signals of one
        client to one entity are applied in the order sent; those with a time, at that time. An operation that
        fails tells nobody. Raises InvalidId, PayloadError, PayloadTooLarge, ValueError for a time out of range;
        StoreUnavailable when its fate is unknown.

            await client.signal_entity(ds.EntityId("Counter", "a"), "add", 5)
        """
        session = self._session
        message = signal(entity_id, operation, session.payloads.encode(input, "input"))
        if at is not None:
            message = message._replace(due=await due_ms(session, at))
        await session.post(message)

    async def signal_entities(self, signals: Iterable[tuple[EntityId, str, Any]]) -> None:
        """Send many signals, (entity, operation, input) each, in few round trips however many.

        Signals may come from a generator: a bounded number is held. Those to one entity keep their order. Not atomic:
        when it raises, some of them may have been sent.
        """
        await SignalMany(self._session).send(signals)

    @overload
    async def read_entity(self, entity_id: EntityId) -> Any: ...
    @overload
    async def read_entity(self, entity_id: EntityId, type: type[R]) -> R | None: ...
    @overload
    async def read_entity(self, entity_id: EntityId, type: Any) -> Any: ...
    async def read_entity(self, entity_id: EntityId, type: Any = None) -> Any:
        """The state of an entity as it was last committed; None if it has none.

        type: a class registered with @app.entity, for an instance of it; or any other type the state fits. Without it,
        the plain JSON value. Raises InvalidId; PayloadError where the state does not fit the type.

            counter = await client.read_entity(ds.EntityId("Counter", "a"), type=Counter)
        """
        text = address(entity_id)
        record = await _find(self._session, text)
        if record is None or record.state is None:
            return None
        return decode_state(record.state, type, self._session.payloads, f"state of entity {text}")

    async def entity(self, entity_id: EntityId) -> EntityStatus:
        """The entity as it is now: state, lock, what waits. Raises EntityNotFound, InvalidId."""
        session, text = self._session, address(entity_id)
        record = await _find(session, text)
        if record is None:
            raise EntityNotFound(f"entity {text!r} does not exist in hub {session.store.hub.name!r}")
        return entity_status(record, session.payloads, session.partition(text))

    async def entity_queue(self, entity_id: EntityId, *, limit: int = 100) -> list[QueuedMessage]:
        """What waits for an entity's lock or for its time, oldest first; at most `limit`, and at most 1,000."""
        session, text = self._session, address(entity_id)
        count = min(limit, QUEUE_MAX)
        if count <= 0:
            return []
        found = await session.read(f"queue of entity {text!r}", lambda: session.store.entity_queue(text, count))
        return [queued_message(number, blob, session.payloads) for number, blob in found]

    async def entity_problem(self, entity_id: EntityId) -> Any:
        """Why operations of an entity wait for another worker, `{"kind": …, "message": …}`; None while they do not."""
        session, text = self._session, address(entity_id)
        home = session.partition(text)
        stalled = await session.read(f"stalled entities of partition {home}", lambda: session.store.stalled(home))
        return session.payloads.decode(stalled.get(text), None, "problem")

    async def list_entities(
        self,
        name: str | None = None,
        *,
        prefix: str | None = None,
        locked: bool | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[EntityStatus]:
        """Entities in the order of their ids as text, page by page as they are asked for; at most `limit`.

        name: only those of this name, exactly. prefix: what the key begins with; needs a name. locked: only those that
        are in somebody's critical section (True: found without looking at the others), or are not. Raises InvalidId.

            async for entity in client.list_entities("Counter", prefix="shop-"): ...
        """
        beginning = _beginning(name, prefix)
        if limit is not None and limit <= 0:
            return
        session, shown = self._session, 0
        size = min(limit or _PAGE, _PAGE) if locked is None else _PAGE
        records = _locked(session, beginning) if locked else _all(session, beginning, size)
        async with aclosing(records) as walk:
            async for record in walk:
                if (locked is None or locked == (record.lock is not None)) and is_entity(record.entity):
                    yield entity_status(record, session.payloads, session.partition(record.entity))
                    shown += 1
                    if shown == limit:
                        return

    async def clean_entities(self) -> CleanedEntities:
        """Open the locks that were left behind: their holder was purged, has ended, or runs as another execution by now.

        Every way out of a critical section opens its locks, so this finds something only after records were changed by
        hand or lost with the server. The orders are stored for good when this returns, and carried out by the entities'
        workers. Empty entities, which Durable Functions removes here, do not exist: one without state, lock and queue
        leaves nothing behind. What was written by hand and is no entity is left alone.
        """
        return await release_orphans(self._session)


def _beginning(name: str | None, prefix: str | None) -> str:
    """What the texts of the entities asked for begin with."""
    if name is None:
        if prefix:
            raise InvalidId('a prefix is of the key, so it needs a name: list_entities("Counter", prefix="a")')
        return "@"
    check_entity_name(name)
    return f"@{name}@" + (check_instance_id(prefix, "prefix of entity keys") if prefix else "")


async def _find(session: Session, text: str) -> EntityRecord | None:
    (record,) = await session.read(f"read entity {text!r}", lambda: session.store.entities([text]))
    return record


async def _all(session: Session, beginning: str, size: int) -> AsyncGenerator[EntityRecord, None]:
    cursor: str | None = None
    while True:
        fetch = partial(session.store.entity_page, beginning, cursor=cursor, limit=size)
        page = await session.read("list entities", fetch)
        for record in page.records:
            yield record
        cursor = page.cursor
        if cursor is None:
            return


async def _locked(session: Session, beginning: str) -> AsyncGenerator[EntityRecord, None]:
    texts = await locked_entities(session, beginning)
    for first in range(0, len(texts), _PAGE):
        fetch = partial(session.store.entities, texts[first : first + _PAGE])
        for record in await session.read("list locked entities", fetch):
            if record is not None:
                yield record
