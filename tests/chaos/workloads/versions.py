"""An orchestrator of which there are two versions: an instance stays with the one it was begun with, whoever runs it."""

from __future__ import annotations

from typing import Any

from tests.chaos import app
from tests.chaos.log import Op
from tests.chaos.workloads.base import Facts, Known

_FACTOR = {"1": 1, "2": 2}


class Versions(Known):
    name = "versions"
    orchestrator = app.release_2
    pace_s = 0.5

    def order(self) -> tuple[str | None, int]:
        """Version, None for whatever its worker has; and how many numbers."""
        return self.rng.choice([None, "1", "2"]), self.rng.randint(1, 6)

    async def act(self, number: int) -> None:
        order = self.order()
        await self._begin(f"{self.name}-{number:05}", order)

    async def settle(self) -> None:
        for op in list(self.starts()):
            if op.outcome == "info" and self.rng.random() < 0.5:
                await self._begin(op.key, op.value, if_exists="ignore")

    async def _begin(self, key: str, order: tuple[str | None, int], **options: Any) -> None:
        version, count = order
        starting = self.client.start("release", count, instance_id=key, version=version, **options)
        handle = await self.log.attempt("versions: start", key, starting, order)
        if handle is not None:
            self.watch(handle)

    def expected(self, value: tuple[str, int]) -> list[Any]:
        version, count = value
        return [version, _FACTOR[version] * sum(range(count))]

    def judge(self, op: Op, status: Any) -> list[str]:
        asked, count = op.value
        if asked is not None and status.version != asked:
            return [f"S7 {op.key} was to be version {asked}, and is {status.version}"]
        if status.version not in _FACTOR:
            return [f"S7 {op.key} is version {status.version}, which nobody has"]
        given = Op(op.kind, op.key, (status.version, count), op.begin, op.end, op.outcome)
        return super().judge(given, status)

    async def check(self, facts: Facts) -> list[str]:
        """And no activity of another version has run for it, but before a server forgot."""
        found = await super().check(facts)
        other = {"1": "polish", "2": "leaf"}
        for op in self.starts():
            status = facts.statuses.get(op.key)
            wrong = status is not None and (other.get(status.version or ""), f"{op.key}/0") in facts.seen
            if wrong and not self.log.windows:
                found.append(f"S7 {op.key} is version {status and status.version}, and {other} ran for it")
        return found
