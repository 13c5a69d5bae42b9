"""All connections to a Cluster, used like one: a command goes to the node that has its slot.

The map of slots is read from any node that answers, and read again when a node says that it has changed (MOVED, CLUSTERDOWN), or
when the connection to one was lost. A command that was answered by MOVED or ASK has not been executed: it is sent again, to the
node named there, in the order in which the answers came. A command whose answer was lost may have been: it fails with
StoreUnavailable, and whoever called decides (see `store.protocol`). Nothing else is ever sent twice.

redis-py's own cluster client is not used: it repeats commands by itself after a lost connection, and packs them in Python.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final, NamedTuple, TypeAlias

from durastream import environment
from durastream.errors import ServerUnsuitable, StoreUnavailable
from durastream.store.connect import Endpoint
from durastream.store.connection import Connection, Link, ReplyError, ServerNotReady, Word, end
from durastream.store.place import Place
from durastream.store.slots import SLOTS, slot_of

log = logging.getLogger("durastream.store")

_HOPS_MAX: Final = 5  # redirections of one command
_ALL_WAIT_S: Final = 3.0  # for each of all masters, when all are asked: at the start of something
_WAIT_S: Final = 1.0  # for a node that cannot be reached; the retry policies above this layer go on from there
_PAUSE_S: Final = 0.1  # between two looks at the map
_REDIRECTIONS: Final = ("MOVED", "ASK")
_STALE: Final = frozenset({"CLUSTERDOWN", "MASTERDOWN", "READONLY", "FAILOVER"})
"""Answers after which the map may have changed."""


Hook: TypeAlias = Callable[[Connection, asyncio.Future[Any], Exception], bool]
"""For `Connection.refused`."""


class NotSent(StoreUnavailable):
    """The node for a command could not be reached: it has not taken effect."""


class _Routed(asyncio.Future[Any]):
    """Waits for the reply to a command that may be sent on to other nodes."""

    command: tuple[Any, ...] = ()
    hops: int = 0


class Range(NamedTuple):
    """Slots first … last are served by the master at host:port."""

    first: int
    last: int
    host: str
    port: int
    replicas: tuple[tuple[str, int], ...] = ()


def ranges(reply: Any, asked: Endpoint) -> list[Range]:
    """What CLUSTER SLOTS answered. A node that does not know its own address is at the one where it was asked."""
    return [
        Range(
            first,
            last,
            _host(node[0], asked),
            node[1],
            tuple(sorted((_host(one[0], asked), one[1]) for one in replicas)),
        )
        for first, last, node, *replicas in reply
    ]


def promoted(before: Iterable[Range], after: Iterable[Range]) -> bool:
    """Whether a replica has taken slots over from its master. Slots that were moved come with all that was acknowledged; a
    replica may lack the end of it."""
    return any(
        (now.host, now.port) in then.replicas and now.first <= then.last and then.first <= now.last
        for then in before
        for now in after
    )


def redirection(message: str, asked: Endpoint) -> tuple[str, int]:
    """Host and port in the text after MOVED or ASK: `3999 127.0.0.1:6381`."""
    host, _, port = message.split(" ")[1].rpartition(":")
    return _host(host.encode(), asked), int(port)


def _host(told: bytes | None, asked: Endpoint) -> str:
    host = (told or b"").decode()
    return asked.host if host in ("", "?") else host.strip("[]")


class NodeLink(Link):
    """To one node. `heard`: the Cluster's, which hears of error replies from the first one on, whether somebody still waits for
    the connection when it comes up or not."""

    def __init__(self, endpoint: Endpoint, heard: Hook, **options: Any) -> None:
        super().__init__(endpoint, **options)
        self._heard = heard

    async def _attempt(self) -> Connection:
        connection = await super()._attempt()
        connection.refused = self._heard
        return connection


class Cluster:
    """See the module. Belongs to one event loop. `home`: the slot for commands that are about no key."""

    def __init__(
        self,
        place: Place,
        *,
        client_name: str,
        home: int = 0,
        open_timeout_s: float = 10.0,
        response_timeout_s: float | None = None,
        opens: type[Connection] = Connection,
    ) -> None:
        self.place = place
        self.home = home
        self.changes = 0  # counts maps that differ from the one before
        self._client_name = client_name
        self._open_timeout_s = open_timeout_s
        self._response_timeout_s = response_timeout_s
        self._opens = opens
        self._loop = asyncio.get_running_loop()
        self._links: dict[tuple[str, int], Link] = {}
        self._opening: set[Link] = set()  # about to be used, whether the map names them or not
        self._owners: list[Link | None] = [None] * SLOTS
        self._map: list[Range] = []
        self._stale = True
        self._looking: asyncio.Task[None] | None = None
        self._jobs: set[asyncio.Task[None]] = set()
        self._look_again_at = 0.0
        self._guessed = False  # whether the owner of a slot is known from a MOVED only
        self._random = environment.seeded()
        self._closed = False
        self.on_other_server: Callable[[], object] | None = None
        self._restarts = 0  # of nodes, as far as it was seen

    # ---- like a Link

    @property
    def live(self) -> Cluster | None:
        """Itself, once the map is known."""
        return self if self._map and not self._closed else None

    async def get(self) -> Cluster:
        """Itself, with a map. Raises StoreUnavailable after `open_timeout_s`, ServerUnsuitable at once."""
        give_up = self._loop.time() + self._open_timeout_s
        while not self._map:
            try:
                await self.refresh()
            except ServerUnsuitable:
                raise
            except StoreUnavailable:
                if self._loop.time() + _PAUSE_S >= give_up:
                    raise
                await asyncio.sleep(_PAUSE_S)
        self._refuse_closed()
        return self

    async def masters(self) -> list[Connection]:
        """A connection to each node that serves slots."""
        await self.get()
        links = dict.fromkeys(link for link in self._owners if link is not None)
        return [await self._opened(link, _ALL_WAIT_S) for link in links]

    async def reachable(self) -> list[Connection]:
        """A connection to each node that serves slots and can be reached now."""
        await self.get()
        links = list(dict.fromkeys(link for link in self._owners if link is not None))
        found = await asyncio.gather(*(self._opened(link) for link in links), return_exceptions=True)
        live = [one for one in found if isinstance(one, Connection)]
        for link, error in zip(links, found, strict=True):
            if isinstance(error, Connection):
                continue
            if not live or not isinstance(error, NotSent):
                raise error
            log.warning(
                "goes on without the master at %s, whose slots wait until it answers: %s", link.endpoint.address, error
            )
        return live

    async def any_node(self) -> Endpoint:
        """A node that answers."""
        await self.refresh()
        live = [link.endpoint for link in self._links.values() if link.live]
        if not live:
            raise StoreUnavailable(f"no node of {self.place} answers")
        return self._random.choice(live)

    async def close(self) -> None:
        self._closed = True
        self._map = []
        await end([*self._jobs, *([self._looking] if self._looking is not None else [])])
        for link in self._links.values():
            await link.close()

    # ---- like a Connection

    def call(self, *args: Word) -> asyncio.Future[Any]:
        """Send a command to the node of its key; see `Connection.call`."""
        future = _Routed(loop=self._loop)
        future.command = args
        if args[0] == "SCRIPT":
            return self._to_all(future)
        number = slot_of(args)
        self._send(future, self.home if number is None else number)
        return future

    def _to_all(self, future: _Routed) -> asyncio.Future[Any]:
        """What every node has to know; the reply is that of one. Whoever was not connected learns it when it is used."""
        for link in self._links.values():
            connection = link.live
            if connection is not None:
                connection.call(*future.command)
        self._send(future, self.home)
        return future

    def link_of(self, number: int) -> Link | None:
        """What leads to the master of a slot, by the map."""
        return self._owners[number]

    def stale(self) -> None:
        """Somebody has seen that the map is wrong: read it again soon."""
        self._stale = True
        if not self._closed and self._loop.time() >= self._look_again_at:
            self._look_again_at = self._loop.time() + _PAUSE_S
            self._look()

    # ---- sending

    def _send(self, future: _Routed, number: int) -> None:
        link = self._owners[number]
        connection = link.live if link is not None else None
        if connection is not None:
            connection.send(future, future.command)
        else:
            self._begin(self._send_later(future, number), future)

    async def _send_later(self, future: _Routed, number: int) -> None:
        """To a node that is not connected: it may be gone, and another have its slots."""
        give_up, before = self._loop.time() + _WAIT_S, self._restarts
        while not future.done():
            try:
                connection = await self.connection_of(number, give_up - self._loop.time())
                if self._restarts != before:
                    raise NotSent("a node of the cluster was restarted: not sent, what it says may hold no more")
            except StoreUnavailable as error:
                if isinstance(error, ServerUnsuitable) or self._closed or self._loop.time() + _PAUSE_S >= give_up:
                    Connection.fail(future, error)
                    return
                self._stale = True
                await asyncio.sleep(_PAUSE_S)
            else:
                connection.send(future, future.command)
                return

    async def connection_of(self, number: int, timeout_s: float = _WAIT_S) -> Connection:
        """To the master of a slot. Raises StoreUnavailable."""
        self._refuse_closed()
        link = self._owners[number]
        if self._stale or link is None or not link.live:
            await self.refresh()
            link = self._owners[number]
        if link is None:
            raise NotSent(f"no node of the cluster serves slot {number}: a master is down and has no replica")
        return await self._opened(link, timeout_s)

    async def _opened(self, link: Link, timeout_s: float = _WAIT_S) -> Connection:
        self._opening.add(link)
        try:
            async with asyncio.timeout(max(timeout_s, 0.01)):
                connection = await link.get()
        except TimeoutError:
            hint = ": does it speak TLS on this port?" if link.endpoint.scheme == "rediss" else ""
            raise NotSent(f"cannot reach redis at {link.endpoint.address} within {timeout_s:.1f} s{hint}") from None
        except ServerUnsuitable:
            raise
        except StoreUnavailable as error:
            raise NotSent(str(error)) from None
        finally:
            self._opening.discard(link)
        return connection

    # ---- redirections

    def heard(self, connection: Connection, future: asyncio.Future[Any], error: Exception) -> bool:
        """For `Connection.refused`: learn from an error reply; True if the command has been sent on."""
        if isinstance(error, ServerNotReady):
            if error.code in _STALE:
                self.stale()
            return False
        if not isinstance(error, ReplyError) or error.code not in _REDIRECTIONS:
            return False
        if error.code == "MOVED":
            self._moved(error, connection.endpoint)
        if not isinstance(future, _Routed):
            return False
        self._redirect(future, error, connection.endpoint)
        return True

    def _moved(self, error: ReplyError, asked: Endpoint) -> None:
        """This slot for certain; the whole map as soon as it has been read again."""
        self._owners[int(error.message.split(" ")[0])] = self._link(*redirection(error.message, asked))
        self._guessed = True
        self.stale()

    def _redirect(self, future: _Routed, error: ReplyError, asked: Endpoint) -> None:
        if future.done():
            return
        future.hops += 1
        if future.hops > _HOPS_MAX:
            text = f"the nodes of the cluster do not agree who serves a slot: redirected {_HOPS_MAX} times ({error})"
            Connection.fail(future, StoreUnavailable(text))
            return
        link = self._link(*redirection(error.message, asked))
        asking = error.code == "ASK"
        connection = link.live
        if connection is not None:
            _send_on(connection, future, asking=asking)
        else:
            self._opening.add(link)
            self._begin(self._redirect_later(future, link, asking=asking), future)

    async def _redirect_later(self, future: _Routed, link: Link, *, asking: bool) -> None:
        try:
            connection = await self._opened(link)
        except StoreUnavailable as error:
            self._stale = True
            Connection.fail(future, error)
        else:
            _send_on(connection, future, asking=asking)

    # ---- the map

    def _link(self, host: str, port: int) -> Link:
        link = self._links.get((host, port))
        if link is None:
            # One attempt at a time: between two the map is looked at again.
            link = self._links[host, port] = NodeLink(
                self.place.server.at(host, port),
                self.heard,
                client_name=self._client_name,
                response_timeout_s=self._response_timeout_s,
                open_timeout_s=0,
                opens=self._opens,
            )
            link.on_other_server = self._other_server if self.on_other_server is not None else None
        return link

    def _other_server(self) -> None:
        self._restarts += 1
        if self.on_other_server is not None:
            self.on_other_server()

    async def refresh(self) -> None:
        """Read the map. All who want it share one attempt. Raises StoreUnavailable when no node answers."""
        await asyncio.shield(self._look())

    def _look(self) -> asyncio.Task[None]:
        if self._looking is None or self._looking.done():
            self._looking = self._loop.create_task(self._read_map())
            self._looking.add_done_callback(_seen)
        return self._looking

    async def _read_map(self) -> None:
        last: StoreUnavailable | None = None
        for ask in self._candidates():
            try:
                connection = await ask()
                reply = await connection.call("CLUSTER", "SLOTS")
            except ReplyError as error:
                raise ServerUnsuitable(f"{self.place} is no Cluster: {error}") from None
            except ServerUnsuitable:
                raise
            except StoreUnavailable as error:
                last = error
                continue
            found = ranges(reply, connection.endpoint)
            if found:
                self._take(found)
                return
            last = StoreUnavailable(f"the cluster node at {connection.endpoint.address} knows no slots yet")
        raise last or StoreUnavailable(f"no node of {self.place} answers")

    def _candidates(self) -> Iterable[Callable[[], Any]]:
        """Whom to ask: nodes that are connected first, then all that are known, and those of the URL."""
        known = [*self._links.values(), *(self._link(seed.host, seed.port) for seed in self.place.seeds)]
        self._random.shuffle(known)  # not always the same: one that was cut off knows only what was
        order = dict.fromkeys(sorted(known, key=lambda one: one.live is None))
        return [lambda link=link: self._opened(link) for link in order]  # type: ignore[misc]

    def _take(self, found: list[Range]) -> None:
        self._stale = False
        if sorted(found) == self._map and not self._guessed:
            return
        self._guessed = False
        owners: list[Link | None] = [None] * SLOTS
        for first, last, host, port, _ in found:
            owners[first : last + 1] = [self._link(host, port)] * (last + 1 - first)
        failed_over = promoted(self._map, found)
        self._owners, self._map = owners, sorted(found)
        self.changes += 1
        if failed_over:
            self._other_server()
        self._leave_others()

    def _leave_others(self) -> None:
        """Links to nodes that serve nothing any more: what is in flight there is still answered or lost, so they are only
        forgotten once their connection is gone. The nodes of the URL are asked whatever they serve."""
        serving = set(self._owners)
        for address, link in list(self._links.items()):
            if link not in serving and link not in self._opening and not link.live:
                del self._links[address]
                self._begin(link.close())

    # ---- the rest

    def _begin(self, job: Coroutine[Any, Any, None], about: _Routed | None = None) -> None:
        """Beside everything else. `about`: who would wait for ever if it were cancelled."""

        def over(task: asyncio.Task[None]) -> None:
            self._jobs.discard(task)
            if about is not None and task.cancelled():
                Connection.fail(about, StoreUnavailable(f"the connection to {self.place} is closed"))

        task = self._loop.create_task(job)
        self._jobs.add(task)
        task.add_done_callback(over)

    def _refuse_closed(self) -> None:
        if self._closed:
            raise StoreUnavailable(f"the connection to {self.place} is closed")


def _send_on(connection: Connection, future: _Routed, *, asking: bool) -> None:
    """ASKING holds for the next command of the connection only: nothing may come between them, and nothing does."""
    if asking:
        connection.call("ASKING")
    connection.send(future, future.command)


def _seen(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()  # callers may all have gone away: no log line then
