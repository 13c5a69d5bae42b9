"""A primary, its replicas, and three Sentinels that choose another primary when it dies. All real processes.

>>> with Sentinels.start() as sentinels:  # doctest: +SKIP
...     sentinels.kill_primary()
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import redis

from durastream.store.embedded import EmbeddedServer, available_servers
from tests.servers.ports import free_port
from tests.servers.waiting import until

if TYPE_CHECKING:
    from tests.servers.tls import Papers

SERVICE: Final = "mymaster"
_QUORUM: Final = 2
_SENTINELS: Final = 3
_DOWN_AFTER_MS: Final = 1_000
_FAILOVER_TIMEOUT_MS: Final = 4_000


class Sentinels:
    """See the module. `nodes`: the servers, first of them the first primary; `sentinels`: the three that watch."""

    def __init__(self, password: str, sentinel_password: str = "", tls: Papers | None = None) -> None:
        self.tls_ports: dict[EmbeddedServer, int] = {}  # of servers and Sentinels; empty where nobody speaks TLS
        self._sentinel_password = sentinel_password
        self._tls = tls
        self.nodes: list[EmbeddedServer] = []
        self.sentinels: list[EmbeddedServer] = []
        self._password = password
        self._directory = TemporaryDirectory(prefix="durastream-", ignore_cleanup_errors=True)

    @classmethod
    def start(
        cls,
        binary: str | Path | None = None,
        *,
        replicas: int = 1,
        password: str = "",
        extra_args: Sequence[str] = (),
        sentinel_password: str = "",
        tls: Papers | None = None,
    ) -> Sentinels:
        """Start 1 + `replicas` servers and three Sentinels; return when replicas are in sync and Sentinels know all.

        `binary`: path of a server (None: the best there is); `password`: of the servers' default user, not of the
        Sentinels, which have `sentinel_password`; `extra_args`: more options of each server; `tls`: all of them talk to
        each other by TLS, and have a port for it beside the plain one.
        """
        chosen = str(binary) if binary is not None else available_servers()[0][1]
        started = cls(password, sentinel_password, tls)
        try:
            started._start_servers(chosen, replicas, extra_args)
            started._start_sentinels(chosen)
        except BaseException:
            started.stop()
            raise
        return started

    @property
    def url(self) -> str:
        secret = f":{self._password}@" if self._password else ""
        places = ",".join(f"127.0.0.1:{one.port}" for one in self.sentinels)
        return f"redis+sentinel://{secret}{places}/{SERVICE}"

    @property
    def kind(self) -> str:
        return self.nodes[0].kind

    # ---- looking

    def admin(self, node: EmbeddedServer) -> redis.Redis:
        """A plain client of one server or Sentinel. Close it, or use it with `with`."""
        password = self._sentinel_password if node in self.sentinels else self._password
        return redis.Redis.from_url(node.url, password=password or None, protocol=2, socket_timeout=10)

    def ask(self, node: EmbeddedServer, *command: Any) -> Any:
        """One command at one server or Sentinel."""
        with self.admin(node) as client:
            client.response_callbacks.clear()
            return client.execute_command(*command)

    def primary(self) -> EmbeddedServer:
        """The server that the first running Sentinel calls the primary (it may be dead)."""
        sentinel = next(one for one in self.sentinels if one.pid)
        _, port = self.ask(sentinel, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
        return next(node for node in self.nodes if self.port_of(node) == int(port))

    def port_of(self, node: EmbeddedServer) -> int:
        """The one by which it is known to the others."""
        return self.tls_ports.get(node, node.port)

    def replicas(self) -> list[EmbeddedServer]:
        """Running servers that are replicas, by what each says of itself."""
        return [node for node in self.nodes if node.pid and self.ask(node, "ROLE")[0] == b"slave"]

    # ---- harming

    def kill_primary(self) -> EmbeddedServer:
        """SIGKILL the primary; returns it, when the Sentinels have put another in its place."""
        dead = self.primary()
        dead.kill()
        self.wait_for_primary()
        return dead

    def failover(self) -> None:
        """Let the Sentinels change the primary while it lives. Returns when there is another."""
        old = self.primary()
        sentinel = next(one for one in self.sentinels if one.pid)

        def changed() -> bool:
            if self.primary() is not old:
                return True
            self.ask(
                sentinel, "SENTINEL", "FAILOVER", SERVICE
            )  # refused while one is under way, or no replica is fit yet
            return False

        until(changed, "another primary")
        self.wait_for_primary()

    def wait_for_primary(self) -> None:
        """Until all running Sentinels agree on a primary that lives and says it is one."""

        def agreed() -> bool:
            asked = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
            ports = {int(self.ask(one, *asked)[1]) for one in self.sentinels if one.pid}
            named = [node for node in self.nodes if self.port_of(node) in ports]
            return len(named) == 1 and named[0].pid != 0 and self.ask(named[0], "ROLE")[0] == b"master"

        until(agreed, "a primary that all Sentinels agree on")

    def restart(self, node: EmbeddedServer) -> None:
        """Start a server again with its data. The Sentinels make a replica of it if another is the primary now."""
        node.restart()

    # ---- starting

    def _start_servers(self, binary: str, replicas: int, extra_args: Sequence[str]) -> None:
        secrets = ("--requirepass", self._password, "--masterauth", self._password) if self._password else ()
        options = ("--repl-diskless-sync-delay", "0", *secrets, *extra_args)
        for _ in range(1 + replicas):
            tls_port = free_port() if self._tls else 0
            own = self._tls.options(tls_port, "tls-replication") if self._tls else ()
            node = EmbeddedServer.start(binary, port=free_port(), extra_args=(*options, *own))
            self.nodes.append(node)
            if self._tls:
                self.tls_ports[node] = tls_port
        for node in self.nodes[1:]:
            self.ask(node, "REPLICAOF", "127.0.0.1", self.port_of(self.nodes[0]))
        until(lambda: all(self.ask(one, "ROLE")[3] == b"connected" for one in self.nodes[1:]), "replicas are in sync")

    def _start_sentinels(self, binary: str) -> None:
        for number in range(_SENTINELS):
            port = free_port()
            path = Path(self._directory.name) / f"sentinel-{number}.conf"
            sentinel = EmbeddedServer([binary, str(path), "--sentinel"], "sentinel", "", port)
            if self._tls:
                self.tls_ports[sentinel] = free_port()
            path.write_text(self._settings(port, self.tls_ports.get(sentinel, 0)), "utf-8")
            self.sentinels.append(sentinel)
            sentinel.restart()
        until(self._all_known, "the Sentinels know each other and the replicas")

    def _settings(self, port: int, tls_port: int) -> str:
        lines = [
            "bind 127.0.0.1",
            f"port {port}",
            f"dir {self._directory.name}",
            f"sentinel monitor {SERVICE} 127.0.0.1 {self.port_of(self.nodes[0])} {_QUORUM}",
            f"sentinel down-after-milliseconds {SERVICE} {_DOWN_AFTER_MS}",
            f"sentinel failover-timeout {SERVICE} {_FAILOVER_TIMEOUT_MS}",
            f"sentinel parallel-syncs {SERVICE} 1",
        ]
        if self._password:
            lines.append(f"sentinel auth-pass {SERVICE} {self._password}")
        if self._sentinel_password:
            lines += [f"requirepass {self._sentinel_password}", f"sentinel sentinel-pass {self._sentinel_password}"]
        if self._tls:
            settings = self._tls.settings(tls_port) | {"tls-replication": "yes"}
            lines += [f"{name} {value}" for name, value in settings.items()]
        return "\n".join(lines) + "\n"

    def _all_known(self) -> bool:
        for one in self.sentinels:
            flat = self.ask(one, "SENTINEL", "MASTER", SERVICE)
            about = dict(zip(flat[::2], flat[1::2], strict=True))
            seen = int(about[b"num-slaves"]), int(about[b"num-other-sentinels"])
            if seen != (len(self.nodes) - 1, _SENTINELS - 1) or about[b"flags"] != b"master":
                return False
        return True

    def stop(self) -> None:
        """End all of them and remove their data. May be called again."""
        for one in (*self.sentinels, *self.nodes):
            one.kill()  # its data goes anyway; when asked politely it waits for its replicas
            one.stop()
        self._directory.cleanup()

    def __enter__(self) -> Sentinels:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
