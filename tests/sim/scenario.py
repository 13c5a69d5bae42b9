"""What clients do in a simulation, and how they know that it was done right.

A scenario lives outside of the processes: when the one that runs it is killed, another one runs it again, from its beginning. So
each says what it has sent, and sends nothing twice that must not be sent twice. Calls whose fate is unknown are `info`: their
effect may be there once, or not at all.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import durastream as ds
from durastream.errors import StoreUnavailable
from tests.sim.loop import pause

if TYPE_CHECKING:
    from tests.sim.world import World

T = TypeVar("T")


class Scenario:
    """`name` begins every id it uses. `slot`: the client that runs it."""

    kind: str = ""
    instances_max = 1_000

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.name = f"{self.kind}-{number}"
        self.slot = world.chance.whole(f"slot {self.name}", 0, world.knobs.clients - 1)
        self.begins_at = world.chance.between(f"begins {self.name}", 0.2, world.knobs.storm_s * 0.8)
        self.size = world.chance.whole(f"size {self.name}", 1, 4)
        self.done = False

    async def run(self, client: ds.Client, who: str) -> None:
        """Go through it. Raises StoreUnavailable where it wants to be run again; any other error is a finding."""
        raise NotImplementedError

    def check(self) -> None:
        """Look at the end, once nothing moves any more. Raises AssertionError."""

    # -- steps

    async def surely(self, kind: str, call: Callable[[], Awaitable[T]]) -> T:
        """Repeat a call that may be repeated until its fate is known."""
        while True:
            try:
                with self.world.ledger.op(kind):
                    return await call()
            except StoreUnavailable:
                continue

    async def started(
        self, client: ds.Client, orchestrator: Callable[..., Any], data: Any, instance_id: str, **options: Any
    ) -> ds.Handle[Any]:
        """Start it, whether or not it was started before."""
        return await self.surely(
            "start",
            lambda: client.start(orchestrator, data, instance_id=instance_id, if_exists="ignore", **options),
        )

    async def result(self, handle: ds.Handle[T]) -> T:
        """However long it takes."""
        while True:
            try:
                with self.world.ledger.op("result"):
                    return await handle.result(timeout=20)
            except (StoreUnavailable, ds.TimeoutError):
                continue

    async def until(self, client: ds.Client, instance_id: str, wanted: Callable[[Any], object]) -> Any:
        """The status of an instance as soon as it is as wanted."""

        while True:
            status = await self.surely("status", lambda: client.status(instance_id))
            if wanted(status):
                return status
            await pause(0.1)

    def equal(self, what: str, found: object, wanted: object) -> None:
        assert found == wanted, f"{what} is {found!r}, not {wanted!r}"

    def chance(self, what: str) -> float:
        return self.world.chance.number(f"{self.name} {what}")
