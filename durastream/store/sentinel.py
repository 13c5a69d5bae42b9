"""The way to a primary that Sentinels watch: asked for before each attempt to connect, and never remembered.

What ends a connection to a server that is the primary no more: it is gone; it answers READONLY, or that it has no replicas; or
a Sentinel tells of another one. The last is what counts when the Sentinels replace a primary that lives: they leave it alone for
ten seconds, and what it is told meanwhile is lost. What they name must say of itself that it is a primary.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from redis.exceptions import RedisError

from durastream import environment
from durastream.errors import AccessDenied, ServerUnsuitable, StoreError, StoreUnavailable
from durastream.store.connect import Endpoint, dial
from durastream.store.connection import Connection, Link, ReplyError, ServerNotReady, end
from durastream.store.place import Place

_SWITCHED: Final = "+switch-master"
_IDLE_S: Final = 5.0  # silence of a Sentinel after which it is asked whether it is still there, and who is the primary
_PAUSE_S: Final = 0.5  # between two Sentinels that cannot be heard
_LEAVE: Final = frozenset({"NOREPLICAS", "MASTERDOWN"})
"""Answers after which the Sentinels are asked again."""


class SentinelLink(Link):
    """A `Link` whose endpoint is found anew for each connection. `watch`: the one of another link of this process to share."""

    def __init__(self, place: Place, *, watch: Watch | None = None, **options: Any) -> None:
        super().__init__(place.server, **options)
        self._place = place
        self.watch = watch or Watch(place)
        self.watch.links.add(self)

    async def _attempt(self) -> Connection:
        self.endpoint = await primary(self._place)
        connection = await super()._attempt()
        if not await _is_primary(connection):
            await connection.close()
            raise StoreUnavailable(f"redis at {self.endpoint.address} is no primary yet, though the Sentinels name it")
        connection.refused = _leave
        self.watch.begin()
        return connection

    async def close(self) -> None:
        self.watch.links.discard(self)
        if not self.watch.links:
            await self.watch.close()
        await super().close()


class Watch:
    """Hears from a Sentinel that there is another primary, and has all links leave the old one at once."""

    def __init__(self, place: Place) -> None:
        self.links: set[SentinelLink] = set()
        self._place = place
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        if self._task is not None:
            await end([self._task])
            self._task = None

    async def _run(self) -> None:
        while True:
            for sentinel in _shuffled(self._place):
                try:
                    await self._listen(sentinel)
                except (RedisError, OSError, StoreError):
                    await asyncio.sleep(_PAUSE_S)

    async def _listen(self, sentinel: Endpoint) -> None:
        """Until it says nothing any more."""
        heard: Any = await dial(sentinel, client_name="durastream-sentinel")
        try:
            await heard.send_command("SUBSCRIBE", _SWITCHED)
            silent = False
            while True:
                kind, *rest = await heard.read_response(timeout=_IDLE_S) or (b"",)
                if kind == b"message":
                    service, _, _, host, port = rest[-1].decode().split(" ")
                    if service == self._place.service:
                        self._leave_all_but(host, int(port))
                elif not kind and silent:
                    return
                else:  # begun, or silent: what was said while nobody listened
                    self._leave_all_but(*await _ask(sentinel, self._place.service))
                silent = not kind
                if silent:
                    await heard.send_command("PING")
        finally:
            await heard.disconnect(nowait=True)

    def _leave_all_but(self, host: str, port: int) -> None:
        for link in self.links:
            if link.live and (link.endpoint.host, link.endpoint.port) != (host, port):
                link.drop()


def _leave(connection: Connection, future: asyncio.Future[Any], error: Exception) -> bool:
    """For `Connection.refused`: a primary whose replicas are gone may be one that has been replaced."""
    if isinstance(error, ServerNotReady) and error.code in _LEAVE:
        Connection.fail(future, error)
        connection.lose("the Sentinels are asked again who is the primary")
    return False


def _shuffled(place: Place) -> list[Endpoint]:
    return environment.seeded().sample(place.seeds, len(place.seeds))


async def primary(place: Place) -> Endpoint:
    """The server that the first Sentinel to answer names. Raises StoreUnavailable, ServerUnsuitable."""
    errors: list[StoreError] = []
    for sentinel in _shuffled(place):
        try:
            host, port = await _ask(sentinel, place.service)
        except (StoreUnavailable, ReplyError) as error:
            errors.append(error)
        else:
            return place.server.at(host, port)
    kind: Callable[[str], StoreError] = StoreUnavailable
    if all(isinstance(one, ServerUnsuitable | ReplyError) for one in errors):
        kind = ServerUnsuitable
    raise kind(f"no Sentinel names a primary {place.service!r}: {'; '.join(sorted({str(one) for one in errors}))}")


async def _ask(sentinel: Endpoint, service: str) -> tuple[str, int]:
    connection = await Connection.open(sentinel, client_name="durastream-sentinel")
    try:
        found = await connection.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", service)
    finally:
        await connection.close()
    if found is None:
        raise ServerUnsuitable(f"the Sentinel at {sentinel.address} watches no primary of that name")
    return found[0].decode(), int(found[1])


async def _is_primary(connection: Connection) -> bool:
    """By its own word. Where our user may not ask, READONLY will tell."""
    try:
        info = await connection.call("INFO", "replication")
    except (AccessDenied, ReplyError):
        return True
    return b"role:master" in info
