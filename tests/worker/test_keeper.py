"""Heartbeats and renewals, whatever the main loop does."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from durastream.errors import HubMismatch, StoreUnavailable
from durastream.store.protocol import Lease, WorkerInfo
from durastream.worker import keeper
from durastream.worker.clock import ServerClock
from durastream.worker.keeper import Keeper, Shared
from tests.support import eventually

pytestmark = pytest.mark.anyio
LEASES = (Lease(0, 1, "a"), Lease(1, 1, "b"))


class Store:
    def __init__(self) -> None:
        self.beats = 0
        self.closed = False
        self.live = ["me"]
        self.held = set(LEASES)
        self.away = 0
        self.commits = 7
        self.error: Exception | None = None

    async def heartbeat(self, worker_id: str, about: Mapping[str, object], ttl_ms: int) -> tuple[int, list[WorkerInfo]]:
        self.beats += 1
        if self.error is not None:
            raise self.error
        if self.away:
            self.away -= 1
            raise StoreUnavailable("away")
        return 10**13, [WorkerInfo(name, 0, about) for name in self.live]

    async def renew(
        self, leases: Sequence[Lease], worker_id: str, ttl_ms: int, applied: Mapping[Lease, int]
    ) -> list[Lease]:
        return [lease for lease in leases if lease in self.held and applied.get(lease, 0) <= self.commits]

    async def close(self) -> None:
        self.closed = True


class Rig:
    def __init__(self) -> None:
        self.store: Any = Store()
        self.shared = Shared(leases=LEASES)
        self.changes = 0
        self.lost: list[Lease] = []
        self.clock = ServerClock()
        self.failed: list[Exception] = []
        self.keeper = Keeper(
            self.shared, clock=self.clock, worker_id="me", ttl_ms=40, changed=self._changed, lost=self.lost.extend,
            failed=self.failed.append,
        )  # fmt: skip

    def _changed(self) -> None:
        self.changes += 1

    async def open(self) -> Any:
        return self.store


async def test_a_beat_tells_who_lives_and_what_time_it_is() -> None:
    rig = Rig()
    await rig.keeper.beat(rig.store)
    assert [one.worker_id for one in rig.shared.live] == ["me"]
    assert (rig.changes, rig.lost) == (1, [])
    assert abs(rig.clock.now() - 10**13) < 1_000
    await rig.keeper.beat(rig.store)
    assert rig.changes == 1
    rig.store.live.append("other")
    await rig.keeper.beat(rig.store)
    assert rig.changes == 2


async def test_what_somebody_waits_for_is_a_change() -> None:
    rig = Rig()
    await rig.keeper.beat(rig.store)
    rig.shared.about = {"parked": {"1": ["x"]}}
    await rig.keeper.beat(rig.store)
    assert rig.changes == 2


async def test_a_lease_that_was_not_renewed_is_told_of() -> None:
    rig = Rig()
    rig.store.held = {LEASES[0]}
    await rig.keeper.beat(rig.store)
    assert rig.lost == [LEASES[1]]


async def test_a_store_that_has_forgotten_commits_costs_the_lease() -> None:
    rig = Rig()
    rig.shared.applied = {LEASES[0]: 7, LEASES[1]: 8}
    await rig.keeper.beat(rig.store)
    assert rig.lost == [LEASES[1]]


async def test_it_beats_from_a_thread_while_the_main_loop_stands_still(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig()
    rig.shared.progress_at = time.monotonic() - keeper.BLOCKED_WARN_S - 1
    rig.shared.about = {"running": ["slow_thing"]}
    with caplog.at_level(logging.WARNING):
        thread = rig.keeper.start_thread(rig.open)
        time.sleep(0.1)  # time must pass: the loop of this test is the one that user code blocks
        assert rig.store.beats >= 3
        await rig.keeper.stop()
    thread.join(5)
    (record,) = caplog.records  # warned once
    assert "slow_thing" in record.getMessage()
    assert rig.store.closed


async def test_it_gives_up_a_main_loop_that_never_turns_again() -> None:
    rig = Rig()
    rig.shared.progress_at = time.monotonic() - keeper.BLOCKED_GIVE_UP_S - 1
    thread = rig.keeper.start_thread(rig.open)
    await rig.keeper.stop()
    thread.join(5)
    assert rig.store.beats == 0


async def test_no_beat_comes_after_stop_and_a_shared_store_stays_open() -> None:
    rig = Rig()
    running = asyncio.create_task(rig.keeper.run(rig.open, close=False))
    await eventually(lambda: rig.store.beats > 1)
    await rig.keeper.stop()
    await asyncio.wait_for(running, 5)
    beats = rig.store.beats
    assert not rig.store.closed
    assert not [one for one in threading.enumerate() if one.name == "durastream-keeper"]
    assert rig.store.beats == beats


async def test_it_goes_on_through_an_outage() -> None:
    rig = Rig()
    rig.store.away = 3
    running = asyncio.create_task(rig.keeper.run(rig.open, close=False))
    await eventually(lambda: rig.store.beats > 5)
    await rig.keeper.stop()
    await running
    assert rig.lost == []


async def test_that_the_hub_is_another_one_by_now_ends_the_worker() -> None:
    rig = Rig()
    rig.store.error = HubMismatch("other partitions")
    running = asyncio.create_task(rig.keeper.run(rig.open, close=False))
    await eventually(lambda: rig.failed)
    await rig.keeper.stop()
    await running
    assert rig.failed[0] is rig.store.error
