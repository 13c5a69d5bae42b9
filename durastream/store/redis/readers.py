"""Blocked reads of many streams: on one server one command for all of them, in a Cluster one for each partition.

In a Cluster one command may name streams of one slot only, and each partition is a slot of its own. So each partition that is
waited for has a connection of its own there, with an XREAD that stays blocked from one call of `read` to the next: what costs
something is an entry that comes, not the waiting, and nobody ever waits for an interval to pass. The other way, one connection
per node and a message published by each script that writes to a stream, would cost every user a PUBLISH for each of these writes.

Only XREAD waits so, which takes nothing from anybody: a read may be ended, or its reply thrown away, at any time. Entries that
have to be claimed (XREADGROUP) are claimed by a command that does not block, when the wait has said that there are some.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias

from durastream.errors import StoreUnavailable
from durastream.store import topology
from durastream.store.cluster import Cluster
from durastream.store.connection import Commands, Connection, Link, ReplyError, ServerNotReady, end
from durastream.store.place import Place
from durastream.store.slots import slot

Command: TypeAlias = tuple[Any, ...]
Cursors: TypeAlias = Mapping[str, str]

_WAIT_MS: Final = 5_000  # for which one XREAD blocks in a Cluster
_UNBLOCK_AGAIN_S: Final = 0.02  # the order to end a read may overtake the read
_AGAIN_S: Final = 0.05  # between two looks at a stream whose slot is on the move, or whose node is down
_MOVING: Final = ("MOVED", "ASK", "UNBLOCKED")
_TWO_SERVERS: Final = "what was read does not count: commands go to another server now, or to the same one anew"


class Readers(Protocol):
    async def read(self, kind: str, block_ms: int, command: Command, cursors: Cursors) -> list[Any]:
        """Entries of these streams (key → id), as XREAD gives them; empty after `block_ms` or `interrupt`."""
        ...

    def interrupt(self) -> None:
        """End all reads that block."""
        ...

    async def close(self) -> None: ...


class OneServer:
    """A connection for each kind of read, on which `interrupt` can end it without losing a delivery.

    All must lead to the server that commands go to. After a failover one may lead to the old primary for a while, if that lives:
    its streams are not those of the new one, and their ids are no cursors there.
    """

    def __init__(self, commands: Link, open_link: Callable[[str], Link]) -> None:
        self._commands = commands
        self._open_link = open_link
        self._links: dict[str, Link] = {}
        self._reading: dict[str, Connection] = {}

    async def read(self, kind: str, block_ms: int, command: Command, cursors: Cursors) -> list[Any]:
        block = ("BLOCK", block_ms) if block_ms else ()
        whole = (*command, *block, "STREAMS", *cursors, *cursors.values())
        if not block_ms:
            connection = self._commands.live or await self._commands.get()
            return await connection.call(*whole) or []
        link = self._links.get(kind)
        if link is None:
            link = self._links[kind] = self._open_link(kind)
        reader = link.live or await link.get()
        commands = self._commands.live or await self._commands.get()
        if reader.endpoint != commands.endpoint:
            reader.lose(f"commands go to {commands.endpoint.address}")
            raise StoreUnavailable(_TWO_SERVERS)
        self._reading[kind] = reader
        try:
            found = await reader.call_blocking(block_ms / 1000, *whole) or []
        finally:
            self._reading.pop(kind, None)
        if found and self._commands.live is not commands:
            raise StoreUnavailable(_TWO_SERVERS)
        return found

    def interrupt(self) -> None:
        connection = self._commands.live
        if connection is None:
            return
        for reading in self._reading.values():
            connection.call("CLIENT", "UNBLOCK", reading.client_id)

    async def close(self) -> None:
        for link in list(self._links.values()):
            await link.close()


class ManySlots:
    """See the module. One `_Kind` for each role that reads: the roles know nothing of each other."""

    def __init__(self, cluster: Cluster, client_name: str) -> None:
        self._cluster = cluster
        self._client_name = client_name
        self._kinds: dict[str, _Kind] = {}
        self._closed = False

    async def read(self, kind: str, block_ms: int, command: Command, cursors: Cursors) -> list[Any]:
        if self._closed:
            raise StoreUnavailable("the store is closed")
        wanted: dict[int, Command] = {}
        for key, cursor in cursors.items():
            wanted[slot(key)] = (*wanted.get(slot(key), ()), (key, cursor))
        if not block_ms:
            return await self._now(command, wanted)
        if kind not in self._kinds:
            self._kinds[kind] = _Kind(self._cluster, f"{self._client_name}-{kind}", counts=kind != "activity")
        return await self._kinds[kind].read(block_ms, command, wanted)

    async def _now(self, command: Command, wanted: Mapping[int, Command]) -> list[Any]:
        cluster = self._cluster.live or await self._cluster.get()
        replies = [cluster.call(*_streams(command, streams)) for streams in wanted.values()]
        return [stream for reply in replies for stream in await reply or ()]

    def interrupt(self) -> None:
        for kind in self._kinds.values():
            kind.end_read()

    async def close(self) -> None:
        self._closed = True  # whoever still reads begins nothing new
        for kind in self._kinds.values():
            await kind.close()


def _streams(command: Command, streams: Command) -> Command:
    return (*command, "STREAMS", *(key for key, _ in streams), *(cursor for _, cursor in streams))


@dataclass(slots=True, eq=False)
class _Waiting:
    """One blocked read."""

    command: Command
    reader: Connection | None = None  # once it is blocked
    task: asyncio.Task[list[Any]] = field(init=False)


class _Kind:
    """The reads of one role, by slot. `counts`: whether what they bring is used, or only that they bring something."""

    def __init__(self, cluster: Cluster, client_name: str, *, counts: bool) -> None:
        self._cluster = cluster
        self._client_name = client_name
        self._links: dict[int, Link] = {}
        self._waiting: dict[int, _Waiting] = {}
        self._woken = asyncio.Event()
        self._interrupted = False
        self._lapsed = False
        self._counts = counts

    async def read(self, block_ms: int, command: Command, wanted: Mapping[int, Command]) -> list[Any]:
        """As `Readers.read`. Raises what went wrong if nothing can be read at all: one node that is down holds up nobody else."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + block_ms / 1_000
        await self._end_others({number: _streams(command, streams) for number, streams in wanted.items()})
        self._lapsed = self._counts  # until this call ends well
        found: list[Any] = []
        while not found and not self._interrupted and loop.time() < ends:
            self._woken.clear()
            for number, streams in wanted.items():
                if number not in self._waiting:
                    self._begin(number, command, streams)
            if not any(one.task.done() for one in self._waiting.values()):
                await self._wait(ends - loop.time())
            found = self._collect()
        self._interrupted = self._lapsed = False
        # Who comes back in the same turn of the event loop has seen nothing that the reads under way do not know of. Later than
        # that, what they read before may be old: see `_end_others`.
        loop.call_soon(self._lapse)
        return found

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return

    def _collect(self) -> list[Any]:
        over = {k: one for k, one in self._waiting.items() if one.task.done() and not one.task.cancelled()}
        errors = [error for one in over.values() if (error := one.task.exception()) is not None]
        if errors and (len(errors) == len(self._waiting) or not isinstance(errors[0], StoreUnavailable)):
            for number in over:
                del self._waiting[number]
            raise errors[0]
        found: list[Any] = []
        for number, one in over.items():
            del self._waiting[number]
            found += [] if one.task.exception() else one.task.result()
        return found

    def _lapse(self) -> None:
        self._lapsed = self._counts

    def end_read(self) -> None:
        """End the read under way."""
        self._interrupted = True
        self._woken.set()

    # ---- one slot

    def _begin(self, number: int, command: Command, streams: Command) -> None:
        one = self._waiting[number] = _Waiting(_streams(command, streams))
        one.task = asyncio.get_running_loop().create_task(self._read_one(number, one, command, streams))
        one.task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[list[Any]]) -> None:
        if not task.cancelled():
            task.exception()  # it may be that nobody asks any more
        self._woken.set()

    async def _read_one(self, number: int, one: _Waiting, command: Command, streams: Command) -> list[Any]:
        try:
            one.reader = reader = await self._reader(number)
            blocked = _streams((*command, "BLOCK", _WAIT_MS), streams)
            return await reader.call_blocking(_WAIT_MS / 1_000, *blocked) or []
        except (ReplyError, ServerNotReady) as error:
            if error.code not in _MOVING:
                await asyncio.sleep(_AGAIN_S)
                raise
        except StoreUnavailable:
            await asyncio.sleep(_AGAIN_S)
            raise
        # Its slot has moved, or is about to. A read that does not block is sent on to wherever the stream is now.
        found: list[Any] = await self._cluster.call(*one.command) or []
        if not found:
            await asyncio.sleep(_AGAIN_S)
        return found

    async def _reader(self, number: int) -> Connection:
        """A connection of its own to the master of the slot."""
        await self._cluster.connection_of(number)
        master = self._cluster.link_of(number)
        if master is None:
            raise StoreUnavailable(f"no node of the cluster serves slot {number}")
        link = self._links.get(number)
        if link is None or link.endpoint != master.endpoint:
            if link is not None:
                await link.close()
            link = self._links[number] = Link(master.endpoint, client_name=self._client_name, open_timeout_s=0)
        connection = link.live or await link.get()
        connection.refused = self._cluster.heard
        return connection

    # ---- ending

    async def _end_others(self, wanted: Mapping[int, Command]) -> None:
        """Reads that are not wanted as they are. Also those that were left alone for a while: what they have read may have been
        dealt with meanwhile by somebody who read it otherwise."""
        others = {
            number: one for number, one in self._waiting.items() if self._lapsed or wanted.get(number) != one.command
        }
        for number in others:
            del self._waiting[number]
        await asyncio.gather(*(self._end(number, one) for number, one in others.items()))

    async def _end(self, number: int, one: _Waiting) -> None:
        while not one.task.done():
            master = self._cluster.link_of(number)
            commands = master.live if master is not None else None
            if one.reader is None:
                one.task.cancel()
            elif commands is None or commands.endpoint != one.reader.endpoint:
                one.reader.lose("its node is not reached any more")
            else:
                commands.call("CLIENT", "UNBLOCK", one.reader.client_id)
            await asyncio.wait([one.task], timeout=_UNBLOCK_AGAIN_S)

    async def close(self) -> None:
        self.end_read()
        await end(one.task for one in self._waiting.values())
        for link in list(self._links.values()):
            await link.close()


def readers(place: Place, commands: Commands, client_name: str) -> Readers:
    """Those for this kind of place."""
    if isinstance(commands, Cluster):
        return ManySlots(commands, client_name)
    assert isinstance(commands, Link)
    return OneServer(commands, lambda kind: topology.link(place, client_name=f"{client_name}-{kind}", beside=commands))
