"""Faults that need several servers: failovers by Sentinel, masters and slots of a Cluster."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from abc import abstractmethod
from typing import Any

from redis.crc import key_slot
from redis.exceptions import ConnectionError as RedisConnectionError

from durastream.store.embedded import EmbeddedServer
from tests.chaos.deployment import Deployment
from tests.chaos.log import Window
from tests.chaos.nemeses.base import Again, Nemesis
from tests.chaos.nemeses.server import destroy_groups
from tests.chaos.topologies import BySentinel, OnCluster
from tests.servers.waiting import until
from tests.support import eventually

_MARGIN_S = 0.5  # what was acknowledged shortly before a link was cut may not have passed it any more
_REFUSING_S = 0.5  # after that, a primary that needs a replica has noticed that it has none
_PROMOTION_S = 60.0
_LOOK_S = 0.02
_PARTITIONS = 16


# ---------------------------------------------------------------- Sentinel


class _OfSentinel(Nemesis[BySentinel]):
    lane = "sentinel"

    async def ask(self, node: EmbeddedServer, *command: Any) -> Any:
        return await asyncio.to_thread(self.place.sentinels.ask, node, *command)

    def window(self, *moments: float) -> None:
        """Acknowledgements do not bind from the first moment until now: the link was cut then, or an old primary woke up. Of a
        strict one, only those at the moments themselves: until it has noticed that it has no replica."""
        ends = [moment + _REFUSING_S for moment in moments] if self.place.strict else [time.monotonic()]
        self.log.windows += [Window(begin - _MARGIN_S, end) for begin, end in zip(moments, ends, strict=False)]

    async def bring_back(self, dead: EmbeddedServer) -> None:
        """As a replica of the one that took its place: else the Sentinels would make one of it after ten seconds."""
        await asyncio.to_thread(self.place.sentinels.restart, dead)
        await self.ask(dead, "REPLICAOF", "127.0.0.1", self.place.sentinels.primary().port)
        await self.whole_again()

    async def whole(self) -> None:
        """Until the other server follows the primary: before that, no failover could succeed."""
        await asyncio.to_thread(until, self._follows, "a replica in sync", 60)

    async def whole_again(self) -> None:
        """After one failover."""
        await self.whole()
        self.place.planned += 1
        await self.place.steady()

    def _follows(self) -> bool:
        replicas = self.place.sentinels.replicas()
        if len(replicas) != 1:
            return False
        _, _, port, link, _ = self.place.sentinels.ask(replicas[0], "ROLE")
        return bool(link == b"connected" and port == self.place.sentinels.primary().port)


class FailoverInSync(_OfSentinel):
    """N13: the primary is killed when its replica has everything: nothing may be lost."""

    kind, span = "failover_in_sync", (0.0, 0.0)
    expects = "nothing is lost"

    async def strike(self) -> str:
        await self.whole()
        primary = self.place.sentinels.primary()
        await self.ask(primary, "CLIENT", "PAUSE", 10_000, "WRITE")
        await asyncio.to_thread(until, lambda: self._in_sync(primary), "the replica has everything")
        self._dead = await asyncio.to_thread(self.place.sentinels.kill_primary)
        return f"SIGKILL of the primary {self._dead.port} with its replica in sync"

    def _in_sync(self, primary: EmbeddedServer) -> bool:
        _, offset, replicas = self.place.sentinels.ask(primary, "ROLE")
        return bool(replicas) and all(int(replica[2]) == offset for replica in replicas)

    async def heal(self) -> int:
        await self.bring_back(self._dead)
        return 1


class FailoverCutOff(_OfSentinel):
    """N13: the replica had lost its link when the primary was killed. A suffix of what was acknowledged is lost, no more."""

    kind, span = "failover_cut_off", (0.0, 0.0)
    expects = "a suffix of what was acknowledged is lost; what remains is an earlier state"

    async def strike(self) -> str:
        await self.whole()
        begin, (replica,) = time.monotonic(), self.place.sentinels.replicas()
        await self.ask(replica, "REPLICAOF", "127.0.0.1", "1")
        cut_s = self.rng.uniform(0.2, 0.6)
        await asyncio.sleep(cut_s)  # time must pass: what is acknowledged now is lost
        self._dead = await asyncio.to_thread(self.place.sentinels.kill_primary)
        self.window(begin)
        return f"SIGKILL of the primary {self._dead.port}, {cut_s:.1f} s after its replica had lost it"

    async def heal(self) -> int:
        await self.bring_back(self._dead)
        return 1


class FailoverAsked(_OfSentinel):
    """SENTINEL FAILOVER while all is well: the old primary lives on as a replica."""

    kind, span = "failover_asked", (0.0, 0.0)
    expects = "what had not reached the replica is lost: little, or nothing"

    async def strike(self) -> str:
        await self.whole()
        begin, (replica,) = time.monotonic(), self.place.sentinels.replicas()
        known = len(self.place.switches)
        promoted, _ = await asyncio.gather(self._promotion(replica), asyncio.to_thread(self.place.sentinels.failover))
        await eventually(lambda: len(self.place.switches) > known, 30, pause_s=0.05)
        await self.whole_again()
        if self.place.strict:
            self.log.windows.append(promoted)
        else:
            self.window(begin)
        return f"SENTINEL FAILOVER to {replica.port}"

    async def _promotion(self, replica: EmbeddedServer) -> Window:
        """Around the moment at which it became the primary. The Sentinels tell of it later."""
        last = time.monotonic()
        ends = last + _PROMOTION_S
        while True:
            asked, role = time.monotonic(), None
            with contextlib.suppress(RedisConnectionError):  # connections are closed when it is told: it is asked again
                role, *_ = await self.ask(replica, "ROLE")
            if role == b"master":
                return Window(last - _MARGIN_S, time.monotonic() + _REFUSING_S)
            assert asked < ends, f"the replica is {role!r}, {_PROMOTION_S} s after a failover was ordered"
            last = last if role is None else asked
            await asyncio.sleep(_LOOK_S)  # time must pass: until the next look


class PrimaryFreeze(_OfSentinel):
    """The primary stands still, another takes its place, and then it wakes up and believes that it is the primary."""

    kind, span = "primary_freeze", (2.5, 3.5)
    expects = "what it had not passed on is lost, and what it acknowledges before it is told"

    async def strike(self) -> str:
        await self.whole()
        self._begin = time.monotonic()
        self._frozen = self.place.sentinels.primary()
        os.kill(self._frozen.pid, signal.SIGSTOP)
        return f"SIGSTOP of the primary {self._frozen.port}"

    async def heal(self) -> int:
        try:
            await asyncio.to_thread(until, lambda: self._other(), "another primary", 60)
        finally:
            woken = time.monotonic()
            os.kill(self._frozen.pid, signal.SIGCONT)
        await self.whole_again()
        self.window(self._begin, woken)
        return 1

    def _other(self) -> bool:
        return self.place.sentinels.primary() is not self._frozen


# ---------------------------------------------------------------- Cluster


class _OfCluster(Nemesis[OnCluster]):
    lane = "cluster"

    async def victim(self) -> EmbeddedServer:
        return self.rng.choice(await asyncio.to_thread(self.place.cluster.masters))


class MasterKill(_OfCluster):
    """N17: SIGKILL of a master, and a start with what its append-only file holds."""

    kind, span = "master_kill", (0.0, 2.5)
    expects = "its partitions wait; nothing is lost"

    async def strike(self) -> str:
        self._dead = await self.victim()
        self.place.cluster.kill(self._dead)
        return f"SIGKILL of master {self._dead.port}"

    async def heal(self) -> int:
        await self.place.bring_back(self._dead)
        return 1


class MasterFreeze(_OfCluster):
    """A master stands still for a while; the others may call it dead."""

    kind, span = "master_freeze", (0.5, 2.5)
    expects = "its partitions wait; nothing is lost"

    async def strike(self) -> str:
        self._frozen = await self.victim()
        os.kill(self._frozen.pid, signal.SIGSTOP)
        return f"SIGSTOP of master {self._frozen.port}"

    async def heal(self) -> int:
        os.kill(self._frozen.pid, signal.SIGCONT)
        await asyncio.to_thread(self.place.cluster.wait_until_ok)
        return 1


class SlotsMove(_OfCluster):
    """N17: the slots of some partitions and of the hub's own keys move to another master, under load."""

    kind, span = "slots_move", (0.0, 0.0)
    expects = "MOVED, ASK and TRYAGAIN are followed; nothing is lost"

    async def strike(self) -> str:
        tags = ["{default}", *(f"{{default:{p}}}" for p in range(_PARTITIONS))]
        slots = [key_slot(tag.encode()) for tag in self.rng.sample(tags, 4)]
        for slot in slots:
            await asyncio.to_thread(self._move, slot)
        self._moved = len(slots)
        return f"slots {', '.join(map(str, slots))} move"

    def _move(self, slot: int) -> None:
        cluster = self.place.cluster
        source = cluster.master_of(slot)
        target = self.rng.choice([node for node in cluster.masters() if node is not source])
        cluster.move_slots([slot], source, target)

    async def heal(self) -> int:
        return self._moved


class GroupsLostAtMasters(_OfCluster):
    """N11: the consumer groups of activities are destroyed, with all claims in them."""

    kind, span = "masters_groups_lost", (0.0, 0.0)
    expects = "groups are made again from the start; activities under way run again"

    async def strike(self) -> str:
        self._destroyed = 0
        for node in await asyncio.to_thread(self.place.masters):
            async with self.place.admin(node) as client:
                self._destroyed += await destroy_groups(client)
        return f"XGROUP DESTROY of {self._destroyed} groups"

    async def heal(self) -> int:
        return self._destroyed


# ---------------------------------------------------------------- either


class _AgainAtAll(Again[Deployment]):
    every_s = 0.1

    async def hit(self) -> None:
        for node in await asyncio.to_thread(self.place.masters):
            async with self.place.admin(node) as client:
                await self.harm(client)

    @abstractmethod
    async def harm(self, client: Any) -> None: ...


class _Forget(_AgainAtAll):
    span = (0.5, 1.0)
    expects = "scripts are loaded again"

    async def harm(self, client: Any) -> None:
        await client.script_flush()


class _HangUp(_AgainAtAll):
    span = (0.5, 1.2)
    expects = "answers are lost; nothing is lost or doubled"

    async def harm(self, client: Any) -> None:
        await client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")


class ScriptFlushAtPrimary(_Forget):
    kind, lane = "primary_script_flush", "sentinel"


class ClientKillAtPrimary(_HangUp):
    kind, lane = "primary_client_kill", "sentinel"


class ScriptFlushAtMasters(_Forget):
    kind, lane = "masters_script_flush", "cluster"


class ClientKillAtMasters(_HangUp):
    kind, lane = "masters_client_kill", "cluster"
