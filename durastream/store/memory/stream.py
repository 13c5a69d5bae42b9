"""A stream: entries in the order of their arrival, numbered from 1, numbers never used twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class Stream(Generic[T]):
    """Entry ids are text, and opaque to callers but for "0", which stands before all of them."""

    entries: dict[str, T] = field(default_factory=dict)
    last: int = 0

    def append(self, value: T) -> str:
        self.last += 1
        self.entries[str(self.last)] = value
        return str(self.last)

    def remove(self, entry_id: str) -> T | None:
        """Take an entry out; None when it is gone already."""
        return self.entries.pop(entry_id, None)

    def after(self, cursor: str, count: int) -> list[tuple[str, T]]:
        """At most `count` entries behind the cursor, oldest first."""
        return list(islice(self._behind(int(cursor)), count))

    def _behind(self, number: int) -> Iterator[tuple[str, T]]:
        return ((entry_id, value) for entry_id, value in self.entries.items() if int(entry_id) > number)

    def __len__(self) -> int:
        return len(self.entries)
