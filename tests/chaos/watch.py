"""Somebody who looks on while a run goes on, past the faults: histories only grow, what has ended stays as it is."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Sequence
from typing import NamedTuple

import durastream as ds
from durastream.core.events import Event
from tests.chaos.log import Window

_EVERY_S = 0.5
_LEAVES_S = 3.0  # within which clients have left a primary that was replaced
_NEW = 20  # the newest so many are looked at, and as many that were looked at before


class Sight(NamedTuple):
    """An instance as it was at some moment between two times (monotonic)."""

    begin: float
    end: float
    status: ds.InstanceStatus
    history: Sequence[Event]


class Watch:
    """Keeps the first sight of each end, and the last of each execution under way."""

    def __init__(self, client: ds.Client, rng: random.Random, windows: Sequence[Window]) -> None:
        self._client = client
        self._rng = rng
        self.ended: dict[str, Sight] = {}
        self.under_way: dict[str, Sight] = {}
        self._windows = windows
        self._found: list[tuple[Sight, str]] = []  # what has changed since that sight

    async def run(self) -> None:
        """Until cancelled. A server that is down is not looked at."""
        while True:
            with contextlib.suppress(ds.StoreUnavailable):  # it is down: that is what the run is about
                newest = [one.id async for one in self._client.list(limit=_NEW, payloads=False)]
                known = sorted(self.under_way)
                for one in {*newest, *self._rng.sample(known, min(len(known), _NEW))}:
                    await self._look(one)
            await asyncio.sleep(_EVERY_S)  # time must pass: a look now and then

    async def _look(self, instance_id: str) -> None:
        """One whose status is the same before and after its history was read was seen whole."""
        begin = time.monotonic()
        try:
            before = await self._client.status(instance_id)
            history = await self._client.history(instance_id)
            after = await self._client.status(instance_id)
        except ds.InstanceNotFound:
            self.under_way.pop(instance_id, None)  # purged, or lost: the workloads' books tell
            return
        if before != after:
            return
        sight = Sight(begin, time.monotonic(), after, history)
        if (known := self.under_way.pop(instance_id, None)) is not None:
            self._compare(known, sight)
        if after.ended:
            self.ended.setdefault(instance_id, sight)
        else:
            self.under_way[instance_id] = sight

    def _compare(self, before: Sight, now: Sight) -> None:
        """What must not have changed."""
        if before.status.execution_id != now.status.execution_id:
            return
        found, name = list[str](), before.status.id
        if list(now.history[: len(before.history)]) != list(before.history):
            found.append(f"S1 the history of {name} was changed, not only appended to")
        if before.status.ended and (before.status != now.status or len(before.history) != len(now.history)):
            found.append(f"S8 {name} had ended, and was changed: {before.status} is now {now.status}")
        if now.status.updated_at < before.status.updated_at:
            found.append(f"S25 {name} went back in time")
        seen = time.strftime("%H:%M:%S", time.localtime(time.time() - time.monotonic() + before.end))
        self._found += [
            (before, f"{text} (since it was seen at {seen} with {len(before.history)} events)") for text in found
        ]

    async def check(self, statuses: dict[str, ds.InstanceStatus]) -> list[str]:
        """At the end: has anything moved that had ended? What was seen in a window of loss does not count."""
        for instance_id, sight in self.ended.items():
            if instance_id in statuses:
                history = await self._client.history(instance_id)
                self._compare(sight, Sight(0, 0, statuses[instance_id], history))
        return [text for sight, text in self._found if not self._void(sight)]

    def _void(self, sight: Sight) -> bool:
        """Also what was seen a little later: a look may still have gone to the old primary."""
        return any(one.begin <= sight.end and sight.begin <= one.end + _LEAVES_S for one in self._windows)
