"""Scenarios: what operators do to instances."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import durastream as ds
from durastream.errors import StoreUnavailable
from tests.sim import app
from tests.sim.image import image_of
from tests.sim.loop import pause
from tests.sim.scenario import Scenario

if TYPE_CHECKING:
    from tests.sim.world import World


class Terminates(Scenario):
    """A tree that waits for ever is ended from above."""

    kind = "terminates"

    async def run(self, client: ds.Client, who: str) -> None:
        handle = await self.started(client, app.waits, self.size - 1, self.name)
        await pause(self.chance("pause"))
        with suppress(ds.Conflict):  # an earlier try has done it
            await self.surely("terminate", lambda: handle.terminate("enough"))
        while True:
            try:
                await handle.result(timeout=20)
            except ds.OrchestrationTerminated as error:
                self.equal("reason", error.message, "enough")
                return
            except (StoreUnavailable, ds.TimeoutError):
                continue
            raise AssertionError("it ended by itself")

    def check(self) -> None:
        for place in self.world.server.hub.partitions:
            for name, held in place.instances.items():
                if name.startswith(self.name + ":") or name == self.name:
                    self.equal(f"status of {name}", held.fields["status"], "Terminated")


class Suspends(Scenario):
    """What is suspended runs no code, and keeps what comes for it."""

    kind = "suspends"
    resumed = False

    async def run(self, client: ds.Client, who: str) -> None:
        handle = await self.started(client, app.waits, 0, self.name)
        await self.until(client, self.name, lambda status: status.custom_status == "waits")
        await self.surely("suspend", lambda: handle.suspend("for a while"))
        before = await self.until(
            client, self.name, lambda status: status.runtime_status == "Suspended" or status.completed_at is not None
        )
        if before.completed_at is not None:
            raise _Over
        await self.surely("raise", lambda: handle.raise_event("go", "gone"))
        await pause(0.5)
        after = await self.surely("status", lambda: client.status(self.name))
        if not self.resumed:  # by an earlier try, whose order may still have been on its way
            assert after.runtime_status == "Suspended" and after.completed_at is None, f"it went on: {after}"
            assert after.events <= before.events + 6, "it did something while it was suspended"
        self.resumed = True
        while True:
            await self.surely("resume", lambda: handle.resume("go on"))
            try:
                self.equal("result", await handle.result(timeout=10), "gone")
                return
            except (StoreUnavailable, ds.TimeoutError):
                continue

    async def surely(self, kind: str, call: Any) -> Any:
        """When it was run before, it may have ended by now."""
        try:
            return await super().surely(kind, call)
        except ds.Conflict:
            raise _Over from None


class _Over(Exception):
    """Another try of the scenario has come to its end."""


class SuspendsOnce(Suspends):
    """`Suspends`, for a client that may be killed in the middle of it."""

    kind = "suspends"

    async def run(self, client: ds.Client, who: str) -> None:
        found = await self.tries(client, who)
        self.equal("result", found, "gone")

    async def tries(self, client: ds.Client, who: str) -> Any:
        try:
            await super().run(client, who)
        except _Over:
            return await self.result(client.handle(self.name))
        return "gone"


class Rewinds(Scenario):
    """What failed goes on where it failed, once that is mended."""

    kind = "rewinds"

    async def run(self, client: ds.Client, who: str) -> None:
        handle = await self.started(client, app.needs_mending, self.name, self.name)
        try:
            self.equal("result", await self.result(handle), 42)
            return  # an earlier try has rewound it
        except ds.OrchestrationFailed:
            self.world.mended.add(self.name)
            self.world.watch.allowed.add(self.name)
        while True:
            with suppress(ds.Conflict):  # it has been rewound
                await self._rewind(handle)
            try:
                self.equal("result", await self.result(handle), 42)
                return
            except ds.OrchestrationFailed:  # of before: the order is on its way, or was lost
                await pause(0.2)

    async def _rewind(self, handle: ds.Handle[Any]) -> None:
        try:
            with self.world.ledger.op("rewind"):
                await handle.rewind("mended", timeout=20)
        except (ds.TimeoutError, StoreUnavailable):
            return

    def check(self) -> None:
        runs = self.world.ledger.runs[f"double {self.name}/before"]
        assert runs == 1 or self.world.plan.fired, f"what was done before was done {runs} times"


class Restarts(Scenario):
    """An ended instance begins anew, as another execution."""

    kind = "restarts"

    async def run(self, client: ds.Client, who: str) -> None:
        handle = await self.started(client, app.sequence, 1, self.name)
        self.equal("result", await self.result(handle), 3)
        before = await self.surely("status", lambda: client.status(self.name))
        self.world.watch.allowed.add(self.name)
        try:
            with self.world.ledger.op("restart"):
                await handle.restart(timeout=60)
        except (ds.TimeoutError, ds.Conflict, StoreUnavailable):
            return  # nobody knows what became of it
        after = await self.until(client, self.name, lambda status: status.completed_at)
        assert after.execution_id != before.execution_id, "it is the same execution"
        self.equal("result", after.output, 3)


class Purges(Scenario):
    """What is purged is gone, down to the last byte; its id is free again."""

    kind = "purges"

    def __init__(self, world: World, number: int) -> None:
        super().__init__(world, number)
        self.purged = False

    async def run(self, client: ds.Client, who: str) -> None:
        name = f"{self.name}-once"
        while not self.purged:
            handle = await self.started(client, app.sequence, 1, name)
            try:
                self.equal("result", await self.result(handle), 3)
                with self.world.ledger.op("purge"):
                    await handle.purge(timeout=60)
            except ds.InstanceNotFound:
                self.purged = True  # by an earlier try
            except (ds.TimeoutError, ds.Conflict, StoreUnavailable):
                await pause(0.2)
            else:
                self.purged = True

    def check(self) -> None:
        name = f"{self.name}-once".encode()
        if self.world.plan.counts.keys() & {"late", "twice", "crash-sent", "kill-client"}:
            return  # a start that was carried out once more after all that makes it anew
        traces = [
            key for key, value in image_of(self.world.server).items() if name in key or name in repr(value).encode()
        ]
        assert not traces, f"it is still told of in {traces}"


class SameId(Scenario):
    """Many want to start the same id: one does."""

    kind = "same-id"

    def __init__(self, world: World, number: int) -> None:
        super().__init__(world, number)
        self.replaced = False

    async def run(self, client: ds.Client, who: str) -> None:
        tries = [self._start(client, k) for k in range(3)]
        won = sum(await asyncio.gather(*tries))
        assert won <= 1, f"{won} starts of one id were acknowledged"
        handle = await self.surely(
            "start ignored", lambda: client.start(app.sequence, 1, instance_id=self.name, if_exists="ignore")
        )
        found = await self.result(handle)
        assert found == 3 or (found == 6 and self.replaced), f"result is {found}"
        self.replaced = True
        self.world.watch.allowed.add(self.name)
        again: ds.Handle[Any] = await self.surely(
            "start replaced", lambda: client.start(app.sequence, 2, instance_id=self.name, if_exists="replace")
        )
        self.equal("result", await self.result(again), 6)

    async def _start(self, client: ds.Client, k: int) -> bool:
        try:
            with self.world.ledger.op("start once"):
                await client.start(app.sequence, 1, instance_id=self.name)
        except (ds.InstanceExists, StoreUnavailable):
            return False
        return True


class Looks(Scenario):
    """What one client sees never goes back."""

    kind = "looks"

    async def run(self, client: ds.Client, who: str) -> None:
        handle = await self.started(client, app.fan_out, 4, self.name)
        seen, status = -1, None
        while status is None or status.completed_at is None:
            status = await self.surely("status", lambda: client.status(self.name))
            assert status.events >= seen, f"{seen} events were seen, and then {status.events}"
            seen = status.events
            history = await self.surely("history", lambda: client.history(self.name))
            assert len(history) >= seen, f"the history has {len(history)} events, {seen} were seen before"
            await self.surely("list", lambda: _listed(client))
            await pause(0.15)
        self.equal("result", await self.result(handle), 13)


async def _listed(client: ds.Client) -> list[str]:
    return [one.id async for one in client.list(limit=20)]


CONTROL = (Terminates, SuspendsOnce, Rewinds, Restarts, Purges, SameId, Looks)
