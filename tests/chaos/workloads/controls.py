"""Operators: what is suspended rests, what is terminated ends, what is purged is gone without a trace."""

from __future__ import annotations

from typing import Any

import durastream as ds
from tests.chaos import app
from tests.chaos.log import Op
from tests.chaos.workloads.base import Facts, Workload

_PATIENCE_S = 5.0


class Controls(Workload):
    """Instances that wait until they are told to go, in three fashions by turns."""

    name = "controls"
    ops = ("start", "suspend", "raise", "resume", "terminate", "purge")
    pace_s = 0.4

    async def prepare(self) -> None:
        self._found: list[str] = []

    async def act(self, number: int) -> None:
        key = f"controls-{number:05}"
        if await self.start(app.patient, None, key) is not None:
            await _FASHIONS[number % 3](self, key)

    async def _rest(self, key: str) -> None:
        suspended = await self._call("suspend", key, self.client.suspend(key, check=False))
        await self._go(key)
        status = await self.log.attempt("controls: look", key, self.client.status(key))
        if suspended and status is not None and status.runtime_status == "Completed":
            self._found.append(f"S18 {key} was suspended, and completed all the same")
        await self._call("resume", key, self.client.resume(key, check=False))

    async def _end(self, key: str) -> None:
        await self._call("terminate", key, self.client.terminate(key, "enough", check=False))

    async def _leave(self, key: str) -> None:
        await self._go(key)
        waiting = self.client.handle(key).wait(timeout=_PATIENCE_S)
        if await self._call("wait", key, waiting):
            await self._call("purge", key, self.client.purge(key, timeout=_PATIENCE_S))

    async def _go(self, key: str) -> None:
        await self._call("raise", key, self.client.raise_event(key, "go", key, check=False))

    async def _call(self, kind: str, key: str, call: Any) -> bool:
        """Whether it was acknowledged."""
        await self.log.attempt(f"controls: {kind}", key, call)
        return self.log.ops[-1].outcome == "ok"

    async def settle(self) -> None:
        """What has not been done for sure is done again."""
        for op in list(self.starts()):
            if int(op.key[-5:]) % 3 == 1:
                await self.client.terminate(op.key, "enough", check=False)
            else:
                await self.client.raise_event(op.key, "go", op.key, check=False)
                await self.client.resume(op.key, check=False)

    async def check(self, facts: Facts) -> list[str]:
        purges = {op.key: op for op in self.starts("purge")}
        found = self._found
        for op in self.starts():
            purge, status = purges.get(op.key), facts.statuses.get(op.key)
            if purge is not None and self.log.binds(purge):
                found += self._purged(op.key, status, facts)
            elif status is not None:
                found += _ended(op, status)
            elif purge is None and self.log.absent(op):
                found.append(f"S9 {op.key}: the start was acknowledged, and there is no such instance")
        return found

    def _purged(self, key: str, status: ds.InstanceStatus | None, facts: Facts) -> list[str]:
        found = [f"S19 {key} was purged, and is {status.runtime_status}"] if status is not None else []
        return found + [f"S19 {key} was purged, and there is {name}" for name in facts.keys if name.endswith(f":{key}")]


def _ended(op: Op, status: ds.InstanceStatus) -> list[str]:
    wanted = ("Terminated", "enough") if int(op.key[-5:]) % 3 == 1 else ("Completed", op.key)
    found = (status.runtime_status, status.output)
    return [] if found == wanted else [f"S18 {op.key} is {found}, not {wanted}"]


_FASHIONS = (Controls._rest, Controls._end, Controls._leave)
