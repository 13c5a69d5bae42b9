"""N12: somebody throws the hub away while it is at work."""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from typing import Any

import redis

import durastream as ds
from durastream.store.keys import HUBS, HubKeys
from tests.chaos import app
from tests.chaos.deployment import Wiped
from tests.chaos.log import Window
from tests.chaos.nemeses.base import Nemesis
from tests.chaos.workers import B_S, LEASE_S, LINES_PER_S_MAX
from tests.support import eventually

_NOTICED_S = 0.5  # what was answered before the wipe may be read a little later
_OPENING_S = 10.0  # for a worker to come so far that it opens the hub, on a busy machine
_TOLD_S = LEASE_S  # within which each worker has told that it lives, and how it knew the hub
_REPEATS = (
    6  # of an activity: until its worker has told again that it lives it seems to be dead, and is robbed of its claims
)
_SMALL = 5  # activities of the work that is tried afterwards
_ALL_BUT_THE_LIST = """
for _, key in ipairs(redis.call('KEYS', 'ds:{default*')) do redis.call('UNLINK', key) end
return redis.status_reply('OK')
"""


class _Wipe(Nemesis[Wiped]):
    lane, span = "hub", (5.0, 6.0)
    expects = "all is lost; the hub is made again whole and works, or everybody is told that it is gone"
    _strikes = 0

    @abstractmethod
    async def wipe(self, client: Any) -> None: ...

    async def strike(self) -> str:
        self._strikes += 1
        async with ds.Client(self.place.direct) as client:
            waiting = await client.start(app.patient, instance_id=f"patient-{self.kind}-{self._strikes}")
            self._waiting = asyncio.create_task(self._told(waiting))
            await asyncio.sleep(0.2)  # time must pass: it waits now
        self._lines = [len(one.complaints().splitlines()) for one in self.workers.all]
        async with self.place.admin(self.place.server) as server:
            self._settings = await server.hgetall(_SETTINGS)
            await self.wipe(server)
        self._at = time.monotonic()
        self.log.windows.append(Window(0.0, self._at + _NOTICED_S))
        return "all keys are gone"

    async def _told(self, handle: ds.Handle[Any]) -> str:
        """What somebody hears who waits for an instance that is gone."""
        async with ds.Client(self.place.direct) as client:
            try:
                await client.handle(handle.id).result(timeout=self.span[1] + 2 * B_S)
            except ds.DurastreamError as error:
                return type(error).__name__
        return "a result"

    async def heal(self) -> int:
        self._count_lines()
        await self._whole()
        await self._works()
        heard = await self._waiting
        if heard not in ("InstanceNotFound", "HubNotFound"):
            self._complain(f"who waited for an instance that is gone heard: {heard}")
        return _REPEATS

    def _complain(self, text: str) -> None:
        self.place.violations.append(f"N12 after {self.kind}: {text}")

    def _count_lines(self) -> None:
        """Nobody may complain without end. Who takes over what is no complaint."""
        seconds = time.monotonic() - self._at
        for number, (worker, before) in enumerate(zip(self.workers.all, self._lines, strict=True)):
            lines = len(worker.complaints().splitlines()) - before
            if lines > LINES_PER_S_MAX * seconds:
                self._complain(f"worker {number} complained in {lines} lines within {seconds:.1f} s")

    async def _whole(self) -> None:
        """Either nothing of it is there, or all that makes a hub is, as it was."""
        async with self.place.admin(self.place.server) as server:
            try:
                await eventually(lambda: self._is_whole(server), B_S, pause_s=0.2, what="the hub is whole, or gone")
            except AssertionError:
                found, names = await server.hgetall(_SETTINGS), await server.keys("ds:{default*")
                what = f"its settings are {found}" if found else "it has no settings"
                self._complain(f"the hub was half made again: {len(names)} keys, but {what}, not {self._settings}")
                await server.delete(_SETTINGS)
                await server.hset(_SETTINGS, mapping=self._settings)
                await server.sadd(HUBS, "default")

    async def _is_whole(self, server: Any) -> bool:
        """Who opens the hub before any worker that knew it has told makes it as new hubs are, with as many partitions."""
        names = await server.keys("ds:{default*")
        if not names:
            return True
        found = await server.hgetall(_SETTINGS)
        own = [b"created_at"]
        if self.workers.somebody_came(self._at - _OPENING_S, self._at + _TOLD_S):
            own.append(b"retention_ms")
        same = found.keys() == self._settings.keys() and all(
            found[name] == value for name, value in self._settings.items() if name not in own
        )
        return same and bool(await server.sismember(HUBS, "default"))

    async def _works(self) -> None:
        """New work of a new client runs, or an error says why not."""
        key = f"afterwards-{self.kind}-{self._strikes}"
        try:
            async with ds.Client(self.place.direct) as client:
                handle = await client.start(app.fan_out, _SMALL, instance_id=key)
                output = await handle.result(timeout=2 * B_S)
        except ds.HubNotFound:
            return  # it says what to do
        except (ds.DurastreamError, redis.RedisError) as error:
            self._complain(f"new work does not run: {error!r}")
            return
        if output != sum(n * n for n in range(_SMALL)):
            self._complain(f"new work gave {output}")


_SETTINGS = HubKeys("default", 0).settings


class HubFlushed(_Wipe):
    """FLUSHALL."""

    kind = "hub_flushed"

    async def wipe(self, client: Any) -> None:
        await client.flushall()


class HubDeleted(_Wipe):
    """All keys of the hub are deleted; the server's list of hubs still names it."""

    kind = "hub_deleted"

    async def wipe(self, client: Any) -> None:
        await client.eval(_ALL_BUT_THE_LIST, 0)
