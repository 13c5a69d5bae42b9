"""External events: through continue-as-new, generation after generation, and to and fro between orchestrations."""

from __future__ import annotations

from typing import Any

from tests.chaos import app
from tests.chaos.log import Op
from tests.chaos.workloads.base import Facts, Known, Workload
from tests.chaos.workloads.books import compare

_LOOPS = 3
_END = -1
_PONG = ".pong"  # of the id of the second one, see `app.ping`


class Loops(Workload):
    """Each event opens a new generation of its loop."""

    name = "loops"
    ops = ("start", "raise")
    pace_s = 0.08

    async def prepare(self) -> None:
        for number in range(_LOOPS):
            await self.start(app.loop, [], _loop(number))

    async def act(self, number: int) -> None:
        await self._raise(_loop(number % _LOOPS), number)

    async def _raise(self, target: str, number: int) -> bool:
        raising = self.client.raise_event(target, "number", number, check=False)
        await self.log.attempt("loops: raise", target, raising, number)
        return self.log.ops[-1].outcome == "ok"

    async def settle(self) -> None:
        for number in range(_LOOPS):
            await self.client.raise_event(_loop(number), "number", _END, check=False)

    async def check(self, facts: Facts) -> list[str]:
        found = []
        for number in range(_LOOPS):
            key = _loop(number)
            status = facts.statuses.get(key)
            if status is None or status.runtime_status != "Completed":
                found.append(f"S12 {key} is {status and status.runtime_status}: {status and status.failure}")
                continue
            sent = [op for op in self.starts("raise") if op.key == key]
            found += compare(key, status.output, sent, self.log, invariant="S11")
            generation = int(status.execution_id.rpartition(".")[2])
            if generation != len(status.output):
                found.append(f"S12 {key} is in generation {generation} after {len(status.output)} events")
        return found


def _loop(number: int) -> str:
    return f"loop-{number}"


def partner(instance_id: str) -> str | None:
    """With whom it plays; None: it is no player."""
    if not instance_id.startswith(f"{PingPong.name}-"):
        return None
    return instance_id.removesuffix(_PONG) if instance_id.endswith(_PONG) else instance_id + _PONG


class PingPong(Known):
    """Two orchestrations that send each other a ball."""

    name = "ping_pong"
    spans = True
    orchestrator = app.ping
    pace_s = 0.5

    def order(self) -> int:
        return self.rng.randint(2, 10)

    def expected(self, value: int) -> list[int]:
        return [value, value]

    def judge(self, op: Op, status: Any) -> list[str]:
        return [text.replace("S7", "S11") for text in super().judge(op, status)]
