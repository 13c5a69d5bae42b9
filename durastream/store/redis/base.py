"""What all verbs of the Redis store share: the hub's keys, the connections, and the translation of errors."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from durastream import environment
from durastream.errors import (
    DurastreamError,
    Fenced,
    HubMismatch,
    Refused,
    ServerUnsuitable,
    StoreError,
    StoreUnavailable,
)
from durastream.store import rights, scripts, topology
from durastream.store.connection import Caller, Commands, ReplyError
from durastream.store.keys import HubKeys
from durastream.store.place import Place
from durastream.store.protocol import HubInfo
from durastream.store.redis.readers import readers
from durastream.store.redis.spoilt import Spoilt
from durastream.store.slots import slot

Run: TypeAlias = Callable[[str, Sequence[str], Sequence[Any]], Awaitable[Any]]

_NAMED: dict[str, type[DurastreamError]] = {
    "FENCED": Fenced, "MISMATCH": HubMismatch, "REFUSED": Refused, "WRONGTYPE": Refused,
}  # fmt: skip


class Base:
    """A handle on one hub. Connections are opened when first needed: one for commands (in a Cluster one for each master), and
    those for blocked reads (see `readers`). Where the URL asks for replicas, what clients write has others again."""

    def __init__(self, place: Place, hub: HubInfo) -> None:
        self.place = place
        self.hub = hub
        self.keys = HubKeys(hub.name, hub.partitions)
        self.handle_id = environment.token(6)
        name = f"durastream-{self.handle_id}"
        self._commands = topology.commands(place, client_name=name, home=slot(self.keys.settings))
        self._commands.on_other_server = self._other_server
        self._written = topology.replicated(place, self._commands, client_name=f"{name}-write")
        self._acknowledged: Run = self._run
        """For what a caller takes for done when the reply is there: where the URL asks for replicas, they have it then."""
        if self._written is not self._commands:
            self._written.on_other_server = self._other_server_behind_writes
            self._acknowledged = self._run_replicated
        self._handed_over: Run = self._acknowledged if place.kind == "cluster" else self._run
        """For what others are told, or may delete, once the reply is there: in a Cluster each server may lose the end of what it
        has by itself. A single one loses first what came of it."""
        self._restarts = 0
        self.on_restart: Callable[[], object] = (
            _nothing  # hears that the server may have forgotten what it acknowledged
        )
        self._readers = readers(place, self._commands, name)
        self._spoilt = Spoilt(self._calls)
        self.on_refusal: Callable[[ServerUnsuitable], object] = _nobody  # hears that the server refuses us, for good

    def _other_server(self) -> None:
        self._restarts += 1
        self.on_restart()

    def _other_server_behind_writes(self) -> None:
        self._restarts += 1  # the connection for commands tells the rest of us

    async def _connection(self, commands: Commands | None = None) -> Caller:
        """What waited here for a server that was restarted is not sent: it may rest on what the server has forgotten."""
        before = self._restarts
        connection = await (commands or self._commands).get()
        if self._restarts != before:
            raise StoreUnavailable("the server was restarted, or another took its place: this was not sent")
        return connection

    async def _run(self, name: str, keys: Sequence[str], args: Sequence[Any], *, reading: bool = False) -> Any:
        try:
            connection = self._commands.live or await self._connection()
            return await scripts.run(connection, name, keys, args, reading=reading)
        except ServerUnsuitable as error:
            self.on_refusal(error)
            raise
        except ReplyError as error:
            if reading and scripts.unknown(error):  # fakeredis
                return await self._run(name, keys, args)
            raise _NAMED.get(error.code, StoreError)(f"{name}: {error}") from None

    async def _run_replicated(self, name: str, keys: Sequence[str], args: Sequence[Any]) -> Any:
        try:
            connection = self._written.live or await self._connection(self._written)
            return await scripts.run(connection, name, keys, args)
        except ServerUnsuitable as error:
            self.on_refusal(error)
            raise
        except ReplyError as error:
            raise _NAMED.get(error.code, StoreError)(f"{name}: {error}") from None

    async def _call(self, *command: Any) -> Any:
        try:
            connection = self._commands.live or await self._connection()
            return await connection.call(*command)
        except ServerUnsuitable as error:
            self.on_refusal(error)
            raise

    async def _calls(self, commands: Iterable[tuple[Any, ...]], *, of_others: bool = False) -> list[Any]:
        """Many commands in one go; their replies in order. Futures only: a task for each would cost more than the command.

        `of_others`: about keys that somebody else has named. That they are refused says nothing about our own.
        """
        try:
            connection = self._commands.live or await self._connection()
            return [await reply for reply in [connection.call(*command) for command in commands]]
        except ServerUnsuitable as error:
            if not of_others:
                self.on_refusal(error)
            raise

    async def _read_streams(
        self, kind: str, block_ms: int, command: tuple[Any, ...], cursors: Mapping[str, str]
    ) -> Any:
        """XREAD or XREADGROUP of these streams (key → id) but for the spoilt ones."""
        await self._spoilt.look_again()
        if self._spoilt.keys:
            cursors = {name: cursor for name, cursor in cursors.items() if name not in self._spoilt.keys}
        if not cursors:
            await asyncio.sleep(block_ms / 1_000)
            return []
        try:
            return await self._readers.read(kind, block_ms, command, cursors)
        except ReplyError as error:
            if error.code != "WRONGTYPE":
                raise
            await self._spoilt.look(cursors)
            return []

    async def prove(self, role: str) -> None:
        """Raises AccessDenied unless our user may do all that this role does, on every server."""
        for connection in await self._commands.masters():
            await rights.prove(connection, role, self.hub.name)

    def interrupt(self) -> None:
        self._readers.interrupt()

    async def close(self) -> None:
        await self._readers.close()
        await self._written.close()
        await self._commands.close()


def _nothing() -> None:
    """Most have nothing in memory that a restart could make void."""


def _nobody(error: ServerUnsuitable) -> None:
    """Listens: the error is raised as well."""
    del error
