"""What all verbs of the Redis store share: the hub's keys, the connections, and the translation of errors."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from durastream import environment
from durastream.errors import Fenced, Refused, StoreError
from durastream.store import scripts
from durastream.store.connect import Endpoint
from durastream.store.connection import Connection, Link, ReplyError
from durastream.store.keys import HubKeys
from durastream.store.protocol import HubInfo
from durastream.store.redis.spoilt import Spoilt

_NAMED: dict[str, type[StoreError]] = {"FENCED": Fenced, "REFUSED": Refused, "WRONGTYPE": Refused}


class Base:
    """A handle on one hub. Connections are opened when first needed: one for commands, one for each kind of blocked read."""

    def __init__(self, endpoint: Endpoint, hub: HubInfo) -> None:
        self.endpoint = endpoint
        self.hub = hub
        self.keys = HubKeys(hub.name, hub.partitions)
        self.handle_id = environment.token(6)
        self._commands = Link(endpoint, client_name=f"durastream-{self.handle_id}")
        self._readers: dict[str, Link] = {}
        self._reading: dict[str, Connection] = {}
        self._spoilt = Spoilt(self._calls)

    async def _run(self, name: str, keys: Sequence[str], args: Sequence[Any]) -> Any:
        connection = self._commands.live or await self._commands.get()
        try:
            return await scripts.run(connection, name, keys, args)
        except ReplyError as error:
            raise _NAMED.get(error.code, StoreError)(f"{name}: {error}") from None

    async def _call(self, *command: Any) -> Any:
        connection = self._commands.live or await self._commands.get()
        return await connection.call(*command)

    async def _calls(self, commands: Iterable[tuple[Any, ...]]) -> list[Any]:
        """Many commands in one go; their replies in order. Futures only: a task for each would cost more than the command."""
        connection = self._commands.live or await self._commands.get()
        return [await reply for reply in [connection.call(*command) for command in commands]]

    async def _read(self, kind: str, block_ms: int, *command: Any) -> Any:
        """A read that may block, on a connection of its own, so that `interrupt` can end it without losing a delivery."""
        if not block_ms:
            return await self._call(*command)
        link = self._readers.get(kind)
        if link is None:
            link = self._readers[kind] = Link(self.endpoint, client_name=f"durastream-{self.handle_id}-{kind}")
        connection = link.live or await link.get()
        self._reading[kind] = connection
        try:
            return await connection.call_blocking(block_ms / 1000, *command)
        finally:
            self._reading.pop(kind, None)

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
        block = ("BLOCK", block_ms) if block_ms else ()
        try:
            return await self._read(kind, block_ms, *command, *block, "STREAMS", *cursors, *cursors.values())
        except ReplyError as error:
            if error.code != "WRONGTYPE":
                raise
            await self._spoilt.look(cursors)
            return []

    def interrupt(self) -> None:
        connection = self._commands.live
        if connection is None:
            return
        for reading in self._reading.values():
            connection.call("CLIENT", "UNBLOCK", reading.client_id)

    async def close(self) -> None:
        for link in (self._commands, *self._readers.values()):
            await link.close()
