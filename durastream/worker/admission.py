"""What a message must be, beyond well formed, before it may create or open anything: anybody can write to an inbox."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final

import orjson

from durastream.core.entity_id import EntityId
from durastream.core.events import Parent
from durastream.core.ids import (
    check_instance_id,
    check_name,
    check_reason,
    check_tags,
    check_version,
    generation_of,
    partition_of,
)
from durastream.core.limits import ENTITY_BYTES_MAX, LOCK_ENTITIES_MAX, QUOTE_CHARS_MAX
from durastream.core.messages import (
    EntityOperation,
    LockEntities,
    LockGranted,
    Message,
    Restart,
    Resume,
    Rewind,
    Start,
    Suspend,
    Terminate,
    UnlockEntities,
)
from durastream.errors import InvalidId
from durastream.store.protocol import HubInfo

_REMEMBERED: Final = 16_384  # entities that were looked at: with texts of 40 bytes about 4 MiB, at the most 11 MiB


def check(message: Message, partition: int, hub: HubInfo) -> None:
    """Raises InvalidId, which says what is wrong with it."""
    rule = _RULES.get(type(message))
    if rule is not None:
        rule(message, partition, hub)


def _start(message: Start, partition: int, hub: HubInfo) -> None:
    check_instance_id(message.instance_id)
    check_name(message.name, "orchestrator")
    check_version(message.version)
    _tags(message.tags)
    home = partition_of(message.instance_id, hub.partitions)
    if home != partition:
        raise InvalidId(f"instance {message.instance_id!r} lives in partition {home}")
    _execution(message.execution_id)
    if message.parent is not None:
        check_instance_id(message.parent.instance_id)
        _execution(message.parent.execution_id)


def _tags(tags: bytes | None) -> None:
    if tags is None:
        return
    try:
        read = orjson.loads(tags)
    except ValueError:
        raise InvalidId("the tags are no JSON") from None
    check_tags(read, len(tags))


def _reason(message: Suspend | Resume | Terminate | Rewind, _partition: int, _hub: HubInfo) -> None:
    check_reason(message.reason)


def _restart(message: Restart, _partition: int, _hub: HubInfo) -> None:
    _execution(message.execution_id)


def _execution(execution_id: str) -> None:
    generation_of(execution_id)
    if not execution_id.isprintable():
        raise InvalidId(f"execution id {execution_id[:80]!a} contains control characters")


# ---------------------------------------------------------------- entities


def _operation(message: EntityOperation, partition: int, hub: HubInfo) -> None:
    _lives_here(message.entity, partition, hub)
    check_name(message.operation, "operation")
    if message.caller is not None:
        _holder(message.caller, "caller")
    if message.sender is not None and not 0 < len(message.sender.encode()) <= ENTITY_BYTES_MAX:
        raise InvalidId(f"sender {message.sender[:QUOTE_CHARS_MAX]!a} is neither an instance nor an entity")


def _lock(message: LockEntities, partition: int, hub: HubInfo) -> None:
    _lives_here(message.entity, partition, hub)
    _in_order(message.entities)
    if message.entity not in message.entities:
        raise InvalidId(f"entity {message.entity[:QUOTE_CHARS_MAX]!a} is none of the entities to be locked")
    _holder(message.holder, "holder")


def _unlock(message: UnlockEntities, partition: int, hub: HubInfo) -> None:
    _lives_here(message.entity, partition, hub)
    _in_order((message.entity, *message.rest))
    _holder(message.holder, "holder")


def _granted(message: LockGranted, _partition: int, _hub: HubInfo) -> None:
    """One that nobody waits for is handed back: each entity that it names is written to."""
    _in_order(message.entities)
    _holder(Parent(message.instance_id, message.execution_id, message.task), "holder")


def _lives_here(entity: str, partition: int, hub: HubInfo) -> None:
    home = _home(entity, hub.partitions)
    if home != partition:
        raise InvalidId(f"entity {entity[:QUOTE_CHARS_MAX]!a} lives in partition {home}")


@lru_cache(_REMEMBERED)
def _home(entity: str, partitions: int) -> int:
    """Remembered, since a hot entity is looked at ten thousands of times a second."""
    EntityId.parse(entity)
    return partition_of(entity, partitions)


def _in_order(entities: tuple[str, ...]) -> None:
    """Whoever locks in another order than all others could wait for them for ever, and they for it."""
    if not 0 < len(entities) <= LOCK_ENTITIES_MAX:
        raise InvalidId(f"{len(entities)} entities in one critical section; 1 to {LOCK_ENTITIES_MAX}")
    for entity in entities:
        EntityId.parse(entity)
    if any(first >= second for first, second in pairwise(entities)):
        raise InvalidId("the entities of a critical section do not stand in the order of their texts, each once")


def _holder(holder: Parent, what: str) -> None:
    check_instance_id(holder.instance_id, f"{what}'s instance id")
    _execution(holder.execution_id)
    if holder.task < 0:
        raise InvalidId(f"{what} names event {holder.task}; events are counted from 0")


_RULES: Final[dict[type, Callable[[Any, int, HubInfo], None]]] = {
    Start: _start,
    Restart: _restart,
    Suspend: _reason,
    Resume: _reason,
    Terminate: _reason,
    Rewind: _reason,
    EntityOperation: _operation,
    LockEntities: _lock,
    UnlockEntities: _unlock,
    LockGranted: _granted,
}
