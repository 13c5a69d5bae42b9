"""Between a process and the server: the store as the process sees it, and everything that can go wrong on the way.

A `Link` has all verbs of `store.protocol` and carries out none: it sends a copy of the request, which arrives a little later,
is carried out there, and is answered. Each call is a place where the plan may put a fault.
"""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from durastream.errors import DurastreamError, StoreUnavailable
from durastream.store.protocol import HubInfo
from tests.sim.loop import pause
from tests.sim.server import BLOCKS, Blocked

if TYPE_CHECKING:
    from tests.sim.processes import Running
    from tests.sim.world import World

_UNAVAILABLE: Final = "the simulated server cannot be reached"


@dataclass(eq=False, slots=True)
class Request:
    """One call on its way. `answer` is the caller's future; None for a copy nobody waits for."""

    verb: str
    args: tuple[Any, ...]
    options: dict[str, Any]
    answer: asyncio.Future[Any] | None
    fault: str | None
    name: str  # of the call, for choices about it
    life: int  # of the server when it was sent: what is on its way to one that ends is lost


class Link:
    """The connections of one process. Use it as the store object of a worker or client."""

    def __init__(self, world: World, running: Running) -> None:
        self._world = world
        self._running = running
        self._loop = world.loop
        self._chance = world.chance
        self._model = world.server.handle()
        self._calls = 0
        self._lanes: dict[str, float] = {}  # when the last one on it arrives
        self._under_way: dict[Request, None] = {}
        self._ears: list[_Ear] = []
        self._life = self._told = world.server.lives  # of the server, as this process knows it
        self.closed = False
        self.isolated_until = 0.0  # neither requests nor replies get through
        self.deaf_until = 0.0  # requests do

    @property
    def hub(self) -> HubInfo:
        return self._model.hub

    def __getattr__(self, verb: str) -> Any:
        if verb.startswith("_"):
            raise AttributeError(verb)
        method = partial(self._call, verb)
        self.__dict__[verb] = method
        return method

    async def close(self) -> None:
        """The process closes it by itself."""

    def interrupt(self) -> None:
        self._loop.call_later(
            self._latency(f"interrupt {self._calls}"), self._world.server.unblock, self, context=self._host
        )

    @property
    def _host(self) -> Any:
        return self._loop.host.context

    def _latency(self, name: str) -> float:
        return self._world.knobs.latency_s * (0.2 + 2 * self._chance.number(name) ** 3)

    def _lane(self, lane: str, delay: float) -> float:
        """When something sent now arrives. What goes over one connection stays in order."""
        when = self._loop.time() + delay
        if self._world.knobs.in_order:
            when = self._lanes[lane] = max(when, self._lanes.get(lane, 0.0))
        return when

    # -- calling

    async def _call(self, verb: str, *args: Any, **options: Any) -> Any:
        self._calls += 1
        running, name = self._running, f"{self._running.name}#{self._calls}"
        fault = self._world.plan.at_call(running.name, self._calls, verb)
        args, options = pickle.loads(pickle.dumps((args, options), 5))
        answer = self._loop.create_future()
        request = Request(verb, args, options, answer, fault, name, self._life)
        self._under_way[request] = None
        _SENDING.get(fault or "", Link._send)(self, request)
        try:
            return await answer
        finally:
            self._under_way.pop(request, None)

    def _send(self, request: Request, extra_s: float = 0.0) -> None:
        lane = request.verb if request.verb in BLOCKS else "commands"
        when = self._lane(f"> {lane}", self._latency(request.name) + extra_s)
        self._loop.call_at(when, self._arrive, request, context=self._host)

    def _span(self, request: Request, low: float, high: float) -> float:
        """Seconds, as shares of a lease."""
        return self._chance.between(f"{request.name} span", low, high) * self._world.knobs.lease_s

    def _send_slow(self, request: Request) -> None:
        self._send(request, self._span(request, 0.05, 2.0))

    def _refuse(self, request: Request) -> None:
        self._loop.call_later(self._latency(request.name), self._fail, request)

    def _send_late(self, request: Request) -> None:
        self._refuse(request)
        copied = replace(request, answer=None, fault=None)
        self._loop.call_later(self._span(request, 0.05, 1.5), self._arrive, copied, context=self._host)

    def _send_twice(self, request: Request) -> None:
        self._send(request)
        copied = replace(request, answer=None, fault=None)
        self._loop.call_later(self._span(request, 0.0, 1.0), self._arrive, copied, context=self._host)

    def _crash(self, request: Request) -> None:
        self._world.crash(self._running)

    def _crash_sent(self, request: Request) -> None:
        self._world.crash(self._running)
        copied = replace(request, answer=None, fault=None)
        self._loop.call_later(self._span(request, 0.01, 1.5), self._arrive, copied, context=self._host)

    def _send_and_stop(self, request: Request) -> None:
        low, high = (0.1, 0.7) if request.fault == "stop-short" else (1.1, 2.5)
        self._send(request)
        self._world.pause(self._running, self._span(request, low, high))

    def _cut(self, request: Request) -> None:
        self._send(request)
        self.cut()

    def cut(self) -> None:
        """The connection breaks. What was sent may or may not arrive; who waits hears that the store is away."""
        for request in list(self._under_way):
            self._loop.call_later(0.001, self._fail, request)
        self.drop_reads()
        for ear in self._ears:
            ear.broken()

    def drop_reads(self) -> None:
        self._world.server.forget(self)

    # -- at the server

    def _arrive(self, request: Request) -> None:
        server = self._world.server
        if self._restarted(request) or server.down or self._loop.time() < self.isolated_until:
            self._reply(request, None, StoreUnavailable(_UNAVAILABLE))
            return
        place = BLOCKS.get(request.verb)
        block_ms = request.args[place] if place is not None else 0
        if place is not None:
            request.args = (*request.args[:place], 0, *request.args[place + 1 :])
        found, error = self._carry_out(request)
        if not block_ms or found or error is not None:
            self._reply(request, found, error)
            return
        answer = partial(self._reply, request, error=None)
        server.block(Blocked(self, lambda: self._carry_out(request)[0], answer), block_ms / 1_000)

    def _restarted(self, request: Request) -> bool:
        """Whether the request was for a server that is no more. The process hears of it, once."""
        lives = self._world.server.lives
        if request.life != lives and not self._world.server.down and self._told < lives:
            self._told = lives
            self._loop.call_soon(self._learn, lives, context=self._running.process.context)
        return request.life != lives

    def _learn(self, lives: int) -> None:
        """The process finds another server than before: it gives up what it has in memory before it sends anything else."""
        self._life = lives
        self._model = self._world.server.handle()
        if self._running.host is not None:
            self._running.host.server_restarted()

    def _carry_out(self, request: Request) -> tuple[Any, Exception | None]:
        try:
            result = self._world.server.execute(self._model, request.verb, request.args, request.options)
            error = None
        except Exception as raised:
            result, error = None, raised
            if not isinstance(raised, DurastreamError):
                self._world.violated("X4", f"{request.verb} raised {type(raised).__name__}: {raised}", raised)
        self._world.trace(self._running.name, request.verb, type(error).__name__)
        return result, error

    # -- back

    def _reply(self, request: Request, result: Any, error: Exception | None) -> None:
        if request.answer is None:
            return
        if request.fault == "crash-after":
            self._world.crash(self._running)
            return
        now = self._loop.time()
        lost = request.fault == "lost-reply" or now < max(self.isolated_until, self.deaf_until)
        if lost:
            result, error = None, StoreUnavailable(_UNAVAILABLE)
        extra_s = self._span(request, 0.05, 2.0) if request.fault == "slow-reply" else 0.0
        lane = request.verb if request.verb in BLOCKS else "commands"
        when = self._lane(f"< {lane}", self._latency(f"{request.name} back") + extra_s)
        self._loop.call_at(when, _settle, request.answer, result, error, context=self._running.process.context)

    def _fail(self, request: Request) -> None:
        if request.answer is not None:
            _settle(request.answer, None, StoreUnavailable(_UNAVAILABLE))

    # -- notifications

    async def notifications(self, channel: str) -> AsyncIterator[bytes | None]:
        ear = _Ear(self, channel)
        try:
            await pause(self._latency(f"subscribe {channel} {self._calls}"))
            if self._world.server.down or self._loop.time() < max(self.isolated_until, self.deaf_until):
                raise StoreUnavailable(_UNAVAILABLE)
            self._world.server.model.channels.join(ear)  # type: ignore[arg-type]
            self._ears.append(ear)
            yield None
            while True:
                yield await ear.next()
        finally:
            if ear in self._ears:
                self._ears.remove(ear)
                self._world.server.model.channels.part(ear)  # type: ignore[arg-type]

    def hears(self) -> bool:
        return self._loop.time() >= max(self.isolated_until, self.deaf_until)

    def lose(self, ear: _Ear) -> None:
        """A connection does not leave out a part: what could not be told breaks it."""
        self._loop.call_at(max(self.isolated_until, self.deaf_until), ear.broken, context=self._running.process.context)

    def push(self, ear: _Ear, blob: bytes) -> None:
        when = self._lane("push", self._latency(f"push {ear.count}"))
        self._loop.call_at(when, ear.arrived, blob, context=self._running.process.context)


class _Ear:
    """One subscription: what is published on its channel reaches the process a little later."""

    def __init__(self, link: Link, channel: str) -> None:
        self.channel = channel
        self.count = 0
        self._link = link
        self._heard: asyncio.Queue[bytes | None] = asyncio.Queue()

    def put(self, blob: bytes) -> None:
        self.count += 1
        if self._link.hears():
            self._link.push(self, blob)
        else:
            self._link.lose(self)

    def arrived(self, blob: bytes) -> None:
        self._heard.put_nowait(blob)

    def broken(self) -> None:
        self._heard.put_nowait(None)

    async def next(self) -> bytes:
        blob = await self._heard.get()
        if blob is None:
            raise StoreUnavailable(_UNAVAILABLE)
        return blob


def _settle(answer: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
    if answer.done():
        return
    if error is None:
        answer.set_result(result)
    else:
        answer.set_exception(error)


_SENDING: Final[dict[str, Callable[[Link, Request], None]]] = {
    "slow": Link._send_slow,
    "refused": Link._refuse,
    "late": Link._send_late,
    "twice": Link._send_twice,
    "cut": Link._cut,
    "crash-before": Link._crash,
    "crash-sent": Link._crash_sent,
    "stop-short": Link._send_and_stop,
    "stop-long": Link._send_and_stop,
}
