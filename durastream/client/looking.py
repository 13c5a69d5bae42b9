"""Looking at instances and at the hub. Nothing here changes anything."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import NamedTuple, Unpack

from durastream.client.base import Base
from durastream.client.session import Session
from durastream.client.views import Filters, InstanceStatus, Selection, instance_status
from durastream.core.events import Event
from durastream.core.ids import check_instance_id
from durastream.core.status import Status
from durastream.errors import PayloadError, StoreError, StoreUnavailable, WireError
from durastream.store.protocol import (
    LeaseInfo,
    Page,
    PartitionLoad,
    Record,
    ServerInfo,
    WorkerInfo,
)
from durastream.wire import unpack_event

log = logging.getLogger("durastream.client")

_PAGE = 100  # records of one page: each carries its payloads
_HISTORY_PAGE = 200
_SCAN = 20_000  # entries of the index gone through by one call
_FOUND_MAX = 20_000  # ids held while the index is gone through

HISTORY_PAGE_MAX = 1_000


class HistoryPage(NamedTuple):
    """A piece of a history: `events[0]` has the number `first`."""

    first: int
    events: list[Event]


class Looking(Base):
    async def status(self, instance_id: str) -> InstanceStatus:
        """The instance as it is now. Raises InstanceNotFound."""
        check_instance_id(instance_id)
        session = self._session
        return instance_status(await session.record(instance_id), session.payloads, session.partition(instance_id))

    async def history(self, instance_id: str) -> list[Event]:
        """The history of the present execution; the number of an event is its place.

        Event classes are in `durastream.core.events`; their payload fields are JSON text. Raises
        InstanceNotFound, WireError.
        """
        check_instance_id(instance_id)
        session, blobs = self._session, list[bytes]()
        while page := await _events(session, instance_id, len(blobs)):
            blobs += page
        if not blobs:
            await session.record(instance_id)
        return [unpack_event(blob) for blob in blobs]

    async def history_page(self, instance_id: str, first: int | None = None, *, count: int = 200) -> HistoryPage:
        """At most `count` events (1 to 1,000) from number `first` on; the last `count` ones without `first`.

        Costs the same however long the history is. Raises InstanceNotFound, WireError.

            page = await client.history_page("order-7")
            before = await client.history_page("order-7", max(page.first - 200, 0), count=min(page.first, 200))
        """
        check_instance_id(instance_id)
        if not 1 <= count <= HISTORY_PAGE_MAX:
            raise ValueError(f"count must be 1 to {HISTORY_PAGE_MAX:,}, not {count}")
        if first is not None and first < 0:
            raise ValueError(f"first must not be negative: {first}; without it the last events are read")
        session = self._session
        begin = max((await session.record(instance_id)).events - count, 0) if first is None else first
        blobs = await _events(session, instance_id, begin, count)
        if not blobs:
            await session.record(instance_id)
        return HistoryPage(begin, [unpack_event(blob) for blob in blobs])

    async def counts(self) -> dict[Status, int]:
        """Number of instances in each runtime status."""
        return await self._session.read("counts", self._session.store.counts)

    async def workers(self) -> list[WorkerInfo]:
        """Workers that were seen lately."""
        return await self._session.read("workers", self._session.store.workers)

    async def partitions(self) -> list[LeaseInfo]:
        """Each partition: who owns it, and what waits in it."""
        return await self._session.read("partitions", self._session.store.leases)

    async def loads(self) -> list[PartitionLoad]:
        """What waits in each partition and its activity queues, and since when."""
        return await self._session.read("loads", self._session.store.loads)

    async def timers_set(self, status: InstanceStatus, tasks: Sequence[int]) -> frozenset[int]:
        """Which timers of an execution, by the numbers of their events, are still to fire and were not cancelled."""
        store = self._session.store
        found = await self._session.read(
            f"timers of {status.id!r}", lambda: store.timers_set(status.id, status.execution_id, tasks)
        )
        return frozenset(task for task, still_set in zip(tasks, found, strict=True) if still_set)

    async def now(self) -> int:
        """The server's time in ms since the epoch."""
        return await self._session.read("time", self._session.store.now)

    async def server_info(self) -> ServerInfo:
        """Version, persistence, memory and clock of the server; None for what it does not tell."""
        return await self._session.read("server info", self._session.store.server_info)

    async def find(
        self,
        prefix: str,
        *,
        status: Status | Sequence[Status] | None = None,
        limit: int | None = None,
        payloads: bool = True,
    ) -> AsyncIterator[InstanceStatus]:
        """Instances whose id begins with `prefix`, newest first; at most `limit`. `payloads`: as for `list`.

        Goes through the index in small steps and reads what it has found: of a million ids a few are found in a fraction of
        a second, where `list(prefix=…)` would read a million records. One that changes its status meanwhile may be missed.

            async for status in client.find("order-2031-05-", limit=100): ...
        """
        session, selection, left = self._session, Selection({"status": status}), limit
        if left is not None and left <= 0:
            return
        entries = await _begin_with(session, prefix, selection.statuses)
        if entries is None:  # so many that reading page by page soon finds enough
            found = self.list(limit=limit, payloads=payloads, status=status, prefix=prefix)
        else:
            found = _statuses(session, selection, entries, payloads)
        async for one in found:
            yield one
            left = left and left - 1
            if left == 0:
                return

    async def list(
        self, *, limit: int | None = None, payloads: bool = True, **filters: Unpack[Filters]
    ) -> AsyncIterator[InstanceStatus]:
        """Instances, newest first, page by page as they are asked for; at most `limit`. Filters: see `Filters`.

        payloads: without them `input` and `output` are None, and are not fetched either: each may be a MiB. An instance
        whose record was spoilt by hand is left out, with a word in the log.

            async for status in client.list(status="Failed", name="place_order", limit=100): ...
        """
        session, selection, left = self._session, Selection(filters), limit
        cursor: str | None = None
        while left is None or left > 0:
            page = await _page(session, selection, cursor, None if selection.tests_each else left, payloads=payloads)
            for record in page.records:
                status = _shown(session, selection, record)
                if status is not None and (left is None or left > 0):
                    yield status
                    left = left and left - 1
            cursor = page.cursor
            if cursor is None:
                return


async def _events(session: Session, instance_id: str, first: int, count: int = _HISTORY_PAGE) -> list[bytes]:
    return await session.read(f"history of {instance_id!r}", lambda: session.store.history(instance_id, first, count))


async def _begin_with(session: Session, prefix: str, statuses: Sequence[Status]) -> list[str] | None:
    """Ids, newest first; None for more than can be held."""
    found: dict[str, int] = {}
    cursor: str | None = None
    while len(found) <= _FOUND_MAX:
        scan = partial(session.store.scan_ids, prefix, statuses=statuses, cursor=cursor, budget=_SCAN)
        page = await session.read("find", scan)
        found.update((entry.instance_id, entry.created_at) for entry in page.entries)
        cursor = page.cursor
        if cursor is None:
            return sorted(found, key=lambda one: (found[one], one.encode()), reverse=True)
    return None


async def _statuses(
    session: Session, selection: Selection, ids: Sequence[str], payloads: bool
) -> AsyncIterator[InstanceStatus]:
    for first in range(0, len(ids), _PAGE):
        for record in await _records(session, ids[first : first + _PAGE], payloads):
            status = None if record is None else _shown(session, selection, record)
            if status is not None and status.runtime_status in selection.statuses:
                yield status


async def _records(session: Session, ids: Sequence[str], payloads: bool) -> list[Record | None]:
    """One that was spoilt by hand must not hide the others: it is left out."""
    try:
        return await session.read("find", partial(session.store.records, ids, payloads=payloads))
    except StoreUnavailable:
        raise
    except StoreError as error:
        if len(ids) == 1:
            log.error("instance %a cannot be read and is not shown: %s", ids[0], error)
            return [None]
    return [record for one in ids for record in await _records(session, [one], payloads)]


def _shown(session: Session, selection: Selection, record: Record) -> InstanceStatus | None:
    """None for one that is not asked for, or whose payloads are not what a worker writes."""
    try:
        if selection.shows(record, session.payloads):
            return instance_status(record, session.payloads, session.partition(record.instance_id))
    except (PayloadError, WireError) as error:
        log.error("instance %a cannot be read and is not shown: %s", record.instance_id, error)
    return None


async def _page(
    session: Session, selection: Selection, cursor: str | None, left: int | None, *, payloads: bool
) -> Page:
    size = _PAGE if left is None else min(left, _PAGE)
    return await session.read(
        "list",
        lambda: session.store.page(
            selection.statuses,
            cursor=cursor,
            limit=size,
            created_after=selection.after_ms,
            created_before=selection.before_ms,
            payloads=payloads,
        ),
    )
