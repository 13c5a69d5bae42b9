"""One connection to one server, shared by many tasks. It pipelines by itself, and it never sends anything twice.

- Commands called in the same turn of the event loop leave in one write; replies come back in order. With 50 tasks that
  costs a few µs of client time per command, where redis-py's asyncio connection takes tens (it packs in Python).
- A command that was sent is never cancelled: cancelling the future that waits for it only discards the reply.
- When the connection is lost, or the oldest reply is overdue, every future fails with StoreUnavailable, and it stays
  dead. `Link` opens the next one. What was in flight may or may not have taken effect: who calls decides.
- While the peer does not read (`pause_writing`), commands wait in memory as they were packed. There are never more than
  callers waiting for a reply; who calls without waiting must await `drained()` now and then.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol, Self, TypeAlias

import hiredis

from durastream import environment
from durastream.errors import AccessDenied, ServerUnsuitable, StoreError, StoreUnavailable
from durastream.store.connect import Endpoint, client_id, dial

RETRYABLE: Final[dict[str, str]] = {
    "LOADING": "it is still loading its data",
    "BUSY": "a script has been running for too long",
    "OOM": "it is out of memory: raise maxmemory or purge instances",
    "READONLY": "it is a replica now",
    "MASTERDOWN": "its link with the primary is down",
    "CLUSTERDOWN": "its cluster is down",
    "TRYAGAIN": "its slot is on the move",
    "UNBLOCKED": "the blocked read was ended",
    "NOREPLICAS": "too few replicas are in sync",
    "MISCONF": "it cannot save to disk",
    "FAILOVER": "a failover is under way",
}
"""Error codes that pass with time, and what they say about the server. Everything else is a ReplyError."""

_WRITE_BYTES: Final = 64 * 1024
_OPEN_TIMEOUT_S: Final = 10.0
_PAUSE_S_MIN: Final = 0.2  # at most 5 attempts to connect in a second
_PAUSE_S_MAX: Final = 1.0


class ReplyError(StoreError):
    """The server answered with an error. `code` is its first word (NOSCRIPT, NOGROUP, WRONGTYPE, ERR, FENCED, …)."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code} {message}")
        self.code = code
        self.message = message


class ServerNotReady(StoreUnavailable):
    """The server answered that it cannot serve now; `code` is a key of RETRYABLE."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"redis cannot serve now: {RETRYABLE[code]} ({code} {message})")
        self.code = code


_DENIED: Final = ("NOPERM ", "NOAUTH ", "ERR ACL failure in script", "ERR The user executing the script can't ")
"""How refusals by access rules begin: of a command, and of one inside a script (newer servers, Redis 7.0)."""


def _reply_error(text: str) -> ReplyError | ServerNotReady | AccessDenied:
    if text.startswith(_DENIED):
        return AccessDenied(f"redis refuses it by its access rules: {text}")
    code, _, message = text.partition(" ")
    return ServerNotReady(code, message) if code in RETRYABLE else ReplyError(code, message)


Word: TypeAlias = str | bytes | int | float


class Caller(Protocol):
    """What takes commands: one connection, or all those to a Cluster."""

    def call(self, *args: Word) -> asyncio.Future[Any]: ...


class Commands(Protocol):
    """What leads to it and keeps it alive: `Link` for one server, `cluster.Cluster` for many."""

    @property
    def live(self) -> Caller | None: ...

    async def get(self) -> Caller: ...

    on_other_server: Callable[[], object] | None
    """Called when a connection leads to another server process than the one before it did, before anybody gets to use it: what
    the last one acknowledged may be lost (power loss, failover). None: it is not asked which process it is."""

    async def masters(self) -> list[Connection]:
        """A connection to each server that holds keys of its own. Raises StoreUnavailable unless all of them answer."""
        ...

    async def reachable(self) -> list[Connection]:
        """As `masters`, for who can do with those that answer: the log tells of the others. Raises StoreUnavailable if none
        does, ServerUnsuitable if one refuses us."""
        ...

    async def close(self) -> None: ...


class _Blocking(asyncio.Future[Any]):
    """Waits for the reply of a command that may block for `allowance_s` at the server."""

    allowance_s: float = 0.0


class Connection(asyncio.Protocol):
    """See the module. Belongs to the event loop that opened it; not thread-safe."""

    closed: bool = False  # dead for good
    refused: Callable[[Connection, asyncio.Future[Any], Exception], bool] | None = None
    """Hears of error replies first. True: the future is its business now (a Cluster sends the command to another node)."""

    def __init__(self, endpoint: Endpoint, number: int, response_timeout_s: float) -> None:
        self.endpoint = endpoint
        self.client_id = number
        self._timeout_s = response_timeout_s
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._outgoing: list[bytes] = []
        self._outgoing_bytes = 0
        self._reader = hiredis.Reader(replyError=_reply_error)
        self._writable = asyncio.Event()
        self._writable.set()
        self._gone = asyncio.Event()
        self._progress = self._loop.time()  # when bytes came in last, or the first request went out
        self._check_due = 0.0
        self._watch()

    @classmethod
    async def open(cls, endpoint: Endpoint, *, client_name: str, response_timeout_s: float | None = None) -> Self:
        """Connect. `response_timeout_s`: longest silence while replies are due (default: the endpoint's, 5 s).

        Raises StoreUnavailable or ServerUnsuitable, naming address and likely cause.
        """
        dialled = await dial(endpoint, client_name=client_name)
        number = await client_id(endpoint, dialled)
        connection = cls(endpoint, number, response_timeout_s or endpoint.response_timeout_s)
        connection._take_over(dialled)
        return connection

    def _take_over(self, dialled: Any) -> None:
        # The stream writer closes its transport when it is collected: it must live as long as this object.
        self._stream = dialled._writer
        self._transport: asyncio.Transport = self._stream.transport
        dialled._reader = dialled._writer = None
        self._transport.set_protocol(self)
        if self._transport.is_closing():
            self.lose("it closed the connection")

    # ---- calling

    def call(self, *args: Word) -> asyncio.Future[Any]:
        """Send a command; the future gives the reply (bytes, int, list or None).

        It fails with ReplyError, or StoreUnavailable (ServerNotReady has the code). Cancelling it does no harm.
        """
        return self.send(self._loop.create_future(), args)

    def call_blocking(self, timeout_s: float, *args: Word) -> asyncio.Future[Any]:
        """Like `call`, for a command that may block for `timeout_s` at the server (0 = for ever: don't).

        Replies of commands behind it wait as long: give blocking commands a connection of their own.
        """
        future = _Blocking(loop=self._loop)
        future.allowance_s = timeout_s
        return self.send(future, args)

    async def drained(self) -> None:
        """Return once the peer takes more data, or the connection is closed."""
        await self._writable.wait()

    def send(self, future: asyncio.Future[Any], args: tuple[Any, ...]) -> asyncio.Future[Any]:
        """Like `call`, for a future that exists already."""
        packed = hiredis.pack_command(args)
        if self.closed:
            return self.fail(future, StoreUnavailable(f"the connection to redis at {self.endpoint.address} is closed"))
        if not self._waiting:
            self._progress = self._loop.time()
        self._waiting.append(future)
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append(packed)
        self._outgoing_bytes += len(packed)
        if self._outgoing_bytes >= _WRITE_BYTES:  # the server may begin while the rest is packed
            self._flush()
        return future

    def _flush(self) -> None:
        if self._outgoing and not self.closed and self._writable.is_set():
            data = self._outgoing[0] if len(self._outgoing) == 1 else b"".join(self._outgoing)
            self._outgoing.clear()
            self._outgoing_bytes = 0
            try:
                self._transport.write(data)
            except RuntimeError as error:  # uvloop: closed already, and `connection_lost` is on its way
                self.lose(f"the connection broke ({error})")

    # ---- what the transport tells

    def data_received(self, data: bytes) -> None:
        self._progress = self._loop.time()
        reader, waiting = self._reader, self._waiting
        try:
            reader.feed(data)
            while (reply := reader.gets()) is not False:
                self._answer(waiting.popleft(), reply)
        except (hiredis.ProtocolError, IndexError) as error:
            self.lose(f"it sent what is no reply ({error})")

    def _answer(self, future: asyncio.Future[Any], reply: Any) -> None:
        if isinstance(reply, Exception):
            if self.refused is None or not self.refused(self, future, reply):
                self.fail(future, reply)
            if isinstance(reply, ServerNotReady) and reply.code == "READONLY":
                self.lose("it became a replica")  # the address may lead to the new primary
        elif not future.done():
            future.set_result(reply)

    @staticmethod
    def fail(future: asyncio.Future[Any], error: Exception) -> asyncio.Future[Any]:
        """Give a future an error that nobody has to look at."""
        if not future.done():
            future.set_exception(error)
            future.exception()  # marks it as seen: a caller who went away needs no log line
        return future

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._progress = self._loop.time()
        self._writable.set()
        self._flush()

    def eof_received(self) -> bool:
        self.lose("it closed the connection")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone.set()
        self.lose(f"the connection broke ({exc})" if exc else "it closed the connection")

    # ---- ending

    def _watch(self) -> None:
        now, period = self._loop.time(), self._timeout_s / 4
        if self._check_due and now > self._check_due + period:
            self._progress = now  # this loop was blocked, so replies may be there unread
        head = self._waiting[0] if self._waiting else None
        allowed = self._timeout_s + (head.allowance_s if isinstance(head, _Blocking) else 0)
        if head is not None and now - self._progress > allowed:
            self.lose(f"no reply for {now - self._progress:.1f} s")
            return
        self._check_due = now + period
        self._timer = self._loop.call_later(period, self._watch)

    def lose(self, cause: str) -> None:
        """Give the connection up at once; every outstanding future fails with StoreUnavailable naming the cause."""
        if self.closed:
            return
        self.closed = True
        self._timer.cancel()
        self._transport.abort()
        self._outgoing.clear()
        self._writable.set()
        error = f"lost redis at {self.endpoint.address}: {cause}; what was in flight may or may not have taken effect"
        while self._waiting:
            self.fail(self._waiting.popleft(), StoreUnavailable(error))

    async def close(self) -> None:
        """Close; outstanding futures fail. May be called again."""
        self.lose("closed on this side")
        await self._gone.wait()


def _seen(task: asyncio.Task[Connection]) -> None:
    if not task.cancelled():
        task.exception()  # callers may all have gone away: no log line then


async def _run_id(connection: Connection) -> bytes:
    """Which server process this is. Empty where it does not say, or not to our user."""
    try:
        found = re.search(rb"^run_id:(\w+)", await connection.call("INFO", "server"), re.MULTILINE)
    except (AccessDenied, ReplyError):
        return b""
    return found[1] if found else b""


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks and return once they are over."""
    left = [task for task in tasks if not task.done()]
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left)


class Link:
    """Keeps one connection to an endpoint alive: after a loss, the next one who asks opens another."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        client_name: str,
        response_timeout_s: float | None = None,
        open_timeout_s: float = _OPEN_TIMEOUT_S,
        opens: type[Connection] = Connection,
    ) -> None:
        self.endpoint = endpoint
        self._opens = opens
        self._client_name = client_name
        self._response_timeout_s = response_timeout_s
        self._open_timeout_s = open_timeout_s
        self._connection: Connection | None = None
        self._opening: asyncio.Task[Connection] | None = None
        self.on_other_server: Callable[[], object] | None = None
        self._server: bytes | None = None  # which process the last connection led to; empty: it does not say
        self._not_before = 0.0  # when the next attempt may begin
        self._closed = False

    @property
    def live(self) -> Connection | None:
        """The connection, if it is up. Saves `get`'s turn of the event loop on hot paths."""
        connection = self._connection
        return None if connection is None or connection.closed else connection

    async def get(self) -> Connection:
        """The connection, opened if need be. All callers share one attempt, repeated with growing pauses.

        Raises StoreUnavailable after at most `open_timeout_s` (and one connect timeout), ServerUnsuitable at once.
        """
        if self._closed:
            raise StoreUnavailable(f"the link to redis at {self.endpoint.address} is closed")
        connection = self.live
        if connection is not None:
            return connection
        if self._opening is None or self._opening.done():
            self._opening = asyncio.get_running_loop().create_task(self._open())
            self._opening.add_done_callback(_seen)
        try:
            return await asyncio.shield(self._opening)
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if self._opening.cancelled() and not (caller is not None and caller.cancelling()):
                raise StoreUnavailable(f"the link to redis at {self.endpoint.address} was closed") from None
            raise

    async def masters(self) -> list[Connection]:
        """The one there is."""
        return [await self.get()]

    async def reachable(self) -> list[Connection]:
        """The same: without it there is nothing."""
        return await self.masters()

    def drop(self) -> None:
        """Give the connection up now. The next `get` opens another one."""
        if self._connection is not None:
            self._connection.lose("dropped on this side")

    async def close(self) -> None:
        """Close for good."""
        self._closed = True
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait([self._opening])
        if self._connection is not None:
            await self._connection.close()

    async def _open(self) -> Connection:
        loop = asyncio.get_running_loop()
        give_up = loop.time() + self._open_timeout_s
        pause = _PAUSE_S_MIN
        while True:
            await asyncio.sleep(max(0.0, self._not_before - loop.time()))
            pause_s = pause * (1 + environment.jitter() / 2)  # so that many processes don't come back in step
            self._not_before = loop.time() + pause_s
            try:
                connection = await self._attempt()
                await self._meet(connection)
                self._connection = connection
                return connection
            except ServerUnsuitable:
                raise
            except StoreUnavailable:
                if loop.time() + pause_s >= give_up:
                    raise
            pause = min(pause * 2, _PAUSE_S_MAX)

    async def _meet(self, connection: Connection) -> None:
        if self.on_other_server is None:
            return
        before, self._server = self._server, await _run_id(connection)
        if before is not None and (self._server != before or not before):
            self.on_other_server()

    async def _attempt(self) -> Connection:
        return await self._opens.open(
            self.endpoint, client_name=self._client_name, response_timeout_s=self._response_timeout_s
        )
