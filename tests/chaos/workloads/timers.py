"""Storms of timers: none early, none twice, none forgotten."""

from __future__ import annotations

from tests.chaos import app
from tests.chaos.log import Op
from tests.chaos.workloads.base import Facts, Known

_CLOCK_MS = 2  # a turn's time is cut to whole ms, on both sides


class Storms(Known):
    name = "timers"
    orchestrator = app.storm
    pace_s = 0.5

    def order(self) -> list[int]:
        """Delays in ms; many in the same moment."""
        return [self.rng.choice([0, 1, 50, 100, 100, 500, 1_000, 2_000]) for _ in range(self.rng.randint(3, 12))]

    def expected(self, value: list[int]) -> list[int]:
        return [0] * len(value)

    async def check(self, facts: Facts) -> list[str]:
        found = await super().check(facts)
        for (activity, key), runs in facts.seen.items():
            due = int(key.rpartition("/")[2]) if activity == "rang" else 0
            early = due - min(run.wall_ms for run in runs)
            if early > _CLOCK_MS:
                found.append(f"S16 {key} rang {early:.0f} ms before it was due")
        for op in self.starts():
            if op.key in facts.statuses:
                found += self._begun_late_enough(op, facts)
        return found

    def _begun_late_enough(self, op: Op, facts: Facts) -> list[str]:
        """Delays count from a moment after the start by the server's clock, however wrong that of the worker was."""
        created_ms = facts.statuses[op.key].created_at.timestamp() * 1_000
        found = []
        for n, delay in enumerate(sorted(op.value)):
            keys = [key for activity, key in facts.seen if activity == "rang" and key.startswith(f"{op.key}/{n}/")]
            begins = [int(key.rpartition("/")[2]) - delay for key in keys]
            found += [
                f"S16 {op.key} set timer {n} {created_ms - begin:.0f} ms before it was made"
                for begin in begins
                if begin < created_ms - _CLOCK_MS and self.log.untouched(op)
            ]
        return found
