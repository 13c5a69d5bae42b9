"""Background tasks of one open client: kept from being collected, and ended with it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

_GRACE_S = 5.0  # for commands in flight: they are not cancelled, so that no connection is left half-read


class Tasks:
    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def close(self) -> None:
        """Give running work a while to end by itself, then cancel what is left."""
        if self._running:
            await asyncio.wait(self._running, timeout=_GRACE_S)
        left = list(self._running)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
