"""The one retry policy of the client: repeat after `StoreUnavailable`, with growing pauses, while patience lasts. Not where
waiting does not help (`ServerUnsuitable`).

Repeating is safe because every verb of the store may be repeated with the same arguments (`store.protocol`).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from durastream.errors import ServerUnsuitable, StoreUnavailable

T = TypeVar("T")

PATIENCE_S = 30.0
_PAUSE_S_FIRST = 0.02
_PAUSE_S_MAX = 1.0
_DOUBLINGS_MAX = 6  # 0.02 s · 2^6 is over the cap


class Retry:
    """How long to go on, and how long to pause between attempts."""

    def __init__(self, patience_s: float, rng: random.Random) -> None:
        self.patience_s = patience_s
        self._rng = rng

    def pause_s(self, failures: int) -> float:
        """Pause after so many failed attempts (from 1). Half of it is random, so that clients do not march in step."""
        grown = _PAUSE_S_FIRST * 2.0 ** min(failures - 1, _DOUBLINGS_MAX)
        return min(grown, _PAUSE_S_MAX) * (0.5 + self._rng.random() / 2)

    async def run(self, what: str, attempt: Callable[[], Awaitable[T]]) -> T:
        """The answer of `attempt`. Raises StoreUnavailable, naming `what`, when patience has run out."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.patience_s
        failures = 0
        while True:
            try:
                return await attempt()
            except ServerUnsuitable:
                raise
            except StoreUnavailable as error:
                failures += 1
                pause_s = self.pause_s(failures)
                if loop.time() + pause_s > deadline:
                    raise StoreUnavailable(f"{what}: gave up after {failures} attempts: {error}") from error
            await asyncio.sleep(pause_s)
