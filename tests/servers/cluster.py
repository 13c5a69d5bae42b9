"""A real Cluster of several processes, whose nodes can be killed and whose slots can be moved.

>>> with Cluster.start(masters=3, replicas=1) as cluster:  # doctest: +SKIP
...     cluster.kill(cluster.master_of(0))
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import redis

from durastream.store.embedded import EmbeddedServer
from tests.servers.ports import free_port
from tests.servers.waiting import until

if TYPE_CHECKING:
    from tests.servers.tls import Papers

SLOTS: Final = 16_384
_NODE_TIMEOUT_MS: Final = 1_500
_KEYS_OF_ONE_MOVE: Final = 100
_MIGRATE_TIMEOUT_MS: Final = 5_000


class Cluster:
    """See the module. `nodes`: masters first (as started), then replicas; a node is known by its object."""

    def __init__(self, nodes: list[EmbeddedServer], masters: int, password: str) -> None:
        self.nodes = nodes
        self.tls_ports: dict[EmbeddedServer, int] = {}  # empty where nobody speaks TLS
        self._masters = masters
        self._password = password
        self._ids: dict[EmbeddedServer, str] = {}

    @classmethod
    def start(
        cls,
        binary: str | Path | None = None,
        *,
        masters: int = 3,
        replicas: int = 0,
        ports: Sequence[int] = (),
        password: str = "",
        extra_args: Sequence[str] = (),
        tls: Papers | None = None,
    ) -> Cluster:
        """Start `masters` × (1 + `replicas`) nodes; return when each of them calls the cluster ok.

        `binary`: path of a server (None: the best there is); `ports`: of the nodes, in order (default: free ones);
        `password`: of the default user, and between nodes; `extra_args`: more options of each node;
        `tls`: nodes talk to each other by TLS, and have a port for it beside the plain one.
        """
        count = masters * (1 + replicas)
        secrets = ("--requirepass", password, "--masterauth", password) if password else ()
        options = (*_OPTIONS, *secrets, *extra_args)
        cluster = cls([], masters, password)
        try:
            for port in ports or [free_port() for _ in range(count)]:
                tls_port = free_port() if tls else 0
                own = tls.options(tls_port, "tls-cluster") if tls else ()
                node = EmbeddedServer.start(binary, port=port, extra_args=(*options, *own))
                cluster.nodes.append(node)
                if tls:
                    cluster.tls_ports[node] = tls_port
            cluster._form(replicas)
        except BaseException:
            cluster.stop()
            raise
        return cluster

    @property
    def url(self) -> str:
        """With every node as a seed, so that any of them may be down when somebody comes with it."""
        secret = f":{self._password}@" if self._password else ""
        return f"redis+cluster://{secret}" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    @property
    def kind(self) -> str:
        return self.nodes[0].kind

    # ---- looking

    def admin(self, node: EmbeddedServer) -> redis.Redis:
        """A plain client of one node. Close it, or use it with `with`."""
        return redis.Redis.from_url(node.url, password=self._password or None, protocol=2, socket_timeout=10)

    def ask(self, node: EmbeddedServer, *command: Any) -> Any:
        """One command at one node."""
        with self.admin(node) as client:
            return client.execute_command(*command)

    def running(self) -> list[EmbeddedServer]:
        return [node for node in self.nodes if node.pid]

    def masters(self) -> list[EmbeddedServer]:
        """Nodes that are masters now, by what each says of itself."""
        return [node for node in self.running() if self.ask(node, "ROLE")[0] == b"master"]

    def master_of(self, slot: int) -> EmbeddedServer:
        """The node that serves this slot, by what the first running node knows."""
        by_port = {node.port: node for node in self.nodes}
        for first, last, (_, port, *_), *_ in self._slots():
            if first <= slot <= last:
                return by_port[port]
        raise LookupError(f"nobody serves slot {slot}")

    def slots_of(self, node: EmbeddedServer) -> list[int]:
        found = [range(first, last + 1) for first, last, (_, port, *_), *_ in self._slots() if port == node.port]
        return [slot for part in found for slot in part]

    def _slots(self) -> list[Any]:
        with self.admin(self.running()[0]) as client:
            client.response_callbacks.pop("CLUSTER SLOTS", None)
            reply: list[Any] = client.execute_command("CLUSTER SLOTS")
            return reply

    # ---- harming

    def kill(self, node: EmbeddedServer) -> None:
        """SIGKILL."""
        node.kill()

    def restart(self, node: EmbeddedServer) -> None:
        """Start it again with its data; returns when all running nodes call the cluster ok."""
        node.restart()
        self.wait_until_ok()

    def failover(self, replica: EmbeddedServer) -> None:
        """Make this replica a master by hand (CLUSTER FAILOVER: nothing is lost). Returns when it is one."""
        self.ask(replica, "CLUSTER", "FAILOVER")
        until(lambda: self.ask(replica, "ROLE")[0] == b"master", "the replica is a master")

    def move_slots(self, slots: Iterable[int], source: EmbeddedServer, target: EmbeddedServer) -> None:
        """Move slots with all their keys between two masters, while clients go on: the procedure of the Cluster documents."""
        with self.admin(source) as giver, self.admin(target) as taker:
            for slot in slots:
                self._move(slot, (source, giver), (target, taker))

    def _move(self, slot: int, source: tuple[EmbeddedServer, Any], target: tuple[EmbeddedServer, Any]) -> None:
        (_, giver), (taker_node, taker) = source, target
        taker.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", self.id_of(source[0]))
        giver.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", self.id_of(taker_node))
        secret = ("AUTH", self._password) if self._password else ()
        while keys := giver.execute_command("CLUSTER", "GETKEYSINSLOT", slot, _KEYS_OF_ONE_MOVE):
            where = ("127.0.0.1", taker_node.port, "", 0, _MIGRATE_TIMEOUT_MS)
            giver.execute_command("MIGRATE", *where, *secret, "KEYS", *keys)
        for client in (taker, giver):
            client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", self.id_of(taker_node))

    def id_of(self, node: EmbeddedServer) -> str:
        """Its name in the cluster; it keeps it over a restart."""
        if node not in self._ids:
            self._ids[node] = self.ask(node, "CLUSTER", "MYID").decode()
        return self._ids[node]

    # ---- forming

    def _form(self, replicas: int) -> None:
        masters, others = self.nodes[: self._masters], self.nodes[self._masters :]
        borders = [SLOTS * k // self._masters for k in range(self._masters + 1)]
        for epoch, (node, (first, after)) in enumerate(zip(masters, pairwise(borders), strict=True), start=1):
            self.ask(node, "CLUSTER", "SET-CONFIG-EPOCH", epoch)
            self.ask(node, "CLUSTER", "ADDSLOTSRANGE", first, after - 1)
        for node in self.nodes[1:]:
            self.ask(self.nodes[0], "CLUSTER", "MEET", "127.0.0.1", self.tls_ports.get(node, node.port))
        until(lambda: all(self._known(node) == len(self.nodes) for node in self.nodes), "all nodes know each other")
        for k, node in enumerate(others):
            self.ask(node, "CLUSTER", "REPLICATE", self.id_of(masters[k // replicas]))
        self.wait_until_ok()
        until(lambda: all(self._is_linked(node) for node in others), "all replicas are in sync")

    def wait_until_ok(self) -> None:
        """Until all running nodes call the cluster ok and have heard who serves each slot."""
        until(lambda: all(self._is_ok(node) for node in self.running()), "the cluster is ok")

    def _is_ok(self, node: EmbeddedServer) -> bool:
        info = self._info(node)
        return info["cluster_state"] == "ok" and info["cluster_slots_ok"] == str(SLOTS)

    def _known(self, node: EmbeddedServer) -> int:
        return int(self._info(node)["cluster_known_nodes"])

    def _is_linked(self, node: EmbeddedServer) -> bool:
        role = self.ask(node, "ROLE")
        return bool(role[0] == b"slave" and role[3] == b"connected")

    def _info(self, node: EmbeddedServer) -> dict[str, str]:
        with self.admin(node) as client:
            client.response_callbacks.pop("CLUSTER INFO", None)
            text = client.execute_command("CLUSTER INFO").decode()
        return dict(line.split(":", 1) for line in text.split())

    def stop(self) -> None:
        """End all of them and remove their data. May be called again."""
        for node in self.nodes:
            node.kill()  # its data goes anyway; when asked politely it waits for its replicas
            node.stop()

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


_OPTIONS: Final = (
    *("--cluster-enabled", "yes"),
    *("--cluster-node-timeout", str(_NODE_TIMEOUT_MS)),
    *("--cluster-require-full-coverage", "no"),  # the slots of a dead master hold up nobody else
    *("--repl-diskless-sync-delay", "0"),
    *("--cluster-migration-barrier", "10"),  # replicas stay where they were put
)
