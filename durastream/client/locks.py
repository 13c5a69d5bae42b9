"""Locks of entities: which there are, and letting go of those whose holder is no more."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, NamedTuple

from durastream.client.entity_views import is_entity
from durastream.client.session import Session
from durastream.core.entity_id import EntityId
from durastream.core.events import Parent
from durastream.core.ids import check_instance_id, generation_of
from durastream.core.limits import TIME_MS_MAX
from durastream.core.messages import UnlockEntities
from durastream.core.status import TERMINAL
from durastream.errors import InvalidId
from durastream.store.protocol import Record

log = logging.getLogger("durastream.client.locks")

_PAGE: Final = 100  # locks looked into at a time: each holder's record carries its payloads
_TASK_DIGITS_MAX: Final = len(str(TIME_MS_MAX))


@dataclass(frozen=True, slots=True)
class CleanedEntities:
    """What `Client.clean_entities` has done. `released`: entities whose locks were told to open."""

    released: tuple[EntityId, ...]


class _Lock(NamedTuple):
    entity: str
    holder: Parent


async def locked_entities(session: Session, beginning: str) -> list[str]:
    """Locked entities whose text begins so, in the order of their texts. Costs one read of each partition."""
    partitions = range(session.store.hub.partitions)
    found = await asyncio.gather(*(_locks(session, partition) for partition in partitions))
    return sorted(text for locks in found for text in locks if text.startswith(beginning))


async def release_orphans(session: Session) -> CleanedEntities:
    """Open the locks whose holder is gone, has ended, or is another execution by now."""
    released: list[EntityId] = []
    for partition in range(session.store.hub.partitions):
        locks = _readable(session, partition, await _locks(session, partition))
        while page := list(islice(locks, _PAGE)):
            orphans = await _orphans(session, page)
            await asyncio.gather(*(session.post(UnlockEntities(one.entity, (), one.holder)) for one in orphans))
            released += (EntityId.parse(one.entity) for one in orphans)
    return CleanedEntities(tuple(sorted(released)))


async def _locks(session: Session, partition: int) -> dict[str, str]:
    return await session.read(f"locks of partition {partition}", lambda: session.store.locks(partition))


def _readable(session: Session, partition: int, locks: dict[str, str]) -> Iterable[_Lock]:
    """Without what no worker wrote, and no worker could open either."""
    for entity, text in locks.items():
        holder = parse_holder(text)
        if holder is None or not is_entity(entity) or session.partition(entity) != partition:
            log.warning("partition %d: lock of %.80a by %.80a was not written by a worker", partition, entity, text)
        else:
            yield _Lock(entity, holder)


def parse_holder(text: str) -> Parent | None:
    """Who holds a lock, from "instance\\nexecution\\ntask"; None for anything else."""
    instance_id, _, rest = text.partition("\n")
    execution_id, _, task = rest.partition("\n")
    try:
        check_instance_id(instance_id)
        generation_of(execution_id)
    except InvalidId:
        return None
    if not (task.isascii() and task.isdigit() and len(task) < _TASK_DIGITS_MAX):
        return None
    return Parent(instance_id, execution_id, int(task))


async def _orphans(session: Session, locks: Sequence[_Lock]) -> list[_Lock]:
    holders = list({lock.holder.instance_id for lock in locks})
    records = await session.read("holders of locks", lambda: session.store.records(holders))
    found = dict(zip(holders, records, strict=True))
    return [lock for lock in locks if _is_over(lock.holder, found[lock.holder.instance_id])]


def _is_over(holder: Parent, record: Record | None) -> bool:
    """Whether this execution can no longer leave its critical section by itself.

    One that ended after the lock was read has sent for it to be opened: opening it twice is harmless, since the order names
    the request it is for.
    """
    return record is None or record.status in TERMINAL or record.execution_id != holder.execution_id
