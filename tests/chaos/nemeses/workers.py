"""Faults of worker processes."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys

from tests.chaos.deployment import Deployment
from tests.chaos.nemeses.base import Nemesis
from tests.chaos.workers import LEASE_S, ChaosWorker
from tests.support import eventually

DRAIN_S = 30.0  # grace of running activities, and a busy machine
_HOGS = 2


class OfWorkers(Nemesis[Deployment]):
    lane = "workers"

    def take(self, count: int = 1) -> list[ChaosWorker]:
        """Victims; nobody starts them again meanwhile."""
        self._victims = self.rng.sample(self.workers.all, min(count, len(self.workers.all)))
        self.workers.suffering.update(self._victims)
        return self._victims

    def give_back(self) -> None:
        self.workers.suffering.difference_update(self._victims)

    def who(self) -> str:
        return " and ".join(f"worker {self.workers.all.index(one)}" for one in self._victims)


class WorkerKill(OfWorkers):
    """N1: SIGKILL of one or two."""

    kind, span = "worker_kill", (0.0, 1.0)
    expects = "activities under way run again"

    async def strike(self) -> str:
        for victim in self.take(self.rng.choice([1, 1, 2])):
            if victim.alive:
                victim.kill()
        return f"SIGKILL of {self.who()}"

    async def heal(self) -> int:
        for victim in self._victims:
            victim.start()
        self.give_back()
        return len(self._victims)


class WorkerFreeze(OfWorkers):
    """N2: SIGSTOP for longer than the lease, then SIGCONT: a zombie wakes up."""

    kind, span = "worker_freeze", (1.6 * LEASE_S, 2.8 * LEASE_S)
    expects = "its commits are refused; activities under way run again"

    async def strike(self) -> str:
        for victim in self.take(self.rng.choice([1, 1, 2])):
            victim.freeze()
        return f"SIGSTOP of {self.who()}"

    async def heal(self) -> int:
        for victim in self._victims:
            victim.thaw()
        self.give_back()
        return len(self._victims)


class WorkerHiccup(WorkerFreeze):
    """N3: the same for less than the lease."""

    kind, span = "worker_hiccup", (0.1 * LEASE_S, 0.5 * LEASE_S)
    expects = "nothing"


class WorkerStop(OfWorkers):
    """N4: SIGTERM under load, sometimes twice."""

    kind, span = "worker_stop", (0.0, 0.3)
    expects = "it hands over; a second signal ends it like a kill"

    async def strike(self) -> str:
        (victim,) = self.take()
        self._twice = self.rng.random() < 0.3
        if not victim.alive or not victim.serves:
            return f"{self.who()} does not serve yet"
        self._stopped = True
        victim.process.send_signal(signal.SIGTERM)
        if self._twice:
            victim.process.send_signal(signal.SIGTERM)
        return f"{'two SIGTERMs' if self._twice else 'SIGTERM'} to {self.who()}"

    _stopped = False

    async def heal(self) -> int:
        (victim,) = self._victims
        if not self._stopped:
            self.give_back()
            return 0
        self._stopped = False
        try:
            await eventually(lambda: not victim.alive, DRAIN_S, pause_s=0.05)
            if not self._twice and victim.process.returncode != 0:
                self.workers.violations.append(f"L8 {self.who()} ended with {victim.process.returncode} after SIGTERM")
        except AssertionError:
            self.workers.violations.append(f"L8 {self.who()} did not end within {DRAIN_S:.0f} s of SIGTERM")
            victim.kill()
        victim.start()
        self.give_back()
        return 1


class Starvation(OfWorkers):
    """N18: other processes take the processor."""

    kind, span = "starvation", (1.0, 2.0)
    expects = "leases may be lost"

    async def strike(self) -> str:
        self._hogs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(_HOGS)]
        return f"{_HOGS} processes that spin"

    async def heal(self) -> int:
        for hog in self._hogs:
            hog.kill()
        await asyncio.to_thread(lambda: [hog.wait() for hog in self._hogs])
        return 1
