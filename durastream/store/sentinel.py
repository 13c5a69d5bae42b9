"""The way to a primary that Sentinels watch: asked for before each attempt to connect, and never remembered.

What ends a connection to a server that is the primary no more: it is gone; it answers READONLY, or that it has no replicas; or
a Sentinel tells of another one. The last is what counts when the Sentinels replace a primary that lives: they leave it alone for
ten seconds, and what it is told meanwhile is lost. What they name must say of itself that it is a primary.

A connection on its way counts like one that is there: a primary that stands still is connected to by its kernel, is replaced, and
still calls itself the primary when it goes on. Nor is one gone back to because a Sentinel that has not heard of it yet names it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from redis.exceptions import RedisError

from durastream import environment
from durastream.errors import AccessDenied, ServerUnsuitable, StoreError, StoreUnavailable
from durastream.store.connect import Endpoint, dial
from durastream.store.connection import Connection, Link, ReplyError, ServerNotReady, end
from durastream.store.place import Place

_SWITCHED: Final = "+switch-master"
_IDLE_S: Final = 5.0  # silence of a Sentinel after which it is asked whether it is still there, and who is the primary
_PAUSE_S: Final = 0.5  # between two Sentinels that cannot be heard
_LAGGING_S: Final = 10.0  # how long others may name one that was replaced: they tell each other every 2 s
_LEAVE: Final = frozenset({"NOREPLICAS", "MASTERDOWN"})
"""Answers after which the Sentinels are asked again."""

Address: TypeAlias = tuple[str, int]


class SentinelLink(Link):
    """A `Link` whose endpoint is found anew for each connection. `watch`: the one of another link of this process to share."""

    def __init__(self, place: Place, *, watch: Watch | None = None, **options: Any) -> None:
        super().__init__(place.server, **options)
        self._place = place
        self._coming: Connection | None = None  # the last one that was opened, whether it is in use by now or not
        self.watch = watch or Watch(place)
        self.watch.links.add(self)

    async def _attempt(self) -> Connection:
        heard = self.watch.heard
        self.endpoint = await primary(self._place)
        self.watch.begin()
        connection = await super()._attempt()
        try:
            is_primary = await _is_primary(connection)
        except BaseException:
            connection.lose("it did not say whether it is a primary")
            raise
        if not is_primary or self.watch.replaced(self.endpoint, heard):
            await connection.close()
            why = "was replaced meanwhile" if is_primary else "is no primary yet"
            raise StoreUnavailable(f"redis at {self.endpoint.address} {why}, though the Sentinels name it")
        connection.refused = _leave
        self._coming = connection
        return connection

    def drop(self) -> None:
        """Also what is connected, and is being asked which process it is."""
        super().drop()
        if self._coming is not None:
            self._coming.lose("dropped on this side")

    async def close(self) -> None:
        self.watch.links.discard(self)
        if not self.watch.links:
            await self.watch.close()
        await super().close()


class Watch:
    """Hears from a Sentinel that there is another primary, and has all links leave the old one at once."""

    def __init__(self, place: Place) -> None:
        self.links: set[SentinelLink] = set()
        self.heard = 0  # how often a primary was named
        self._named: Address = ("", 0)  # the last time
        self._gone: dict[Address, float] = {}  # that others took the place of; until when another Sentinel may not know
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
                    service, *addresses = rest[-1].decode().split(" ")
                    if service == self._place.service:
                        self._switched(*addresses)
                elif not kind and silent:
                    return
                else:  # begun, or silent: what was said while nobody listened
                    self._leave_all_but(*await _ask(sentinel, self._place.service))
                silent = not kind
                if silent:
                    await heard.send_command("PING")
        finally:
            await heard.disconnect(nowait=True)

    def _switched(self, old_host: str, old_port: str, host: str, port: str) -> None:
        self._gone[old_host, int(old_port)] = asyncio.get_running_loop().time() + _LAGGING_S
        self._gone.pop((host, int(port)), None)
        self._leave_all_but(host, int(port))

    def _leave_all_but(self, host: str, port: int) -> None:
        if self._is_gone((host, port)):
            return  # this Sentinel has not heard of it yet
        self.heard, self._named = self.heard + 1, (host, port)
        for link in self.links:
            if _address(link.endpoint) != self._named:
                link.drop()

    def replaced(self, endpoint: Endpoint, heard: int) -> bool:
        """Whether another primary is known of by now. `heard`: what it was before the Sentinels were asked for this one."""
        here = _address(endpoint)
        return self._is_gone(here) or (self.heard != heard and self._named != here)

    def _is_gone(self, address: Address) -> bool:
        return self._gone.get(address, 0.0) > asyncio.get_running_loop().time()


def _address(endpoint: Endpoint) -> Address:
    return endpoint.host, endpoint.port


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
