"""Ids of entities: a name, which says what code it runs, and a key, which says which one it is.

As text an entity is `@name@key`, in messages, in keys and wherever people read it. It lives in partition
`crc32(utf8(text)) % partitions`, found by `core.ids.partition_of` like that of an instance.
"""

from __future__ import annotations

from dataclasses import dataclass

from durastream.core.ids import check_instance_id, check_name
from durastream.errors import InvalidId


@dataclass(frozen=True, slots=True, order=True)
class EntityId:
    """Names one entity. Both parts are 1 to 256 bytes of UTF-8 without control characters; a name has no `@`.

    >>> str(EntityId("Counter", "a"))
    '@Counter@a'
    """

    name: str
    key: str

    def __post_init__(self) -> None:
        check_entity_name(self.name)
        check_instance_id(self.key, "entity key")

    def __str__(self) -> str:
        return f"@{self.name}@{self.key}"

    @classmethod
    def parse(cls, text: str) -> EntityId:
        """The id that is written so. Raises InvalidId."""
        parts = text.split("@", 2)
        if len(parts) != 3 or parts[0]:
            raise InvalidId(f"entity {text[:80]!a} is not written @name@key")
        return cls(parts[1], parts[2])


def check_entity_name(name: str) -> str:
    """The name itself if it is one. Raises InvalidId."""
    if "@" in check_name(name, "entity"):
        raise InvalidId(f"entity name {name[:80]!a} is not valid: it has no '@', which separates it from the key")
    return name
