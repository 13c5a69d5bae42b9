"""What all nemeses have in common."""

from __future__ import annotations

import asyncio
import random
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from tests.chaos.deployment import Deployment
from tests.chaos.log import Log
from tests.chaos.workers import Workers

D = TypeVar("D", bound=Deployment)


@dataclass
class Nemesis(ABC, Generic[D]):
    """One kind of fault, in one run. Strikes, lasts for `span_s`, heals, and may strike again."""

    place: D
    workers: Workers
    log: Log
    rng: random.Random

    kind: ClassVar[str]
    lane: ClassVar[str]  # one at a time of those of a lane; lanes run beside each other
    span: ClassVar[tuple[float, float]]  # seconds
    expects: ClassVar[str]  # what it may cost

    def span_s(self) -> float:
        return self.rng.uniform(*self.span)

    @abstractmethod
    async def strike(self) -> str:
        """Begin; what was done to whom."""

    async def heal(self) -> int:
        """End; how often it has hit. 0: it has met nothing, and must come again."""
        return 1


class Again(Nemesis[D]):
    """Strikes again and again for as long as it lasts."""

    every_s: ClassVar[float]

    async def strike(self) -> str:
        self._over = asyncio.Event()
        self._task = asyncio.create_task(self._go_on())
        return f"every {self.every_s * 1000:.0f} ms"

    async def _go_on(self) -> int:
        hits = 0
        while not self._over.is_set():  # it is not cancelled: redis-py can swallow that in the middle of a call
            await self.hit()
            hits += 1
            await asyncio.sleep(self.every_s)  # time must pass: until the next one
        return hits

    @abstractmethod
    async def hit(self) -> None: ...

    async def heal(self) -> int:
        self._over.set()
        return await self._task
