"""One run: phase 1 with faults, phase 2 without, then the oracles."""

from __future__ import annotations

import asyncio
import logging
import random
import shutil
import tempfile
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import durastream as ds
from tests.chaos import broken, oracles, torn, witness
from tests.chaos.deployments import DEPLOYMENTS
from tests.chaos.lanes import Lanes
from tests.chaos.log import Log
from tests.chaos.nemeses import NEMESES, Nemesis
from tests.chaos.settings import Settings
from tests.chaos.watch import Watch
from tests.chaos.workers import Workers
from tests.chaos.workloads import WORKLOADS
from tests.chaos.workloads.base import Facts
from tests.evidence.report import Report

_LIMIT_S: Final = 150.0  # of phase 2
_REST_S: Final = 150.0  # for starting, and for the oracles
_TORN_STALL_S: Final = 12.0  # where something may stand still for good; longer than B
_PROGRAM: Final = "tests.chaos.program:app"
_OPEN: Final = ("Pending", "Running", "Suspended")


def tell(line: str) -> None:
    print(line, flush=True)


class Campaign:
    """See the module."""

    def __init__(self, settings: Settings, directory: Path) -> None:
        self.settings = settings
        self.directory = directory
        self.witness = directory / "witness"
        self.witness.unlink(missing_ok=True)  # of another run that was kept there
        self.log = Log(confirmed=DEPLOYMENTS[settings.deployment].confirmed)
        self.torn: Counter[str] = Counter()  # findings that lost or doubled messages between shards explain
        self.place = DEPLOYMENTS[settings.deployment](settings.server, directory, self._rng("network"))
        self.limit_s = 3 * settings.seconds + 240  # of phase 1
        self.place.windows, self.place.seconds = self.log.windows, settings.seconds
        self.report = Report("chaos", settings.command, seeds=[settings.seed])

    def _rng(self, what: str) -> random.Random:
        return random.Random(f"{self.settings.seed} {what}")

    async def run(self) -> Report:
        """Raises TimeoutError when it does not come to an end: something hangs that must not."""
        began = time.monotonic()
        async with asyncio.timeout(self.limit_s + _LIMIT_S + _REST_S), AsyncExitStack() as stack:
            await self._open(stack)
            await self._phase_1()
            await self._phase_2()
            await self._judge()
        self.report.wall_s = time.monotonic() - began
        return self.report

    # ---- opening

    async def _open(self, stack: AsyncExitStack) -> None:
        place, chosen = self.place, self.settings.workloads or tuple(WORKLOADS)
        chosen = tuple(name for name in chosen if name not in place.without)
        if self.settings.mutant:
            broken.damage(self.settings.mutant)
        await place.start()
        stack.push_async_callback(place.stop)
        self.workers = Workers(place.url, _PROGRAM, self.settings.workers, self._environment(), self.directory)
        stack.callback(self._keep)
        stack.callback(self.workers.stop)
        self.client = await stack.enter_async_context(ds.Client(place.client_url, retry_for_s=place.patience_s))
        self.direct = await stack.enter_async_context(ds.Client(place.direct))
        self.report.redis = await asyncio.to_thread(place.facts)
        self.workloads = [
            WORKLOADS[name](self.client, self.log, self._rng(name), place.plain) for name in chosen
        ]  # each with randomness of its own: what one does changes nothing for another
        self.nemeses = self._nemeses()
        self.lanes = Lanes(self.nemeses, self.settings.seed, tell)
        self.watch = Watch(self.direct, self._rng("watch"), self.log.windows)
        self.report.wanted_faults = tuple(one.kind for one in self.nemeses)
        self.report.wanted_ops = tuple(f"{one.name}: {op}" for one in self.workloads for op in one.ops)

    def _environment(self) -> dict[str, str]:
        return {witness.VARIABLE: str(self.witness), broken.VARIABLE: self.settings.mutant}

    def _nemeses(self) -> list[Nemesis[Any]]:
        fitting = [
            kind for kind, one in NEMESES.items() if one.lane in self.place.lanes and kind not in self.place.unfit
        ]
        chosen = self.settings.nemeses or fitting
        return [
            NEMESES[kind](self.place, self.workers, self.log, self._rng(kind)) for kind in chosen if kind in fitting
        ]

    # ---- the two phases

    async def _phase_1(self) -> None:
        await self.workers.start()
        async with asyncio.TaskGroup() as group:
            for workload in self.workloads:
                group.create_task(workload.prepare())
        tell(f"{self.place.name}: {self.place.direct}, {len(self.workloads)} workloads, {len(self.nemeses)} nemeses")
        async with self._beside(self.workers.supervise()):
            async with self._beside(self.watch.run()), asyncio.TaskGroup() as group:
                for workload in self.workloads:
                    group.create_task(workload.run())
                await self.lanes.run(self.settings.seconds, self.limit_s)
                for workload in self.workloads:
                    workload.over.set()
            # Whoever gave up while the server was away is started again before the faults count as over.
            await asyncio.sleep(0.2)  # time must pass: the supervisor looks around

    @asynccontextmanager
    async def _beside(self, work: Any) -> AsyncIterator[None]:
        """Something that goes on meanwhile, and must not end by itself."""
        task = asyncio.create_task(work)
        try:
            yield
        finally:
            task.cancel()
            outcome = (await asyncio.gather(task, return_exceptions=True))[0]
            if isinstance(outcome, Exception):
                raise outcome

    async def _phase_2(self) -> None:
        """No faults: all that was begun must end."""
        began = time.monotonic()
        tell("phase 2: faults are off")
        async with self._beside(self.workers.supervise()):
            await self._settle()
            left = await self._until_quiet()
            if await self._was_replaced():
                await self._settle()
                left = await self._until_quiet()
            quiet_s = time.monotonic() - began
            if self.place.tears:
                await self._name_what_is_left(left)
            elif left:
                self.report.violations.append(f"L1 nothing moves any more, and there is left: {left}")
            else:
                tell(f"quiet after {quiet_s:.1f} s")
            await self._told()
        self.report.notes.append(f"quiet {quiet_s:.1f} s after the last fault")

    async def _name_what_is_left(self, left: dict[str, Any]) -> None:
        """Messages between shards are lost for good: whatever waits for one must be named by fsck."""
        tell(f"nothing moves any more, and fsck is asked; there is left: {left or 'nothing'}")
        verdict = await torn.look(self.place.direct, self.direct, self._until_quiet, self.log.windows)
        self.report.violations += verdict.violations
        self.report.notes.append(verdict.note)

    async def _settle(self) -> None:
        await self.place.steady()
        for workload in self.workloads:
            await workload.make_up()
            await workload.settle()

    async def _was_replaced(self) -> bool:
        """Whether a server was replaced that nobody had harmed, after the last fault: what was acknowledged then may be lost."""
        before: int = self.place.unplanned
        await self.place.steady()
        return bool(self.place.unplanned != before)

    async def _until_quiet(self) -> dict[str, Any]:
        """What is left once it stays the same for too long; empty when nothing is."""
        began = moved = time.monotonic()
        stall_s = min(self.settings.stall_s, _TORN_STALL_S) if self.place.tears else self.settings.stall_s
        before: dict[str, Any] = {}
        while True:
            left = await self._left()
            now = time.monotonic()
            if left != before:
                before, moved = left, now
            if not left or now > moved + stall_s or now > began + _LIMIT_S:
                return left
            await asyncio.sleep(0.2)  # time must pass: until the next look

    async def _left(self) -> dict[str, Any]:
        counts = await self.direct.counts()
        left: dict[str, Any] = {status: counts[status] for status in _OPEN if counts[status]}
        if not left:
            left = await asyncio.to_thread(oracles.left_over, [one.url for one in self.place.masters()])
        return left

    async def _told(self) -> None:
        """Whoever waits for an end must hear of it, though the notice was lost in a fault."""
        waiting = [task for workload in self.workloads for task in workload.watchers]
        if not waiting:
            return
        _, deaf = await asyncio.wait(waiting, timeout=self.settings.stall_s)
        for task in deaf:
            task.cancel()
        statuses = {one.id async for one in self.direct.list(payloads=False) if one.ended}
        self.report.violations += [
            f"L1 {task.get_name()} has ended, and its client was never told"
            for task in deaf
            if task.get_name() in statuses
        ]
        await asyncio.gather(*waiting, return_exceptions=True)

    # ---- the verdict

    async def _judge(self) -> None:
        report, masters = self.report, [one.url for one in self.place.masters()]
        seen = witness.by_key(witness.read(self.witness))
        names = await asyncio.to_thread(oracles.keys, masters)
        statuses = {one.id: one async for one in self.direct.list()}
        facts = Facts(self.direct, statuses, seen, names)
        for workload in self.workloads:
            found = await workload.check(facts)
            excused = self.place.tears and workload.spans
            report.violations += torn.excuse(found, self.torn) if excused else found
        report.violations += self._storms(statuses)
        report.duplicates, unexplained = oracles.executions(seen, self.lanes.faults)
        replayed, misfits = await oracles.replays(self.direct, statuses.values())
        report.violations += unexplained + misfits + oracles.foreign(names) + self.workers.check()
        report.violations += await self.watch.check(statuses)
        report.violations += self.place.violations
        if not self.place.tears:  # else `torn.look` has asked
            report.violations += await oracles.clean(self.place.direct)
        self._count(len(statuses), replayed, sum(map(len, seen.values())))

    def _storms(self, statuses: dict[str, ds.InstanceStatus]) -> list[str]:
        """What came of the starts of clients in storms."""
        found = []
        for op in self.log.of("storm: start"):
            status = statuses.get(op.key)
            if status is None and self.log.absent(op):
                found.append(f"S9 {op.key}: the start was acknowledged, and there is no such instance")
            elif status is not None and (status.runtime_status, status.output) != ("Completed", 0):
                found.append(f"S7 {op.key} is {status.runtime_status} with {status.output}")
        return found

    def _count(self, instances: int, replayed: int, runs: int) -> None:
        report = self.report
        for fault in self.lanes.faults:
            report.faults[fault.kind] += fault.hits
        for (kind, outcome), count in self.log.outcomes().items():
            report.op(kind, outcome, count)  # type: ignore[arg-type]
        completions = self.log.completions
        for fault in self.lanes.faults:
            after = bisect_right(completions, fault.end)
            if after < len(completions):
                report.recovery_s.append(completions[after] - fault.end)
        report.notes += [
            f"{instances:,} instances, {runs:,} activities run, {replayed:,} histories replayed,"
            f" {len(self.watch.ended):,} ends watched",
            f"{len(self.lanes.faults)} strikes, {len(self.lanes.pairs())} pairs of kinds at work at the same time",
            *([f"torn between shards, by invariant: {dict(self.torn) or 'nothing'}"] if self.place.tears else []),
            *([f"other builds served: {dict(self.workers.builds)}"] if self.workers.builds else []),
            *([f"{self.place.unplanned} failovers that nobody had ordered"] if self.place.unplanned else []),
            f"{self.place.promise}; lost in such a window: {dict(self.log.lost) or 'nothing'}",
            *([f"taken again after such a window: {dict(self.log.again)}"] if self.log.again else []),
        ]

    def _keep(self) -> None:
        self.workers.keep_logs(self.directory)
        self.place.keep_logs(self.directory)
        strikes = [{"kind": "fault", **asdict(fault)} for fault in self.lanes.faults]
        self.log.write(self.directory / "history.jsonl", strikes)


async def run(settings: Settings) -> Report:
    """One run in a directory of its own, which stays if it did not end green. Whatever happens, all processes end."""
    directory = settings.keep or Path(tempfile.mkdtemp(prefix="durastream-chaos-"))
    directory.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(filename=directory / "campaign.log", force=True)
    campaign = Campaign(settings, directory)
    try:
        report = await campaign.run()
    except BaseException:
        tell(f"the run broke; repeat with: {settings.command}; logs are in {directory}")
        raise
    if report.state != "green":
        report.notes.append(f"logs of workers and servers, witness and history of calls are in {directory}")
    elif settings.keep is None:
        shutil.rmtree(directory, ignore_errors=True)
    return report
