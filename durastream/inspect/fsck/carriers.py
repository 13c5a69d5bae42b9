"""Looks through everything that is under way for what is needed. What is held in memory is what is wanted, not what is there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from durastream import wire
from durastream.core.ids import partition_of
from durastream.errors import WireError
from durastream.inspect.invariants.needs import Need, carried_by
from durastream.store.redis.fsck import RawHub

Unpack: TypeAlias = Callable[[bytes], Any]


class Carriers:
    """Messages in activity streams, outboxes, inboxes and entity queues."""

    def __init__(self, hub: RawHub) -> None:
        self._hub = hub
        self._activities: set[str] = set()  # streams that were seen, whether or not they are listed

    def noticed(self, activities: str) -> None:
        """There is such an activity stream."""
        self._activities.add(activities)

    async def activity_streams(self) -> set[str]:
        listed = [
            names.activities(queue.decode(errors="replace"))
            for names in self._hub.keys.partitions
            for queue in await self._hub.members(names.queues)
        ]
        return self._activities | set(listed)

    async def find(self, wanted: Mapping[Need, tuple[str, ...]]) -> set[Need]:
        """Which of these are under way. Goes through the places in the order in which messages move."""
        left = set(wanted)
        for key in sorted(await self.activity_streams()):
            await self._stream(key, wire.unpack_activity, left)
        for names in self._hub.keys.partitions:
            await self._stream(names.outbox, wire.unpack_message, left)
        for names in self._hub.keys.partitions:
            await self._stream(names.inbox, wire.unpack_message, left)
        await self._queues({entity for need in left for entity in wanted[need]}, left)
        return wanted.keys() - left

    async def _stream(self, key: str, unpack: Unpack, left: set[Need]) -> None:
        if not left:
            return
        async for page in self._hub.walk_stream(key):
            for _, fields in page:
                blob = next((fields[at + 1] for at in range(0, len(fields) - 1, 2) if fields[at] == b"m"), b"")
                left -= _carried(blob, unpack)

    async def _queues(self, entities: Iterable[str], left: set[Need]) -> None:
        for entity in sorted(entities):
            names = self._hub.keys.partitions[partition_of(entity, self._hub.hub.partitions)]
            async for page in self._hub.walk_hash(names.queue_of(entity)):
                for _, blob in page:
                    # What waits in the queue is not what makes its owner look at the queue.
                    left -= {need for need in _carried(blob, wire.unpack_message) if need.kind != "wake"}


def _carried(blob: bytes, unpack: Unpack) -> set[Need]:
    """Nothing where it cannot be read: that is told of elsewhere."""
    try:
        return set(carried_by(unpack(blob)))
    except WireError:
        return set()
