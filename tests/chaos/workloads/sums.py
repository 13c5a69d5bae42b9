"""Fan-outs, trees of sub-orchestrations, sagas: what comes out is known from what went in."""

from __future__ import annotations

from typing import Any

from tests.chaos import app
from tests.chaos.workloads.base import Facts, Known

_LEVELS = 2


class FanOut(Known):
    """The sum of many activities at once."""

    name = "fan_out"
    orchestrator = app.fan_out

    def order(self) -> int:
        return self.rng.randint(5, 40)

    def expected(self, value: int) -> int:
        return sum(n * n for n in range(value))

    async def check(self, facts: Facts) -> list[str]:
        found = await super().check(facts)
        for op in self.starts():
            if op.key in facts.statuses:
                missing = [n for n in range(op.value) if ("square", f"{op.key}/{n}") not in facts.seen]
                found += [f"S5 {op.key}: activity {n} was recorded, and never ran" for n in missing]
        return found


class Trees(Known):
    """Sub-orchestrations of sub-orchestrations; every leaf counts once."""

    name = "trees"
    spans = True
    orchestrator = app.tree
    pace_s = 0.6

    def order(self) -> tuple[int, int]:
        return _LEVELS, self.rng.randint(0, 9)

    def expected(self, value: tuple[int, int]) -> int:
        levels, number = value
        return sum(range(number * 3**levels, (number + 1) * 3**levels))

    async def check(self, facts: Facts) -> list[str]:
        found = await super().check(facts)
        for op in self.starts():
            if op.key in facts.statuses:
                count = sum(1 for one in facts.statuses if one == op.key or one.startswith(f"{op.key}:"))
                if count != _NODES:
                    found.append(f"S17 {op.key}: a tree of {count} instances, not of {_NODES}")
        return found


_NODES = sum(3**level for level in range(_LEVELS + 1))


class Sagas(Known):
    """Steps, some of which fail for good: what had been done before is undone, in reverse, and nothing else is."""

    name = "sagas"
    orchestrator = app.saga

    def order(self) -> list[str]:
        moods = [self.rng.choice(["good", "good", "second"]) for _ in range(4)]
        if self.rng.random() < 0.5:
            moods[self.rng.randrange(4)] = "fails"
        return moods

    def expected(self, value: list[str]) -> list[str]:
        if "fails" not in value:
            return [f"do {n}" for n in range(len(value))]
        done = value.index("fails")
        return [f"do {n}" for n in range(done)] + [f"undo {n}" for n in reversed(range(done))]

    async def check(self, facts: Facts) -> list[str]:
        found = await super().check(facts)
        undone = {key for activity, key in facts.seen if activity == "undo"}
        for op in self.starts():
            if op.key not in facts.statuses and not self.log.binds(op):
                continue  # a failover may have swallowed it, after it had undone what it did
            wanted = self._undone(op.key, op.value)
            really = {key for key in undone if key.startswith(f"{op.key}/")}
            if really != wanted:
                found.append(f"S7 {op.key} has undone {sorted(really)}, not {sorted(wanted)}")
        return found

    def _undone(self, key: str, value: Any) -> set[str]:
        return {f"{key}/{line.removeprefix('undo ')}" for line in self.expected(value) if line.startswith("undo")}
