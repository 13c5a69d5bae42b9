"""Scenarios: activities, sub-orchestrations, timers."""

from __future__ import annotations

from contextlib import suppress

import durastream as ds
from tests.sim import app
from tests.sim.scenario import Scenario


class Sequence(Scenario):
    """Activities one after the other: async, in threads, tried again."""

    kind = "sequence"

    async def run(self, client: ds.Client, who: str) -> None:
        handle = await self.started(client, app.sequence, self.size, self.name)
        wanted = sum(2 * k + 1 for k in range(self.size)) + 2
        self.equal("result", await self.result(handle), wanted)


class FanOut(Scenario):
    kind = "fan-out"

    async def run(self, client: ds.Client, who: str) -> None:
        count = 3 * self.size
        handle = await self.started(client, app.fan_out, count, self.name)
        self.equal("result", await self.result(handle), count * (count - 1) + 1)


class Tree(Scenario):
    """Sub-orchestrations, some of which fail and are tried again."""

    kind = "tree"

    async def run(self, client: ds.Client, who: str) -> None:
        depth = 1 + self.size // 2
        handle = await self.started(client, app.tree, depth, self.name)
        self.equal("result", await self.result(handle), 2**depth)


class Sleeps(Scenario):
    """Durable timers never fire early."""

    kind = "sleeps"

    async def run(self, client: ds.Client, who: str) -> None:
        pauses = [round(self.chance(f"pause {k}") * 3, 3) for k in range(self.size)]
        handle = await self.started(client, app.sleeps, pauses, self.name)
        late = await self.result(handle)
        assert len(late) == len(pauses) and all(one >= 0 for one in late), f"timers were late by {late} ms"


class StartAt(Scenario):
    """A start for later begins not before."""

    kind = "start-at"

    async def run(self, client: ds.Client, who: str) -> None:
        handle = await self.started(client, app.sequence, 1, self.name, start_at=2.0 * self.chance("delay"))
        self.equal("result", await self.result(handle), 3)
        self.world.ledger.did("start later")


class TimesOut(Scenario):
    """A wait with a timeout, which an event may be in time for; an activity that its timeout ends."""

    kind = "times-out"

    async def run(self, client: ds.Client, who: str) -> None:
        handle = await self.started(client, app.times_out, 1.0, self.name)
        if self.chance("word") < 0.5:
            with suppress(ds.Conflict):  # it has ended already
                await self.surely("raise", lambda: handle.raise_event("word", "hello"))
        found = await self.result(handle)
        assert found in ("nothing TimeoutError", "hello TimeoutError"), f"result is {found!r}"


class Generations(Scenario):
    """S12: what belongs to an execution that is over means nothing to the next one."""

    kind = "generations"

    async def run(self, client: ds.Client, who: str) -> None:
        handle = await self.started(client, app.generations, (3 * self.size, []), self.name)
        found = await self.result(handle)
        assert all(left == said for left, said in found), f"some were told what others had asked: {found}"


WORK = (Sequence, FanOut, Tree, Sleeps, StartAt, TimesOut, Generations)
