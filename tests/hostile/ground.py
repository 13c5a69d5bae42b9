"""Where hostile things are planted: one hub with a worker, a partition they all go to, and how its neighbours fare."""

from __future__ import annotations

import asyncio
import logging
import unicodedata
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal, TypeAlias

import durastream as ds
from durastream.cli.logs import JsonLines, TextLines
from durastream.core.ids import partition_of
from durastream.errors import StoreError
from tests.acceptance.bad_input_app import app, neighbour
from tests.acceptance.planting import PARTITIONS, Garden, garden
from tests.acceptance.serving import LEASE_S
from tests.support import eventually

HOME = 5
VICTIM = "never made"  # whom messages are for
LINE_CHARS_MAX = 3_000
LINES_MAX = 200

Stops: TypeAlias = Literal["nothing", "partition", "hub"]


class Ground:
    """A garden, with names for the places in which things are planted."""

    def __init__(self, plants: Garden) -> None:
        self.redis = plants.redis
        self.plants = plants
        self.hub = plants.keys
        self.home = plants.keys.partitions[HOME]


@dataclass(frozen=True)
class Plant:
    """`stops`: what may stand still until it is mended: nothing, its partition, or the hub."""

    name: str
    plant: Callable[[Ground], object]
    mend: Callable[[Ground], object] | None = None
    stops: Stops = "nothing"


class Scene:
    """The hub, while things are planted."""

    def __init__(self, worker: ds.Worker, client: ds.Client, ground: Ground, lines: list[logging.LogRecord]) -> None:
        self.worker = worker
        self.client = client
        self.ground = ground
        self.lines = lines
        self._numbers = count()

    def ids(self, home: bool, number: int) -> list[str]:
        """New instance ids, in the partition or in others."""
        names = (f"n{k}" for k in self._numbers)
        fits = (one for one in names if (partition_of(one, PARTITIONS) == HOME) == home)
        return [next(fits) for _ in range(number)]

    async def complete(self, ids: list[str], deadline_s: float) -> None:
        """These neighbours are started and complete."""
        await asyncio.gather(*(self._complete(one, deadline_s) for one in ids))

    async def _complete(self, instance_id: str, deadline_s: float) -> None:
        """Start it until it is stored, and look at its record: notices may be what is spoilt."""

        async def started() -> bool:
            try:
                await self.client.start(neighbour, 7, instance_id=instance_id, if_exists="ignore")
            except StoreError:
                return False
            return True

        async def done() -> bool:
            try:
                status = await self.client.status(instance_id)
            except StoreError:
                return False
            if status.runtime_status == "Suspended" and status.problem:
                await self.client.resume(instance_id, "mended")
            return status.runtime_status == "Completed" and status.output == 7

        await eventually(started, deadline_s, pause_s=0.05, what=f"{instance_id} is started")
        await eventually(done, deadline_s, pause_s=0.02, what=f"{instance_id} completes")

    async def endure(self, plant: Plant) -> None:
        """Plant it, see how the neighbours fare, mend it. AssertionError where more stops than may."""
        known = self.ground.plants.instances()
        self.lines.clear()
        plant.plant(self.ground)
        neighbours = self.ids(home=False, number=2) if plant.stops != "hub" else []
        if plant.stops == "nothing":
            neighbours += self.ids(home=True, number=2)
        await self.complete(neighbours, 10)
        if plant.stops == "nothing":
            await self.seen_by_all()
        assert self.worker.host.failure is None, f"{plant.name}: {self.worker.host.failure!r}"
        if plant.mend is not None:
            plant.mend(self.ground)
        self.worker.host._rescue_at = 0.0  # it looks after streams whose ids are used up now and then: let it be now
        await self.complete(self.ids(home=True, number=1), 25)
        assert self.worker.host.failure is None, f"{plant.name}: {self.worker.host.failure!r}"
        made = {one for one in self.ground.plants.instances() - known if not one.startswith("n")}
        assert not made, f"{plant.name}: made of nothing: {made}"
        check_lines(plant.name, self.lines)

    async def seen_by_all(self) -> None:
        """Whoever looks at the hub sees the neighbours."""
        shown = {status.id async for status in self.client.list(limit=50)}
        assert shown
        found = {status.id async for status in self.client.find("n", limit=20)}
        assert found
        assert len(await self.client.partitions()) == PARTITIONS
        assert len(await self.client.loads()) == PARTITIONS
        assert await self.client.workers()
        entities = [one async for one in self.client.list_entities(limit=10)]
        assert all(one.id.name for one in entities)


def check_lines(name: str, lines: list[logging.LogRecord], *, lines_max: int = LINES_MAX) -> None:
    """What is logged meanwhile is bounded and escaped."""
    assert len(lines) <= lines_max, f"{name}: {len(lines)} lines, the last {lines[-1].getMessage()[:200]}"
    for record in lines:
        said = record.getMessage()
        assert len(said) <= LINE_CHARS_MAX, f"{name}: a line of {len(said)} characters: {said[:200]}"
        assert not any(unicodedata.category(char) in ("Cc", "Cs") for char in said), f"{name}: {said[:400]!a}"
        for lines_of in (TextLines(), JsonLines()):  # what a worker of ours writes
            assert lines_of.format(record).isprintable(), f"{name}: {said[:400]!a}"
        assert not record.exc_info, f"{name}: a stack in the log: {said[:400]!a} {record.exc_info}"


class _Listener(logging.Handler):
    def __init__(self, lines: list[logging.LogRecord]) -> None:
        super().__init__(logging.INFO)
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(record)


@asynccontextmanager
async def scene(url: str, **options: Any) -> AsyncIterator[Scene]:
    """An emptied server with a hub, a worker and a client."""
    lines: list[logging.LogRecord] = []
    listener = _Listener(lines)
    logger = logging.getLogger("durastream")
    logger.addHandler(listener)
    try:
        async with ds.Worker(app, url, lease=LEASE_S, grace=0.2, **options) as worker, ds.Client(url) as client:
            with garden(url) as plants:
                made = Scene(worker, client, Ground(plants), lines)
                await made.complete(made.ids(home=True, number=1) + made.ids(home=False, number=1), 10)
                yield made
    finally:
        logger.removeHandler(listener)
