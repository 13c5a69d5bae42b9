"""The reference model itself: what the conformance suite, which it also passes, cannot ask of every store."""

from __future__ import annotations

import asyncio
import random

import pytest

from durastream.core.status import PENDING
from durastream.errors import Refused, StoreUnavailable
from durastream.store.memory import MemoryServer, MemoryStore
from durastream.store.protocol import Commit, WorkerStore
from tests.store.conformance.values import creation, ids_in, new
from tests.support import ManualClock

pytestmark = pytest.mark.anyio

I1, I2 = ids_in(0, 2)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def server(clock: ManualClock) -> MemoryServer:
    return MemoryServer(clock)


@pytest.fixture
def store(server: MemoryServer) -> MemoryStore:
    return server.store(partitions=4)


def test_it_is_a_worker_store(store: MemoryStore) -> None:
    checked: WorkerStore = store
    assert checked.hub.partitions == 4


async def test_handles_share_the_server(server: MemoryServer, store: MemoryStore) -> None:
    await store.start(0, [new(I1)])
    (record,) = await server.store().records([I1])
    assert record is not None and record.status == PENDING


async def test_all_times_come_from_the_clock(clock: ManualClock, store: MemoryStore) -> None:
    clock.now = 42
    await store.start(0, [new(I1)])
    now, (worker,) = await store.heartbeat("w", {}, 1)
    (record,) = await store.records([I1])
    assert record is not None
    assert (record.created_at, now, worker.seen_at) == (42, 42, 42)


async def test_a_lease_ends_at_its_very_millisecond(clock: ManualClock, store: MemoryStore) -> None:
    lease = await store.acquire(0, "w1", "n1", 100)
    assert lease is not None
    clock.advance(99)
    assert await store.acquire(0, "w2", "n2", 100) is None
    clock.advance(1)
    assert await store.renew([lease], "w1", 100) == []
    assert await store.acquire(0, "w2", "n2", 100) is not None


async def test_a_timer_is_due_at_its_very_millisecond(clock: ManualClock, store: MemoryStore) -> None:
    lease = await store.acquire(0, "w1", "n1", 100)
    assert lease is not None
    await store.commit(lease, 1, Commit(timers_add=[(clock() + 1, "t")]))
    assert await store.due(lease, 1) == ([], clock() + 1)
    clock.advance(1)
    assert await store.due(lease, 1) == (["t"], None)


async def test_a_lease_that_ran_out_commits_until_another_takes_it(clock: ManualClock, store: MemoryStore) -> None:
    """Fencing, not time, decides: nobody else can have changed anything."""
    lease = await store.acquire(0, "w1", "n1", 100)
    assert lease is not None
    clock.advance(1_000)
    await store.commit(lease, 1, Commit(inbox=[b"m"]))


async def test_outbox_numbers_only_rise(store: MemoryStore) -> None:
    lease = await store.acquire(0, "w1", "n1", 100)
    assert lease is not None
    await store.commit(lease, 1, Commit(outbox=[(1, b"a"), (1, b"b")]))
    with pytest.raises(Refused, match="outbox"):
        await store.commit(lease, 2, Commit(outbox=[(1, b"c")], outbox_first=2))


async def test_a_refusal_says_what_differs(store: MemoryStore) -> None:
    lease = await store.acquire(0, "w1", "n1", 100)
    assert lease is not None
    await store.commit(lease, 1, Commit([creation(I1)]))
    with pytest.raises(Refused, match=rf"'{I1}' in partition 0 has revision 0, not None"):
        await store.commit(lease, 2, Commit([creation(I1)]))


async def test_every_partition_is_first_in_turn(store: MemoryStore) -> None:
    for partition in range(4):
        lease = await store.acquire(partition, "w1", "n1", 100)
        assert lease is not None
        await store.commit(lease, 1, Commit(activities=[("default", b"a")] * 4))
    first = [one.partition for _ in range(4) for one in await store.claim_activities("w", ["default"], 1, 0)]
    assert sorted(first) == [0, 1, 2, 3]


async def test_replies_expire(clock: ManualClock, server: MemoryServer, store: MemoryStore) -> None:
    await store.reply([("list", b"1")])
    clock.advance(3_599_999)
    assert server.replies("list") == [b"1"]
    clock.advance(1)
    assert server.replies("list") == []
    await store.reply([("list", b"2")])
    assert server.replies("list") == [b"2"]


async def test_workers_silent_for_an_hour_are_forgotten(clock: ManualClock, store: MemoryStore) -> None:
    await store.heartbeat("silent", {}, 1)
    clock.advance(3_600_000)
    await store.heartbeat("w", {}, 1)
    assert [one.worker_id for one in await store.workers()] == ["w"]


async def test_a_closed_handle_ends_its_reads_and_subscriptions(server: MemoryServer, store: MemoryStore) -> None:
    heard = store.notifications("c")
    assert await anext(heard) is None
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        read = group.create_task(store.read_inboxes({0: "0"}, 1, 60_000))
        following = group.create_task(_next(heard))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await store.close()
    assert read.result() == []
    assert following.result() == "ended"
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.counts()
    assert not any((await server.store().counts()).values())


async def _next(heard: object) -> object:
    return await anext(heard, "ended")  # type: ignore[call-overload]


async def test_a_cancelled_read_leaves_nothing_behind(server: MemoryServer, store: MemoryStore) -> None:
    claim = asyncio.create_task(store.claim_activities("w", ["default"], 1, 60_000))
    await asyncio.sleep(0.01)  # time must pass: the claim is blocked by then
    claim.cancel()
    with pytest.raises(asyncio.CancelledError):
        await claim
    lease = await store.acquire(0, "w1", "n1", 100)
    assert lease is not None
    await store.commit(lease, 1, Commit(activities=[("default", b"a")]))
    assert len(await store.claim_activities("w", ["default"], 1, 0)) == 1


async def test_many_owners_and_repeats_deliver_each_message_once(clock: ManualClock, store: MemoryStore) -> None:
    """Random handovers and repeated calls: every message committed to the outbox arrives once, in order."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    sent: list[bytes] = []
    for turn in range(30):
        lease = await store.acquire(0, f"w{turn}", f"n{turn}", 10)
        assert lease is not None
        first = 1
        for number in range(1, rng.randint(1, 5)):
            batch = [(1, b"%d-%d-%d" % (turn, number, k)) for k in range(rng.randint(0, 3))]
            for _ in range(rng.randint(1, 2)):
                await store.commit(lease, number, Commit(outbox=list(batch), outbox_first=first))
            first += len(batch)
            sent += [blob for _, blob in batch]
        if rng.random() < 0.7:
            await _relay(store, turn, rng)
        clock.advance(rng.choice((10, 50)))
    lease = await store.acquire(0, "last", "last", 10)
    assert lease is not None
    await _relay(store, -1, rng)
    arrived = [one.blob for _, entries in await store.read_inboxes({1: "0"}, 1_000, 0) for one in entries]
    assert arrived == sent


async def _relay(store: MemoryStore, turn: int, rng: random.Random) -> None:
    """Deliver what the outbox holds, some of it twice, and forget it only sometimes."""
    nonce = "last" if turn < 0 else f"n{turn}"
    lease = await store.acquire(0, "relay", nonce, 10)
    assert lease is not None
    waiting = await store.outbox(lease, (0, 0), 1_000)
    for epoch in sorted({one.number[0] for one in waiting}):
        batch = [(one.number[1], one.blob) for one in waiting if one.number[0] == epoch]
        for _ in range(rng.randint(1, 2)):
            await store.deliver(1, "0", (epoch, "any"), batch)
    if rng.random() < 0.8:
        await store.forget(lease, [one.number for one in waiting])
