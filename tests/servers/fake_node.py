"""A cluster node that answers as a test tells it, for what no real one does on demand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeAlias

import hiredis

Command: TypeAlias = tuple[str, ...]
Answer: TypeAlias = Callable[[Command], bytes | None]

HANG_UP = None
"""The answer of a node that takes a command and dies."""


class FakeNode:
    """`answer(command)` gives the reply as it goes over the wire, or HANG_UP. What came in stands in `heard`, without what every
    connection begins with."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.heard: list[Command] = []
        self.port = 0
        self.connections = 0  # ever
        self._awake = asyncio.Event()
        self._awake.set()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._subscribed: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> FakeNode:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.close()
        self._awake.set()

    def freeze(self) -> None:
        """Stand still, as after SIGSTOP: connections are taken, as the kernel does it, and nothing that comes in is looked at."""
        self._awake.clear()

    def thaw(self) -> None:
        """Go on, with what came in first."""
        self._awake.set()

    def publish(self, data: bytes) -> None:
        """To all who have subscribed to anything."""
        for writer in self._subscribed:
            writer.write(data)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        parser = hiredis.Reader()
        while data := await _received(reader):
            await self._awake.wait()
            if writer.is_closing():
                return
            parser.feed(data)
            while (words := parser.gets()) is not False:
                if words[0] == b"SUBSCRIBE":
                    self._subscribed.add(writer)
                reply = self._reply(tuple(word.decode() for word in words))
                if reply is HANG_UP:
                    writer.close()
                    return
                writer.write(reply)
        writer.close()

    def _reply(self, command: Command) -> bytes | None:
        if command[0] == "CLIENT":
            return b":7\r\n" if command[1] == "ID" else b"+OK\r\n"
        if command[:2] == ("CLUSTER", "SLOTS"):
            return self.answer(command)
        self.heard.append(command)
        return self.answer(command)


async def _received(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(65_536)
    except ConnectionResetError:
        return b""  # it went away without reading all answers


def slots(*ranges: tuple[int, int, str, int]) -> bytes:
    """The reply to CLUSTER SLOTS: (first, last, host, port) each."""
    return resp([[first, last, [host, port, "id"]] for first, last, host, port in ranges])


def resp(value: Any) -> bytes:
    """A list, text or number as a reply."""
    if isinstance(value, list):
        return b"*%d\r\n%s" % (len(value), b"".join(resp(one) for one in value))
    if isinstance(value, int):
        return b":%d\r\n" % value
    return b"$%d\r\n%s\r\n" % (len(value), value.encode())
