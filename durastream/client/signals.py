"""Signals to entities: how each is made, and sending very many with a bounded number under way."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from durastream.client.session import Session
from durastream.core.durations import Duration, duration_ms, moment_ms
from durastream.core.entity_id import EntityId
from durastream.core.events import Json
from durastream.core.ids import check_name
from durastream.core.limits import TIME_MS_MAX
from durastream.core.messages import EntityOperation
from durastream.errors import InvalidId
from durastream.wire import pack_message

_WINDOW: Final = 8_000  # signals under way
_WINDOW_BYTES: Final = 32 << 20  # and their size: inputs may be large
_BREATH: Final = 200  # signals prepared without a break: about 2 ms
_HOLD: Final = 100  # queued for one partition before it is sent: the first batches would be tiny otherwise


def address(entity_id: EntityId) -> str:
    """The entity as text. Raises InvalidId for what is no EntityId."""
    if not isinstance(entity_id, EntityId):
        raise InvalidId(f"{str(entity_id)[:80]!a} is no EntityId: write EntityId(name, key), or EntityId.parse(text)")
    return str(entity_id)


def signal(entity_id: EntityId, operation: str, data: Json | None, due: int | None = None) -> EntityOperation:
    """The message. Raises InvalidId."""
    return EntityOperation(address(entity_id), check_name(operation, "operation"), data, None, None, due)


async def due_ms(session: Session, at: datetime | Duration) -> int:
    """When a signal is due, in ms: a naive datetime counts as UTC, a duration from the server's now. Raises ValueError."""
    if isinstance(at, datetime):
        due = max(0, moment_ms(at))
    else:
        delay = duration_ms(at, "at")
        due = await session.read("time of the server", session.store.now) + delay
    if due > TIME_MS_MAX:
        raise ValueError(f"at={at} is out of range: the latest moment is the end of the year 9999")
    return due


class SignalMany:
    """One call of `signal_entities`."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._under_way: deque[tuple[asyncio.Future[None], int]] = deque()
        self._bytes = 0

    async def send(self, signals: Iterable[tuple[EntityId, str, Any]]) -> None:
        """All are stored for good when this returns. Raises what the first that cannot be sent raises."""
        try:
            await self._send_all(signals)
        except BaseException:
            self._drop()
            raise

    async def _send_all(self, signals: Iterable[tuple[EntityId, str, Any]]) -> None:
        session, encode, under_way = self._session, self._session.payloads.encode, self._under_way
        lanes, partition = session.messages, session.partition
        for k, (entity_id, operation, value) in enumerate(signals):
            if k % _BREATH == _BREATH - 1 or self._bytes > _WINDOW_BYTES:
                await self._settle_down_to(_WINDOW, _WINDOW_BYTES)
                await asyncio.sleep(0)
            message = signal(entity_id, operation, encode(value, f"signals[{k}]"))
            blob = pack_message(message)
            size = len(blob)
            under_way.append((lanes[partition(message.entity)].put(blob, size, _HOLD), size))
            self._bytes += size
        await self._settle_down_to(0, 0)

    async def _settle_down_to(self, left: int, bytes_left: int) -> None:
        under_way = self._under_way
        if len(under_way) > left or self._bytes > bytes_left:
            for lane in self._session.messages:
                lane.flush()
        while len(under_way) > left or self._bytes > bytes_left:
            answer, size = under_way[0]
            await answer
            under_way.popleft()
            self._bytes -= size

    def _drop(self) -> None:
        for answer, _ in self._under_way:
            if not answer.cancel() and not answer.cancelled():
                answer.exception()  # seen: one failure has been raised for all of them
