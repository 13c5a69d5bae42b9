"""Faults of a single server."""

from __future__ import annotations

import asyncio
import resource
import time
from typing import Any

from tests.chaos.deployment import Single
from tests.chaos.nemeses.base import Again, Nemesis
from tests.support import eventually

_SPIN = "local n = 0; while n < tonumber(ARGV[1]) do n = n + 1 end"
_SAMPLE = 300_000  # rounds
_FULL_BYTES = 1_000_000


class _OfServer(Nemesis[Single]):
    lane = "server"

    async def ask(self, *command: Any) -> Any:
        async with self.place.admin(self.place.server) as client:
            return await client.execute_command(*command)


class ServerKill(_OfServer):
    """N5: SIGKILL, and a start with what the append-only file holds."""

    kind, span = "server_kill", (0.0, 0.8)
    expects = "nothing acknowledged is lost"

    async def strike(self) -> str:
        self.place.server.kill()
        return "SIGKILL of the server"

    async def heal(self) -> int:
        await self.place.bring_back()
        return 1


class ServerRestart(_OfServer):
    """SIGTERM and a start."""

    kind, span = "server_restart", (0.0, 0.0)
    expects = "nothing is lost"

    async def strike(self) -> str:
        await asyncio.to_thread(self.place.server.restart)
        return "SIGTERM of the server, and a start"


class Readonly(_OfServer):
    """N14: it becomes a replica of nobody for a while: READONLY."""

    kind, span = "readonly", (0.3, 1.2)
    expects = "writes wait"

    async def strike(self) -> str:
        await self.ask("REPLICAOF", "127.0.0.1", "1")
        return "the server refuses writes"

    async def heal(self) -> int:
        await self.ask("REPLICAOF", "NO", "ONE")
        return 1


class MemoryFull(_OfServer):
    """N15: maxmemory is below what is in use."""

    kind, span = "memory_full", (0.8, 1.8)
    expects = "writes wait; no dead letter, no half commit"

    async def strike(self) -> str:
        await self.ask("CONFIG", "SET", "maxmemory", _FULL_BYTES)
        return "no memory for writes"

    async def heal(self) -> int:
        await self.ask("CONFIG", "SET", "maxmemory", 0)
        return 1


class DiskFull(_OfServer):
    """N19: the append-only file cannot grow: MISCONF. Not with fsync at every write: then the server ends itself."""

    kind, span = "disk_full", (1.2, 2.5)
    expects = "writes wait; nothing acknowledged is lost"

    async def strike(self) -> str:
        pid, files = self.place.server.pid, self.place.directory.glob("appendonlydir/*.incr.aof")
        self._limits = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (max(one.stat().st_size for one in files), self._limits[1]))
        return "the append-only file may not grow"

    async def heal(self) -> int:
        async with self.place.admin(self.place.server) as client:
            refused = not await self._writes(client)
            resource.prlimit(self.place.server.pid, resource.RLIMIT_FSIZE, self._limits)
            await eventually(lambda: self._writes(client), 30, pause_s=0.1, what="the server writes again")
        return int(refused)

    async def _writes(self, client: Any) -> bool:
        return bool((await client.info("persistence"))["aof_last_write_status"] == "ok")


async def destroy_groups(client: Any) -> int:
    """Those of all activity streams that this server holds; how many there were."""
    queues = [key async for key in client.scan_iter(match="ds:{default:*}:a:*", count=1_000)]
    return sum([int(await client.xgroup_destroy(queue, "workers")) for queue in queues])


class GroupsLost(_OfServer):
    """N11: the consumer groups of activities are destroyed, with all claims in them."""

    kind, span = "groups_lost", (0.0, 0.0)
    expects = "groups are made again from the start; activities under way run again"

    async def strike(self) -> str:
        async with self.place.admin(self.place.server) as client:
            self._destroyed = await destroy_groups(client)
        return f"XGROUP DESTROY of {self._destroyed} groups"

    async def heal(self) -> int:
        return self._destroyed


class Busy(_OfServer):
    """N16: a foreign script keeps the server busy: BUSY."""

    kind, span = "busy", (0.0, 0.0)
    expects = "everybody waits"

    async def strike(self) -> str:
        began = time.monotonic()
        await self.ask("EVAL", _SPIN, 0, _SAMPLE)
        rounds = int(_SAMPLE / (time.monotonic() - began))
        seconds = self.rng.uniform(0.3, 1.0)
        await self.ask("EVAL", _SPIN, 0, int(rounds * seconds))
        return f"a script of {seconds:.1f} s"


class ClientPause(_OfServer):
    """N14: CLIENT PAUSE: it takes commands and answers none."""

    kind, span = "client_pause", (0.3, 1.0)
    expects = "everybody waits"

    async def strike(self) -> str:
        self._pause_s = super().span_s()
        await self.ask("CLIENT", "PAUSE", round(self._pause_s * 1_000), "ALL")
        return "CLIENT PAUSE"

    def span_s(self) -> float:
        return self._pause_s  # it ends by itself: nobody could tell the server to end it


class _AgainAtServer(Again[Single]):
    lane = "server"

    async def strike(self) -> str:
        self._client = self.place.admin(self.place.server)
        return await super().strike()

    async def heal(self) -> int:
        try:
            return await super().heal()
        finally:
            await self._client.aclose()


class ScriptFlush(_AgainAtServer):
    """N10: scripts are forgotten again and again."""

    kind, span, every_s = "script_flush", (0.5, 1.0), 0.005
    expects = "scripts are loaded again"

    async def hit(self) -> None:
        await self._client.script_flush()


class ClientKill(_AgainAtServer):
    """N14: every connection is closed, again and again."""

    kind, span, every_s = "client_kill", (0.5, 1.2), 0.15
    expects = "answers are lost; nothing is lost or doubled"

    async def hit(self) -> None:
        await self._client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await self._client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
