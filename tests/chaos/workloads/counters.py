"""Signals to entities: each is heard once, in the order of its sender."""

from __future__ import annotations

from tests.chaos.app import Tally, tally
from tests.chaos.workloads.base import Facts, Workload
from tests.chaos.workloads.books import compare

_TALLIES = 4


class Counters(Workload):
    name = "counters"
    ops = ("signal",)
    pace_s = 0.05

    async def act(self, number: int) -> None:
        target = tally(number % _TALLIES)
        await self.log.attempt(
            "counters: signal", str(target), self.client.signal_entity(target, "add", ("client", number)), number
        )

    async def check(self, facts: Facts) -> list[str]:
        found = []
        for number in range(_TALLIES):
            target = tally(number)
            state = await facts.client.read_entity(target, type=Tally)
            heard = state.heard.get("client", []) if state is not None else []
            sent = (op for op in self.starts("signal") if op.key == str(target))
            found += compare(str(target), heard, sent, self.log, invariant="S13")
        return found
