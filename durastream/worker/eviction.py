"""Which of the things kept in memory are forgotten when there are too many: the clock algorithm, with a second chance for each
that was used (Corbató, "A paging experiment with the Multics system", 1968)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar


class Kept(Protocol):
    recent: bool  # used since the last round


K = TypeVar("K", bound=Kept)


def evict(kept: dict[str, K], keep_max: int, pinned: Callable[[str, K], bool], forget: Callable[[K], None]) -> None:
    """Take out the least recently used until `keep_max` are left, or all that are left are pinned."""
    spare = len(kept) - keep_max
    for _ in range(2 * len(kept) if spare > 0 else 0):
        key = next(iter(kept))
        one = kept.pop(key)
        if one.recent or pinned(key, one):
            one.recent = False
            kept[key] = one
            continue
        forget(one)
        spare -= 1
        if spare <= 0:
            return
