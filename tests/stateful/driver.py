"""An engine that goes only as far as it is told: workers as processes of a simulated loop, over the model of the store.

The client runs in the process of the test itself; workers can be killed at any callback, stopped, and left behind by time.
"""

from __future__ import annotations

from asyncio import events, sleep
from collections.abc import Coroutine
from contextvars import Context, copy_context
from random import Random
from typing import Any, TypeVar, cast

import durastream as ds
from durastream import environment
from durastream.store.memory import MemoryServer
from durastream.store.memory.state import Hub
from tests.sim.clocks import EPOCH_MS, SimEnvironment
from tests.sim.image import checked, image_of
from tests.sim.loop import Process, SimLoop
from tests.sim.server import SimServer
from tests.stateful.app import app

T = TypeVar("T")

HUB = "sim"
LEASE_S = 1.0
PARTITIONS = 2


def _inside(made: SimEnvironment) -> Context:
    with environment.using(made):
        return copy_context()


class Driver:
    """`call` runs a coroutine of the client to its end, everybody else meanwhile. Virtual seconds pass only in there."""

    def __init__(self, seed: int) -> None:
        self._rng = Random(seed)
        self.loop = SimLoop(Random(self._rng.random()))
        self.server = MemoryServer(self.clock)
        self.server.store(HUB, partitions=PARTITIONS, retention_ms=3_600_000)
        self.workers: list[Process] = []
        self._number = 0
        self._settle_in(self.loop.host)
        self.client = ds.Client(self.server.store(HUB), retry_for_s=5)
        self.call(self.client.__aenter__())

    def _settle_in(self, process: Process) -> None:
        """From now on the process has its own clocks and its own chance."""
        made = SimEnvironment(self.loop, Random(self._rng.random()))
        process.context = process.context.run(_inside, made)

    # -- what the oracles of tests/sim ask of a server

    def clock(self) -> int:
        return EPOCH_MS + int(self.loop.time() * 1_000)

    @property
    def hub(self) -> Hub:
        return self.server.hubs[HUB]

    def violations(self) -> list[str]:
        """What fsck says at this moment, and errors that nobody awaited."""
        found = checked(cast(SimServer, self)).violations
        return [f"{one.invariant} {one.key}: {one.text}" for one in found] + self.loop.errors

    def image(self) -> dict[bytes, Any]:
        """All keys as Redis would hold them."""
        return image_of(cast(SimServer, self))

    # -- going on

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(coroutine)

    def advance(self, seconds: float) -> None:
        self.call(sleep(seconds))  # time must pass: virtual seconds

    def steps(self, count: int) -> None:
        """Run so many callbacks, of whoever it may be."""
        if not self.workers:
            return
        events._set_running_loop(self.loop)
        try:
            for _ in range(count):
                self.loop._step()
        finally:
            events._set_running_loop(None)

    # -- workers

    def hire(self) -> None:
        """A new worker begins."""
        self._number += 1
        process = self.loop.process(f"w{self._number}")
        self._settle_in(process)
        process.context.run(self.loop.create_task, self._work(process.name))
        self.workers.append(process)

    async def _work(self, name: str) -> None:
        worker = ds.Worker(app, self.server.store(HUB), name=name, lease=LEASE_S, concurrency=4, live_max=2, grace=0.2)
        await worker.start()
        error = await worker.host.wait_failed()
        self.loop.errors.append(f"X1 a role of worker {name} failed: {type(error).__name__}: {error}")

    def crash(self) -> None:
        """kill -9 of the one that is longest at work."""
        self.loop.kill(self.workers.pop(0))

    def stall(self, seconds: float) -> None:
        """SIGSTOP of the one that is longest at work, for longer than its lease."""
        process = self.workers[0]
        self.loop.stop_process(process)
        self.advance(seconds)
        self.loop.continue_process(process)

    def close(self) -> None:
        for process in self.workers:
            self.loop.kill(process)
        self.call(self.client.__aexit__(None, None, None))
        self.loop.bury()
