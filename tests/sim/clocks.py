"""Time and chance of one simulated process."""

from __future__ import annotations

from random import Random

from durastream.environment import Environment
from tests.sim.loop import SimLoop

EPOCH_MS = 1_900_000_000_000
"""What the server's clock says when a simulation begins."""


class SimEnvironment(Environment):
    """`wall_offset_ms`: how far the host's clock is off; may be changed at any time, as clocks of hosts do."""

    def __init__(self, loop: SimLoop, rng: Random) -> None:
        self._loop = loop
        self._rng = rng
        self._booted_ns = rng.randrange(10**15)
        self.wall_offset_ms = rng.choice((0, 0, -90_000, 3_600_000, -86_400_000))

    def monotonic_ns(self) -> int:
        return self._booted_ns + int(self._loop.time() * 1e9)

    def wall_ns(self) -> int:
        return (EPOCH_MS + self.wall_offset_ms) * 1_000_000 + int(self._loop.time() * 1e9)

    def entropy(self, size: int) -> bytes:
        return self._rng.randbytes(size)

    def jitter(self) -> float:
        return self._rng.random()
