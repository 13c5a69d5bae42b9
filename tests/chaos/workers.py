"""The worker processes of a run, and somebody who starts those again that gave up while no server answered them."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

from tests.acceptance.processes import WorkerProcess
from tests.chaos import builds, clock
from tests.support import eventually

LEASE_S = 1.0
B_S = 2 * LEASE_S + LEASE_S + 5  # the bound of reliability: 2 leases, one period of reclaim, 5 s
LINES_PER_S_MAX = 10  # of complaints
_EXIT_UNREACHABLE = 5  # `durastream worker`: no server while it started


class ChaosWorker(WorkerProcess):
    """One whose code is changed by its next start, and whose wall clock at any time."""

    def __init__(self, url: str, target: str, environment: Mapping[str, str], clock_file: Path) -> None:
        super().__init__(url, target, lease_s=LEASE_S, environment={**environment, clock.VARIABLE: str(clock_file)})
        self.clock_file = clock_file
        self.build = ""  # of `builds.BUILDS`; "" is the whole one
        self.births: list[float] = []  # when it was started, monotonic

    def start(self) -> ChaosWorker:
        self._environment[builds.VARIABLE] = self.build
        self.births.append(time.monotonic())
        super().start()
        return self

    def complaints_of_this_life(self) -> list[str]:
        """What it has logged that is worse than INFO since it was started."""
        size = os.fstat(self._log.fileno()).st_size
        text = os.pread(self._log.fileno(), size - self._log_begins, self._log_begins).decode(errors="replace")
        return [line for line in text.splitlines() if " INFO " not in line]

    def step_clock(self, seconds: int) -> None:
        """From now on it believes that it is so much later than it is; 0: its clock is right again."""
        clock.step(self.clock_file, seconds)


class Workers:
    """All of them. A nemesis takes one, and gives it back as it found it."""

    def __init__(self, url: str, target: str, count: int, environment: Mapping[str, str], directory: Path) -> None:
        self.all = [ChaosWorker(url, target, environment, directory / f"clock-{number}") for number in range(count)]
        self.suffering: set[ChaosWorker] = set()
        self.restarts = 0
        self.storms: list[float] = []  # when other clients came, monotonic
        self.builds: Counter[str] = Counter()  # other builds that have served
        self.violations: list[str] = []
        self._began = time.monotonic()

    async def start(self) -> None:
        for worker in self.all:
            worker.start()
        await eventually(lambda: all(worker.serves for worker in self.all), 60, pause_s=0.05, what="workers")
        self._began = time.monotonic()

    async def supervise(self) -> None:
        """Start again who has ended by himself, as any supervisor would. Only while it starts may a worker give up."""
        while True:
            for number, worker in enumerate(self.all):
                if worker not in self.suffering:
                    self.revive(number, worker)
            await asyncio.sleep(0.1)  # time must pass: a look now and then

    def revive(self, number: int, worker: ChaosWorker) -> None:
        """Start it again if it has ended by itself."""
        if not worker.alive:
            self._look_at(number, worker)
            worker.start()
            self.restarts += 1

    def _look_at(self, number: int, worker: ChaosWorker) -> None:
        code = worker.process.returncode
        if code != _EXIT_UNREACHABLE or worker.serves:
            self.violations.append(f"L5 worker {number} gave up with exit code {code}")

    def somebody_came(self, since: float, until: float) -> bool:
        """Whether anybody opened the hub then who had not known it before."""
        return any(since <= at <= until for at in (*self.storms, *(at for one in self.all for at in one.births)))

    def check(self) -> list[str]:
        """What their logs say that they should not."""
        found, seconds = self.violations, time.monotonic() - self._began
        for number, worker in enumerate(self.all):
            lines = worker.complaints().splitlines()
            found += [
                f"L5 worker {number} logged a traceback after: {before}"
                for before, line in pairwise(["", *lines])
                if line.startswith("Traceback")
            ]
            if len(lines) > LINES_PER_S_MAX * seconds:
                found.append(f"L4 worker {number} logged {len(lines)} lines in {seconds:.0f} s")
        return found

    def stop(self) -> None:
        for worker in self.all:
            if worker.alive:
                worker.kill()

    def keep_logs(self, directory: Path) -> None:
        for number, worker in enumerate(self.all):
            (directory / f"worker-{number}.log").write_text(worker.log(), "utf-8")
