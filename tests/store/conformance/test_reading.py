"""records, history, load, page, counts: what clients and inspectors read."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest

from durastream.core.status import ALL, COMPLETED, FAILED, PENDING, RUNNING, SUSPENDED, TERMINATED, Status
from durastream.store.protocol import WorkerStore
from tests.store.conformance.rigs import PARTITIONS, Rig
from tests.store.conformance.values import AT, Owner, change, creation, ids_in, new, own

pytestmark = pytest.mark.anyio

I1, I2, I3 = ids_in(0, 3)


async def test_records_come_in_the_order_asked_over_all_partitions(store: WorkerStore) -> None:
    ids = [ids_in(partition)[0] for partition in range(PARTITIONS)]
    for partition, one in enumerate(ids):
        await store.start(partition, [new(one)])
    asked = [ids[3], "nobody", ids[0], ids[2], ids[0], ids[1]]
    found = await store.records(asked)
    assert [one and one.instance_id for one in found] == [one if one in ids else None for one in asked]
    assert await store.records([]) == []


async def test_records_without_payloads(owner: Owner) -> None:
    await owner.commit(creation(I1, input=b"1", output=b"2", custom_status=b"3", tags=b'{"a":"b"}', version="1"))
    (whole,) = await owner.store.records([I1])
    assert whole is not None
    light = whole._replace(input=None, output=None)
    assert await owner.store.records(["nobody", I1], payloads=False) == [None, light]
    page = await owner.store.page(ALL, cursor=None, limit=10, payloads=False)
    assert page.records == [light]


async def test_history_is_read_in_pieces(owner: Owner) -> None:
    await owner.commit(creation(I1))
    await owner.commit(change(await owner.record(I1), events=tuple(b"event %d" % k for k in range(1, 12))))
    store = owner.store
    assert await store.history(I1, 0, 3) == [b"event 0", b"event 1", b"event 2"]
    assert await store.history(I1, 9, 1_000) == [b"event 9", b"event 10", b"event 11"]
    assert await store.history(I1, 12, 10) == []
    assert await store.history("nobody", 0, 10) == []


async def test_load_gives_record_and_whole_history(owner: Owner) -> None:
    await owner.commit(creation(I1), creation(I3))
    await owner.commit(change(await owner.record(I1), events=(b"event 1",)))
    await owner.store.start(0, [new(I2)])
    loaded = await owner.store.load(owner.lease, [I2, "nobody", I1])
    first, second = await owner.store.records([I1, I2])
    assert loaded == [(second, []), None, (first, [b"event 0", b"event 1"])]
    assert await owner.store.load(owner.lease, []) == []


@pytest.mark.parametrize("status", [COMPLETED, FAILED, TERMINATED])
async def test_load_of_one_that_has_ended_gives_its_record_alone(rig: Rig, status: Status) -> None:
    owner = await own(await rig.open(), 0)
    await owner.commit(creation(I1, status))
    assert await owner.store.load(owner.lease, [I1]) == [(await owner.record(I1), [])]
    assert await owner.store.history(I1, 0, 10) == [b"event 0"]


@pytest.mark.parametrize("number", [999, 1_000, 1_001, 2_500])
async def test_load_of_long_histories(rig: Rig, number: int) -> None:
    owner = await own(await rig.open(), 0)
    events = [b"%d" % k for k in range(number)]
    made = creation(I1)
    made.events = events
    await owner.commit(made)
    (loaded,) = await owner.store.load(owner.lease, [I1])
    assert loaded is not None and loaded[1] == events


# ---------------------------------------------------------------- pages


async def populate(store: WorkerStore, instances: Sequence[tuple[str, Status, int]]) -> None:
    """Instances in the partitions of their ids: (id, status, created at)."""
    for partition in range(PARTITIONS):
        mine = [one for one in instances if one[0] in set(ids_in(partition, 200))]
        owner = await own(store, partition)
        await owner.commit(*(creation(one, status, at=at) for one, status, at in mine))


async def read_all(store: WorkerStore, statuses: Sequence[Status], limit: int, **bounds: Any) -> list[tuple[int, str]]:
    """(created at, id) of all pages, one after the other."""
    found: list[tuple[int, str]] = []
    cursor: str | None = None
    while True:
        page = await store.page(statuses, cursor=cursor, limit=limit, **bounds)
        assert len(page.records) <= limit
        found += [(one.created_at, one.instance_id) for one in page.records]
        if page.cursor is None:
            return found
        assert page.records, "an empty page with a cursor never ends"
        cursor = page.cursor


@pytest.mark.parametrize("limit", [1, 2, 7, 100])
async def test_pages_are_newest_first_over_all_partitions_without_gap_or_repeat(rig: Rig, limit: int) -> None:
    store = await rig.open()
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    ids = [one for partition in range(PARTITIONS) for one in ids_in(partition, 7)]
    instances: list[tuple[str, Status, int]] = [
        (one, rng.choice(ALL), AT + rng.randrange(12)) for one in ids
    ]  # many of the same millisecond
    await populate(store, instances)
    asked: tuple[tuple[Status, ...], ...] = (ALL, (RUNNING,), (COMPLETED, FAILED))
    for statuses in asked:
        found = await read_all(store, statuses, limit)
        assert [at for at, _ in found] == sorted(
            (at for _, status, at in instances if status in statuses), reverse=True
        )
        assert sorted(found) == sorted((at, one) for one, status, at in instances if status in statuses)


async def test_a_status_that_is_asked_for_twice_is_read_once(store: WorkerStore) -> None:
    await store.start(0, [new(one) for one in ids_in(0, 2)])
    page = await store.page([PENDING, PENDING], cursor=None, limit=2)
    assert [one.instance_id for one in page.records] == ids_in(0, 2)[::-1]
    assert page.cursor is None


async def test_many_of_the_same_millisecond(store: WorkerStore) -> None:
    ids = ids_in(1, 150)
    await populate(store, [(one, RUNNING, AT) for one in ids])
    found = await read_all(store, [RUNNING], 40)
    assert sorted(one for _, one in found) == sorted(ids)


async def test_pages_of_a_span_of_time(store: WorkerStore) -> None:
    ids = ids_in(0, 10)
    await populate(store, [(one, RUNNING, AT + 10 * k) for k, one in enumerate(ids)])
    newest_first = ids[::-1]
    assert [one for _, one in await read_all(store, [RUNNING], 3, created_after=AT + 35)] == newest_first[:6]
    assert [one for _, one in await read_all(store, [RUNNING], 3, created_before=AT + 35)] == newest_first[6:]
    both = await read_all(store, [RUNNING], 3, created_after=AT + 15, created_before=AT + 45)
    assert [one for _, one in both] == newest_first[5:8]
    assert await read_all(store, [RUNNING], 3, created_after=AT + 1_000) == []


async def test_the_bounds_of_a_span_belong_to_it(store: WorkerStore) -> None:
    await populate(store, [(one, RUNNING, AT + 10 * k) for k, one in enumerate((I1, I2, I3))])
    found = await read_all(store, [RUNNING], 3, created_after=AT + 10, created_before=AT + 10)
    assert [one for _, one in found] == [I2]


async def test_an_empty_hub_has_one_empty_page(store: WorkerStore) -> None:
    assert await store.page([*ALL], cursor=None, limit=10) == ([], None)


async def test_what_is_new_while_paging_does_not_disturb(owner: Owner) -> None:
    ids = ids_in(0, 6)
    await owner.commit(*(creation(one, at=AT + k) for k, one in enumerate(ids[:5])))
    page = await owner.store.page([RUNNING], cursor=None, limit=2)
    await owner.commit(creation(ids[5], at=AT + 100), purged=[(ids[3], RUNNING)])
    rest = await owner.store.page([RUNNING], cursor=page.cursor, limit=10)
    assert [one.instance_id for one in (*page.records, *rest.records)] == [ids[4], ids[3], ids[2], ids[1], ids[0]]


async def test_counts_over_all_partitions(store: WorkerStore) -> None:
    assert await store.counts() == dict.fromkeys(ALL, 0)
    ids = [one for partition in range(PARTITIONS) for one in ids_in(partition, 3)]
    words: tuple[Status, ...] = (RUNNING, SUSPENDED, FAILED)
    await populate(store, [(one, words[k % 3], AT) for k, one in enumerate(ids)])
    assert await store.counts() == {**dict.fromkeys(ALL, 0), RUNNING: 4, SUSPENDED: 4, FAILED: 4}
    await store.start(0, [new(ids_in(0, 4)[3])])
    assert (await store.counts())[PENDING] == 1
