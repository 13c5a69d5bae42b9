"""Where a run takes place: the servers, and how workloads, nemeses and oracles reach them."""

from __future__ import annotations

import asyncio
import random
import shlex
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import redis
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from durastream.store.embedded import EmbeddedServer, Fsync
from durastream.store.redis.hubs import create_hub
from tests.chaos.log import Window
from tests.chaos.proxy import Proxy
from tests.prefixes import aof
from tests.servers.ports import free_port

RESPONSE_TIMEOUT_S = 2.0  # of workers and clients: what is half open is given up after that


class Deployment(ABC):
    """`url` leads workers through the faults, `client_url` clients; `direct` past them, for nemeses and oracles."""

    name: ClassVar[str]
    lanes: ClassVar[tuple[str, ...]]  # whose nemeses can strike here
    unfit: ClassVar[frozenset[str]] = frozenset()  # kinds of them that cannot
    promise: ClassVar[str]  # what may be lost
    tears: ClassVar[bool] = False  # parts of the hub may lose what others remember
    without: ClassVar[frozenset[str]] = frozenset()  # workloads that cannot take what happens here
    confirmed: ClassVar[bool] = False  # clients ask for a replica: what they are told is never taken back
    patience_s: ClassVar[float] = 4.0  # of clients while faults are about: so that some calls end with an unknown fate
    url: str
    direct: str

    def __init__(self) -> None:
        self.windows: list[Window] = []  # what was acknowledged in them does not bind
        self.seconds = 0.0  # of faults, as asked for
        self.violations: list[str] = []
        self.unplanned = 0  # failovers that nobody ordered: on a busy machine a server may seem to be dead

    async def steady(self) -> None:
        """Return once no change is under way any more."""
        return

    @abstractmethod
    async def start(self) -> None: ...

    @property
    def client_url(self) -> str:
        return self.url

    @abstractmethod
    async def stop(self) -> None: ...

    @abstractmethod
    def nodes(self) -> list[EmbeddedServer]:
        """All servers that hold data."""

    @abstractmethod
    def masters(self) -> list[EmbeddedServer]:
        """Those that hold all of it now."""

    @abstractmethod
    async def plain(self, *command: Any) -> Any:
        """One command of a plain client, through the faults."""

    def admin(self, node: EmbeddedServer) -> Any:
        """A client of one node, past the faults. Use it with `async with`."""
        return once(node.url, timeout_s=20)

    def facts(self) -> dict[str, str]:
        """For the report: what was tested."""
        node = self.masters()[0]
        with redis.Redis.from_url(node.url, protocol=2) as connection:
            policy = str(connection.config_get("appendfsync")["appendfsync"])
            on = str(connection.config_get("appendonly")["appendonly"])
        return {node.kind: node.version, "aof": on, "fsync": policy, "deployment": self.name}

    def keep_logs(self, directory: Path) -> None:
        for number, node in enumerate(self.nodes()):
            if node._log.exists():
                (directory / f"server-{number}.log").write_bytes(node._log.read_bytes())


def once(url: str, *, timeout_s: float = 3.0) -> Any:
    """A `redis.asyncio.Redis` with one connection, that repeats nothing."""
    return redis.asyncio.Redis.from_url(
        url,
        protocol=2,
        single_connection_client=True,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
    )


class Single(Deployment):
    """One server with an append-only file, behind the proxy."""

    name = "single"
    lanes: ClassVar[tuple[str, ...]] = ("workers", "server", "network")
    promise = "aof everysec: a killed server process loses nothing that was acknowledged; a power cut would lose ≤ 2 s"
    fsync: ClassVar[Fsync] = "everysec"

    def __init__(self, binary: str, directory: Path, rng: random.Random) -> None:
        super().__init__()
        self._binary = binary
        self.directory = directory / "server"
        self._rng = rng

    async def start(self) -> None:
        binary = self._unharmed_by_limits()
        self.server = await asyncio.to_thread(
            lambda: EmbeddedServer.start(
                binary, self.directory, port=free_port(), appendfsync=self.fsync, extra_args=_OPTIONS
            )
        )
        self.proxy = await Proxy(self.server.port, self._rng).start()
        self.direct = self.server.url
        self.url = f"redis://127.0.0.1:{self.proxy.port}?socket_timeout={RESPONSE_TIMEOUT_S}"

    async def stop(self) -> None:
        await self.proxy.stop()
        await asyncio.to_thread(self.server.stop)

    def _unharmed_by_limits(self) -> Path:
        """The server, with the signal ignored that ends who writes more than he may: a disk that is full sends none."""
        self.directory.mkdir(parents=True, exist_ok=True)
        script = self.directory / "server"
        script.write_text(f"#!/bin/sh\ntrap '' XFSZ\nexec {shlex.quote(self._binary)} \"$@\"\n", "utf-8")
        script.chmod(0o700)
        return script

    async def bring_back(self) -> None:
        """After a kill. What was torn is cut off first: see `aof.mend`."""
        aof.mend(self.directory)
        await asyncio.to_thread(self.server.restart)

    def nodes(self) -> list[EmbeddedServer]:
        return [self.server]

    def masters(self) -> list[EmbeddedServer]:
        return [self.server]

    async def plain(self, *command: Any) -> Any:
        async with once(f"redis://127.0.0.1:{self.proxy.port}") as client:
            return await client.execute_command(*command)


class Always(Single):
    """The same with a flush at each write."""

    name = "always"
    promise = "aof always: neither a killed server process nor a power cut loses what was acknowledged"
    fsync = "always"
    unfit = frozenset(("disk_full",))  # the server ends itself


class Wiped(Single):
    """A server whose hub somebody deletes in the middle, whole (N12)."""

    name = "wiped"
    lanes = ("workers", "hub")
    without = frozenset(("bank", "loops"))  # whose accounts and loops exist from the beginning
    promise = "everything before the last wipe is lost; what was acknowledged after it is not"

    async def start(self) -> None:
        """With settings that are not those of a hub that is simply made anew."""
        await super().start()
        await create_hub(self.direct, "default", retention_s=_RETENTION_S)


_RETENTION_S = 36 * 3_600
_OPTIONS = ("--busy-reply-threshold", "100", "--repl-timeout", "5")
