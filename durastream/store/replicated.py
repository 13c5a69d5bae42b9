"""A connection that answers a script only once replicas have what it wrote: `?replicas=1` in the URL of the server.

A server answers first and replicates then, so what it has acknowledged can be gone after a failover. Here the reply of a script
(EVALSHA, EVAL; what has to wait goes by scripts) is held back; behind it goes WAIT, and when as many replicas have confirmed,
the reply is given. Else the call ends with StoreUnavailable: it may or may not last, and whoever called repeats it, which every
verb of the store allows. One WAIT is for all replies that came since the one before. While it is under way the server reads
nothing else from this connection: only what has to wait goes here (see `redis.base`).

What its form rests on, tried with Redis 7.0 and Valkey 9.1 whose replica stood still (SIGSTOP):
- WAIT is about what *its own connection* has written. It is also about this process: a primary that is told to follow another
  ends a WAIT under way with an error, and refuses new ones.
- On Valkey (and Redis from 7.2 on) a command that writes nothing leaves a WAIT nothing to wait for. A repeated call finds its
  work done; over a new connection WAIT would say at once that all is well, though no replica has it. (Redis 7.0 waits for all
  that was written by anybody.) So a small write goes in front of each WAIT, behind the script: a mark of nobody. It is replicated
  even if it is there already, lies in the slot of what was written, and is tidied like the marks of clients that have gone.
- A replica may be away for a moment, so a server without any is not refused for good: calls to it are not acknowledged, the log
  says why, and so does the error in which the patience of the client ends.

Replicas confirm what they have in memory. Where there are more of them than `replicas`, one that has not
confirmed may be promoted.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import Any, Final, Self

from durastream.errors import AccessDenied, ServerUnsuitable, StoreUnavailable
from durastream.store import scripts
from durastream.store.connect import Endpoint
from durastream.store.connection import Connection, ReplyError

log = logging.getLogger("durastream.store")

_SCRIPTED: Final = ("EVALSHA", "EVAL")
_NOBODY: Final = ("c:replicas", "0::0:0")  # the mark, and whose

_Held = list[tuple["asyncio.Future[Any]", Any]]


class Replicated(Connection):
    """See the module. How many replicas, and how long to wait for them, is told by the endpoint."""

    def __init__(self, endpoint: Endpoint, number: int, response_timeout_s: float) -> None:
        self._scripts: dict[asyncio.Future[Any], str] = {}  # first key of each that is to be answered
        self._held: _Held = []  # replies since the last WAIT
        self._touch = ""  # a key beside what they wrote
        self._asking = False
        self._lacking = False
        super().__init__(endpoint, number, response_timeout_s)

    @classmethod
    async def open(cls, endpoint: Endpoint, *, client_name: str, response_timeout_s: float | None = None) -> Self:
        """As `Connection.open`. Raises ServerUnsuitable where WAIT is unknown or forbidden: before anything is written."""
        connection = await super().open(endpoint, client_name=client_name, response_timeout_s=response_timeout_s)
        try:
            await connection._prove()
        except BaseException:
            await connection.close()
            raise
        return connection

    async def _prove(self) -> None:
        where = f"the URL of redis at {self.endpoint.address} asks for replicas"
        try:
            await self.call("WAIT", 0, 1)
        except AccessDenied as error:
            raise AccessDenied(f"{where}, which needs +wait: {error}. `durastream acl` prints the rules") from None
        except ReplyError as error:
            if scripts.unknown(error):
                raise ServerUnsuitable(f"{where}, but it knows no WAIT: leave `replicas` out") from None
            # A replica may not wait for others. It will say where the primary is, or that it is none, when it is written to.

    def send(self, future: asyncio.Future[Any], args: tuple[Any, ...]) -> asyncio.Future[Any]:
        if args[0] in _SCRIPTED and not self.closed:
            self._scripts[future] = args[3]
        return super().send(future, args)

    def lose(self, cause: str) -> None:
        super().lose(cause)
        self._scripts.clear()

    def _answer(self, future: asyncio.Future[Any], reply: Any) -> None:
        key = self._scripts.pop(future, None)
        if key is None or isinstance(reply, Exception):
            super()._answer(future, reply)
            return
        self._held.append((future, reply))
        self._touch = f"{key.partition('}')[0]}}}:marks"  # of the same partition, see `keys`
        self._ask_soon()

    def _ask_soon(self) -> None:
        """At the end of this turn of the loop, for all that is held by then; not while a WAIT is under way."""
        if self._held and not self._asking:
            self._asking = True
            self._loop.call_soon(self._ask)

    def _ask(self) -> None:
        held, self._held = self._held, []
        timeout_s = self.endpoint.replicas_timeout_s
        touched = self.call("HSET", self._touch, *_NOBODY)
        waited = self.call_blocking(timeout_s, "WAIT", self.endpoint.replicas, max(1, int(timeout_s * 1_000)))
        waited.add_done_callback(partial(self._told, held, touched))

    def _told(self, held: _Held, touched: asyncio.Future[Any], waited: asyncio.Future[Any]) -> None:
        error = touched.exception() or waited.exception()
        doubt = self._not_known(error) if error is not None else self._too_few(waited.result())
        for future, reply in held:
            if doubt is not None:
                self.fail(future, doubt)
            elif not future.done():
                future.set_result(reply)
        self._asking = False
        self._ask_soon()

    def _not_known(self, error: BaseException) -> StoreUnavailable:
        text = f"redis at {self.endpoint.address} has written it, but whether replicas have it is not known: {error}"
        return StoreUnavailable(text)

    def _too_few(self, count: int) -> StoreUnavailable | None:
        wanted, timeout_s = self.endpoint.replicas, self.endpoint.replicas_timeout_s
        lacked, self._lacking = self._lacking, count < wanted
        if not self._lacking:
            return None
        text = (
            f"redis at {self.endpoint.address} has written it, but {count} of the {wanted} replicas that the URL asks for have"
            f" it after {timeout_s:g} s: see in INFO replication which are connected, or leave `replicas` out"
        )
        if not lacked:
            log.warning("calls are not acknowledged: %s", text)
        return StoreUnavailable(text)
