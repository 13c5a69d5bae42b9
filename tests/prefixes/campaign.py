"""A run of this part of the fault campaign: how much of what, and the report of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from random import Random
from typing import Final, cast, get_args

from durastream.store.embedded import EmbeddedServer
from tests.evidence.report import Report
from tests.prefixes.ahead import outlive
from tests.prefixes.exploring import explore
from tests.prefixes.journal import Kind
from tests.prefixes.mutants import MUTANTS, bad_prefixes
from tests.prefixes.power import is_torn, sizes, survive
from tests.prefixes.recording import Recording, record
from tests.prefixes.recovering import recover, recoverable
from tests.prefixes.workloads import WORKLOADS, Workload

NO_LOG: Final = ("--appendonly", "no")
"""Of the server that units are applied to: it is emptied again and again."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much. `prefixes`: looked through with `fsck`, at least; workloads are repeated until there are as many."""

    prefixes: int = 1_000
    recover: int = 10
    cuts: int = 10
    ahead: int = 4  # times that workers outlive what the store forgets
    every: int = 1  # of the recording of worker processes, the largest by far: each so many'th prefix
    mutants: bool = False


class Campaign:
    """Fills in a report. `directory`: for the files of servers."""

    def __init__(self, report: Report, binary: str, directory: Path, rng: Random) -> None:
        self._report = report
        self._binary = binary
        self._directory = directory
        self._rng = rng
        self._count = 0
        self.recordings = self.prefixes = self.units = self.recovered = 0

    async def run(self, size: Size) -> None:
        begun = time.monotonic()
        with EmbeddedServer.start(self._binary, extra_args=NO_LOG) as scratch:
            for number, workload in enumerate(cycle(WORKLOADS)):
                if number >= len(WORKLOADS) and self.prefixes >= size.prefixes:
                    break
                await self._one(workload, size, scratch.url, first=number < len(WORKLOADS))
            if size.mutants:
                await self._mutants(scratch.url)
        if size.ahead:
            await self._ahead(size.ahead)
        self._report.wall_s += time.monotonic() - begun
        self._report.cmds += self.units
        self._report.notes.append(
            f"{self.prefixes:,} prefixes looked through in {self.units:,} units of {self.recordings} recordings;"
            f" {self.recovered:,} recovered to completion"
        )

    def _fresh(self) -> Path:
        self._count += 1
        return self._directory / str(self._count)

    async def _one(self, workload: Workload, size: Size, url: str, *, first: bool) -> None:
        recording = await record(workload, self._binary, self._fresh())
        self._note_ops(recording)
        self.recordings += 1
        explored = await explore(recording, url, every=size.every if workload.processes else 1)
        self.prefixes += explored.looked_at
        self.units += explored.units
        for number, found in explored.bad.items():
            self._violations(f"{workload.name}, after unit {number}", found)
        if first:
            await self._recover(recording, _share(size.recover, workload), url)
            await self._cut(recording, _share(size.cuts, workload))

    def _note_ops(self, recording: Recording) -> None:
        for ack in recording.journal.acks:
            self._report.op(ack.kind, "ok")
        self._report.faults.update(recording.journal.faults)
        self._report.redis.setdefault("version", recording.server)

    def _violations(self, where: str, found: Sequence[str]) -> None:
        self._report.violations += [f"{one} [{where}]" for one in found]

    async def _recover(self, recording: Recording, count: int, url: str) -> None:
        numbers = recoverable(recording.units)
        for number in sorted(self._rng.sample(numbers, min(count, len(numbers)))):
            found = await recover(recording, number, url)
            self._violations(f"{recording.workload.name}, recovered from unit {number}", found)
            self.recovered += 1
            self._report.faults["everything stopped"] += 1

    async def _cut(self, recording: Recording, count: int) -> None:
        for size in sizes(recording, self._rng, count):
            self._report.faults["torn tail" if is_torn(recording, size) else "lost tail"] += 1
            self._report.faults["power loss"] += 1
            found = await survive(recording, self._binary, self._fresh(), size)
            self._violations(f"{recording.workload.name}, {size} bytes lost", found)

    async def _ahead(self, rounds: int) -> None:
        found = await outlive(self._binary, self._fresh(), self._rng, rounds=rounds)
        self._report.faults["store forgets, workers live"] += rounds
        self._violations("workers ahead of the store", found)

    async def _mutants(self, url: str) -> None:
        for mutant in MUTANTS:
            bad, looked_at = await bad_prefixes(mutant, self._binary, url, self._fresh())
            self._report.mutants[mutant.name] = 1 if bad else None
            self._report.notes.append(f"{mutant.name}: {bad} of {looked_at} prefixes are bad")


def _share(total: int, workload: Workload) -> int:
    """Of a number that is spread over the workloads; the first ones get one more."""
    return total // len(WORKLOADS) + (WORKLOADS.index(workload) < total % len(WORKLOADS))


def wanted(size: Size) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Kinds of faults and of operations without which a run of this size is incomplete."""
    faults = ["worker killed", "worker frozen"]
    faults += ["everything stopped"] if size.recover else []
    faults += ["power loss", "torn tail"] if size.cuts else []
    faults += ["store forgets, workers live"] if size.ahead else []
    return tuple(faults), cast(tuple[str, ...], get_args(Kind))
