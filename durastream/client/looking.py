"""Looking at instances and at the hub. Nothing here changes anything."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Unpack

from durastream.client.base import Base
from durastream.client.session import Session
from durastream.client.views import Filters, InstanceStatus, Selection, instance_status
from durastream.core.events import Event
from durastream.core.ids import check_instance_id
from durastream.core.status import Status
from durastream.store.protocol import LeaseInfo, Page, WorkerInfo
from durastream.wire import unpack_event

_PAGE = 100  # records of one page: each carries its payloads
_HISTORY_PAGE = 200


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

    async def counts(self) -> dict[Status, int]:
        """Number of instances in each runtime status."""
        return await self._session.read("counts", self._session.store.counts)

    async def workers(self) -> list[WorkerInfo]:
        """Workers that were seen lately."""
        return await self._session.read("workers", self._session.store.workers)

    async def partitions(self) -> list[LeaseInfo]:
        """Each partition: who owns it, and what waits in it."""
        return await self._session.read("partitions", self._session.store.leases)

    async def list(self, *, limit: int | None = None, **filters: Unpack[Filters]) -> AsyncIterator[InstanceStatus]:
        """Instances, newest first, page by page as they are asked for; at most `limit`. Filters: see `Filters`.

        async for status in client.list(status="Failed", name="place_order", limit=100): ...
        """
        session, selection, left = self._session, Selection(filters), limit
        cursor: str | None = None
        while left is None or left > 0:
            page = await _page(session, selection, cursor, left)
            for record in page.records:
                if (left is None or left > 0) and selection.shows(record, session.payloads):
                    yield instance_status(record, session.payloads, session.partition(record.instance_id))
                    left = left and left - 1
            cursor = page.cursor
            if cursor is None:
                return


async def _events(session: Session, instance_id: str, first: int) -> list[bytes]:
    return await session.read(
        f"history of {instance_id!r}", lambda: session.store.history(instance_id, first, _HISTORY_PAGE)
    )


async def _page(session: Session, selection: Selection, cursor: str | None, left: int | None) -> Page:
    size = _PAGE if left is None or selection.tests_each else min(left, _PAGE)
    return await session.read(
        "list",
        lambda: session.store.page(
            selection.statuses,
            cursor=cursor,
            limit=size,
            created_after=selection.after_ms,
            created_before=selection.before_ms,
        ),
    )
