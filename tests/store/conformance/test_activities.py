"""Activities: claimed by one worker, never more than it has room for, exchanged for one outcome."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from durastream.store.protocol import SUSPECT, Activity, Outcome, WorkerStore
from tests.store.conformance.rigs import PARTITIONS, Rig
from tests.store.conformance.values import Owner, blobs, claim_all, inbox, own
from tests.support import a_moment

pytestmark = pytest.mark.anyio

QUEUES = ["default"]


async def schedule(store: WorkerStore, partition: int, *names: bytes, queue: str = "default") -> Owner:
    owner = await own(store, partition)
    await owner.commit(activities=[(queue, name) for name in names])
    return owner


# ---------------------------------------------------------------- claim


async def test_claimed_in_order_and_by_one_only(rig: Rig, store: WorkerStore) -> None:
    owner = await schedule(store, 0, b"a", b"b")
    assert blobs(await claim_all(store, "w1", *QUEUES)) == [b"a", b"b"]
    await owner.commit(activities=[("default", b"c")])
    other = await rig.open()
    assert blobs(await claim_all(other, "w2", *QUEUES)) == [b"c"]
    assert await store.claim_activities("w1", QUEUES, 9, 0) == []


@pytest.mark.parametrize("free", [1, 2, 3, 4, 5, 7, 8, 9, 30])
async def test_never_more_than_there_is_room_for(rig: Rig, free: int) -> None:
    store = await rig.open()
    for partition in range(PARTITIONS):
        await schedule(store, partition, *(b"%d" % k for k in range(5)))
    found: list[Activity] = []
    while some := await store.claim_activities("w1", [*QUEUES, "unused"], free, 0):
        assert len(some) <= free
        found += some
    assert len({(one.partition, one.entry_id) for one in found}) == len(found) == 5 * PARTITIONS


async def test_a_long_queue_of_one_partition_does_not_starve_the_others(store: WorkerStore) -> None:
    await schedule(store, 0, *[b"hot"] * 50)
    for partition in (1, 2, 3):
        await schedule(store, partition, b"cold")
    found = blobs([one for _ in range(6) for one in await store.claim_activities("w1", QUEUES, 2, 0)])
    assert Counter(found)[b"cold"] == 3


async def test_a_long_queue_does_not_starve_another(store: WorkerStore) -> None:
    owner = await schedule(store, 0, *[b"hot"] * 50)
    await owner.commit(activities=[("gpu", b"cold")])
    found = blobs(
        [one for _ in range(PARTITIONS * 4) for one in await store.claim_activities("w1", ["default", "gpu"], 2, 0)]
    )
    assert Counter(found)[b"cold"] == 1


async def test_only_the_named_queues(store: WorkerStore) -> None:
    owner = await schedule(store, 0, b"a")
    await owner.commit(activities=[("gpu", b"g"), ("gpu2", b"x")])
    assert blobs(await store.claim_activities("w1", ["gpu"], 9, 0)) == [b"g"]
    assert blobs(await store.claim_activities("w1", ["none"], 9, 0)) == []


async def test_without_room_nothing_is_claimed(store: WorkerStore) -> None:
    await schedule(store, 0, b"a")
    async with asyncio.timeout(5):
        assert await store.claim_activities("w1", QUEUES, 0, 50) == []
    assert await store.claimed("w1", QUEUES) == []


async def test_without_blocking_nothing_is_waited_for(store: WorkerStore) -> None:
    async with asyncio.timeout(5):
        assert await store.claim_activities("w1", QUEUES, 1, 0) == []
        assert await store.claim_activities("w1", QUEUES, 99, 0) == []


@pytest.mark.parametrize("free", [1, 99])
async def test_a_blocked_claim_ends_when_its_time_is_over(rig: Rig, free: int) -> None:
    store = await rig.open()
    async with asyncio.timeout(5):
        assert await store.claim_activities("w1", QUEUES, free, 30) == []


@pytest.mark.wakes
@pytest.mark.parametrize("free", [1, 99])
async def test_a_blocked_claim_gets_what_arrives(rig: Rig, free: int) -> None:
    store, scheduler = await rig.open(), await rig.open()
    owner = await schedule(scheduler, 2, b"before")
    assert blobs(await store.claim_activities("w1", QUEUES, free, 0)) == [b"before"]
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        claim = group.create_task(store.claim_activities("w1", QUEUES, free, 9_000))
        await a_moment()
        await owner.commit(activities=[("default", b"after")])
    assert blobs(claim.result()) == [b"after"]


@pytest.mark.parametrize("free", [1, 99])
async def test_interrupt_ends_a_blocked_claim_without_losing_anything(rig: Rig, free: int) -> None:
    store = await rig.open()
    async with asyncio.timeout(10):
        claim = asyncio.create_task(store.claim_activities("w1", QUEUES, free, 9_000))
        while not claim.done():
            store.interrupt()
            await asyncio.sleep(0.01)
        assert await claim == []
    await schedule(store, 0, b"a")
    assert blobs(await store.claim_activities("w1", QUEUES, free, 0)) == [b"a"]


@pytest.mark.wakes
async def test_of_many_blocked_workers_one_gets_it(rig: Rig) -> None:
    stores = [await rig.open() for _ in range(3)]
    async with asyncio.timeout(10):
        claims = [asyncio.create_task(one.claim_activities(f"w{k}", QUEUES, 99, 400)) for k, one in enumerate(stores)]
        await a_moment()
        await schedule(await rig.open(), 1, b"a")
        assert sorted(len(found) for found in await asyncio.gather(*claims)) == [0, 0, 1]


async def test_what_a_worker_holds_is_told_again(rig: Rig, store: WorkerStore) -> None:
    await schedule(store, 0, b"a", b"b")
    await schedule(store, 3, b"c")
    held = await store.claim_activities("w1", QUEUES, 99, 0)
    other = await rig.open()
    assert sorted(await other.claimed("w1", QUEUES)) == sorted(held)
    assert await other.claimed("w2", QUEUES) == []
    assert await other.claimed("w1", ["gpu"]) == []


async def test_a_claim_that_was_completed_is_held_no_longer(store: WorkerStore) -> None:
    await schedule(store, 0, b"a")
    (one,) = await store.claim_activities("w1", QUEUES, 9, 0)
    await store.complete(0, "w1", [Outcome("default", one.entry_id, b"r")])
    assert await store.claimed("w1", QUEUES) == []


# ---------------------------------------------------------------- complete


async def test_an_outcome_takes_the_place_of_the_claim(store: WorkerStore) -> None:
    await schedule(store, 1, b"a", b"b")
    first, second = await store.claim_activities("w1", QUEUES, 9, 0)
    outcomes = [Outcome("default", first.entry_id, b"result a"), Outcome("default", second.entry_id, b"result b")]
    assert await store.complete(1, "w1", outcomes) == 2
    assert await inbox(store, 1) == [b"result a", b"result b"]
    assert (await store.leases())[1].activities == 0


async def test_a_repeated_completion_does_not_count(store: WorkerStore) -> None:
    await schedule(store, 1, b"a", b"b")
    first, second = await store.claim_activities("w1", QUEUES, 9, 0)
    assert await store.complete(1, "w1", [Outcome("default", first.entry_id, b"1")]) == 1
    both = [Outcome("default", first.entry_id, b"1"), Outcome("default", second.entry_id, b"2")]
    assert await store.complete(1, "w1", both) == 1
    assert await store.complete(1, "w1", both) == 0
    assert await inbox(store, 1) == [b"1", b"2"]


async def test_outcomes_of_several_queues(store: WorkerStore) -> None:
    owner = await schedule(store, 1, b"a")
    await owner.commit(activities=[("gpu", b"b")])
    held = await store.claim_activities("w1", ["default", "gpu"], 99, 0)
    outcomes = [Outcome(one.queue, one.entry_id, b"r" + one.blob) for one in held]
    assert await store.complete(1, "w1", outcomes) == 2
    assert sorted(await inbox(store, 1)) == [b"ra", b"rb"]


async def test_a_completion_wakes_the_owner(rig: Rig, store: WorkerStore) -> None:
    await schedule(store, 1, b"a")
    (one,) = await store.claim_activities("w1", QUEUES, 9, 0)
    reader = await rig.open()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        read = group.create_task(reader.read_inboxes({1: "0"}, 9, 9_000))
        await a_moment()
        await store.complete(1, "w1", [Outcome("default", one.entry_id, b"r")])
    assert [entry.blob for _, entries in read.result() for entry in entries] == [b"r"]


async def test_an_unknown_entry_is_skipped(store: WorkerStore) -> None:
    assert await store.complete(1, "w1", [Outcome("default", "1-1", b"r")]) == 0
    assert await inbox(store, 1) == []


async def test_many_outcomes(store: WorkerStore) -> None:
    owner = await own(store, 1)
    await owner.commit(activities=[("default", b"%d" % k) for k in range(900)])
    held = await claim_all(store, "w1", *QUEUES)
    assert len(held) == 900
    assert len(await store.claimed("w1", QUEUES)) == 900
    assert await store.complete(1, "w1", [Outcome("default", one.entry_id, one.blob) for one in held]) == 900


# ---------------------------------------------------------------- put back


async def test_what_is_put_back_is_claimed_again(store: WorkerStore) -> None:
    await schedule(store, 0, b"a", b"b")
    (held,) = await store.claim_activities("w1", QUEUES, 1, 0)
    await store.put_back(0, "w1", [("default", held.entry_id, "default")])
    assert await store.claimed("w1", QUEUES) == []
    found = await store.claim_activities("w2", QUEUES, 99, 0)
    assert [(one.blob, one.died) for one in found] == [(b"b", ()), (b"a", ())]


async def test_it_may_go_to_another_queue(store: WorkerStore) -> None:
    await schedule(store, 0, b"a")
    (held,) = await store.claim_activities("w1", QUEUES, 9, 0)
    for _ in range(2):  # a repeat is harmless
        await store.put_back(0, "w1", [("default", held.entry_id, "special")])
    assert await store.claim_activities("w1", QUEUES, 9, 0) == []
    (found,) = await store.claim_activities("w2", ["special"], 9, 0)
    assert (found.queue, found.blob, found.died) == ("special", b"a", ())
    assert sorted(await store.queues(0)) == ["default", "special"]
    assert await store.complete(0, "w1", [Outcome("default", held.entry_id, b"late")]) == 0


@pytest.mark.wakes
async def test_it_wakes_who_waits_for_that_queue(rig: Rig, store: WorkerStore) -> None:
    await schedule(store, 0, b"a")
    (held,) = await store.claim_activities("w1", QUEUES, 9, 0)
    other = await rig.open()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        claim = group.create_task(other.claim_activities("w2", ["special"], 9, 9_000))
        await a_moment()
        await store.put_back(0, "w1", [("default", held.entry_id, "special")])
    assert blobs(claim.result()) == [b"a"]


async def test_an_outcome_that_comes_twice_in_one_call_counts_once(store: WorkerStore) -> None:
    await schedule(store, 0, b"a")
    (held,) = await store.claim_activities("w1", QUEUES, 9, 0)
    twice = [Outcome("default", held.entry_id, b"first"), Outcome("default", held.entry_id, b"second")]
    assert await store.complete(0, "w1", twice) == 1
    assert await inbox(store, 0) == [b"first"]


async def test_nothing_begins_where_nothing_ever_was(store: WorkerStore) -> None:
    assert not await store.begin("w1", Activity(0, "unused", "1-1", b""))


async def test_who_begins_an_activity_holds_it(store: WorkerStore) -> None:
    await schedule(store, 0, b"a")
    (held,) = await store.claim_activities("w1", QUEUES, 9, 0)
    assert await store.begin("w2", held)
    assert await store.claimed("w1", QUEUES) == []
    assert await store.claimed("w2", QUEUES) == [held]


async def test_without_queues_nothing_is_claimed(store: WorkerStore) -> None:
    assert await store.claim_activities("w1", [], 9, 0) == []
    assert await store.claimed("w1", []) == []


# ---------------------------------------------------------------- reclaim


async def test_what_dead_workers_held_goes_to_the_tail_and_says_who_had_it(store: WorkerStore) -> None:
    owner = await schedule(store, 0, b"a", b"b")
    dead = await claim_all(store, "dead", *QUEUES)
    await owner.commit(activities=[("default", b"c"), ("default", b"d")])
    (alive,) = await store.claim_activities("alive", QUEUES, 1, 0)
    moved = await store.reclaim(owner.lease, ["dead"], 10)
    assert [(one.partition, one.queue, one.blob, one.died) for one in moved] == [
        (0, "default", b"a", ("dead",)),
        (0, "default", b"b", ("dead",)),
    ]
    assert not {one.entry_id for one in moved} & {one.entry_id for one in dead}
    assert await store.claimed("dead", QUEUES) == []
    assert await store.claimed("alive", QUEUES) == [alive]
    found = await store.claim_activities("w1", QUEUES, 99, 0)
    assert [(one.blob, one.died) for one in found] == [(b"d", ()), (b"a", ("dead",)), (b"b", ("dead",))]
    assert found[1:] == moved


async def test_the_dead_add_up_and_each_is_named_once(store: WorkerStore) -> None:
    owner = await schedule(store, 0, b"poison")
    named: tuple[str, ...] = ()
    for name in ("dead 1", "dead 2 ü", "dead 1", "dead", "dead 2 ü"):
        (held,) = await store.claim_activities(name, QUEUES, 9, 0)
        assert held.died == named
        if len(named) >= SUSPECT:
            assert await store.begin(name, held)
        (moved,) = await store.reclaim(owner.lease, [name], 10)
        named = named if name in named else (*named, name)
        assert moved.died == named
    assert named == ("dead 1", "dead 2 ü", "dead")


async def test_who_had_it_is_still_known_after_it_was_put_back(store: WorkerStore) -> None:
    owner = await schedule(store, 0, b"a")
    await store.claim_activities("dead", QUEUES, 9, 0)
    await store.reclaim(owner.lease, ["dead"], 10)
    (held,) = await store.claim_activities("w1", QUEUES, 9, 0)
    await store.put_back(0, "w1", [("default", held.entry_id, "special")])
    (again,) = await store.claim_activities("w2", ["special"], 9, 0)
    assert again.died == ("dead",)


async def test_a_repeated_reclaim_finds_nothing_more(store: WorkerStore) -> None:
    owner = await schedule(store, 0, b"a")
    await store.claim_activities("dead", QUEUES, 9, 0)
    assert len(await store.reclaim(owner.lease, ["dead"], 10)) == 1
    assert await store.reclaim(owner.lease, ["dead"], 10) == []


async def test_what_waits_unclaimed_is_left_alone(store: WorkerStore) -> None:
    owner = await schedule(store, 0, b"a", b"b")
    assert await store.reclaim(owner.lease, ["dead"], 10) == []
    assert [one.died for one in await store.claim_activities("w1", QUEUES, 99, 0)] == [(), ()]


async def test_the_late_outcome_of_a_worker_thought_dead_does_not_count(store: WorkerStore) -> None:
    owner = await schedule(store, 0, b"a")
    (held,) = await store.claim_activities("dead", QUEUES, 9, 0)
    (moved,) = await store.reclaim(owner.lease, ["dead"], 10)
    assert await store.complete(0, "dead", [Outcome("default", held.entry_id, b"late")]) == 0
    await store.claim_activities("w1", QUEUES, 9, 0)
    assert await store.complete(0, "w1", [Outcome("default", moved.entry_id, b"right")]) == 1
    assert await inbox(store, 0) == [b"right"]


async def test_claimants_are_those_who_ever_claimed(store: WorkerStore) -> None:
    owner = await schedule(store, 0, b"a")
    assert "dead" not in await store.claimants(0)
    await store.claim_activities("dead", QUEUES, 9, 0)
    assert "dead" in await store.claimants(0)
    assert await store.reclaim(owner.lease, ["another"], 10) == []


async def test_reclaim_goes_in_steps(store: WorkerStore) -> None:
    owner = await schedule(store, 0, *(b"%d" % k for k in range(7)))
    await claim_all(store, "dead", *QUEUES)
    sizes = [len(await store.reclaim(owner.lease, ["dead"], 3)) for _ in range(4)]
    assert sizes == [3, 3, 1, 0]
    assert len(await claim_all(store, "w1", *QUEUES)) == 7


async def test_claims_of_the_dead_are_found_behind_a_thousand_that_are_held(store: WorkerStore) -> None:
    """L2: wherever they stand among those of a worker that lives, before them, between them or behind."""
    owner = await schedule(store, 0, *(b"%d" % number for number in range(1_205)))
    lost = await claim_some(store, "dead", 5)
    await claim_some(store, "alive", 600)
    lost += await claim_some(store, "dead", 50)
    await claim_some(store, "alive", 500)
    lost += await claim_some(store, "dead", 50)
    moved = [one for _ in range(4) for one in await store.reclaim(owner.lease, ["dead"], 40)]
    assert blobs(moved) == blobs(lost)
    assert len(await claim_all(store, "w1", *QUEUES)) == 105, "those of the worker that lives are still its own"


async def claim_some(store: WorkerStore, worker_id: str, count: int) -> list[Activity]:
    """Just so many: one call may bring fewer."""
    found: list[Activity] = []
    while len(found) < count:
        found += await store.claim_activities(worker_id, QUEUES, count - len(found), 0)
    return found


async def test_reclaim_goes_by_queue_and_worker_and_counts_its_limit_over_all(store: WorkerStore) -> None:
    owner = await own(store, 0)
    await owner.commit(activities=[("z", b"z1"), ("a", b"a1"), ("a", b"a2"), ("a", b"a3")])
    for worker_id in ("w2", "w1", "w2"):
        assert len(await store.claim_activities(worker_id, ["a"], 1, 0)) == 1
    await claim_all(store, "w1", "z")
    assert blobs(await store.reclaim(owner.lease, ["w1", "w2", "w1"], 3)) == [b"a2", b"a1", b"a3"]
    assert blobs(await store.reclaim(owner.lease, ["w1", "w2"], 3)) == [b"z1"]


async def test_reclaim_keeps_to_its_partition(store: WorkerStore) -> None:
    owner = await schedule(store, 0, b"a")
    await schedule(store, 1, b"b")
    assert len(await store.claim_activities("dead", QUEUES, 99, 0)) == 2
    assert blobs(await store.reclaim(owner.lease, ["dead"], 10)) == [b"a"]
    assert blobs(await store.claimed("dead", QUEUES)) == [b"b"]


@pytest.mark.wakes
async def test_a_reclaimed_activity_wakes_a_waiting_worker(rig: Rig, store: WorkerStore) -> None:
    owner = await schedule(store, 0, b"a")
    await store.claim_activities("dead", QUEUES, 9, 0)
    other = await rig.open()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        claim = group.create_task(other.claim_activities("w1", QUEUES, 9, 9_000))
        await a_moment()
        await store.reclaim(owner.lease, ["dead"], 10)
    assert [(one.blob, one.died) for one in claim.result()] == [(b"a", ("dead",))]
