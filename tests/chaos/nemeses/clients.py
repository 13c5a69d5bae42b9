"""Faults of clients: too many of them at once."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import orjson
import redis

from tests.acceptance.processes import ROOT
from tests.chaos.deployment import Deployment
from tests.chaos.log import Op
from tests.chaos.nemeses.base import Nemesis
from tests.support import eventually

_CLIENTS, _FEW = 500, 200  # of long runs, and of short ones
_LONG_S = 60.0
_MOST = 0.8  # of them must have got through: else other faults met them, and they must come again
_LIMIT_S = 120.0
_LEFT_S = 20.0  # within which the servers must be rid of them
_SLACK = 40  # connections that others may have opened meanwhile: workers that were started again, or met a moved slot


class ClientStorm(Nemesis[Deployment]):
    """N21: so many clients connect, start one instance each, and hang up; a third of them without a word."""

    kind, lane, span = "client_storm", "workers", (0.0, 0.0)
    expects = "no work is refused; no connection is left behind at the servers"
    _strikes = 0

    @property
    def _count(self) -> int:
        return _CLIENTS if self.place.seconds >= _LONG_S else _FEW

    async def strike(self) -> str:
        self._strikes += 1
        self.workers.storms.append(time.monotonic())
        self._before = await self._connections()
        self._answers: list[dict[str, Any]] = []
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.chaos.storm", self.place.client_url, f"storm-{self._strikes}"),
            *(str(self._count), str(self.rng.random())),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            out, _ = await asyncio.wait_for(process.communicate(), _LIMIT_S)
            self._answers = [orjson.loads(line) for line in out.splitlines()]
        except TimeoutError:
            process.kill()
            await process.wait()
        self._keep_books()
        good = sum(one["outcome"] == "ok" for one in self._answers)
        return f"{self._count} clients, {good} starts acknowledged"

    def _keep_books(self) -> None:
        if len(self._answers) != self._count:
            self.place.violations.append(f"L10 of {self._count} clients only {len(self._answers)} came to an end")
        for one in self._answers:
            self.log.ops.append(
                Op("storm: start", one["key"], 1, one["begin"], one["end"], one["outcome"], one["error"])
            )
            if one["outcome"] == "fail":
                self.place.violations.append(f"L10 {one['key']} was refused: {one['error']}")

    async def heal(self) -> int:
        try:
            await eventually(self._are_gone, _LEFT_S, pause_s=0.2, what="no connections are left behind")
        except AssertionError as error:
            self.place.violations.append(f"L10 there were {self._before} connections before the storm: {error}")
        return int(sum(one["outcome"] == "ok" for one in self._answers) >= _MOST * self._count)

    async def _are_gone(self) -> bool:
        now = await self._connections()
        return 0 <= now <= max(self._before, 0) + _SLACK + self._count // 4  # each client had several

    async def _connections(self) -> int:
        """At all servers that hold data; -1 while one does not answer."""
        found = 0
        for node in self.place.nodes():
            if not node.pid:
                continue
            try:
                async with self.place.admin(node) as client:
                    found += len(await client.client_list())
            except (redis.RedisError, OSError):
                return -1
        return found
