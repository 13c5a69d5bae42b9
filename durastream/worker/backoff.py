"""The one retry policy of the worker: wait a little longer after each failure, never in step with other workers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from durastream import environment
from durastream.errors import StoreUnavailable

T = TypeVar("T")

_FIRST_S = 0.02
_LONGEST_S = 1.0


class Backoff:
    """Pauses of 20 ms doubling to 1 s, each shortened by up to half at random. `reset` after a success."""

    __slots__ = ("_next_s",)

    def __init__(self) -> None:
        self._next_s = _FIRST_S

    def reset(self) -> None:
        self._next_s = _FIRST_S

    async def pause(self) -> None:
        await asyncio.sleep(self._next_s * (0.5 + environment.jitter() / 2))
        self._next_s = min(self._next_s * 2, _LONGEST_S)


async def persist(action: Callable[[], Awaitable[T]]) -> T:
    """Repeat an idempotent verb until the store serves it. Other errors pass."""
    backoff = Backoff()
    while True:
        try:
            return await action()
        except StoreUnavailable:
            await backoff.pause()
