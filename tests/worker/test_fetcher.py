"""One blocked read for all owned partitions."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from durastream.errors import StoreUnavailable
from durastream.store.protocol import InboxEntry
from durastream.worker import backoff
from durastream.worker.fetcher import Fetcher
from tests.support import eventually

pytestmark = pytest.mark.anyio


class Partition:
    def __init__(self) -> None:
        self.cursor = "0"
        self.ready = True
        self.got: list[str] = []

    def feed(self, entries: list[InboxEntry]) -> None:
        self.got += [entry.entry_id for entry in entries]
        self.cursor = entries[-1].entry_id


class Store:
    def __init__(self) -> None:
        self.inboxes: dict[int, list[str]] = {}
        self.asked: list[dict[int, str]] = []
        self.away = 0
        self.wake = asyncio.Event()
        self.before_reply: Any = None

    async def read_inboxes(self, cursors: dict[int, str], count: int, block_ms: int) -> list[Any]:
        self.asked.append(dict(cursors))
        if self.away:
            self.away -= 1
            raise StoreUnavailable("away")
        self.wake.clear()
        for _ in range(2):
            found = [
                (number, [InboxEntry(one, b"", 0) for one in self.inboxes.get(number, []) if one > cursor])
                for number, cursor in cursors.items()
            ]
            if any(entries for _, entries in found):
                break
            try:
                async with asyncio.timeout(block_ms / 1_000):
                    await self.wake.wait()
            except TimeoutError:
                break
        if self.before_reply:
            self.before_reply()
        return [(number, entries) for number, entries in found if entries]

    def interrupt(self) -> None:
        self.wake.set()


class Rig:
    def __init__(self, *numbers: int) -> None:
        self.store: Any = Store()
        self.owned: Any = {number: Partition() for number in numbers}
        self.fetcher = Fetcher(cast(Any, self.store), self.owned)
        self.task = asyncio.create_task(self.fetcher.run())

    async def stop(self) -> None:
        self.fetcher.stop()
        await asyncio.wait_for(self.task, 5)


async def test_each_partition_gets_its_own_and_goes_on_behind_it() -> None:
    rig = Rig(0, 1)
    rig.store.inboxes = {0: ["1", "2"], 1: ["3"]}
    rig.store.interrupt()
    await eventually(lambda: rig.owned[0].got == ["1", "2"] and rig.owned[1].got == ["3"])
    rig.store.inboxes[1].append("4")
    rig.store.interrupt()
    await eventually(lambda: rig.owned[1].got == ["3", "4"])
    assert rig.owned[0].got == ["1", "2"]
    await rig.stop()


async def test_a_partition_that_is_taken_over_is_read_at_once() -> None:
    rig = Rig()
    await asyncio.sleep(0)
    rig.store.inboxes = {7: ["1"]}
    rig.owned[7] = Partition()
    rig.fetcher.changed()
    await eventually(lambda: rig.owned[7].got == ["1"], deadline_s=1)
    await rig.stop()


async def test_a_crowded_partition_is_left_alone() -> None:
    rig = Rig(0, 1)
    rig.owned[0].ready = False
    rig.store.inboxes = {0: ["1"], 1: ["2"]}
    rig.store.interrupt()
    await eventually(lambda: rig.owned[1].got == ["2"])
    assert rig.owned[0].got == []
    rig.owned[0].ready = True
    await eventually(lambda: rig.owned[0].got == ["1"])
    await rig.stop()


async def test_what_was_read_before_a_reset_is_thrown_away() -> None:
    rig = Rig(0)
    rig.store.inboxes = {0: ["1"]}

    def reset() -> None:
        rig.owned[0].cursor = "9"
        rig.store.before_reply = None

    rig.store.before_reply = reset
    rig.store.interrupt()
    await eventually(lambda: rig.owned[0].cursor == "9" and len(rig.store.asked) > 1)
    assert rig.owned[0].got == []
    await rig.stop()


async def test_it_goes_on_after_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "_FIRST_S", 0.0001)
    rig = Rig(0)
    rig.store.away = 3
    rig.store.inboxes = {0: ["1"]}
    rig.store.interrupt()
    await eventually(lambda: rig.owned[0].got == ["1"])
    await rig.stop()
