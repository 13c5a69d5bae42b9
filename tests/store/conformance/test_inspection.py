"""scan_ids, loads, timers_set, server_info: what operators look at."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from durastream.core.ids import partition_of
from durastream.core.status import ALL, COMPLETED, FAILED, PENDING, RUNNING, Status
from durastream.store.protocol import IndexEntry, QueueLoad, WorkerStore
from tests.store.conformance.rigs import PARTITIONS, Rig
from tests.store.conformance.values import AT, LONG_MS, STRANGE_IDS, Owner, claim_all, creation, ids_in, new, own

pytestmark = pytest.mark.anyio

I1, I2 = ids_in(0, 2)


# ---------------------------------------------------------------- scan_ids


async def populate(store: WorkerStore, entries: Sequence[IndexEntry]) -> None:
    for partition in range(PARTITIONS):
        owner = await own(store, partition)
        mine = [one for one in entries if partition_of(one.instance_id, PARTITIONS) == partition]
        for first in range(0, len(mine), 500):
            await owner.commit(
                *(creation(one.instance_id, one.status, at=one.created_at) for one in mine[first : first + 500])
            )


async def scan(store: WorkerStore, prefix: str, statuses: Sequence[Status] = ALL, *, budget: int) -> list[IndexEntry]:
    """All that a scan brings, in the order it comes."""
    found: list[IndexEntry] = []
    cursor: str | None = None
    while True:
        page = await store.scan_ids(prefix, statuses=statuses, cursor=cursor, budget=budget)
        found += page.entries
        if page.cursor is None:
            return found
        cursor = page.cursor


async def test_scan_of_an_empty_hub_is_over_at_once(store: WorkerStore) -> None:
    assert await scan(store, "", budget=1_000_000) == []
    assert await scan(store, "a", budget=1) == []


@pytest.mark.parametrize("budget", [1, 100, 1_000_000])
async def test_scan_finds_each_instance_of_the_prefix_once(store: WorkerStore, budget: int) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    ids = {f"{rng.choice(('order', 'ordeal', 'O', 'refund'))}-{rng.randrange(10_000)}" for _ in range(200)}
    entries = [IndexEntry(one, rng.choice(ALL), AT + rng.randrange(1_000)) for one in sorted(ids)]
    await populate(store, entries)
    for prefix in ("order-", "orde", "", "refund-1", "nothing"):
        assert sorted(await scan(store, prefix, budget=budget)) == [
            one for one in entries if one.instance_id.startswith(prefix)
        ]


async def test_scan_keeps_to_the_statuses_asked_for(store: WorkerStore) -> None:
    ids = [one for partition in range(PARTITIONS) for one in ids_in(partition, 12)]
    entries = [IndexEntry(one, ALL[k % len(ALL)], AT) for k, one in enumerate(sorted(ids))]
    await populate(store, entries)
    found = await scan(store, "i", (FAILED, PENDING), budget=7)
    assert sorted(found) == [one for one in entries if one.status in (FAILED, PENDING)]


async def test_scan_goes_on_where_it_was_over_a_long_index(store: WorkerStore) -> None:
    entries = [IndexEntry(one, COMPLETED, AT + k) for k, one in enumerate(ids_in(0, 2_000))]
    await populate(store, entries)
    page = await store.scan_ids("i", statuses=ALL, cursor=None, budget=500)
    assert page.cursor is not None and len(page.entries) < 2_000
    found = await scan(store, "i", budget=500)
    assert sorted(found) == sorted(entries)  # nothing is missed, and nothing comes twice where nothing changes


@pytest.mark.parametrize("prefix", STRANGE_IDS)
async def test_a_prefix_is_no_pattern(store: WorkerStore, prefix: str) -> None:
    entries = [IndexEntry(one, RUNNING, AT) for one in sorted({*STRANGE_IDS, "a", "b", "az", "-"})]
    await populate(store, entries)
    found = await scan(store, prefix, budget=1_000)
    assert sorted(found) == [one for one in entries if one.instance_id.startswith(prefix)]


# ---------------------------------------------------------------- loads


async def test_loads_of_a_new_hub(store: WorkerStore) -> None:
    loads = await store.loads()
    assert [load.partition for load in loads] == list(range(PARTITIONS))
    assert {load[1:] for load in loads} == {(None, 0, 0, ())}


async def test_loads_tell_what_waits_and_what_runs(rig: Rig, owner: Owner) -> None:
    before = await rig.now()
    activities = [("default", b"1"), ("default", b"2"), ("default", b"3"), ("gpu", b"4")]
    await owner.commit(activities=activities, parked={I1: b"{}"}, stalled={"@a@1": b"{}", "@a@2": b"{}"})
    claimed = len(await owner.store.claim_activities("w1", ["default"], 2, 0))
    assert claimed in (1, 2)
    load = (await owner.store.loads())[0]
    assert (load.parked, load.stalled) == (1, 2)
    assert [queue[:3] for queue in load.queues] == [("default", 3 - claimed, claimed), ("gpu", 1, 0)]
    now = await rig.now()
    for queue in load.queues:
        assert queue.oldest is None or before <= queue.oldest <= now


async def test_a_queue_that_was_worked_off_is_empty(owner: Owner) -> None:
    await owner.commit(activities=[("default", b"1")])
    (claimed,) = await claim_all(owner.store, "w1", "default")
    await owner.store.put_back(0, "w1", [("default", claimed.entry_id, "default/x")])
    queues = (await owner.store.loads())[0].queues
    assert [queue[:3] for queue in queues] == [("default", 0, 0), ("default/x", 1, 0)]
    assert queues[0] == QueueLoad("default", 0, 0, None)


async def test_loads_tell_since_when_messages_wait(rig: Rig, store: WorkerStore) -> None:
    before = await rig.now()
    await store.start(0, [new(I1), new(I2)])
    oldest = (await store.loads())[0].oldest
    assert oldest is None or before <= oldest <= await rig.now()


# ---------------------------------------------------------------- timers


async def test_timers_that_are_still_to_fire(owner: Owner) -> None:
    timers = [(AT, f"T\n{task}\ntoken.0\n{I1}") for task in (1, 3)]
    await owner.commit(timers_add=timers)
    store = owner.store
    assert await store.timers_set(I1, "token.0", [1, 2, 3]) == [True, False, True]
    assert await store.timers_set(I1, "token.1", [1]) == [False]
    assert await store.timers_set(I2, "token.0", [1]) == [False]
    assert await store.timers_set(I1, "token.0", []) == []
    await owner.commit(timers_remove=[timers[0][1]])
    assert await store.timers_set(I1, "token.0", [1, 3]) == [False, True]


# ---------------------------------------------------------------- the server


async def test_the_server_tells_its_time(rig: Rig, store: WorkerStore) -> None:
    before = await rig.now()
    info = await store.server_info()
    assert before <= info.clock <= await rig.now()


async def test_looking_changes_nothing(rig: Rig, owner: Owner) -> None:
    await owner.commit(creation(I1), activities=[("default", b"1")], timers_add=[(AT, f"T\n1\ntoken.0\n{I1}")])
    assert await owner.store.renew([owner.lease], "w1", LONG_MS)
    before = await rig.snapshot()
    await scan(owner.store, "i", budget=10)
    await owner.store.loads()
    await owner.store.timers_set(I1, "token.0", [1])
    await owner.store.server_info()
    assert await rig.snapshot() == before
