"""Group commit of the client: what many tasks send to one partition at the same time travels as one batch.

Each partition has a lane for starts and a lane for messages. An idle lane sends at once; while a batch is in flight the
next one collects. A batch whose fate is unknown is repeated unchanged, and nothing overtakes it, until its callers'
patience ends. Messages carry rising numbers, so that the store takes each of them once however often it is sent:
(client, run nonce, number). A batch that is given up keeps its numbers, and later ones are numbered above it: should it
still arrive, it is skipped.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, NamedTuple, TypeAlias, TypeVar

from durastream.client.retry import Retry
from durastream.client.tasks import Tasks
from durastream.errors import DurastreamError, ServerUnsuitable, StoreUnavailable
from durastream.store.protocol import ClientStore, NewInstance, Started

V = TypeVar("V")
A = TypeVar("A")

_BATCH_MAX = 400
_BATCH_BYTES_MAX = 1 << 20  # with one item more than fits: a larger one travels alone


class _Item(NamedTuple, Generic[V, A]):
    value: V
    size: int
    answer: asyncio.Future[A]
    deadline: float  # by the loop's clock


Attempt: TypeAlias = Callable[[], Awaitable[Sequence[A]]]


class Lane(ABC, Generic[V, A]):
    """A queue to one partition with at most one batch in flight."""

    what: str  # what an item is, for error messages

    def __init__(self, retry: Retry, tasks: Tasks) -> None:
        self._retry = retry
        self._tasks = tasks
        self._loop = asyncio.get_running_loop()
        self._queue: deque[_Item[V, A]] = deque()
        self._busy = False
        self._closed = False

    @abstractmethod
    def _prepare(self, values: list[V]) -> Attempt[A]:
        """How to send these values: called as often as it takes, answers one for each value."""

    def put(self, value: V, size: int, hold: int = 0) -> asyncio.Future[A]:
        """Queue a value of `size` bytes. The future is cancelled by who no longer wants it sent.

        hold: do not begin to send before more than so many are queued, or `flush`.
        """
        if self._closed:
            raise DurastreamError(f"{self.what} not sent: this client is closed")
        loop = self._loop
        answer: asyncio.Future[A] = loop.create_future()
        self._queue.append(_Item(value, size, answer, loop.time() + self._retry.patience_s))
        if not self._busy and len(self._queue) > hold:
            self.flush()
        return answer

    def flush(self) -> None:
        """Begin to send what is queued."""
        if self._queue and not self._busy:
            self._busy = True
            self._tasks.spawn(self._run())

    def close(self) -> None:
        """Send nothing more. A batch in flight is not repeated."""
        self._closed = True
        self._refuse(list(self._queue), DurastreamError(f"{self.what} not sent: the client was closed"))
        self._queue.clear()

    async def _run(self) -> None:
        while self._queue:
            batch = self._take()
            if batch:
                await self._send(batch)
        self._busy = False

    def _take(self) -> list[_Item[V, A]]:
        """The next batch, without what was cancelled while it waited."""
        queue, batch, size = self._queue, list[_Item[V, A]](), 0
        while queue and len(batch) < _BATCH_MAX and size < _BATCH_BYTES_MAX:
            item = queue.popleft()
            if not item.answer.done():
                batch.append(item)
                size += item.size
        return batch

    async def _send(self, batch: list[_Item[V, A]]) -> None:
        attempt = self._prepare([item.value for item in batch])
        failures = 0
        while not all(item.answer.done() for item in batch):
            try:
                answers = await attempt()
            except ServerUnsuitable as error:  # waiting does not help
                self._refuse(batch, self._unknown_fate(error) if failures else error)
            except StoreUnavailable as error:
                failures += 1
                self._give_up_overdue(batch, error)
                await asyncio.sleep(self._retry.pause_s(failures))
            except Exception as error:
                self._refuse(batch, error)
            else:
                self._accept(batch, answers)

    def _accept(self, batch: list[_Item[V, A]], answers: Sequence[A]) -> None:
        for item, answer in zip(batch, answers, strict=True):
            if not item.answer.done():
                item.answer.set_result(answer)

    def _refuse(self, items: list[_Item[V, A]], error: Exception) -> None:
        for item in items:
            if not item.answer.done():
                item.answer.set_exception(_again(error))

    def _give_up_overdue(self, batch: list[_Item[V, A]], error: StoreUnavailable) -> None:
        """Tell those whose patience has ended, here and in the queue."""
        now = self._loop.time()
        overdue = [item for item in batch if self._closed or item.deadline <= now]
        self._refuse(overdue, self._unknown_fate(error))
        while self._queue and self._queue[0].deadline <= now:
            self._refuse([self._queue.popleft()], StoreUnavailable(f"{self.what} not sent: {error}"))

    def _unknown_fate(self, error: StoreUnavailable) -> StoreUnavailable:
        return StoreUnavailable(
            f"no answer to {self.what} within {self._retry.patience_s:g} s. Its fate is unknown: it may have been "
            f"carried out, or may still be. Look at the instance before you repeat it. Cause: {error}"
        )


def _again(error: Exception) -> Exception:
    """A copy for each caller: tracebacks of an exception that is raised in many places would pile up in it."""
    if not isinstance(error, DurastreamError):
        return error
    copy = type(error)(*error.args)
    copy.__cause__ = error.__cause__
    return copy


class StartLane(Lane[NewInstance, Started]):
    """New instances. The execution id is the token that makes a repeated start harmless."""

    what = "start"

    def __init__(self, store: ClientStore, partition: int, retry: Retry, tasks: Tasks) -> None:
        super().__init__(retry, tasks)
        self._store = store
        self._partition = partition

    def _prepare(self, values: list[NewInstance]) -> Attempt[Started]:
        return lambda: self._store.start(self._partition, values)


class Source(NamedTuple):
    """Who sends: the client, and a nonce of this run of it."""

    name: str
    nonce: str


class MessageLane(Lane[bytes, None]):
    """Packed messages, numbered 1, 2, … in this lane."""

    what = "message"

    def __init__(self, store: ClientStore, partition: int, source: Source, retry: Retry, tasks: Tasks) -> None:
        super().__init__(retry, tasks)
        self._store = store
        self._partition = partition
        self._source = source
        self._last = 0

    def _prepare(self, values: list[bytes]) -> Attempt[None]:
        numbered = list(enumerate(values, self._last + 1))
        self._last += len(values)

        async def attempt() -> Sequence[None]:
            await self._store.deliver(self._partition, self._source.name, (0, self._source.nonce), numbered)
            return [None] * len(numbered)

        return attempt
