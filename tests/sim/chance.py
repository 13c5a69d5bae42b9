"""Randomness by name: each choice is a hash of the seed and of what is being chosen, so one choice does not move the others.

A fault that is left out while a failing seed is shrunk must not change which faults come after it. A generator that all draw from
would do that.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from random import Random
from typing import TypeVar

T = TypeVar("T")

_WHOLE = 1 << 64


class Chance:
    """All chance of one seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._key = f"durastream {seed}".encode()

    def number(self, what: str) -> float:
        """From 0 up to 1; the same for the same name."""
        return int.from_bytes(self.bytes(what, 8), "big") / _WHOLE

    def bytes(self, what: str, size: int) -> bytes:
        return blake2b(what.encode(), digest_size=size, key=self._key).digest()

    def between(self, what: str, low: float, high: float) -> float:
        return low + (high - low) * self.number(what)

    def whole(self, what: str, low: int, high: int) -> int:
        """From `low` to `high`, both included."""
        return low + int(self.number(what) * (high - low + 1))

    def pick(self, what: str, among: Sequence[T]) -> T:
        return among[int(self.number(what) * len(among))]

    def generator(self, what: str) -> Random:
        """For who draws often, and in an order of its own."""
        return Random(int.from_bytes(self.bytes(what, 16), "big"))
