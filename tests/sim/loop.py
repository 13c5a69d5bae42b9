"""An event loop for many simulated processes: virtual time, and a seeded choice of which process goes next.

Within one process callbacks run in the order in which they were scheduled, as asyncio promises its users; which process runs its
next callback is drawn, one callback at a time, so that everything that can interleave between hosts does. When nobody has
anything to do, time jumps to the next timer. The idea is FoundationDB's (Zhou and others, "FoundationDB: A Distributed
Unbundled Transactional Key Value Store", 2021, section 4): one thread, one source of chance, no real time.

A process is known by a context variable, which every callback and task inherits. It can be killed as `kill -9` does: none of its
callbacks ever runs again, not even `finally` blocks. And it can be stopped for a while, as SIGSTOP does.
"""

from __future__ import annotations

import asyncio
import heapq
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, ContextVar, copy_context
from random import Random
from typing import Any, TypeVar, TypeVarTuple, Unpack

T = TypeVar("T")
A = TypeVarTuple("A")

SPIN_MAX = 400_000
"""Callbacks without any passing of time before the simulation says that something turns in circles."""


class Spinning(AssertionError):
    """Callbacks go on and on while time stands still."""


class Process:
    """One simulated operating system process."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self.stopped = False
        self.ready: deque[asyncio.Handle] = deque()
        self.tasks: list[
            SimTask
        ] = []  # held here, so that what a killed process left behind is not collected, which would run it
        self.runnable = False
        self.world: Any = None  # the simulation, for code that runs here
        self._prune_at = 64
        self.context = copy_context()
        self.context.run(PROCESS.set, self)

    def adopt(self, task: SimTask) -> None:
        self.tasks.append(task)
        if len(self.tasks) > self._prune_at:
            self.tasks = [one for one in self.tasks if not one.done()]
            self._prune_at = 2 * len(self.tasks) + 64

    def __repr__(self) -> str:
        return f"Process({self.name!r})"


PROCESS: ContextVar[Process] = ContextVar("durastream_sim_process")


class SimTask(asyncio.Task[Any]):
    """Sets of tasks must not be ordered by where these happen to lie in memory."""

    def __init__(self, coro: Any, *, number: int, process: Process, **options: Any) -> None:
        self.number = number
        self.process = process
        super().__init__(coro, **options)

    def __hash__(self) -> int:
        return self.number


class SimFuture(asyncio.Future[Any]):
    def __init__(self, *, number: int, process: Process, loop: asyncio.AbstractEventLoop) -> None:
        self.number = number
        self.process = process
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self.number


class SimLoop(asyncio.BaseEventLoop):
    """`rng` decides who goes next. `host` is the process of the simulation itself."""

    def __init__(self, rng: Random) -> None:
        super().__init__()
        self._rng = rng
        self._now = 0.0
        self._timers: list[tuple[float, int, asyncio.TimerHandle, Process]] = []
        self._runnable: list[Process] = []
        self._count = 0  # of timers, tasks and futures: breaks ties
        self._closed = False
        self.processes: list[Process] = []
        self.errors: list[str] = []
        self.callbacks = 0
        self.host = self.process("host")

    # -- processes

    def process(self, name: str) -> Process:
        made = Process(name)
        self.processes.append(made)
        return made

    def kill(self, process: Process) -> None:
        """Nothing of it ever runs again."""
        process.alive = False
        process.ready.clear()

    def stop_process(self, process: Process) -> None:
        process.stopped = True

    def continue_process(self, process: Process) -> None:
        process.stopped = False
        if process.ready:
            self._wake(process)

    def _wake(self, process: Process) -> None:
        if not process.runnable and not process.stopped:
            process.runnable = True
            self._runnable.append(process)

    def bury(self) -> None:
        """End what is left of all processes, in contexts that can do no harm any more. Comes last."""
        for process in self.processes:
            process.alive = False
            for task in process.tasks:
                if not task.done():
                    task._log_destroy_pending = False  # type: ignore[attr-defined]
                    process.context.run(_end, task.get_coro())
            process.tasks = []

    # -- running

    def run_until_complete(self, future: Generator[Any, None, T] | Any) -> T:
        """Run a coroutine as the host."""
        events._set_running_loop(self)
        try:
            task: asyncio.Future[T] = self.host.context.run(self.create_task, future)
            while not task.done():
                self._step()
            return task.result()
        finally:
            events._set_running_loop(None)

    def _step(self) -> None:
        """Run one callback, of a process that is drawn."""
        while True:
            if not self._runnable:
                self._advance()
                continue
            at = int(self._rng.random() * len(self._runnable)) if len(self._runnable) > 1 else 0
            process = self._runnable[at]
            if process.ready and not process.stopped:
                break
            self._retire(at)
        handle = process.ready.popleft()
        if not process.ready:
            self._retire(at)
        if not handle._cancelled:
            self.callbacks += 1
            self._spun += 1
            handle._run()
            if self._spun > SPIN_MAX:
                raise Spinning(
                    f"{process.name} goes in circles: {SPIN_MAX} callbacks while time stands at {self._now:.3f} s"
                )

    _spun = 0

    def _retire(self, at: int) -> None:
        last = self._runnable.pop()
        if at < len(self._runnable):
            last, self._runnable[at] = self._runnable[at], last
        last.runnable = False

    def _advance(self) -> None:
        """Time goes to the next timer. Several at the same moment become ready together."""
        while self._timers:
            when, _, handle, process = heapq.heappop(self._timers)
            if handle._cancelled or not process.alive:
                continue
            if when > self._now:
                self._now = when
                self._spun = 0
            process.ready.append(handle)
            self._wake(process)
            return
        raise RuntimeError("nobody has anything to do any more, not even later")

    # -- scheduling

    def time(self) -> float:
        return self._now

    def call_soon(
        self, callback: Callable[[Unpack[A]], object], *args: *A, context: Context | None = None
    ) -> asyncio.Handle:
        if context is None:
            context = copy_context()
        process = context[PROCESS]
        handle = asyncio.Handle(callback, args, self, context)
        if process.alive:
            process.ready.append(handle)
            self._wake(process)
        return handle

    def call_soon_threadsafe(
        self, callback: Callable[[Unpack[A]], object], *args: *A, context: Context | None = None
    ) -> asyncio.Handle:
        return self.call_soon(callback, *args, context=context)

    def call_later(
        self, delay: float, callback: Callable[[Unpack[A]], object], *args: *A, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[Unpack[A]], object], *args: *A, context: Context | None = None
    ) -> asyncio.TimerHandle:
        if context is None:
            context = copy_context()
        process = context[PROCESS]
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        if process.alive:
            self._count += 1
            heapq.heappush(self._timers, (when, self._count, handle, process))
        return handle

    def create_future(self) -> asyncio.Future[Any]:
        self._count += 1
        return SimFuture(number=self._count, process=PROCESS.get(), loop=self)

    def create_task(
        self,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
        *,
        name: object = None,
        context: Context | None = None,
    ) -> asyncio.Task[T]:
        self._count += 1
        options: dict[str, Any] = {} if context is None else {"context": context}
        process = PROCESS.get() if context is None else context[PROCESS]
        title = f"t{self._count}" if name is None else str(name)
        task = SimTask(coro, number=self._count, process=process, loop=self, name=title, **options)
        process.adopt(task)
        return task

    def run_in_executor(self, executor: Any, func: Callable[[Unpack[A]], T], *args: *A) -> asyncio.Future[T]:
        """A thread, simulated: the function runs at one go after a moment, in the process that asked for it."""
        answer = self.create_future()
        self.call_later(self._rng.random() * 0.01, _run_into, answer, func, args)
        return answer

    # -- what asyncio asks of a loop besides

    def get_debug(self) -> bool:
        return False

    def is_closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        self._closed = True

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Cancelled timers are skipped when their time comes."""

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        self.call_exception_handler(context)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """An error that nobody awaited is a finding, but for what dies with its process."""
        source = context.get("task") or context.get("future")
        handle = context.get("handle")
        process = (
            source.process if source is not None else handle._context[PROCESS] if handle is not None else PROCESS.get()
        )
        if not process.alive:
            return
        error = context.get("exception")
        self.errors.append(f"{process.name}: {context.get('message')}: {type(error).__name__}: {error}")


async def pause(seconds: float) -> None:
    """Let simulated time pass: it costs none."""
    await asyncio.sleep(seconds)  # time must pass: it is simulated


def _run_into(answer: asyncio.Future[Any], func: Callable[..., Any], args: tuple[Any, ...]) -> None:
    if answer.done():
        return
    try:
        result = func(*args)
    except Exception as error:
        answer.set_exception(error)
    else:
        answer.set_result(result)


def _end(coroutine: Any) -> None:
    """Close it; what it does in its last moment concerns nobody."""
    for _ in range(3):  # a coroutine may await once more while it is closed, and must be closed again
        try:
            coroutine.close()
        except BaseException:
            continue
        return
