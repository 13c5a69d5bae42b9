"""Which keys a hub has, and of which type: `store.keys` read backwards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from durastream.store.keys import HubKeys

_FAMILIES: Final[dict[str, str]] = {
    "instance": "hash",
    "history": "hash",
    "activities": "stream",
    "entity": "hash",
    "queue_of": "hash",
}
"""Methods of `PartitionKeys` that name a key for each id, and the type of these keys."""


class Place(NamedTuple):
    """A key of a family: `of` is the instance id, activity queue or entity it is for."""

    family: str
    partition: int
    of: str


class Layout:
    """Made once for a hub."""

    def __init__(self, keys: HubKeys) -> None:
        self._singles = dict(_singles(keys))
        self._families = {
            getattr(names, family)("").encode(): (family, partition)
            for partition, names in enumerate(keys.partitions)
            for family in _FAMILIES
        }
        self._tags = len(keys.partitions_prefix)

    def wanted(self, name: bytes) -> tuple[str | None, str]:
        """The type that a key should have; or None, and why it is none of ours."""
        single = self._singles.get(name)
        if single is not None:
            return single, ""
        if self._family(name) is None:
            return None, ""
        if self.place(name) is None:
            return None, "it names something whose name is no UTF-8: it was not written by durastream"
        family, _ = self._family(name) or ("", 0)
        return _FAMILIES[family], ""

    def place(self, name: bytes) -> Place | None:
        """What a key of a family is for; None for other keys."""
        found = self._family(name)
        if found is None:
            return None
        family, partition = found
        try:
            return Place(family, partition, name[self._length(name) :].decode())
        except UnicodeDecodeError:
            return None

    def _family(self, name: bytes) -> tuple[str, int] | None:
        length = self._length(name)
        return self._families.get(name[:length]) if len(name) > length else None

    def _length(self, name: bytes) -> int:
        """Of what stands before the id: up to the colon after the letter of the family."""
        end = name.find(b"}:", self._tags)
        return end + 4 if end >= 0 else len(name)


def _singles(keys: HubKeys) -> Iterator[tuple[bytes, str]]:
    hub = {
        "settings": "hash",
        "workers": "zset",
        "about": "hash",
        "ingress": "stream",
        "lease": "hash",
        "dead": "stream",
        "marks": "hash",
    }
    for attribute, kind in hub.items():
        yield getattr(keys, attribute).encode(), kind
    for names in keys.partitions:
        for attribute, kind in _PARTITION.items():
            yield getattr(names, attribute).encode(), kind
        for index in names.status.values():
            yield index.encode(), "zset"


_PARTITION: Final[dict[str, str]] = {
    "entities": "zset", "inbox": "stream", "lease": "hash", "locks": "hash", "marks": "hash", "outbox": "stream",
    "parked": "hash", "queues": "set", "routed": "hash", "stalled": "hash", "stats": "hash", "timers": "zset",
    "watch": "hash",
}  # fmt: skip
