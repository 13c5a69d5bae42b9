"""The alarm for the earliest due timer of all partitions."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from durastream.errors import Fenced, Refused, StoreUnavailable
from durastream.worker import backoff, timers
from durastream.worker.clock import ServerClock
from durastream.worker.timers import Timers
from tests.support import eventually

pytestmark = pytest.mark.anyio


class Partition:
    def __init__(self, number: int) -> None:
        self.lease = self.number = number
        self.next_due: int | None = 0
        self.careful = False
        self.firing = 0
        self.fired: list[str] = []

    def fire(self, members: list[str]) -> None:
        self.fired += members


class Store:
    def __init__(self, clock: ServerClock) -> None:
        self._clock = clock
        self.timers: dict[int, list[tuple[int, str]]] = {}
        self.asked = 0
        self.errors: list[Exception] = []

    async def due(self, lease: int, limit: int) -> tuple[list[str], int | None]:
        self.asked += 1
        if self.errors:
            raise self.errors.pop(0)
        now = self._clock.now()
        timers = sorted(self.timers.get(lease, []))
        due = [one for one in timers if one[0] <= now][:limit]
        self.timers[lease] = [one for one in timers if one not in due]
        following = [at for at, _ in timers if at > now]
        return [member for _, member in due], min(following, default=None)


class Rig:
    def __init__(self, *numbers: int) -> None:
        self.clock = ServerClock()
        self.store: Any = Store(self.clock)
        self.owned: Any = {number: Partition(number) for number in numbers}
        self.timers = Timers(cast(Any, self.store), self.owned, self.clock)
        self.task: asyncio.Task[None] | None = None

    def run(self) -> None:
        self.task = asyncio.create_task(self.timers.run())

    async def stop(self) -> None:
        self.timers.stop()
        assert self.task is not None
        await asyncio.wait_for(self.task, 5)


async def test_each_fires_when_it_is_due_and_few_questions_are_asked() -> None:
    rig = Rig(0, 1)
    now = rig.clock.now()
    rig.store.timers = {0: [(now + 30, "b"), (now - 5, "a")], 1: [(now + 60, "c")]}
    rig.run()
    await eventually(lambda: rig.owned[0].fired == ["a"])
    await eventually(lambda: rig.owned[0].fired == ["a", "b"] and rig.owned[1].fired == ["c"])
    assert rig.clock.now() >= now + 60
    assert rig.store.asked < 15
    await rig.stop()


async def test_an_earlier_timer_that_comes_meanwhile_is_seen() -> None:
    rig = Rig(0)
    rig.store.timers = {0: [(rig.clock.now() + 60_000, "later")]}
    rig.run()
    await eventually(lambda: rig.store.asked == 1)
    soon = rig.clock.now() + 10
    rig.store.timers[0].append((soon, "sooner"))
    rig.owned[0].next_due = soon
    rig.timers.changed()
    await eventually(lambda: rig.owned[0].fired == ["sooner"])
    await rig.stop()


async def test_more_than_one_read_brings_are_fetched_without_delay() -> None:
    rig = Rig(0)
    rig.store.timers = {0: [(1, str(n)) for n in range(1_700)]}
    rig.run()
    await eventually(lambda: len(rig.owned[0].fired) == 1_700)
    await rig.stop()


async def test_room_is_made_for_those_that_cannot_leave_the_set() -> None:
    rig = Rig(0)
    rig.owned[0].firing = 5_000
    limits: list[int] = []
    original = rig.store.due

    async def due(lease: int, limit: int) -> Any:
        limits.append(limit)
        return await original(lease, limit)

    rig.store.due = due
    rig.run()
    await eventually(lambda: limits)
    assert limits[0] > 5_000
    await rig.stop()


async def test_an_outage_and_a_lost_lease_end_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "_FIRST_S", 0.0001)
    rig = Rig(0, 1)
    rig.store.errors = [StoreUnavailable("away"), StoreUnavailable("away"), Fenced("another's")]
    rig.store.timers = {0: [(1, "a")], 1: [(1, "b")]}
    rig.run()
    await eventually(lambda: rig.owned[1].fired == ["b"])
    assert rig.owned[0].fired == []  # its owner looks after it
    await rig.stop()


async def test_a_partition_in_recovery_is_not_asked_and_costs_nothing() -> None:
    rig = Rig(0)
    rig.owned[0].careful = True
    rig.run()
    for _ in range(20):
        await asyncio.sleep(0)
    assert rig.store.asked == 0
    rig.owned[0].careful = False
    rig.timers.changed()
    await eventually(lambda: rig.store.asked == 1)
    await rig.stop()


async def test_timers_that_cannot_be_read_stop_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timers, "_SPOILT_MS", 20)
    rig = Rig(1, 2)
    rig.store.timers = {1: [(0, "one")], 2: [(0, "two")]}
    rig.store.errors = [Refused("its key is a string")]
    rig.run()
    await eventually(lambda: rig.owned[2].fired == ["two"])
    await eventually(lambda: rig.owned[1].fired == ["one"])
    await rig.stop()
