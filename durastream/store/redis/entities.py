"""Verbs that read entities: their records, their queues, and pages of them in the order of their texts."""

from __future__ import annotations

import base64
import heapq
from collections.abc import Mapping, Sequence
from typing import TypeVar

from durastream.core.ids import partition_of
from durastream.errors import Refused
from durastream.store.connection import ReplyError
from durastream.store.keys import PartitionKeys
from durastream.store.protocol import EntityPage, EntityRecord, Lease
from durastream.store.redis import decode
from durastream.store.redis.base import Base
from durastream.store.redis.pages import no_cursor, readable

V = TypeVar("V")

_AFTER_ALL = b"\xff"  # in no UTF-8 text


class EntityVerbs(Base):
    async def entities(self, ids: Sequence[str]) -> list[EntityRecord | None]:
        homes = [self._home(one) for one in ids]
        replies = await self._calls(
            command
            for one, names in zip(ids, homes, strict=True)
            for command in (("HGETALL", names.entity(one)), ("HLEN", names.queue_of(one)))
        )
        return [
            decode.entity(one, flat, queued) for one, flat, queued in zip(ids, replies[::2], replies[1::2], strict=True)
        ]

    def _home(self, entity: str) -> PartitionKeys:
        return self.keys.partitions[partition_of(entity, self.hub.partitions)]

    async def entity_page(self, prefix: str, *, cursor: str | None, limit: int) -> EntityPage:
        start = prefix.encode()
        after = _after(cursor) if cursor else b""
        lowest = b"(" + after if after > start else b"[" + start
        bounds = (lowest, b"(" + start + _AFTER_ALL, "LIMIT", 0, limit + 1)
        found = await self._calls(("ZRANGEBYLEX", names.entities, *bounds) for names in self.keys.partitions)
        merged = heapq.nsmallest(limit + 1, (member for members in found for member in members))
        shown = merged[:limit]
        ids = [text for member in shown if (text := _text(member)) is not None]
        records = await readable(self.entities, ids, "entity")
        more = len(merged) > limit and shown
        following = base64.urlsafe_b64encode(shown[-1]).decode() if more else None
        return EntityPage([one for one in records if one is not None], following)

    async def entity_queue(self, entity: str, count: int) -> list[tuple[int, bytes]]:
        key = self._home(entity).queue_of(entity)
        places = sorted(decode.places(entity, await self._call("HKEYS", key)))[:count]
        if not places:
            return []
        blobs = await self._call("HMGET", key, *places)
        # One that has gone meanwhile waits no more.
        return [(place, blob) for place, blob in zip(places, blobs, strict=True) if blob is not None]

    async def locks(self, partition: int) -> dict[str, str]:
        flat = await self._call("HGETALL", self.keys.partitions[partition].locks)
        return _texts({one: _text(holder) for one, holder in decode.pairs(flat).items()})

    async def stalled(self, partition: int) -> dict[str, bytes]:
        flat = await self._call("HGETALL", self.keys.partitions[partition].stalled)
        return _texts(decode.pairs(flat))

    async def load_entities(
        self, lease: Lease, ids: Sequence[str]
    ) -> list[tuple[EntityRecord, list[tuple[int, bytes]]] | None]:
        names = self.keys.partitions[lease.partition]
        try:
            replies = await self._calls(
                ("HGETALL", key) for one in ids for key in (names.entity(one), names.queue_of(one))
            )
        except ReplyError as error:
            raise Refused(f"an entity cannot be read: {error}") from None
        return [_loaded(one, flat, queue) for one, flat, queue in zip(ids, replies[::2], replies[1::2], strict=True)]


def _after(cursor: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(cursor)
    except ValueError:
        raise no_cursor(cursor) from None


def _text(member: bytes) -> str | None:
    """None for bytes that are no UTF-8, written into the index by hand: they name no entity."""
    try:
        return member.decode()
    except UnicodeDecodeError:
        return None


def _texts(found: Mapping[bytes, V | None]) -> dict[str, V]:
    """By text, without what somebody wrote there by hand that is none."""
    return {text: value for one, value in found.items() if value is not None and (text := _text(one)) is not None}


def _loaded(entity: str, flat: list[bytes], queue: list[bytes]) -> tuple[EntityRecord, list[tuple[int, bytes]]] | None:
    waiting = decode.queue(entity, queue)
    record = decode.entity(entity, flat, len(waiting))
    if record is not None:
        return record, waiting
    if waiting:
        raise Refused(
            f"the record of entity {entity!r} is gone, but {len(waiting)} messages wait for it: put it back, or delete"
            " its queue"
        )
    return None
