"""read_inboxes and interrupt: nothing is lost, nothing waits longer than it must."""

from __future__ import annotations

import asyncio

import pytest

from durastream.store.protocol import WorkerStore
from tests.store.conformance.rigs import Rig
from tests.store.conformance.values import Owner, ids_in, inbox, new
from tests.support import a_moment

pytestmark = pytest.mark.anyio


async def send(store: WorkerStore, partition: int, *messages: bytes) -> None:
    """Messages from a source that is heard for the first time."""
    source = f"source {await store.leases()}"
    await store.deliver(partition, source, (1, "n"), list(enumerate(messages, 1)))


async def test_entries_come_in_order_after_the_cursor(store: WorkerStore) -> None:
    await send(store, 0, b"a", b"b", b"c")
    ((_, entries),) = await store.read_inboxes({0: "0"}, 2, 0)
    assert [one.blob for one in entries] == [b"a", b"b"]
    ((_, rest),) = await store.read_inboxes({0: entries[-1].entry_id}, 2, 0)
    assert [one.blob for one in rest] == [b"c"]
    assert await store.read_inboxes({0: rest[-1].entry_id}, 2, 0) == []


async def test_without_partitions_nothing_is_read(store: WorkerStore) -> None:
    assert await store.read_inboxes({}, 2, 0) == []


async def test_reading_takes_nothing_away(store: WorkerStore) -> None:
    await send(store, 0, b"a")
    assert await inbox(store, 0) == await inbox(store, 0) == [b"a"]


async def test_delivered_entries_have_no_time_of_creation(store: WorkerStore) -> None:
    await send(store, 0, b"a")
    ((_, (entry,)),) = await store.read_inboxes({0: "0"}, 2, 0)
    assert entry.created_at == 0


async def test_several_partitions_are_read_at_once(store: WorkerStore) -> None:
    await send(store, 1, b"a")
    await send(store, 3, b"b")
    found = await store.read_inboxes({0: "0", 1: "0", 3: "0"}, 10, 0)
    assert {partition: [one.blob for one in entries] for partition, entries in found} == {1: [b"a"], 3: [b"b"]}


async def test_partitions_that_are_not_asked_for_are_not_shown(store: WorkerStore) -> None:
    await send(store, 2, b"a")
    assert await store.read_inboxes({0: "0", 1: "0"}, 10, 0) == []


async def test_without_blocking_an_empty_inbox_answers_at_once(store: WorkerStore) -> None:
    async with asyncio.timeout(5):
        assert await store.read_inboxes({0: "0", 1: "0"}, 10, 0) == []


async def test_a_blocked_read_ends_when_its_time_is_over(store: WorkerStore) -> None:
    async with asyncio.timeout(5):
        assert await store.read_inboxes({0: "0"}, 10, 30) == []


async def test_a_blocked_read_sees_what_arrives(rig: Rig, store: WorkerStore) -> None:
    sender = await rig.open()
    (instance_id,) = ids_in(1)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        read = group.create_task(store.read_inboxes({0: "0", 1: "0"}, 10, 9_000))
        await a_moment()
        await sender.start(1, [new(instance_id)])
    ((partition, entries),) = read.result()
    assert (partition, [one.blob for one in entries]) == (1, [new(instance_id).message])


async def test_a_blocked_read_sees_a_commit_to_the_same_partition(owner: Owner) -> None:
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        read = group.create_task(owner.store.read_inboxes({0: "0"}, 10, 9_000))
        await a_moment()
        await owner.commit(inbox=[b"again"])
    assert [one.blob for _, entries in read.result() for one in entries] == [b"again"]


async def test_interrupt_ends_a_blocked_read_without_losing_anything(store: WorkerStore) -> None:
    async with asyncio.timeout(10):
        read = asyncio.create_task(store.read_inboxes({0: "0"}, 10, 9_000))
        while not read.done():
            store.interrupt()
            await asyncio.sleep(0.01)  # time must pass: an interrupt that went astray would end the read now
        assert await read == []
        await send(store, 0, b"a")
        assert await inbox(store, 0) == [b"a"]


async def test_interrupt_reaches_no_other_handle(rig: Rig, store: WorkerStore) -> None:
    other = await rig.open()
    async with asyncio.timeout(10):
        read = asyncio.create_task(store.read_inboxes({0: "0"}, 10, 9_000))
        for _ in range(5):
            other.interrupt()
            await asyncio.sleep(0.01)  # time must pass: an interrupt that went astray would end the read
        assert not read.done()
        await send(other, 0, b"a")
        assert [one.blob for _, entries in await read for one in entries] == [b"a"]


async def test_interrupt_with_nothing_blocked_is_harmless(store: WorkerStore) -> None:
    store.interrupt()
    await send(store, 0, b"a")
    store.interrupt()
    assert await inbox(store, 0) == [b"a"]


async def test_entries_stay_until_a_commit_consumes_them(owner: Owner) -> None:
    await send(owner.store, 0, b"a", b"b", b"c")
    ((_, entries),) = await owner.store.read_inboxes({0: "0"}, 10, 0)
    await owner.commit(consumed=[entries[0].entry_id, entries[2].entry_id])
    assert await owner.inbox() == [b"b"]
