"""Faults of a Cluster with replicas: promotions that lose nothing, and shards that lose their newest writes (S26b)."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from durastream.store.embedded import EmbeddedServer
from tests.chaos.log import Window
from tests.chaos.nemeses.base import Nemesis
from tests.chaos.topologies import OnCluster
from tests.prefixes import aof
from tests.servers.waiting import until

_MARGIN_S = 0.5  # what was acknowledged shortly before a link was cut may not have passed it any more
_HEARD_S = 0.5  # what was answered before the kill may be read a little later; the shard says nothing more until it is replaced
_PAUSE_MS = 10_000
_WRONG_PASSWORD = "nobody has this"  # with which a replica cannot come to its master


class _OfReplicas(Nemesis[OnCluster]):
    lane = "cluster"

    async def ask(self, node: EmbeddedServer, *command: object) -> object:
        return await asyncio.to_thread(self.place.cluster.ask, node, *command)

    async def choose(self) -> tuple[EmbeddedServer, EmbeddedServer]:
        """A master, and the replica that follows it."""
        await self.place.whole()
        masters = await asyncio.to_thread(self.place.masters)
        master = self.rng.choice(sorted(masters, key=self.place.nodes().index))
        return master, await asyncio.to_thread(self.place.replica_of, master)

    async def slots(self, master: EmbeddedServer) -> frozenset[int]:
        return frozenset(await asyncio.to_thread(self.place.cluster.slots_of, master))

    async def taken_over(self, replica: EmbeddedServer) -> None:
        """The other masters vote for it, as they do when one is dead."""
        await self.ask(replica, "CONFIG", "SET", "cluster-replica-no-failover", "no")
        try:
            await asyncio.to_thread(until, lambda: self._is_master(replica), "the replica is promoted", 60)
        finally:
            await self.ask(replica, "CONFIG", "SET", "cluster-replica-no-failover", "yes")

    def _is_master(self, node: EmbeddedServer) -> bool:
        return bool(self.place.cluster.ask(node, "ROLE")[0] == b"master")


class ReplicaPromoted(_OfReplicas):
    """N17: CLUSTER FAILOVER: master and replica change places."""

    kind, span = "replica_promoted", (0.0, 0.3)
    expects = "nothing is lost"

    async def strike(self) -> str:
        master, replica = await self.choose()
        await asyncio.to_thread(self.place.cluster.failover, replica)
        return f"CLUSTER FAILOVER: {replica.port} in the place of {master.port}"

    async def heal(self) -> int:
        await self.place.whole()
        return 1


class MasterReplaced(_OfReplicas):
    """N17: SIGKILL of a master whose replica has everything; it is voted into its place."""

    kind, span = "master_replaced", (0.0, 0.3)
    expects = "its partitions wait; nothing is lost"

    async def strike(self) -> str:
        self._dead, replica = await self.choose()
        await self.ask(self._dead, "CLIENT", "PAUSE", _PAUSE_MS, "WRITE")
        await asyncio.to_thread(until, lambda: self._in_sync(self._dead), "the replica has everything")
        self.place.cluster.kill(self._dead)
        await self.taken_over(replica)
        return f"SIGKILL of master {self._dead.port}; its replica {replica.port} takes over, in sync"

    def _in_sync(self, master: EmbeddedServer) -> bool:
        _, offset, replicas = self.place.cluster.ask(master, "ROLE")
        return bool(replicas) and all(int(replica[2]) == offset for replica in replicas)

    async def heal(self) -> int:
        await self.place.bring_back(self._dead)
        await self.place.whole()
        return 1


class ShardCutOff(_OfReplicas):
    """N23b: a replica lost its link, its master was killed, and it was voted into its place."""

    kind, span = "shard_cut_off", (0.0, 0.3)
    expects = "this shard takes back what it has acknowledged since; the others know more than it does"

    async def strike(self) -> str:
        self._dead, replica = await self.choose()
        slots, begin = await self.slots(self._dead), time.monotonic()
        await self.ask(replica, "CONFIG", "SET", "masterauth", _WRONG_PASSWORD)
        await self.ask(self._dead, "CLIENT", "KILL", "TYPE", "replica")
        cut_s = self.rng.uniform(0.2, 0.6)
        await asyncio.sleep(cut_s)  # time must pass: what is acknowledged now is lost
        self.place.cluster.kill(self._dead)
        self.log.windows.append(Window(begin - _MARGIN_S, time.monotonic() + _HEARD_S, slots))
        await self.ask(replica, "CONFIG", "SET", "masterauth", "")
        await self.taken_over(replica)
        return f"SIGKILL of master {self._dead.port}, {cut_s:.1f} s after its replica {replica.port} had lost it"

    async def heal(self) -> int:
        await self.place.bring_back(self._dead)
        await self.place.whole()
        return 1


class ShardRolledBack(_OfReplicas):
    """N23b: a master is killed and comes back with an earlier append-only file: as after a power cut, or from a copy."""

    kind, span = "shard_rolled_back", (0.0, 0.3)
    expects = "as for shard_cut_off"

    async def strike(self) -> str:
        self._dead, _ = await self.choose()
        slots, begin = await self.slots(self._dead), time.monotonic()
        directory = self.place.directory_of(self._dead)
        path, size = _newest(directory)
        back_s = self.rng.uniform(0.2, 0.8)
        await asyncio.sleep(back_s)  # time must pass: what is acknowledged now is lost
        self.place.cluster.kill(self._dead)
        self.log.windows.append(Window(begin - _MARGIN_S, time.monotonic() + _HEARD_S, slots))
        now, whole = _newest(directory)
        # A rewrite has begun another file: there is nothing to go back to.
        self._lost = whole - size if now == path else 0
        if self._lost > 0:
            aof.cut(directory, self._lost)
        return f"master {self._dead.port} goes back by {back_s:.1f} s, {self._lost} bytes"

    async def heal(self) -> int:
        await self.place.bring_back(self._dead)
        await self.place.whole()
        return int(self._lost > 0)


def _newest(directory: Path) -> tuple[Path, int]:
    """The file that grows now, and its size."""
    path = aof.paths(directory)[-1]
    return path, path.stat().st_size
