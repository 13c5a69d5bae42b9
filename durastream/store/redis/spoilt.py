"""Stream keys that hold something else, put there by hand. A read of many streams fails as a whole for one of them, so they are
left out, loudly, and looked at again every few seconds."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeAlias

from durastream import environment

log = logging.getLogger("durastream.store")

Calls: TypeAlias = Callable[[Iterable[tuple[Any, ...]]], Awaitable[list[Any]]]

_AGAIN_S = 5.0


class Spoilt:
    """`keys` is empty on a sound hub, and costs nothing then."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._again_at = 0.0
        self.keys: frozenset[str] = frozenset()

    async def look(self, names: Iterable[str]) -> None:
        """Find out which of these are spoilt."""
        asked = list(names)
        kinds = await self._calls(("TYPE", name) for name in asked)
        found = {name for name, kind in zip(asked, kinds, strict=True) if kind not in (b"stream", b"none")}
        for name in sorted(found - self.keys):
            log.error("%s is no stream: nothing is read from it. Delete it, or put back what was there", name)
        self.keys = (self.keys - frozenset(asked)) | found
        self._again_at = environment.monotonic() + _AGAIN_S

    async def look_again(self) -> None:
        """Whether those that are known have been mended, now and then."""
        if self.keys and environment.monotonic() >= self._again_at:
            await self.look(self.keys)
