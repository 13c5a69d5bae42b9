"""One simulation: the processes of a deployment, the faults, and what must hold all the time and in the end."""

from __future__ import annotations

import asyncio
import json
import traceback
from collections.abc import Collection
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from durastream.core.entity_id import EntityId
from tests.sim import faults, image, knobs, nemesis
from tests.sim.app import app
from tests.sim.chance import Chance
from tests.sim.control import CONTROL
from tests.sim.knobs import Knobs
from tests.sim.ledger import Ledger
from tests.sim.loop import SimLoop, pause
from tests.sim.processes import Running, launch, leave
from tests.sim.scenario import Scenario
from tests.sim.server import SimServer
from tests.sim.talk import TALK
from tests.sim.watching import Watch
from tests.sim.work import WORK


@dataclass(frozen=True, slots=True)
class Case:
    """What is simulated. `only`: ids of the faults that may happen; `scenarios`: numbers of those that are run; None = all."""

    seed: int
    only: Collection[str] | None = None
    scenarios: Collection[int] | None = None
    workers: int | None = None


@dataclass
class Outcome:
    """What came of it. `trace`: a digest of everything that happened, in its order."""

    case: Case
    violations: list[str]
    fired: list[str]
    counts: dict[str, int]
    ops: dict[str, Any]
    kinds: list[str]
    virtual_s: float
    commands: int
    trace: str
    recovery_s: float | None
    duplicates: dict[str, int] = field(default_factory=dict)


class World:
    def __init__(self, case: Case) -> None:
        self.case = case
        self.chance = Chance(case.seed)
        self.knobs: Knobs = knobs.drawn(self.chance)
        self.loop = SimLoop(self.chance.generator("schedule"))
        self.app = app
        self.ledger = Ledger()
        self.mended: set[str] = set()
        self.violations: list[str] = []
        self.workers: dict[int, Running] = {}
        self.clients: dict[int, Running] = {}
        self._incarnations: dict[str, int] = {}
        self._digest = blake2b(digest_size=16)
        self.plan = faults.drawn(
            self.chance, storm_s=self.knobs.storm_s, rollbacks=self.knobs.rollbacks, only=case.only
        )
        self.server = SimServer(
            self.loop, partitions=self.knobs.partitions, retention_ms=int(self.knobs.retention_s * 1_000)
        )
        self.watch = Watch(self)
        self.scenarios = self._scenarios()
        self.recovery_s: float | None = None

    def _scenarios(self) -> list[Scenario]:
        kinds = [kind for kind in KINDS if self.chance.number(f"kind {kind.kind}") < 0.4] or list(KINDS)
        chosen = range(self.knobs.scenarios) if self.case.scenarios is None else sorted(self.case.scenarios)
        return [self.chance.pick(f"scenario {number}", kinds)(self, number) for number in chosen]

    # -- findings

    def violated(self, invariant: str, text: str, error: BaseException | None = None) -> None:
        where = "" if error is None else " | " + " < ".join(_frames(error))
        self.violations.append(f"{invariant} at {self.loop.time():.3f} s: {text}{where}")
        if not self._over.done():
            self._over.set_result(None)

    def trace(self, process: str, verb: str, what: str) -> None:
        self._digest.update(f"{self.loop.time():.6f} {process} {verb} {what}\n".encode())

    # -- processes

    def launch(self, kind: str, slot: int) -> Running:
        """Fill a slot of the deployment with a new process."""
        key = f"{kind}{slot}"
        self._incarnations[key] = self._incarnations.get(key, 0) + 1
        running = launch(self, kind, slot, self._incarnations[key])
        (self.workers if kind == "w" else self.clients)[slot] = running
        return running

    def running(self) -> list[Running]:
        return [*self.workers.values(), *self.clients.values()]

    def crash(self, running: Running) -> None:
        """kill -9. What it had sent is still on its way; another process takes its place after a while."""
        if not running.process.alive:
            return
        self.trace(running.name, "crash", "")
        self.loop.kill(running.process)
        self.watch.dead.add(running.worker_id)
        running.link.closed = True
        half_open_s = max(0.0, self.chance.between(f"half open {running.name}", -1.0, 1.0)) * self.knobs.lease_s
        self._later(half_open_s, running.link.drop_reads)
        self._replace(running)

    def ended(self, running: Running) -> None:
        """It has stopped by itself."""
        self.loop.kill(running.process)
        running.link.drop_reads()
        self._replace(running)

    def _replace(self, running: Running) -> None:
        if self._stopping:
            return
        pause_s = self.chance.number(f"restart {running.name}") ** 2 * 2 * self.knobs.lease_s
        self._later(pause_s, self._restart, running)

    def _restart(self, before: Running) -> None:
        place = self.workers if before.kind == "w" else self.clients
        if place.get(before.slot) is before and not self._stopping:
            self.launch(before.kind, before.slot)

    def pause(self, running: Running, seconds: float) -> None:
        """SIGSTOP, and SIGCONT so many seconds later."""
        self.loop.stop_process(running.process)
        self._later(seconds, self.loop.continue_process, running.process)

    def leave(self, running: Running) -> None:
        if not running.leaving and running.process.alive:
            running.leaving = True
            running.process.context.run(self.loop.create_task, leave(self, running))

    def _later(self, seconds: float, call: Any, *args: Any) -> None:
        self.loop.call_later(seconds, call, *args, context=self.loop.host.context)

    def scenario_done(self) -> None:
        if all(one.done for one in self.scenarios):
            self._all_done.set()

    def entity(self, entity: EntityId) -> Any:
        """The state of an entity as it stands in the store; None where it has none."""
        held = self.server.hub.home(str(entity)).entities.get(str(entity))
        state = None if held is None else held.fields.get("state")
        return None if state is None else json.loads(state)  # type: ignore[arg-type]

    # -- the run

    async def run(self) -> None:
        self._over: asyncio.Future[None] = self.loop.create_future()
        self._all_done = asyncio.Event()
        self._stopping = False
        whole = self.loop.create_task(self._phases())
        await asyncio.wait([whole, self._over], return_when=asyncio.FIRST_COMPLETED)
        if whole.done():
            whole.result()

    async def _phases(self) -> None:
        count = self.knobs.workers if self.case.workers is None else self.case.workers
        for slot in range(count):
            self.launch("w", slot)
        for slot in range(self.knobs.clients):
            self.launch("c", slot)
        for fault in self.plan.timed:
            self._later(fault.at, nemesis.strike, self, fault)
        await pause(self.knobs.storm_s)
        self._calm()
        calm_at = self.loop.time()
        if not self.scenarios:
            self._all_done.set()
        if not await _within(self._patience(), self._all_done.wait()) and not self.watch.lossy:
            late = ", ".join(one.name for one in self.scenarios if not one.done)
            self.violated("L1", f"not done {self._patience():.0f} s after the last fault: {late}; {self.watch.left()}")
            return
        await self._quiet()
        self.recovery_s = self.loop.time() - calm_at
        self.watch.final()
        await self._stop_all()
        self.watch.check_state()

    def _patience(self) -> float:
        """B = 2L + R + 5 s, and what the work takes besides: timers, retries, and looks of a client every 15 s. Where something
        was lost some wait in vain."""
        return 30.0 if self.watch.lossy else 8 * self.knobs.lease_s + 5 + 40

    def _calm(self) -> None:
        self.plan.active = False
        self.server.down_until = 0.0
        for running in self.running():
            running.link.isolated_until = running.link.deaf_until = 0.0
            self.loop.continue_process(running.process)
        nemesis.calm(self)

    async def _quiet(self) -> None:
        """L11: once all has ended nothing is left under way."""
        deadline = self.loop.time() + 8 * self.knobs.lease_s + 35
        while self.watch.left() and not self.watch.lossy:
            if self.loop.time() > deadline:
                self.violated("L11", f"everything has ended, but there is still {self.watch.left()}")
                return
            await pause(0.25)

    async def _stop_all(self) -> None:
        self._stopping = True
        workers = [one for one in self.workers.values() if one.process.alive]
        for running in workers:
            self.leave(running)
        deadline = self.loop.time() + 2 * self.knobs.lease_s + 10
        while any(one.process.alive for one in workers):
            if self.loop.time() > deadline:
                self.violated("L8", f"workers do not stop: {[one.name for one in workers if one.process.alive]}")
                return
            await pause(0.1)

    def outcome(self) -> Outcome:
        for error in self.loop.errors:
            self.violations.append(f"X2: {error}")
        self._digest.update(repr(sorted(image.image_of(self.server).items())).encode())
        return Outcome(
            self.case,
            self.violations,
            list(self.plan.fired),
            dict(self.plan.counts),
            self.ledger.ops,
            sorted({one.kind for one in self.scenarios}),
            self.loop.time(),
            self.server.commands,
            self._digest.hexdigest(),
            self.recovery_s,
            {what: count - 1 for what, count in self.ledger.runs.items() if count > 1},
        )


KINDS = (*WORK, *TALK, *CONTROL)


async def _within(seconds: float, what: Any) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await what
    except TimeoutError:
        return False
    return True


def _frames(error: BaseException) -> list[str]:
    found = traceback.extract_tb(error.__traceback__)[-3:]
    return [f"{one.filename.rpartition('/')[2]}:{one.lineno}" for one in reversed(found)]
