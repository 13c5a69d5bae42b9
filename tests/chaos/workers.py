"""The worker processes of a run, and somebody who starts those again that gave up while no server answered them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

from tests.acceptance.processes import WorkerProcess
from tests.support import eventually

LEASE_S = 1.0
_EXIT_UNREACHABLE = 5  # `durastream worker`: no server while it started


class Workers:
    """All of them. A nemesis takes one, and gives it back as it found it."""

    def __init__(self, url: str, target: str, count: int, environment: Mapping[str, str]) -> None:
        self.all = [WorkerProcess(url, target, lease_s=LEASE_S, environment=environment) for _ in range(count)]
        self.suffering: set[WorkerProcess] = set()
        self.restarts = 0
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
                if worker not in self.suffering and not worker.alive:
                    self._look_at(number, worker)
                    worker.start()
                    self.restarts += 1
            await asyncio.sleep(0.1)  # time must pass: a look now and then

    def _look_at(self, number: int, worker: WorkerProcess) -> None:
        code = worker.process.returncode
        if code != _EXIT_UNREACHABLE or worker.serves:
            self.violations.append(f"L5 worker {number} gave up with exit code {code}")

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
            if len(lines) > _LINES_PER_S_MAX * seconds:
                found.append(f"L4 worker {number} logged {len(lines)} lines in {seconds:.0f} s")
        return found

    def stop(self) -> None:
        for worker in self.all:
            if worker.alive:
                worker.kill()

    def keep_logs(self, directory: Path) -> None:
        for number, worker in enumerate(self.all):
            (directory / f"worker-{number}.log").write_text(worker.log(), "utf-8")


_LINES_PER_S_MAX = 10
