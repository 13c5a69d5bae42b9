"""A TCP proxy between clients and one server, which does to a connection what networks do, and a little more.

It knows where RESP frames begin only as far as the faults need it: hiredis counts them.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import hiredis

Fault = Literal["cut_request", "cut_reply", "cut_frame", "half_open", "delay", "trickle", "duplicate"]

_CHUNK: Final = 64 * 1024
_SPOILT_AFTER: Final = 5  # requests before a reply is doubled: the handshake of redis-py does not look for that
_DOUBLED_MAX: Final = 16 * 1024  # bytes: both copies arrive in one piece
_TRICKLE_BYTES: Final = 200  # of each piece are sent one by one; the rest follows


@dataclass
class Weather:
    """What happens now. `chance`: of each piece of data being hit, for the kinds that hit single pieces."""

    fault: Fault | None = None
    chance: float = 0.1
    delay_s: float = 0.0  # longest


class Frames:
    """Counts complete RESP values in a stream of bytes."""

    def __init__(self) -> None:
        self._reader = hiredis.Reader(replyError=RuntimeError)
        self.count = 0

    def feed(self, data: bytes) -> int:
        """How many were completed by this; -1 where it did not begin and end with one."""
        began_whole = not self._reader.has_data()
        self._reader.feed(data)
        found = 0
        while self._reader.gets() is not False:
            found += 1
        self.count += found
        return found if began_whole and not self._reader.has_data() else -1


class Passage:
    """One connection of a client, and the one to the server that belongs to it."""

    def __init__(self, proxy: Proxy, client: Ends, server: Ends) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._requests, self._replies = Frames(), Frames()
        self._blocks = False  # the last request was a blocking read

    async def run(self) -> None:
        """Until one side ends, or a fault ends both."""
        ways = [
            asyncio.create_task(self._pass_on(self._client, self._server, self._request)),
            asyncio.create_task(self._pass_on(self._server, self._client, self._reply)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self.abort()

    def abort(self) -> None:
        for end in (self._client, self._server):
            end.writer.transport.abort()

    async def _pass_on(self, source: Ends, target: Ends, meet: Callable[[bytes], bytes | None]) -> None:
        """Piece by piece, until there is no more, or `meet` says None."""
        try:
            while data := await source.reader.read(_CHUNK):
                await self._proxy.open_gate.wait()
                told = meet(data)
                if told:
                    await self._travel(told, target.writer)
                if told is None or (len(told) < len(data)):
                    return
        except OSError:
            return  # the other end has gone: what networks do

    def _request(self, data: bytes) -> bytes | None:
        self._requests.feed(data)
        self._blocks = b"BLOCK" in data
        return None if self._proxy.hits("cut_request") else data

    def _reply(self, data: bytes) -> bytes | None:
        frames = self._replies.feed(data)
        if self._proxy.hits("cut_reply"):
            return None
        if self._proxy.hits("cut_frame"):
            return data[: len(data) // 2]
        alone = frames == 1 and self._replies.count == self._requests.count > _SPOILT_AFTER
        # RESP numbers nothing: with another request on its way, nobody could tell. A connection that blocks has none.
        if alone and self._blocks and len(data) <= _DOUBLED_MAX and self._proxy.hits("duplicate"):
            return data + data
        return data

    async def _travel(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        weather, rng = self._proxy.weather, self._proxy.rng
        if weather.fault == "delay":
            self._proxy.count("delay")
            await asyncio.sleep(rng.uniform(0, weather.delay_s))  # time must pass: the delay
        if weather.fault == "trickle" and self._proxy.hits("trickle"):
            for at in range(min(len(data), _TRICKLE_BYTES)):
                writer.write(data[at : at + 1])
                await asyncio.sleep(0.001)  # time must pass: one byte after the other
            data = data[_TRICKLE_BYTES:]
        writer.write(data)
        await writer.drain()


@dataclass(frozen=True)
class Ends:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class Proxy:
    """Listens on 127.0.0.1 and passes everything on to `port` there."""

    def __init__(self, port: int, rng: random.Random) -> None:
        self.rng = rng
        self.weather = Weather()
        self.open_gate = asyncio.Event()  # closed: half-open, nothing passes and nobody is told
        self.open_gate.set()
        self.hit: Counter[str] = Counter()  # how often each fault has happened
        self.port = 0
        self._to = port
        self._passages: set[Passage] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> Proxy:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def begin(self, weather: Weather) -> None:
        self.weather = weather
        if weather.fault == "half_open":
            self.count("half_open")
            self.open_gate.clear()

    def end(self) -> None:
        """Good weather. What was half open is cut: after so long nobody waits for it."""
        if not self.open_gate.is_set():
            for passage in list(self._passages):
                passage.abort()
        self.weather = Weather()
        self.open_gate.set()

    def hits(self, fault: Fault) -> bool:
        """Whether this piece of data is hit by that fault now; counts it."""
        hit = self.weather.fault == fault and self.rng.random() < self.weather.chance
        if hit:
            self.count(fault)
        return hit

    def count(self, fault: Fault) -> None:
        self.hit[fault] += 1

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._connect(Ends(reader, writer)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, client: Ends) -> None:
        try:
            await self.open_gate.wait()
            server = Ends(*await asyncio.open_connection("127.0.0.1", self._to))
        except OSError:
            client.writer.transport.abort()  # nobody listens there now
            return
        passage = Passage(self, client, server)
        self._passages.add(passage)
        try:
            await passage.run()
        finally:
            self._passages.discard(passage)
