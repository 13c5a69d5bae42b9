"""Waiting for endings: one notification channel for all waits of a client, no task and no command of their own.

An instance that this client started tells the channel by itself. For any other the client asks (`store.watch`), once,
together with all waits that begin in the same turn of the loop. A notification may get lost with its connection: after
each reconnection everything that is waited for is asked again, and a slow look at the records covers what is lost
without a trace.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import aclosing
from itertools import islice
from typing import TYPE_CHECKING, cast
from weakref import WeakValueDictionary

from durastream import errors
from durastream.client.ending import NOT_COVERED, Ending, ending_told_by
from durastream.client.retry import Retry
from durastream.client.tasks import Tasks
from durastream.core.ids import partition_of
from durastream.errors import DurastreamError, InstanceNotFound, ServerUnsuitable, StoreUnavailable, WireError
from durastream.notices import Ack, End, unpack_notices
from durastream.store.keys import HubKeys
from durastream.store.protocol import ClientStore, HubInfo, Record

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

log = logging.getLogger(__name__)

_WATCH_MAX = 500  # ids of one `watch`
_LOOK_S = 15.0  # between two rounds of looking at records
_LOOK_IDS_MAX = 250  # in one slice, and one slice in _SLICE_S: records carry payloads, and others need the server too
_SLICE_S = 0.25


def channel_name(hub: HubInfo, client_id: str) -> str:
    """The notification channel of a client."""
    return HubKeys(hub.name, 0).channel(client_id)


class Waits:
    """All waits of one client. `generation` counts the subscriptions so far; `live` while there is one."""

    def __init__(self, store: ClientStore, channel: str, retry: Retry, tasks: Tasks) -> None:
        self.channel = channel
        self.generation = 0
        self.live = False
        self._store = store
        self._retry = retry
        self._tasks = tasks
        self._loop = asyncio.get_running_loop()
        self._known: WeakValueDictionary[str, Ending] = WeakValueDictionary()
        self._waited: dict[str, Ending] = {}  # those with waiters
        self._unasked: list[Ending] = []  # to be watched at the end of this turn of the loop
        self._acks: dict[str, asyncio.Future[Ack]] = {}
        self._closed = False
        self._services: list[asyncio.Task[None]] = []

    def open(self) -> None:
        self._services = [self._tasks.spawn(self._listen()), self._tasks.spawn(self._look_around())]

    async def close(self) -> None:
        """End the subscription, and all waits with an error."""
        self._closed = True
        for service in self._services:
            service.cancel()
        await asyncio.gather(*self._services, return_exceptions=True)
        for ending in list(self._waited.values()):
            self._fail(ending, lambda: DurastreamError("the client was closed during the wait"))
        for future in self._acks.values():
            if not future.done():
                future.set_exception(DurastreamError("the client was closed during the wait"))

    # -- endings

    def begin(self, instance_id: str, execution_id: str) -> Ending:
        """The ending of an instance that cannot be known yet."""
        ending = self._known[instance_id] = Ending(instance_id, execution_id)
        return ending

    def ending(self, instance_id: str) -> Ending:
        """The ending of any instance."""
        known = self._known.get(instance_id)
        if known is None:
            known = self._known[instance_id] = Ending(instance_id)
        return known

    def cover(self) -> int:
        """The value of `Ending.covered` for a start that is sent now and names the channel."""
        return self.generation if self.live else NOT_COVERED

    def nothing_stale(self, ending: Ending) -> None:
        """A start did not come about: the execution that was put aside counts after all, and its end is asked for anew."""
        ending.stale = None
        ending.covered = NOT_COVERED
        if ending.waiters:
            self._ask(ending)

    # -- waiting

    async def wait(self, ending: Ending, timeout_s: float | None) -> End:
        """The end of the instance, as soon as it has ended. Raises InstanceNotFound, TimeoutError."""
        if ending.notice is not None:
            return self._take(ending)
        future = self._enter(ending)
        timer = timeout_s is not None and self._loop.call_later(timeout_s, _time_out, [future], [ending], timeout_s)
        try:
            return await future
        finally:
            if timer:
                timer.cancel()
            self._leave(ending, future)

    async def wait_all(self, endings: Sequence[Ending], timeout_s: float | None) -> list[End | DurastreamError]:
        """How each ended, in the order asked; a TimeoutError stands for those that have not."""
        futures = [self._enter(ending) for ending in endings]
        timer = timeout_s is not None and self._loop.call_later(timeout_s, _time_out, futures, endings, timeout_s)
        try:
            return [await _outcome(future) for future in futures]
        finally:
            if timer:
                timer.cancel()
            for ending, future in zip(endings, futures, strict=True):
                self._leave(ending, future)

    def _enter(self, ending: Ending) -> asyncio.Future[End]:
        future: asyncio.Future[End] = self._loop.create_future()
        if ending.notice is not None:
            future.set_result(self._take(ending))
            return future
        if self._closed:
            raise DurastreamError("this client is closed")
        ending.waiters += (future,)
        self._waited[ending.instance_id] = ending
        if self.live and ending.covered != self.generation:  # while not live: the next subscription asks for all
            self._ask(ending)
        return future

    def _leave(self, ending: Ending, future: asyncio.Future[End]) -> None:
        """Also where the wait was cancelled. After an end was told `waiters` is empty already."""
        if not future.done():
            future.cancel()
        if future in ending.waiters:
            ending.waiters = tuple(other for other in ending.waiters if other is not future)
            if not ending.waiters:
                self._waited.pop(ending.instance_id, None)

    def _take(self, ending: Ending) -> End:
        """What is told is told once: whoever asks again may want to know about a rewound or restarted instance."""
        notice, ending.notice = ending.notice, None
        return cast(End, notice)

    # -- being told

    def _settle(self, ending: Ending, notice: End) -> None:
        waiters = [future for future in ending.waiters if not future.done()]
        if waiters:
            ending.waiters = ()
            self._waited.pop(ending.instance_id, None)
            for future in waiters:
                future.set_result(notice)
        else:
            ending.notice = notice
        ending.execution_id = notice.execution_id
        ending.covered = NOT_COVERED

    def _fail(self, ending: Ending, make: Callable[[], DurastreamError]) -> None:
        waiters, ending.waiters = ending.waiters, ()
        self._waited.pop(ending.instance_id, None)
        ending.covered = NOT_COVERED
        for future in waiters:
            if not future.done():
                future.set_exception(make())

    def _saw(self, ending: Ending, record: Record | None) -> None:
        if record is None:
            self._fail(ending, lambda: InstanceNotFound(f"instance {ending.instance_id!r} does not exist in this hub"))
            return
        notice = ending_told_by(record)
        if notice is not None and ending.counts(record.execution_id):
            self._settle(ending, notice)

    # -- the channel

    async def _listen(self) -> None:
        failures = 0
        while True:
            try:
                # Stores write it as an async generator; closed here, not whenever it is collected.
                source = cast("AsyncGenerator[bytes | None, None]", self._store.notifications(self.channel))
                async with aclosing(source) as blobs:
                    async for blob in blobs:
                        failures = 0
                        self._hear(blob)
            except StoreUnavailable as error:
                log.debug("subscription lost, trying again: %s", error)
            except Exception:
                log.exception("notifications failed; waits fall back to looking every %g s", _LOOK_S)
            self.live = False
            failures += 1
            await asyncio.sleep(self._retry.pause_s(failures))

    def _hear(self, blob: bytes | None) -> None:
        if blob is None:
            self.generation += 1
            self.live = True
            self._ask_all()
            return
        try:
            for notice in unpack_notices(blob):
                _HEARD[type(notice)](self, notice)
        except WireError as error:
            log.warning("ignored on channel %s: %s", self.channel, error)

    def _hear_end(self, notice: End) -> None:
        ending = self._known.get(notice.instance_id)
        if ending is None or not ending.counts(notice.execution_id):
            return
        if notice.complete:
            self._settle(ending, notice)
        elif ending.waiters:
            self._ask(ending)  # too large to be told: the answer is the record
        else:
            ending.covered = NOT_COVERED

    def _hear_ack(self, ack: Ack) -> None:
        future = self._acks.get(ack.request_id)
        if future is not None and not future.done():
            future.set_result(ack)

    def expect(self, request_id: str) -> asyncio.Future[Ack]:
        """The acknowledgement of a request that is about to be sent. `forget` it in the end."""
        future = self._acks[request_id] = self._loop.create_future()
        return future

    def forget(self, request_id: str) -> None:
        self._acks.pop(request_id).cancel()

    # -- asking

    def _ask(self, ending: Ending) -> None:
        if not self._unasked:
            self._loop.call_soon(self._ask_now)
        self._unasked.append(ending)

    def _ask_all(self) -> None:
        for ending in self._waited.values():
            self._ask(ending)

    def _ask_now(self) -> None:
        if self._closed:
            return
        lanes: dict[int, list[Ending]] = {}
        for ending in dict.fromkeys(self._unasked):
            lanes.setdefault(partition_of(ending.instance_id, self._store.hub.partitions), []).append(ending)
        self._unasked = []
        for partition, endings in lanes.items():
            for part in _slices(endings, _WATCH_MAX):
                self._tasks.spawn(self._watch(partition, part))

    async def _watch(self, partition: int, endings: Sequence[Ending]) -> None:
        failures = 0
        while endings := [ending for ending in endings if ending.waiters]:
            generation = self.generation
            try:
                records = await self._store.watch(partition, self.channel, [ending.instance_id for ending in endings])
            except ServerUnsuitable as error:
                self._fail_all(endings, error)
            except StoreUnavailable:
                failures += 1
                await asyncio.sleep(self._retry.pause_s(failures))
            except Exception as error:
                self._fail_all(endings, error)
            else:
                for ending, record in zip(endings, records, strict=True):
                    ending.covered = generation
                    self._saw(ending, record)
                return

    def _fail_all(self, endings: Iterable[Ending], error: Exception) -> None:
        for ending in endings:
            self._fail(ending, lambda: DurastreamError(f"cannot wait for {ending.instance_id!r}: {error}"))  # noqa: B023

    async def _look_around(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            for ids in _slices(list(self._waited), _LOOK_IDS_MAX):
                await self._look(ids)
                await asyncio.sleep(_SLICE_S)

    async def _look(self, ids: Sequence[str]) -> None:
        try:
            records = await self._store.records(ids)
        except DurastreamError as error:
            log.debug("could not look at %d instances: %s", len(ids), error)
            return
        for instance_id, record in zip(ids, records, strict=True):
            ending = self._waited.get(instance_id)
            if ending is not None:
                self._saw(ending, record)


_HEARD: dict[type, Callable[[Waits, End | Ack], None]] = {
    End: cast("Callable[[Waits, End | Ack], None]", Waits._hear_end),
    Ack: cast("Callable[[Waits, End | Ack], None]", Waits._hear_ack),
}


def _slices(items: list[Ending] | list[str], size: int) -> Iterable[list]:  # type: ignore[type-arg]
    walk = iter(items)
    while part := list(islice(walk, size)):
        yield part


def _time_out(futures: Sequence[asyncio.Future[End]], endings: Sequence[Ending], timeout_s: float) -> None:
    late = [(future, ending) for future, ending in zip(futures, endings, strict=True) if not future.done()]
    names = ", ".join(repr(ending.instance_id) for _, ending in late[:3]) + (", …" if len(late) > 3 else "")
    what = f"instance {names} has" if len(futures) == 1 else f"{len(late)} of {len(futures)} instances ({names}) have"
    text = f"{what} not ended after {timeout_s:g} s; what it waits for: client.status(id) or `durastream show ID`"
    for future, _ in late:
        future.set_exception(errors.TimeoutError(text))


async def _outcome(future: asyncio.Future[End]) -> End | DurastreamError:
    try:
        return await future
    except DurastreamError as error:
        return error
