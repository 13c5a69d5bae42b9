"""The activity side of a worker, alone: what it claims, hands on, gives up, and never runs twice."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import durastream as ds
from durastream import wire
from durastream.core.messages import ActivityItem, TaskResult
from durastream.errors import StoreUnavailable
from durastream.payload import Payloads
from durastream.store.memory import MemoryServer, MemoryStore
from durastream.store.protocol import Commit, Lease
from durastream.worker import activities, backoff
from durastream.worker.activities import Activities
from durastream.worker.runner import Runner
from tests.support import eventually
from tests.worker.rigs import HOUR_MS, memory_server, until

pytestmark = pytest.mark.anyio


class Flaky:
    """A memory store whose next claims lose their reply."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.lose = 0
        self.late: asyncio.Event | None = None  # replies to claims come when it is set
        self.most_claimed = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def claim_activities(self, worker_id: str, queues: Any, free: int, block_ms: int) -> Any:
        claimed = await self._store.claim_activities(worker_id, queues, free, block_ms)
        if self.lose and claimed:
            self.lose -= 1
            raise StoreUnavailable("the reply was lost")
        self.most_claimed = max(self.most_claimed, len(claimed))
        if self.late is not None:
            await self.late.wait()
        return claimed


class Rig:
    def __init__(
        self, app: ds.App, server: MemoryServer, *, name: str = "me", slots: int = 4, lease_ms: int = 80
    ) -> None:
        self.store = Flaky(server.store(partitions=1))
        store: Any = self.store
        self.activities = Activities(
            store, app, worker_id=name, queues=["default"], slots=slots,
            runner=Runner(Payloads(), 2), deaths_max=3, lease_ms=lease_ms,
        )  # fmt: skip
        self.task: asyncio.Task[None] | None = None

    async def own(self) -> Lease:
        lease = await self.store.acquire(0, "owner", "n", HOUR_MS)
        assert lease is not None
        return lease  # type: ignore[no-any-return]

    async def schedule(self, *names: str, queue: str = "default") -> None:
        lease = await self.own()
        items = [ActivityItem("i", "tok.0", n, name, str(n).encode(), None, 1) for n, name in enumerate(names)]
        await self.store.commit(lease, 1, Commit(activities=[(queue, wire.pack_activity(item)) for item in items]))
        await self.store.release(lease)

    def run(self) -> None:
        self.task = asyncio.create_task(self.activities.run())

    async def stop(self, grace_s: float = 1) -> None:
        self.activities.stop()
        await self.activities.drain(grace_s)
        assert self.task is not None
        await self.task

    async def outcomes(self) -> list[TaskResult]:
        found = await self.store.read_inboxes({0: "0"}, 1_000, 0)
        return [wire.unpack_message(entry.blob) for _, entries in found for entry in entries]  # type: ignore[misc]

    async def until_outcomes(self, count: int) -> list[TaskResult]:
        async def look() -> bool:
            return len(await self.outcomes()) == count

        await until(look)
        return await self.outcomes()

    async def waiting(self) -> int:
        (lease,) = await self.store.leases()
        return int(lease.activities)


def app_with(runs: list[int], gate: asyncio.Event | None = None) -> ds.App:
    app = ds.App()

    @app.activity
    async def work(n: int) -> int:
        runs.append(n)
        if gate is not None:
            await gate.wait()
        return n

    return app


async def test_it_claims_no_more_than_it_has_free_slots_for() -> None:
    runs: list[int] = []
    gate = asyncio.Event()
    rig = Rig(app_with(runs, gate), memory_server(), slots=3)
    await rig.schedule(*["work"] * 10)
    rig.run()
    await eventually(lambda: len(runs) == 3)
    assert len(rig.activities.running) == rig.store.most_claimed == 3
    gate.set()
    outcomes = await rig.until_outcomes(10)
    assert sorted(one.task for one in outcomes) == list(range(10))
    await rig.stop()
    assert await rig.waiting() == 0


async def test_a_lost_reply_makes_nothing_run_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "_FIRST_S", 0.0001)
    runs: list[int] = []
    rig = Rig(app_with(runs), memory_server(), slots=2)
    await rig.schedule(*["work"] * 20)
    rig.store.lose = 5
    rig.run()
    await rig.until_outcomes(20)
    await rig.stop()
    assert sorted(runs) == list(range(20))


async def test_what_a_worker_of_this_name_had_claimed_is_run_first() -> None:
    runs: list[int] = []
    rig = Rig(app_with(runs), memory_server())
    await rig.schedule("work")
    assert await rig.store.claim_activities("me", ["default"], 5, 0)
    rig.run()
    await rig.until_outcomes(1)
    await rig.stop()


async def test_an_activity_that_has_killed_too_many_workers_fails() -> None:
    runs: list[int] = []
    rig = Rig(app_with(runs), memory_server())
    await rig.schedule("work")
    lease = await rig.own()
    for victim in ("one", "two", "three"):
        assert await rig.store.claim_activities(victim, ["default"], 1, 0)
        assert await rig.store.reclaim(lease, [victim], 10)
    rig.run()
    (outcome,) = await rig.until_outcomes(1)
    await rig.stop()
    assert runs == []
    assert outcome.failure is not None
    assert (outcome.failure.type, outcome.failure.non_retryable) == ("WorkerCrashed", True)
    assert "3 times" in outcome.failure.message
    assert outcome.failure.message.endswith("(one, three, two)")


async def test_an_activity_that_outlived_its_workers_leases_is_run() -> None:
    """They had lost their leases, not their lives: that is no fault of the activity."""
    runs: list[int] = []
    rig = Rig(app_with(runs), memory_server(), lease_ms=HOUR_MS)
    await rig.schedule("work")
    lease = await rig.own()
    for slow in ("one", "two", "three", "four"):
        assert await rig.store.claim_activities(slow, ["default"], 1, 0)
        (moved,) = await rig.store.claimed(slow, ["default"])
        assert await rig.store.begin(slow, moved)
        assert await rig.store.reclaim(lease, [slow], 10)
    for back in ("two", "three"):
        await rig.store.heartbeat(back, {}, HOUR_MS)
    rig.run()
    (outcome,) = await rig.until_outcomes(1)
    await rig.stop()
    assert (runs, outcome.failure) == ([0], None)


async def test_a_claim_that_comes_after_the_end_begins_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does it fail: that there are no threads any more is no fault of the activity."""
    monkeypatch.setattr(activities, "_CLAIM_ENDS_S", 0.01)
    app = ds.App()
    runs: list[int] = []

    @app.activity
    def work(n: int) -> int:
        runs.append(n)
        return n

    rig = Rig(app, memory_server())
    await rig.schedule("work")
    reply = rig.store.late = asyncio.Event()
    rig.run()
    await eventually(lambda: rig.store.most_claimed == 1)
    rig.activities.stop()
    await rig.activities.drain(0.01)
    reply.set()
    assert rig.task is not None
    await rig.task
    assert (runs, await rig.outcomes()) == ([], [])
    assert len(await rig.store.claimed("me", ["default"])) == 1


async def test_an_activity_that_the_app_lacks_goes_to_a_queue_of_its_own() -> None:
    server = memory_server()
    lacking = Rig(ds.App(), server)
    await lacking.schedule("work", "work")
    lacking.run()
    await eventually(lambda: lacking.activities.split == {"default/work"})
    runs: list[int] = []
    having = Rig(app_with(runs), server, name="other")
    having.run()
    having.activities.read_also(lacking.activities.split)
    await having.until_outcomes(2)
    assert sorted(runs) == [0, 1]
    await lacking.stop()
    await having.stop()


def test_only_queues_that_it_serves_are_read_besides() -> None:
    rig = Rig(app_with([]), memory_server())
    rig.activities.learn(["default", "default/work", "gpu/work", "default/other"])
    rig.activities.read_also(rig.activities.split)
    assert rig.activities.queues == ["default", "default/work"]


async def test_a_malformed_entry_goes_to_the_owner_and_stops_nothing() -> None:
    runs: list[int] = []
    rig = Rig(app_with(runs), memory_server())
    lease = await rig.own()
    await rig.store.commit(lease, 1, Commit(activities=[("default", b"rubbish")]))
    await rig.store.release(lease)
    rig.run()

    async def blobs() -> list[bytes]:
        found = await rig.store.read_inboxes({0: "0"}, 10, 0)
        return [entry.blob for _, entries in found for entry in entries]

    async def arrived() -> bool:
        return await blobs() == [b"rubbish"]

    await until(arrived)
    await rig.stop()


async def test_stopping_lets_finish_what_can_and_gives_back_the_rest() -> None:
    runs: list[int] = []
    gate = asyncio.Event()
    rig = Rig(app_with(runs, gate), memory_server())
    await rig.schedule("work", "work")
    rig.run()
    await eventually(lambda: len(runs) == 2)
    await rig.stop(grace_s=0.01)
    assert await rig.outcomes() == []
    assert await rig.waiting() == 2
    assert len(await rig.store.claim_activities("other", ["default"], 5, 0)) == 2


async def test_contexts_hear_of_the_end_of_their_instance() -> None:
    app = ds.App()
    seen: list[bool] = []

    @app.activity
    async def work(ctx: ds.ActivityContext) -> None:
        while not ctx.cancelled:
            await asyncio.sleep(0)
        seen.append(True)

    rig = Rig(app, memory_server())
    await rig.schedule("work")
    rig.run()
    await eventually(lambda: rig.activities.running)
    await rig.activities.notice_endings()  # there is no such instance at all
    await rig.until_outcomes(1)
    assert seen == [True]
    await rig.stop()
