"""Helpers for tests of any layer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any


class ManualClock:
    """Milliseconds that pass only when told to."""

    def __init__(self, now: int = 1_700_000_000_000) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now

    def advance(self, ms: int) -> None:
        self.now += ms


async def eventually(
    condition: Callable[[], object], deadline_s: float = 10, *, pause_s: float = 0.005, what: str = ""
) -> Any:
    """Ask again until the answer is true, and return it. AssertionError with the last answer at the deadline.

    The condition may be a coroutine function.
    """
    ends = time.monotonic() + deadline_s
    while True:
        answer: Any = condition()
        value: Any = await answer if isinstance(answer, Awaitable) else answer
        if value:
            return value
        assert time.monotonic() < ends, f"not within {deadline_s} s: {what or condition}; last answer {value!r}"
        await asyncio.sleep(pause_s)


async def a_moment() -> None:
    """Let another task get as far as its blocking call, most of the time. The outcome must be the same if it did not."""
    await asyncio.sleep(0.05)
