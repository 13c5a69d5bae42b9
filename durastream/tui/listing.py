"""The instances that the list has loaded so far: pages on demand, kept up to date in small steps, however many there are."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from durastream.inspect.filter import Filter, parse
from durastream.tui.source import Newest, Row, Source

PAGE: Final = 100
HEAD: Final = 100
"""The newest so many are asked for in each refresh."""

ROWS_MAX: Final = 20_000
"""Rows that are kept. Whoever looks for an older one is quicker with a filter."""

_SEARCH_S: Final = 0.4  # of each second, where a filter fits few


class Order(NamedTuple):
    name: str
    key: Callable[[Row], Any]
    newest_first: bool = False


ORDERS: Final = (
    Order("newest", lambda row: row.created_at, newest_first=True),
    Order("last changed", lambda row: row.updated_at, newest_first=True),
    Order("id", lambda row: row.id),
    Order("name", lambda row: (row.name, row.id)),
    Order("status", lambda row: (row.status, row.id)),
)


class Listing:
    """Rows of one filter. One call at a time is under way; a second one waits for the first."""

    def __init__(self, source: Source, wanted: Filter) -> None:
        self.wanted = wanted
        self.order = ORDERS[0]
        self.done = False  # all that fit are here
        self.behind = False  # newer ones came in faster than they could be taken in
        self.searched = 0  # instances gone through that do not fit
        self._source = source
        self._rows: dict[str, Row] = {}
        self._walk: AsyncGenerator[Row | None, None] | None = None
        self._seen: datetime | None = None  # all created until then are known, as far as pages reach
        self._busy = asyncio.Lock()

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, instance_id: str) -> Row | None:
        return self._rows.get(instance_id)

    def rows(self) -> list[Row]:
        """In the chosen order."""
        return sorted(self._rows.values(), key=self.order.key, reverse=self.order.newest_first)

    @property
    def full(self) -> bool:
        return len(self._rows) >= ROWS_MAX

    # -- further down

    async def more(self, count: int = PAGE) -> None:
        """Load up to `count` further rows; fewer after a while of finding nothing."""
        async with self._busy:
            await self._more(count)

    async def _more(self, count: int) -> None:
        if self.done or self.full:
            return
        walk = self._walk = self._walk or self._source.walk(self._rest())
        ends, target = time.monotonic() + _SEARCH_S, len(self._rows) + count
        try:
            async for row in walk:
                if row is None:
                    self.searched += PAGE
                else:
                    self._rows[row.id] = row
                if len(self._rows) >= target or time.monotonic() >= ends:
                    return
            self.done = True
        except BaseException:
            self._walk = None  # it has ended with its error; the next one goes on from the oldest row
            raise

    def _rest(self) -> Filter:
        """What was not walked through yet. Ids by prefix come in no order: they are gone through again."""
        wanted = self.wanted
        if not self._rows or wanted.prefix or wanted.ids is not None:
            return wanted
        oldest = min(row.created_at for row in self._rows.values())
        return parse(f"{wanted} before:{oldest.isoformat()}", wanted.now)

    # -- what has changed

    async def refresh(self, on_screen: Sequence[str], now: datetime, *, at_top: bool) -> None:
        """Take in new instances, and what became of the newest and of those on the screen.

        at_top: the user looks at the newest, so what is further down may be loaded anew.
        """
        async with self._busy:
            self.wanted = wanted = self.wanted.at(now)
            newest = await self._source.newest(wanted, HEAD)
            self._take(newest, at_top=at_top)
            fresh = {row.id for row in newest.rows}
            rest = [one for one in on_screen if one not in fresh and one in self._rows]
            if rest:
                self._update(await self._source.rows(rest, wanted))

    def _take(self, newest: Newest, *, at_top: bool) -> None:
        """All created after `since` are in it: what is not has gone, or does not fit any more."""
        since = newest.since
        self.behind |= bool(since and self._seen and since > self._seen)
        if self.behind and at_top:
            self._rows, self._walk, self.done, self.behind = {}, None, False, False
        keep = {row.id for row in newest.rows}
        for row in [row for row in self._rows.values() if since is None or row.created_at > since]:
            if row.id not in keep:
                del self._rows[row.id]
        self._rows |= {row.id: row for row in newest.rows}
        self._seen = newest.until or self._seen

    def _update(self, found: dict[str, Row | None]) -> None:
        for one, row in found.items():
            if row is None:
                self._rows.pop(one, None)
            else:
                self._rows[one] = row

    async def close(self) -> None:
        """Give up what is under way."""
        walk, self._walk = self._walk, None
        if walk is not None and not self._busy.locked():
            await walk.aclose()
