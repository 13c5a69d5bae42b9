"""start: create once, whoever repeats it."""

from __future__ import annotations

import asyncio

import pytest

from durastream.core.ids import partition_of
from durastream.core.status import ALL, COMPLETED, PENDING, RUNNING
from durastream.store.protocol import Record, Started, WorkerStore
from tests.store.conformance.rigs import PARTITIONS, Rig
from tests.store.conformance.values import STRANGE_IDS, Owner, change, ids_in, inbox, new

pytestmark = pytest.mark.anyio

(I1, I2, I3) = ids_in(0, 3)


async def test_a_start_makes_the_record(rig: Rig, store: WorkerStore) -> None:
    before = await rig.now()
    item = new(I1, version="v2", tags=b'{"team":"a"}', notify="channel", reply="my:answers")
    assert await store.start(0, [item]) == [Started(I1, "token.0", True, PENDING)]
    (record,) = await store.records([I1])
    assert record is not None
    assert before <= record.created_at <= await rig.now()
    assert record == Record(
        instance_id=I1,
        execution_id="token.0",
        name="order",
        status=PENDING,
        revision=0,
        events=0,
        created_at=record.created_at,
        updated_at=record.created_at,
        completed_at=None,
        version="v2",
        input=b'{"n":1}',
        output=None,
        failure=None,
        custom_status=None,
        tags=b'{"team":"a"}',
        parent=None,
        notify="channel",
        reply="my:answers",
        problem=None,
        start_at=None,
    )
    assert await store.counts() == {status: int(status == PENDING) for status in ALL}
    assert (await store.page([PENDING], cursor=None, limit=10)).records == [record]


async def test_its_message_is_put_into_the_inbox_with_the_time_of_creation(store: WorkerStore) -> None:
    await store.start(0, [new(I1), new(I2)])
    ((partition, entries),) = await store.read_inboxes({0: "0"}, 10, 0)
    first, second = await store.records([I1, I2])
    assert first is not None and second is not None
    assert partition == 0
    assert [(one.blob, one.created_at) for one in entries] == [
        (new(I1).message, first.created_at),
        (new(I2).message, second.created_at),
    ]


async def test_a_repeated_start_answers_the_same_and_does_nothing(rig: Rig, store: WorkerStore) -> None:
    first = await store.start(0, [new(I1), new(I2)])
    before = await rig.snapshot()
    assert await store.start(0, [new(I1), new(I2)]) == first
    assert await rig.snapshot() == before


async def test_a_repeat_is_known_by_its_token_after_continue_as_new(owner: Owner) -> None:
    await owner.store.start(0, [new(I1, "token.0")])
    await owner.commit(change(await owner.record(I1), RUNNING, execution_id="token.1"))
    assert await owner.store.start(0, [new(I1, "token.0")]) == [Started(I1, "token.1", True, RUNNING)]


async def test_another_start_of_the_same_id_changes_nothing(rig: Rig, owner: Owner) -> None:
    await owner.store.start(0, [new(I1, "token.0")])
    await owner.commit(change(await owner.record(I1), COMPLETED, (b"e",)))
    before = await rig.snapshot()
    answer = await owner.store.start(0, [new(I1, "other.0", input=b"2")])
    assert answer == [Started(I1, "token.0", False, COMPLETED)]
    assert await rig.snapshot() == before


async def test_of_two_starts_of_one_id_in_a_batch_the_first_wins(store: WorkerStore) -> None:
    answers = await store.start(0, [new(I1, "a.0"), new(I1, "b.0"), new(I2, "c.0")])
    assert [(one.execution_id, one.created) for one in answers] == [("a.0", True), ("a.0", False), ("c.0", True)]
    assert await inbox(store, 0) == [new(I1).message, new(I2).message]


async def test_a_start_that_comes_twice_in_a_batch_is_one(store: WorkerStore) -> None:
    (instance_id,) = ids_in(0)
    answers = await store.start(0, [new(instance_id), new(instance_id)])
    assert answers == [Started(instance_id, "token.0", True, PENDING)] * 2
    assert len(await inbox(store, 0)) == 1


async def test_of_many_concurrent_starts_one_wins(rig: Rig) -> None:
    stores = [await rig.open() for _ in range(3)]
    answers = await asyncio.gather(*(store.start(0, [new(I1, f"t{k}.0")]) for k, store in enumerate(stores)))
    assert sum(one.created for (one,) in answers) == 1
    assert len({one.execution_id for (one,) in answers}) == 1
    assert len(await inbox(stores[0], 0)) == 1


async def test_a_mixed_batch_is_answered_in_its_order(store: WorkerStore) -> None:
    await store.start(0, [new(I2, "old.0")])
    answers = await store.start(0, [new(I3), new(I2), new(I1)])
    assert [(one.instance_id, one.created) for one in answers] == [(I3, True), (I2, False), (I1, True)]


async def test_an_empty_batch_is_nothing(rig: Rig, store: WorkerStore) -> None:
    before = await rig.snapshot()
    assert await store.start(0, []) == []
    assert await rig.snapshot() == before


async def test_a_large_batch(store: WorkerStore) -> None:
    ids = ids_in(1, 1_200)
    answers = await store.start(1, [new(one) for one in ids])
    assert [one.instance_id for one in answers] == ids
    assert all(one.created for one in answers)
    assert (await store.counts())[PENDING] == len(ids)
    (lease, *_) = [one for one in await store.leases() if one.partition == 1]
    assert lease.backlog == len(ids)


async def test_a_scheduled_start_waits_among_the_timers(rig: Rig, owner: Owner) -> None:
    at = await rig.now() - 1
    later = at + 3_600_000
    await owner.store.start(0, [new(I1, start_at=at), new(I2, start_at=later)])
    ((_, told),) = await owner.store.read_inboxes({owner.lease.partition: "0"}, 10, 0)
    assert [(one.blob, one.created_at) for one in told] == [(b"", at), (b"", later)]
    assert await owner.store.due(owner.lease, 10) == ([f"S\n0\ntoken.0\n{I1}"], later)
    record = await owner.record(I1)
    assert (record.status, record.start_at, record.input) == (PENDING, at, b'{"n":1}')


async def test_a_repeated_scheduled_start_does_nothing(rig: Rig, store: WorkerStore) -> None:
    item = new(I1, start_at=await rig.now() + 1_000)
    first = await store.start(0, [item])
    before = await rig.snapshot()
    assert await store.start(0, [item]) == first
    assert await rig.snapshot() == before


@pytest.mark.parametrize("instance_id", STRANGE_IDS)
async def test_strange_ids(rig: Rig, instance_id: str) -> None:
    store = await rig.open()
    partition = partition_of(instance_id, PARTITIONS)
    await store.start(partition, [new(instance_id)])
    assert not (await store.start(partition, [new(instance_id, "other.0")]))[0].created
    record, missing = await store.records([instance_id, instance_id + "-"])
    assert record is not None and record.instance_id == instance_id and missing is None
    page = await store.page([PENDING], cursor=None, limit=2)
    assert [one.instance_id for one in page.records] == [instance_id]
    assert await inbox(store, partition) == [new(instance_id).message]
