"""Any Redis client: plain XADD to the hub's ingress stream. What the server has answered happens once."""

from __future__ import annotations

from typing import Any

import orjson

from tests.chaos import app
from tests.chaos.workloads.base import Facts, Workload
from tests.chaos.workloads.books import compare

INGRESS = "ds:{default}:in"
_TALLY = 99


class AnyClient(Workload):
    """Starts and signals in turn, by a connection that repeats nothing."""

    name = "ingress"
    ops = ("start", "signal")
    pace_s = 0.15

    async def act(self, number: int) -> None:
        await (self._signal(number) if number % 2 else self._start(number))

    async def _start(self, number: int) -> None:
        key, count = f"ingress-{number:05}", self.rng.randint(1, 5)
        fields = {"op": "start", "name": "fan_out", "id": key, "input": count}
        await self._add("start", key, fields, count)
        if self.log.ops[-1].outcome == "ok":
            self.watch(self.client.handle(key))

    async def _signal(self, number: int) -> None:
        said = orjson.dumps(["ingress", number]).decode()
        fields = {"op": "signal", "entity": "Tally", "key": str(_TALLY), "operation": "add", "input": said}
        await self._add("signal", str(_TALLY), fields, number)

    async def _add(self, kind: str, key: str, fields: dict[str, Any], value: int) -> None:
        words = [str(word) for pair in fields.items() for word in pair]
        await self.log.attempt(f"ingress: {kind}", key, self.plain("XADD", INGRESS, "*", *words), value)

    async def check(self, facts: Facts) -> list[str]:
        found = []
        for op in self.starts():
            status = facts.statuses.get(op.key)
            if status is None:
                if self.log.absent(op):
                    found.append(f"S9 {op.key}: XADD was answered, and there is no such instance")
            elif status.output != sum(n * n for n in range(op.value)):
                found.append(f"S7 {op.key} with {op.value} gave {status.output}: {status.failure}")
        state = await facts.client.read_entity(app.tally(_TALLY), type=app.Tally)
        heard = self._once(state.heard.get("ingress", []) if state is not None else [])
        # An entry of unknown fate may come late: a connection that was given up can still be on its way.
        unknown = {op.value for op in self.starts("signal") if op.outcome == "info"}
        found += [f"S13 the tally of the ingress heard {n} twice" for n in unknown if heard.count(n) > 1]
        known = [n for n in heard if n not in unknown]
        sent = (op for op in self.starts("signal") if op.value not in unknown)
        return found + compare("the tally of the ingress", known, sent, self.log, invariant="S13")

    def _once(self, heard: list[int]) -> list[int]:
        """Without what came back with its shard, and was taken again. That is counted."""
        back = {op.value for op in self.starts("signal") if self.log.comes_back(op)}
        found = list[int]()
        for n in heard:
            if n in back and n in found:
                self.log.again["ingress: signal"] += 1
            else:
                found.append(n)
        return found
