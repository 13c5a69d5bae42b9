"""Several servers: a primary with a replica and three Sentinels; a Cluster of three masters and three replicas.

No proxy stands before them: addresses come from Sentinels and from the map of slots.
"""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path
from typing import Any, ClassVar, Final

from redis.asyncio.sentinel import Sentinel
from redis.crc import key_slot
from redis.exceptions import AskError, MovedError, RedisError

from durastream.store.embedded import EmbeddedServer
from tests.chaos.deployment import RESPONSE_TIMEOUT_S, Deployment, once
from tests.chaos.log import Window
from tests.prefixes import aof
from tests.servers.cluster import Cluster
from tests.servers.sentinel import SERVICE, Sentinels
from tests.servers.waiting import until

_REDIRECTIONS_MAX: Final = 5
_LOOK_S: Final = 0.2
_STEADY_S: Final = 3.0  # without another primary
_UNNOTICED_S: Final = 10.0  # how long an old primary may have been believed before another was named
ABSENCE_S: Final = 30.0  # for which a primary may lack its replica after a failover, on a busy machine
_CONFIRMED: Final = "replicas=1"
_EVERYSEC: Final = ("--appendfsync", "everysec")


class BySentinel(Deployment):
    """A primary with one replica, watched by three Sentinels."""

    name = "sentinel"
    lanes = ("workers", "sentinel")
    promise = "a failover may lose what had not reached the replica: what the old primary acknowledged without one"
    strict: ClassVar[bool] = False

    options: ClassVar[tuple[str, ...]] = _EVERYSEC

    def __init__(self, binary: str, _directory: Path, _rng: random.Random) -> None:
        super().__init__()
        self._binary = binary
        self.switches: list[float] = []  # when another primary was named, monotonic
        self.planned = 0  # how many of them were ordered

    async def start(self) -> None:
        self.sentinels = await asyncio.to_thread(lambda: Sentinels.start(self._binary, extra_args=self.options))
        self.direct = self.url = f"{self.sentinels.url}?socket_timeout={RESPONSE_TIMEOUT_S}"
        self._watch = asyncio.create_task(self._look())

    async def stop(self) -> None:
        self._watch.cancel()
        await asyncio.gather(self._watch, return_exceptions=True)
        await asyncio.to_thread(self.sentinels.stop)

    async def _look(self) -> None:
        """Note every change of the primary."""
        before = await asyncio.to_thread(self.sentinels.primary)
        while True:
            try:
                now = await asyncio.to_thread(self.sentinels.primary)
            except (RedisError, OSError):
                now = before  # the Sentinel is busy: it is asked again
            if now is not before:
                before = now
                self.switches.append(time.monotonic())
            await asyncio.sleep(_LOOK_S)  # time must pass: until the next look

    async def steady(self) -> None:
        """Sentinels may order a second failover after the first. What such a one costs is excused, and counted."""
        while self.switches and time.monotonic() < self.switches[-1] + _STEADY_S:
            await asyncio.sleep(_LOOK_S)  # time must pass: as above
        if len(self.switches) > self.planned:
            self.unplanned += len(self.switches) - self.planned
            self.planned = len(self.switches)
            self.windows.append(Window(self.switches[-1] - _UNNOTICED_S, time.monotonic()))

    def nodes(self) -> list[EmbeddedServer]:
        return [*self.sentinels.nodes, *self.sentinels.sentinels]

    def masters(self) -> list[EmbeddedServer]:
        return [self.sentinels.primary()]

    async def plain(self, *command: Any) -> Any:
        places = [("127.0.0.1", one.port) for one in self.sentinels.sentinels]
        sentinels: Any = Sentinel(places, socket_timeout=1, protocol=2)  # type: ignore[no-untyped-call]
        host, port = await sentinels.discover_master(SERVICE)
        async with once(f"redis://{host}:{port}") as client:
            return await client.execute_command(*command)


class Strict(BySentinel):
    """The same with the profile *strict*: a primary without its replica takes nothing, and clients wait until it has it."""

    name = "strict"
    promise = (
        "nothing that a client was told is lost; what plain Redis clients were told at the moment of a failover is"
    )
    strict = True
    confirmed = True
    patience_s = ABSENCE_S
    options = ("--appendfsync", "always", "--min-replicas-to-write", "1", "--min-replicas-max-lag", "2")

    @property
    def client_url(self) -> str:
        """Workers have no need of it: with one primary at a time, what they lose is younger than what was acknowledged."""
        return f"{self.url}&{_CONFIRMED}"


class OnCluster(Deployment):
    """Three masters with a replica each; the partitions of the hub lie on all masters.

    A replica takes its master's place only when it is told to: else each killed master would cost what was not yet passed on.
    """

    name = "cluster"
    lanes = ("workers", "cluster")
    unfit = frozenset(("shard_cut_off", "shard_rolled_back"))
    promise = (
        "a killed master comes back with its append-only file, replicas are promoted when they have everything, slots move:"
        " nothing acknowledged is lost"
    )

    def __init__(self, binary: str, _directory: Path, _rng: random.Random) -> None:
        super().__init__()
        self._binary = binary

    async def start(self) -> None:
        self.cluster = await asyncio.to_thread(
            lambda: Cluster.start(self._binary, masters=3, replicas=1, extra_args=(*_EVERYSEC, *_WHEN_TOLD))
        )
        self.direct = self.url = f"{self.cluster.url}?socket_timeout={RESPONSE_TIMEOUT_S}"

    async def stop(self) -> None:
        await asyncio.to_thread(self.cluster.stop)

    async def bring_back(self, node: EmbeddedServer) -> None:
        """After a kill."""
        aof.mend(self.directory_of(node))
        await asyncio.to_thread(self.cluster.restart, node)

    def directory_of(self, node: EmbeddedServer) -> Path:
        assert node._own_directory is not None
        return Path(node._own_directory.name)

    async def whole(self) -> None:
        """Until each master is followed by one replica, and all agree on who serves what."""
        await asyncio.to_thread(until, self._whole, "a replica for each master", 60)
        await asyncio.to_thread(self.cluster.wait_until_ok)

    def _whole(self) -> bool:
        followed = [one for one in self.cluster.nodes if (one.pid and self.follows(one))]
        return len(self.cluster.masters()) == len({self.follows(one) for one in followed}) == len(followed) == _MASTERS

    def follows(self, node: EmbeddedServer) -> int:
        """The port of its master, if it has everything that came so far; 0 for a master, and for a replica without its link."""
        role = self.cluster.ask(node, "ROLE")
        return int(role[2]) if role[0] == b"slave" and role[3] == b"connected" else 0

    def replica_of(self, master: EmbeddedServer) -> EmbeddedServer:
        return next(one for one in self.cluster.running() if self.follows(one) == master.port)

    def nodes(self) -> list[EmbeddedServer]:
        return self.cluster.nodes

    def masters(self) -> list[EmbeddedServer]:
        return self.cluster.masters()

    async def plain(self, *command: Any) -> Any:
        """`command[1]` is its key. A node that does not serve it has not done it either: the next one is asked."""
        slot = key_slot(str(command[1]).encode())
        url, ask = (await asyncio.to_thread(self.cluster.master_of, slot)).url, False
        for _ in range(_REDIRECTIONS_MAX):
            async with once(url) as client:
                try:
                    if ask:
                        await client.execute_command("ASKING")
                    return await client.execute_command(*command)
                except (MovedError, AskError) as error:
                    url, ask = f"redis://{error.host}:{error.port}", isinstance(error, AskError)
        raise ConnectionError(f"sent from node to node {_REDIRECTIONS_MAX} times")


class Shards(OnCluster):
    """The same, and single shards lose their newest writes while the others keep theirs (S26b).

    No order of the writes of several shards survives that. What one shard has in itself must hold all the same; what goes to and
    fro between shards may be torn, and then it must come to an end or be named by `fsck`: nothing is stuck in silence.
    """

    name = "shards"
    unfit = frozenset()
    promise = (
        "a shard that forgets takes back what it had acknowledged since; what it had to do with others may be torn"
    )
    tears = True


class ShardsStrict(OnCluster):
    """One shard loses its newest writes to a replica that had lost its link, and everybody waits for replicas: nothing that was
    acknowledged is lost, to clients or between shards. A file that goes back takes its replicas with it, so that is not here."""

    name = "shards-strict"
    unfit = frozenset(("shard_rolled_back",))
    promise = "a shard that forgets has confirmed nothing of that: only what plain Redis clients were told may be lost"
    confirmed = True
    patience_s = ABSENCE_S

    async def start(self) -> None:
        await super().start()
        self.url = f"{self.direct}&{_CONFIRMED}"


_MASTERS: Final = 3
_WHEN_TOLD: Final = ("--cluster-replica-no-failover", "yes")
