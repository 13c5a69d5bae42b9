"""Starting very many: a bounded number under way, so that memory and the server's queue stay small."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, Final

from durastream.client.ending import Ending
from durastream.client.options import Template
from durastream.client.session import Session
from durastream.client.starts import Sent, is_created, meet_existing, send
from durastream.errors import InstanceExists

_WINDOW: Final = 8_000  # starts under way
_BREATH: Final = 200  # starts prepared without a break: about 2 ms
_HOLD: Final = 100  # queued for one partition before it is sent: the first batches would be tiny otherwise


def paired(inputs: Iterable[Any], instance_ids: Sequence[str] | None) -> Iterable[tuple[str | None, Any]]:
    """(instance id, input) of each instance. Raises ValueError when there are more of one than of the other."""
    if instance_ids is None:
        return ((None, value) for value in inputs)
    values = list(inputs)
    if len(values) != len(instance_ids):
        raise ValueError(f"{len(values)} inputs but {len(instance_ids)} instance ids")
    return zip(instance_ids, values, strict=True)


class Bulk:
    """One call of `start_many`."""

    def __init__(self, session: Session, made: Template) -> None:
        self._session = session
        self._made = made
        self._under_way: deque[Sent] = deque()
        self._endings: list[Ending] = []
        self._taken: list[Sent] = []

    async def start(self, pairs: Iterable[tuple[str | None, Any]]) -> list[Ending]:
        """The endings in the order of the pairs. Raises InstanceExists after all others were started."""
        try:
            await self._send_all(pairs)
            await self._meet_existing()
        except BaseException:
            self._drop((*self._under_way, *self._taken))
            raise
        return self._endings

    def _drop(self, sents: Iterable[Sent]) -> None:
        for sent in sents:
            if not sent.answer.cancel() and not sent.answer.cancelled():
                sent.answer.exception()  # seen: one failure has been raised for all of them
            self._session.waits.nothing_stale(sent.ending)

    async def _send_all(self, pairs: Iterable[tuple[str | None, Any]]) -> None:
        session, made, encode = self._session, self._made, self._session.payloads.encode
        for k, (instance_id, value) in enumerate(pairs):
            if k % _BREATH == _BREATH - 1:
                await self._settle_down_to(_WINDOW)
                await asyncio.sleep(0)
            sent = send(session, made, instance_id, encode(value, f"inputs[{k}]"), _HOLD)
            self._under_way.append(sent)
            self._endings.append(sent.ending)
        await self._settle_down_to(0)

    async def _settle_down_to(self, left: int) -> None:
        if len(self._under_way) > left:
            for lane in self._session.starts:
                lane.flush()
        while len(self._under_way) > left:
            sent = self._under_way[0]
            if not await is_created(sent):
                self._taken.append(sent)
            self._under_way.popleft()

    async def _meet_existing(self) -> None:
        taken, total = self._taken, len(self._endings)
        if taken and self._made.if_exists == "error":
            names = ", ".join(repr(sent.who.instance_id) for sent in taken[:3]) + (", …" if len(taken) > 3 else "")
            raise InstanceExists(
                f"{len(taken)} of {total} instances exist already ({names}); the others were started. "
                f'Choose other ids, or say if_exists="ignore" or "replace"'
            )
        for first in range(0, len(taken), _BREATH):
            part = taken[first : first + _BREATH]
            await asyncio.gather(*(meet_existing(self._session, self._made, sent) for sent in part))
