"""The order of the faults. A lane strikes with one nemesis at a time, lanes run beside each other: so pairs come by themselves.

A lane draws from a bag that holds each of its kinds once and is filled again when it is empty, so even a short run has them all.
What a lane draws follows from the seed alone, whatever the other lanes and the machine do.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from tests.chaos.nemeses.base import Nemesis

_REST_S = (0.2, 1.0)  # between two strikes of a lane


@dataclass(frozen=True)
class Fault:
    """One strike. Times in seconds, monotonic."""

    kind: str
    begin: float
    end: float
    hits: int
    what: str


class Lanes:
    """All strikes of a run. `tell` gets a line for each."""

    def __init__(self, nemeses: Iterable[Nemesis[Any]], seed: int, tell: Callable[[str], object]) -> None:
        self.faults: list[Fault] = []
        self._lanes: defaultdict[str, list[Nemesis[Any]]] = defaultdict(list)
        for nemesis in nemeses:
            self._lanes[nemesis.lane].append(nemesis)
        self._seed = seed
        self._tell = tell
        self._began = time.monotonic()

    async def run(self, seconds: float, limit_s: float) -> None:
        """For so long, and until each kind has hit; but never longer than `limit_s`."""
        self._began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for name, kinds in self._lanes.items():
                group.create_task(self._lane(name, kinds, self._began + seconds, self._began + limit_s))

    async def _lane(self, name: str, kinds: Sequence[Nemesis[Any]], enough_at: float, limit_at: float) -> None:
        rng = random.Random(f"{self._seed} {name}")
        missing = {one.kind for one in kinds}
        bag: list[Nemesis[Any]] = []
        while time.monotonic() < limit_at and (missing or time.monotonic() < enough_at):
            if not bag:
                bag = rng.sample(kinds, len(kinds))
            nemesis = bag.pop()
            if time.monotonic() >= enough_at and nemesis.kind not in missing:
                continue
            await asyncio.sleep(rng.uniform(*_REST_S))  # time must pass: work is done between faults
            if await self._strike(nemesis):
                missing.discard(nemesis.kind)

    async def _strike(self, nemesis: Nemesis[Any]) -> bool:
        begin = time.monotonic()
        what = await nemesis.strike()
        hits = 0
        try:
            await asyncio.sleep(nemesis.span_s())  # time must pass: that is how long it lasts
        finally:
            hits = await nemesis.heal()
        fault = Fault(nemesis.kind, begin, time.monotonic(), hits, what)
        self.faults.append(fault)
        lasted = fault.end - fault.begin
        self._tell(f"{begin - self._began:7.2f} s  {nemesis.kind:<16} {what}, {lasted:.1f} s, {hits} hits")
        return hits > 0

    def pairs(self) -> set[tuple[str, str]]:
        """Kinds of which two were at work in the same moment."""
        return {
            (min(one.kind, other.kind), max(one.kind, other.kind))
            for one, other in combinations(self.faults, 2)
            if one.kind != other.kind and one.begin < other.end and other.begin < one.end
        }
