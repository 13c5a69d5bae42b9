"""What users see of an entity, and of what waits for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from durastream.client.views import from_ms
from durastream.core.definitions import MARK
from durastream.core.entities import EntityDefinition
from durastream.core.entity_id import EntityId
from durastream.core.events import Json
from durastream.core.messages import EntityOperation, LockEntities
from durastream.errors import InvalidId, PayloadError, WireError
from durastream.payload import Payloads
from durastream.store.protocol import EntityRecord
from durastream.wire import unpack_message


@dataclass(frozen=True, slots=True)
class EntityStatus:
    """An entity as it was when it was read. Times are aware UTC datetimes by the server's clock.

    `state` is the plain JSON value, None where there is none: what is only locked or waited for has a status too.
    `revision` counts committed batches of operations. `locked_by` is the instance in whose critical section it is.
    `queued`: operations and lock requests that wait for the lock, or for their time (`Client.entity_queue`).
    """

    id: EntityId
    state: Any
    revision: int
    created_at: datetime
    updated_at: datetime
    locked_by: str | None
    locked_at: datetime | None
    queued: int
    partition: int


def entity_status(record: EntityRecord, payloads: Payloads, partition: int) -> EntityStatus:
    """The public view of a record. Raises PayloadError for a state that is no JSON, InvalidId for a bad id."""
    return EntityStatus(
        id=EntityId.parse(record.entity),
        state=payloads.decode(record.state, None, f"state of entity {record.entity}"),
        revision=record.revision,
        created_at=from_ms(record.created_at),
        updated_at=from_ms(record.updated_at),
        locked_by=None if record.lock is None else record.lock.partition("\n")[0],
        locked_at=None if record.locked_at is None else from_ms(record.locked_at),
        queued=record.queued,
        partition=partition,
    )


def is_entity(text: str) -> bool:
    """Whether it is written as entities are. What is written into the index by hand may be anything."""
    try:
        EntityId.parse(text)
    except InvalidId:
        return False
    return True


def decode_state(state: Json, type_: Any, payloads: Payloads, what: str) -> Any:
    """A state as the registered entity class `type_`, or as any other type; None: as plain JSON. Raises PayloadError."""
    definition = getattr(type_, MARK, None)
    if isinstance(definition, EntityDefinition):
        return definition.decode_state(state, payloads)
    return payloads.decode(state, type_, what)


# ---------------------------------------------------------------- the queue

Waiting: TypeAlias = Literal["call", "signal", "lock", "unreadable"]


@dataclass(frozen=True, slots=True)
class QueuedMessage:
    """What waits in an entity's queue: for the end of another's critical section, or for the time `due`.

    `kind`: "call", "signal", "lock", or "unreadable" for bytes that are no message. `operation` and `input` (a plain
    JSON value) are those of a call or signal. `sender`: an instance id, an entity as text, or None for a client.
    """

    number: int
    kind: Waiting
    operation: str | None
    input: Any
    sender: str | None
    due: datetime | None


class _Told(NamedTuple):
    """What a message says of itself."""

    kind: Waiting
    operation: str | None = None
    input: Json | None = None
    sender: str | None = None
    due: int | None = None


def queued_message(number: int, blob: bytes, payloads: Payloads) -> QueuedMessage:
    """One entry of a queue, whatever is in it."""
    try:
        message = unpack_message(blob)
        told = _TOLD.get(type(message), _unreadable)(message)
        value = payloads.decode(told.input)
    except (WireError, PayloadError):
        told, value = _Told("unreadable"), None
    due = None if told.due is None else from_ms(told.due)
    return QueuedMessage(number, told.kind, told.operation, value, told.sender, due)


def _operation(message: EntityOperation) -> _Told:
    caller = message.caller
    kind: Waiting = "signal" if caller is None else "call"
    sender = message.sender if caller is None else caller.instance_id
    return _Told(kind, message.operation, message.input, sender, message.due)


def _lock(message: LockEntities) -> _Told:
    return _Told("lock", sender=message.holder.instance_id)


def _unreadable(message: object) -> _Told:
    return _Told("unreadable")


_TOLD: Final[dict[type, Callable[[Any], _Told]]] = {EntityOperation: _operation, LockEntities: _lock}
