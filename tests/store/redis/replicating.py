"""A primary with one replica whose link can be cut: what it has not been told by then it is never told.

A replica that is only stopped (SIGSTOP) would read what lies in its socket as soon as it goes on. So the primary is told to
refuse it and to close its connection; in a Cluster nobody notices, since nodes talk to each other by another port.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import redis

from durastream.store.embedded import EmbeddedServer
from durastream.store.keys import HubKeys
from tests.servers.ports import free_port
from tests.servers.waiting import until

_AT_ONCE = ("--repl-diskless-sync-delay", "0")


class Pair(NamedTuple):
    """On one machine, as two processes."""

    primary: EmbeddedServer
    replica: EmbeddedServer

    def follow(self) -> None:
        """Have the one follow the other; return when it does."""
        ask(self.replica, "REPLICAOF", "127.0.0.1", self.primary.port)
        until(self._in_sync, "the replica is in sync")

    def _in_sync(self) -> bool:
        return replicas_of(self.primary) == 1 and bool(ask(self.replica, "ROLE")[3] == b"connected")

    def promote(self) -> None:
        ask(self.replica, "REPLICAOF", "NO", "ONE")


@contextmanager
def pair(binary: str, *, following: bool = True) -> Iterator[Pair]:
    with (
        EmbeddedServer.start(binary, port=free_port(), extra_args=_AT_ONCE) as primary,
        EmbeddedServer.start(binary, port=free_port(), extra_args=_AT_ONCE) as replica,
    ):
        both = Pair(primary, replica)
        if following:
            both.follow()
        try:
            yield both
        finally:
            replica.kill()  # when asked politely, a primary waits for it
            primary.kill()


def ask(server: EmbeddedServer, *command: Any) -> Any:
    """One command at one server."""
    with redis.Redis.from_url(server.url, protocol=2, socket_timeout=10) as client:
        client.response_callbacks.clear()
        return client.execute_command(*command)


def replicas_of(server: EmbeddedServer) -> int:
    """That are in sync, by its word."""
    return len(ask(server, "ROLE")[2])


def cut(primary: EmbeddedServer) -> None:
    """From now on no replica is told anything."""
    ask(primary, "ACL", "SETUSER", "default", "-psync", "-sync")
    ask(primary, "CLIENT", "KILL", "TYPE", "REPLICA")
    until(lambda: replicas_of(primary) == 0, "its replicas are gone")


def mend(primary: EmbeddedServer) -> None:
    """They may come back; by PSYNC: who falls back to SYNC, for want of the other, confirms nothing ever after."""
    ask(primary, "ACL", "SETUSER", "default", "+psync")
    until(lambda: replicas_of(primary) == 1, "its replica is back")


def instances(client: Any, hub: str, partitions: int) -> dict[str, int]:
    """Instances that have not begun, with the number of messages for each in the inboxes: one is its start. `client`: of
    redis-py, for a server or a Cluster."""
    blobs, found = messages(client, hub, partitions), dict[str, int]()
    for names in HubKeys(hub, partitions).partitions:
        for name in client.zrange(names.status["Pending"], 0, -1):
            found[name.decode()] = sum(name in blob for blob in blobs)
    return found


def messages(client: Any, hub: str, partitions: int) -> list[bytes]:
    """All that lies in the inboxes."""
    inboxes = [names.inbox for names in HubKeys(hub, partitions).partitions]
    return [fields[b"m"] for inbox in inboxes for _, fields in client.xrange(inbox)]
