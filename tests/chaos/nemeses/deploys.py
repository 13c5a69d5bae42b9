"""Faults of what a worker process is: the code it has, and the clock it goes by."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Sequence

import orjson
import redis

from tests.chaos.builds import BUILDS
from tests.chaos.nemeses.workers import DRAIN_S, OfWorkers
from tests.chaos.workers import LEASE_S, LINES_PER_S_MAX, ChaosWorker
from tests.support import eventually

_UP_S = 20.0  # for a worker to start: the server may be away, or the machine busy
_BURST = 80  # who loses all partitions at once says so for each, and other faults are about
_TOLD_S = 5.0  # for a heartbeat to tell of a clock


class _Deploy(OfWorkers):
    """Workers end, and come back with other code; and later with the whole again."""

    _served: bool
    _deployed_at: float

    async def deploy(self, builds: Sequence[str]) -> None:
        """One build for each victim."""
        await asyncio.gather(*(self._end(victim) for victim in self._victims))
        self._deployed_at = time.monotonic()
        for victim, build in zip(self._victims, builds, strict=True):
            victim.build = build
            victim.start()

    async def _end(self, victim: ChaosWorker) -> None:
        """SIGTERM, as a deploy does it; SIGKILL for one that has not come so far as to heed that."""
        if not victim.alive:
            return
        if not victim.serves:
            victim.kill()
            return
        victim.process.send_signal(signal.SIGTERM)
        try:
            await eventually(lambda: not victim.alive, DRAIN_S, pause_s=0.05)
        except AssertionError:
            self.workers.violations.append(f"L8 {self.who()} did not end within {DRAIN_S:.0f} s of SIGTERM")
            victim.kill()

    async def served(self) -> bool:
        """Whether all of them have come to work. Who finds no server while it starts gives up, and is started again."""
        try:
            await eventually(self._all_serve, _UP_S, pause_s=0.1, what="a deploy")
        except AssertionError:
            return False
        self.workers.builds.update(one.build for one in self._victims if one.build)
        return True

    def _all_serve(self) -> bool:
        for victim in self._victims:
            self.workers.revive(self.workers.all.index(victim), victim)
        return all(victim.serves for victim in self._victims)

    def _count_lines(self) -> None:
        """What a worker lacks is worth a line, not one for each piece of work."""
        seconds = time.monotonic() - self._deployed_at
        for victim in self._victims:
            lines = victim.complaints_of_this_life()
            if len(lines) > LINES_PER_S_MAX * seconds + _BURST:
                number, last = self.workers.all.index(victim), lines[-1][:120]
                self.workers.violations.append(
                    f"L4 worker {number}, {victim.build}, logged {len(lines)} lines in {seconds:.1f} s, the last one: {last}"
                )

    async def heal(self) -> int:
        self._count_lines()
        hits = len(self._victims) if self._served else 0
        await self.deploy([""] * len(self._victims))
        await self.served()
        self.give_back()
        return hits


class OtherCode(_Deploy):
    """N20: some workers have other code than the rest, each another. One at least has all, and it comes again until each
    build has served."""

    kind, span = "other_code", (1.5 * LEASE_S, 3.0 * LEASE_S)
    expects = "work goes to those who have what it needs"
    _bag: Sequence[str] = ()

    async def strike(self) -> str:
        count = max(1, min(2, len(self.workers.all) - 1))
        if len(self._bag) < count:
            self._bag = self.rng.sample(list(BUILDS), len(BUILDS))
        builds, self._bag = self._bag[:count], self._bag[count:]
        self.take(count)
        await self.deploy(builds)
        self._served = await self.served()
        return f"{self.who()}: {' and '.join(builds)}"

    _hits = 0

    async def heal(self) -> int:
        self._hits += await super().heal()
        if any(build not in self.workers.builds for build in BUILDS):
            return 0
        hits, self._hits = self._hits, 0
        return hits


class CodeMissing(_Deploy):
    """N20: no worker has it. What needs it must wait, and the rest goes on."""

    kind, span = "code_missing", (1.0 * LEASE_S, 2.5 * LEASE_S)
    expects = "what needs it waits until one comes that has it"

    async def strike(self) -> str:
        build = self.rng.choice(list(BUILDS))
        victims = self.take(len(self.workers.all))
        await self.deploy([build] * len(victims))
        self._served = await self.served()
        return f"all workers: {build}"


class ClockStep(OfWorkers):
    """N9: the wall clock of a worker steps by an hour or a day, either way; and back."""

    kind, span = "clock_step", (1.2 * LEASE_S, 2.5 * LEASE_S)
    expects = "nothing: leases and timers go by the server's clock"
    _steps: Sequence[int] = ()

    async def strike(self) -> str:
        if not self._steps:
            self._steps = self.rng.sample(_STEPS_S, len(_STEPS_S))
        self._step_s, *self._steps = self._steps
        (self._victim,) = self.rng.sample(self.workers.all, 1)  # not taken: another may harm it, too
        self._victim.step_clock(self._step_s)
        return f"worker {self.workers.all.index(self._victim)} believes that it is {self._step_s:+,} s"

    async def heal(self) -> int:
        """It counts once the worker itself has told how far it is from the server."""
        try:
            await eventually(self._told, _TOLD_S, pause_s=0.1, what="a worker tells of its clock")
            return 1
        except AssertionError:
            return 0  # it was dead, or the server was away: this must come again
        finally:
            self._victim.step_clock(0)

    async def _told(self) -> bool:
        try:
            about = await self.place.plain("HVALS", _ABOUT)
        except (redis.RedisError, OSError):
            return False
        read = [orjson.loads(one) for one in about]
        mine = [one.get("skew_ms", 0) for one in read if one.get("pid") == self._victim.process.pid]
        return any(abs(skew_ms + self._step_s * 1_000) < _NEAR_MS for skew_ms in mine)


_ABOUT = "ds:{default}:about"
_NEAR_MS = 60_000
_STEPS_S = (3_600, -3_600, 86_400, -86_400)
