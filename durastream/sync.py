"""The blocking twin of `durastream.client`: same names, same arguments, from any number of threads.

One background thread runs the event loop of the asynchronous client; each call here is a call there. An interrupted
call (Ctrl-C) is cancelled there too.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from itertools import repeat
from types import TracebackType
from typing import Any, Generic, ParamSpec, Self, TypeAlias, TypeVar, Unpack, cast, overload

from anyio.from_thread import BlockingPortal, start_blocking_portal

from durastream.client import CleanedEntities, Client, EntityStatus, Handle, InstanceStatus, QueuedMessage
from durastream.client.looking import HistoryPage
from durastream.client.options import StartOptions, Steps
from durastream.client.retry import PATIENCE_S
from durastream.client.views import Filters
from durastream.core.durations import Duration
from durastream.core.entity_id import EntityId
from durastream.core.events import Event
from durastream.core.status import Status
from durastream.errors import DurastreamError
from durastream.store.protocol import ClientStore, HubInfo, LeaseInfo, PartitionLoad, ServerInfo, WorkerInfo

I = TypeVar("I")  # noqa: E741 - input
R = TypeVar("R")
T = TypeVar("T")
P = ParamSpec("P")

# `SyncClient.list` hides the type of that name inside the class.
Events: TypeAlias = list[Event]
Handles: TypeAlias = "list[SyncHandle[R]]"
Results: TypeAlias = list[R]
Leases: TypeAlias = list[LeaseInfo]
Loads: TypeAlias = list[PartitionLoad]
Queue: TypeAlias = list[QueuedMessage]
Workers: TypeAlias = list[WorkerInfo]

_CHUNK = 100  # instances fetched from the loop's thread at a time


class SyncHandle(Generic[R]):
    """One instance: see `client.Handle`."""

    __slots__ = ("_client", "_handle")

    def __init__(self, client: SyncClient, handle: Handle[R]) -> None:
        self._client = client
        self._handle = handle

    def __repr__(self) -> str:
        return f"SyncHandle({self.id!r})"

    @property
    def id(self) -> str:
        return self._handle.id

    @property
    def execution_id(self) -> str | None:
        return self._handle.execution_id

    def result(self, timeout: float | None = None) -> R:
        """See `client.Handle.result`."""
        return self._client._call(self._handle.result, timeout)

    def wait(self, timeout: float | None = None) -> InstanceStatus:
        """See `client.Handle.wait`."""
        return self._client._call(self._handle.wait, timeout)

    def status(self) -> InstanceStatus:
        """See `client.Client.status`."""
        return self._client._call(self._handle.status)

    def history(self) -> list[Event]:
        """See `client.Client.history`."""
        return self._client._call(self._handle.history)

    def raise_event(self, name: str, data: Any = None, *, check: bool = True) -> None:
        """See `client.Client.raise_event`."""
        self._client._call(self._handle.raise_event, name, data, check=check)

    def suspend(self, reason: str | None = None, *, check: bool = True) -> None:
        """See `client.Client.suspend`."""
        self._client._call(self._handle.suspend, reason, check=check)

    def resume(self, reason: str | None = None, *, check: bool = True) -> None:
        """See `client.Client.resume`."""
        self._client._call(self._handle.resume, reason, check=check)

    def terminate(self, reason: str | None = None, *, recursive: bool = True, check: bool = True) -> None:
        """See `client.Client.terminate`."""
        self._client._call(self._handle.terminate, reason, recursive=recursive, check=check)

    def rewind(self, reason: str | None = None, *, timeout: float = 30.0) -> None:
        """See `client.Client.rewind`."""
        self._client._call(self._handle.rewind, reason, timeout=timeout)

    def restart(self, *, timeout: float = 30.0) -> None:
        """See `client.Client.restart`."""
        self._client._call(self._handle.restart, timeout=timeout)

    def purge(self, *, timeout: float = 30.0) -> None:
        """See `client.Client.purge`."""
        self._client._call(self._handle.purge, timeout=timeout)


class SyncClient:
    """A connection to one hub for blocking code: see `client.Client`. Safe to share between threads.

    with SyncClient("redis://localhost:6379", hub="default") as client:
        receipt_id = client.start(place_order, order).result(timeout=60)
    """

    def __init__(
        self,
        url_or_store: str | ClientStore | None = None,
        hub: str = "default",
        *,
        payload_bytes_max: int | None = None,
        retry_for_s: float = PATIENCE_S,
        rng: random.Random | None = None,
    ) -> None:
        """See `client.Client`. A store given here must be usable in the event loop of another thread."""
        self._client = Client(url_or_store, hub, payload_bytes_max=payload_bytes_max, retry_for_s=retry_for_s, rng=rng)
        self._portal: BlockingPortal | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        if self._portal is not None:
            raise DurastreamError("this client is open already")
        with ExitStack() as stack:
            portal = stack.enter_context(start_blocking_portal("asyncio"))
            stack.enter_context(portal.wrap_async_context_manager(self._client))
            self._stack, self._portal = stack.pop_all(), portal
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._stack.__exit__(kind, error, trace)
        finally:
            self._portal = None

    @property
    def hub(self) -> HubInfo:
        """Settings of the hub."""
        return self._client.hub

    # -- starting

    @overload
    def start(
        self, orchestrator: str, input: Any = None, *, instance_id: str | None = None, **options: Unpack[StartOptions]
    ) -> SyncHandle[Any]: ...
    @overload
    def start(
        self,
        orchestrator: Callable[[Any], Steps[R]],
        *,
        instance_id: str | None = None,
        **options: Unpack[StartOptions],
    ) -> SyncHandle[R]: ...
    @overload
    def start(
        self,
        orchestrator: Callable[[Any, I], Steps[R]],
        input: I,
        *,
        instance_id: str | None = None,
        **options: Unpack[StartOptions],
    ) -> SyncHandle[R]: ...
    def start(
        self,
        orchestrator: Callable[..., Steps[Any]] | str,
        input: Any = None,
        *,
        instance_id: str | None = None,
        **options: Unpack[StartOptions],
    ) -> SyncHandle[Any]:
        """See `client.Client.start`."""
        start: Callable[..., Coroutine[Any, Any, Handle[Any]]] = cast(Any, self._client.start)
        return SyncHandle(self, self._call(start, orchestrator, input, instance_id=instance_id, **options))

    @overload
    def start_many(
        self,
        orchestrator: str,
        inputs: Iterable[Any],
        *,
        instance_ids: Sequence[str] | None = None,
        **options: Unpack[StartOptions],
    ) -> Handles[Any]: ...
    @overload
    def start_many(
        self,
        orchestrator: Callable[[Any, I], Steps[R]],
        inputs: Iterable[I],
        *,
        instance_ids: Sequence[str] | None = None,
        **options: Unpack[StartOptions],
    ) -> Handles[R]: ...
    def start_many(
        self,
        orchestrator: Callable[..., Steps[Any]] | str,
        inputs: Iterable[Any],
        *,
        instance_ids: Sequence[str] | None = None,
        **options: Unpack[StartOptions],
    ) -> Handles[Any]:
        """See `client.Client.start_many`."""
        start_many: Callable[..., Coroutine[Any, Any, Results[Handle[Any]]]] = cast(Any, self._client.start_many)
        handles = self._call(start_many, orchestrator, inputs, instance_ids=instance_ids, **options)
        return [SyncHandle(self, handle) for handle in handles]

    def wait_all(self, handles: Sequence[SyncHandle[R]], timeout: float | None = None) -> Results[R]:
        """See `client.Client.wait_all`."""
        return self._call(self._client.wait_all, [handle._handle for handle in handles], timeout)

    @overload
    def handle(self, instance_id: str) -> SyncHandle[Any]: ...
    @overload
    def handle(self, instance_id: str, *, type: type[R]) -> SyncHandle[R]: ...
    def handle(self, instance_id: str, *, type: Any = None) -> SyncHandle[Any]:
        """See `client.Client.handle`."""

        async def in_loop() -> Handle[Any]:
            return self._client.handle(instance_id, type=type)

        return SyncHandle(self, self._call(in_loop))

    # -- controlling

    def raise_event(self, instance_id: str, name: str, data: Any = None, *, check: bool = True) -> None:
        """See `client.Client.raise_event`."""
        self._call(self._client.raise_event, instance_id, name, data, check=check)

    def suspend(self, instance_id: str, reason: str | None = None, *, check: bool = True) -> None:
        """See `client.Client.suspend`."""
        self._call(self._client.suspend, instance_id, reason, check=check)

    def resume(self, instance_id: str, reason: str | None = None, *, check: bool = True) -> None:
        """See `client.Client.resume`."""
        self._call(self._client.resume, instance_id, reason, check=check)

    def terminate(
        self, instance_id: str, reason: str | None = None, *, recursive: bool = True, check: bool = True
    ) -> None:
        """See `client.Client.terminate`."""
        self._call(self._client.terminate, instance_id, reason, recursive=recursive, check=check)

    def rewind(self, instance_id: str, reason: str | None = None, *, timeout: float = 30.0) -> None:
        """See `client.Client.rewind`."""
        self._call(self._client.rewind, instance_id, reason, timeout=timeout)

    def restart(self, instance_id: str, *, timeout: float = 30.0) -> None:
        """See `client.Client.restart`."""
        self._call(self._client.restart, instance_id, timeout=timeout)

    def purge(self, instance_id: str, *, timeout: float = 30.0) -> None:
        """See `client.Client.purge`."""
        self._call(self._client.purge, instance_id, timeout=timeout)

    # -- looking

    def status(self, instance_id: str) -> InstanceStatus:
        """See `client.Client.status`."""
        return self._call(self._client.status, instance_id)

    def history(self, instance_id: str) -> Events:
        """See `client.Client.history`."""
        return self._call(self._client.history, instance_id)

    def history_page(self, instance_id: str, first: int | None = None, *, count: int = 200) -> HistoryPage:
        """See `client.Client.history_page`."""
        return self._call(self._client.history_page, instance_id, first, count=count)

    def counts(self) -> dict[Status, int]:
        """See `client.Client.counts`."""
        return self._call(self._client.counts)

    def workers(self) -> Workers:
        """See `client.Client.workers`."""
        return self._call(self._client.workers)

    def partitions(self) -> Leases:
        """See `client.Client.partitions`."""
        return self._call(self._client.partitions)

    def awaited_events(self, instance_id: str, *, timeout: float = 1.0) -> list[str] | None:
        """See `client.Client.awaited_events`."""
        return self._call(self._client.awaited_events, instance_id, timeout=timeout)

    def loads(self) -> Loads:
        """See `client.Client.loads`."""
        return self._call(self._client.loads)

    def timers_set(self, status: InstanceStatus, tasks: Sequence[int]) -> frozenset[int]:
        """See `client.Client.timers_set`."""
        return self._call(self._client.timers_set, status, tasks)

    def now(self) -> int:
        """See `client.Client.now`."""
        return self._call(self._client.now)

    def server_info(self) -> ServerInfo:
        """See `client.Client.server_info`."""
        return self._call(self._client.server_info)

    def find(
        self,
        prefix: str,
        *,
        status: Status | Sequence[Status] | None = None,
        limit: int | None = None,
        payloads: bool = True,
    ) -> Iterator[InstanceStatus]:
        """See `client.Client.find`. Fetched a hundred at a time while it is walked through."""
        source = self._client.find(prefix, status=status, limit=limit, payloads=payloads)
        while chunk := self._call(_take, source):
            yield from chunk

    def list(
        self, *, limit: int | None = None, payloads: bool = True, **filters: Unpack[Filters]
    ) -> Iterator[InstanceStatus]:
        """See `client.Client.list`. Fetched a hundred at a time while it is walked through."""
        source = self._client.list(limit=limit, payloads=payloads, **filters)
        while chunk := self._call(_take, source):
            yield from chunk

    # -- entities

    def signal_entity(
        self, entity_id: EntityId, operation: str, input: Any = None, *, at: datetime | Duration | None = None
    ) -> None:
        """See `client.Client.signal_entity`."""
        self._call(self._client.signal_entity, entity_id, operation, input, at=at)

    def signal_entities(self, signals: Iterable[tuple[EntityId, str, Any]]) -> None:
        """See `client.Client.signal_entities`. The signals are taken in the event loop's thread."""
        self._call(self._client.signal_entities, signals)

    @overload
    def read_entity(self, entity_id: EntityId) -> Any: ...
    @overload
    def read_entity(self, entity_id: EntityId, type: type[R]) -> R | None: ...
    @overload
    def read_entity(self, entity_id: EntityId, type: Any) -> Any: ...
    def read_entity(self, entity_id: EntityId, type: Any = None) -> Any:
        """See `client.Client.read_entity`."""
        read: Callable[..., Coroutine[Any, Any, Any]] = self._client.read_entity
        return self._call(read, entity_id, type)

    def entity(self, entity_id: EntityId) -> EntityStatus:
        """See `client.Client.entity`."""
        return self._call(self._client.entity, entity_id)

    def entity_queue(self, entity_id: EntityId, *, limit: int = 100) -> Queue:
        """See `client.Client.entity_queue`."""
        return self._call(self._client.entity_queue, entity_id, limit=limit)

    def entity_problem(self, entity_id: EntityId) -> Any:
        """See `client.Client.entity_problem`."""
        return self._call(self._client.entity_problem, entity_id)

    def list_entities(
        self,
        name: str | None = None,
        *,
        prefix: str | None = None,
        locked: bool | None = None,
        limit: int | None = None,
    ) -> Iterator[EntityStatus]:
        """See `client.Client.list_entities`. Fetched a hundred at a time while it is walked through."""
        source = self._client.list_entities(name, prefix=prefix, locked=locked, limit=limit)
        while chunk := self._call(_take, source):
            yield from chunk

    def clean_entities(self) -> CleanedEntities:
        """See `client.Client.clean_entities`."""
        return self._call(self._client.clean_entities)

    def _call(self, function: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run it in the loop's thread and wait for it here."""
        if self._portal is None:
            raise DurastreamError("this client is not open: use it inside `with SyncClient(...) as client:`")
        future = self._portal.start_task_soon(partial(function, *args, **kwargs))
        try:
            return cast(T, future.result())
        except BaseException:
            future.cancel()  # interrupted here: stop it there
            raise


async def _take(source: AsyncIterator[T]) -> list[T]:
    taken: list[T] = []
    for _ in repeat(None, _CHUNK):
        try:
            taken.append(await anext(source))
        except StopAsyncIteration:
            break
    return taken
