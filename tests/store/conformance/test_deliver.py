"""deliver: messages of another partition, once each, whatever is repeated."""

from __future__ import annotations

import pytest

from durastream.store.protocol import Parcel, WorkerStore
from tests.store.conformance.rigs import Rig
from tests.store.conformance.values import LONG_MS, SHORT_MS, Owner, inbox

pytestmark = pytest.mark.anyio

ONE, TWO, THREE = (1, b"one"), (2, b"two"), (3, b"three")


async def test_messages_arrive_in_order(store: WorkerStore) -> None:
    await store.deliver(2, "0", (5, "n"), [ONE, TWO])
    await store.deliver(2, "0", (5, "n"), [THREE])
    assert await inbox(store, 2) == [b"one", b"two", b"three"]


async def test_a_repeat_is_skipped(rig: Rig, store: WorkerStore) -> None:
    await store.deliver(2, "0", (5, "n"), [ONE, TWO])
    await store.deliver(2, "0", (5, "n"), [ONE, TWO])
    assert await inbox(store, 2) == [b"one", b"two"]


async def test_a_repeat_that_brings_more_is_taken_from_there_on(store: WorkerStore) -> None:
    await store.deliver(2, "0", (5, "n"), [ONE, TWO])
    await store.deliver(2, "0", (5, "n"), [TWO, THREE])
    assert await inbox(store, 2) == [b"one", b"two", b"three"]


async def test_numbers_may_have_gaps(store: WorkerStore) -> None:
    await store.deliver(2, "0", (5, "n"), [(4, b"four"), (9, b"nine")])
    await store.deliver(2, "0", (5, "n"), [(9, b"nine"), (10, b"ten")])
    assert await inbox(store, 2) == [b"four", b"nine", b"ten"]


async def test_a_lower_epoch_is_skipped_whole(store: WorkerStore) -> None:
    await store.deliver(2, "0", (5, "n"), [ONE])
    await store.deliver(2, "0", (4, "n"), [(8, b"zombie"), (9, b"zombie")])
    assert await inbox(store, 2) == [b"one"]


async def test_a_zombie_does_not_move_the_mark(store: WorkerStore) -> None:
    await store.deliver(2, "0", (5, "n"), [ONE])
    await store.deliver(2, "0", (4, "n"), [(9, b"zombie")])
    await store.deliver(2, "0", (5, "n"), [TWO])
    assert await inbox(store, 2) == [b"one", b"two"]


async def test_a_higher_epoch_counts_anew(store: WorkerStore) -> None:
    await store.deliver(2, "0", (5, "n"), [(7, b"seven")])
    await store.deliver(2, "0", (6, "m"), [ONE, TWO])
    await store.deliver(2, "0", (6, "m"), [TWO, THREE])
    assert await inbox(store, 2) == [b"seven", b"one", b"two", b"three"]


async def test_an_equal_epoch_with_another_nonce_counts_anew(store: WorkerStore) -> None:
    """After a failover that forgot an acquisition two owners can hold the same epoch and send different things."""
    await store.deliver(2, "0", (5, "n"), [ONE, TWO])
    await store.deliver(2, "0", (5, "m"), [ONE])
    await store.deliver(2, "0", (5, "m"), [ONE, TWO])
    assert await inbox(store, 2) == [b"one", b"two", b"one", b"two"]


async def test_epochs_are_compared_as_numbers(store: WorkerStore) -> None:
    await store.deliver(2, "0", (9, "n"), [ONE])
    await store.deliver(2, "0", (10, "n"), [TWO])
    await store.deliver(2, "0", (9, "n"), [THREE])
    assert await inbox(store, 2) == [b"one", b"two"]


async def test_epochs_of_today_keep_their_precision(store: WorkerStore) -> None:
    now = 1_763_700_000_123
    await store.deliver(2, "0", (now, "n"), [ONE])
    await store.deliver(2, "0", (now + 1, "n"), [TWO])
    await store.deliver(2, "0", (now, "n"), [THREE])
    assert await inbox(store, 2) == [b"one", b"two"]


async def test_sources_are_counted_apart(store: WorkerStore) -> None:
    await store.deliver(2, "0", (5, "n"), [ONE])
    await store.deliver(2, "1", (3, "n"), [ONE])
    await store.deliver(2, "client-7", (1, "x"), [ONE])
    assert await inbox(store, 2) == [b"one", b"one", b"one"]


async def test_partitions_are_counted_apart(store: WorkerStore) -> None:
    await store.deliver(2, "0", (5, "n"), [ONE])
    await store.deliver(1, "0", (5, "n"), [ONE])
    assert await inbox(store, 2) == await inbox(store, 1) == [b"one"]


async def test_blobs_are_any_bytes(store: WorkerStore) -> None:
    every = bytes(range(256))
    await store.deliver(2, "0", (5, "n"), [(1, b""), (2, every)])
    assert await inbox(store, 2) == [b"", every]


async def test_a_large_batch_is_taken_once(store: WorkerStore) -> None:
    batch = [(number, b"%d" % number) for number in range(1, 1_301)]
    await store.deliver(2, "0", (5, "n"), batch)
    await store.deliver(2, "0", (5, "n"), batch)
    found = await store.leases()
    assert [one.backlog for one in found] == [0, 0, 1_300, 0]


# ---------------------------------------------------------------- marks of clients


async def test_clients_that_are_silent_for_long_are_forgotten(rig: Rig, owner: Owner) -> None:
    for source in ("c:one", "c:two", "1"):
        await owner.store.deliver(0, source, (1, "n"), [(1, source.encode())])
    assert await owner.store.tidy(owner.lease, LONG_MS) == 0
    gone = 0

    async def all_gone() -> bool:
        nonlocal gone
        gone += await owner.store.tidy(owner.lease, SHORT_MS)
        return gone == 2

    await rig.eventually(all_gone)
    for source in ("c:one", "1"):
        await owner.store.deliver(0, source, (1, "n"), [(1, b"again " + source.encode())])
    assert await owner.inbox() == [b"c:one", b"c:two", b"1", b"again c:one"]


async def test_clients_that_were_heard_of_late_are_kept(owner: Owner) -> None:
    await owner.store.deliver(0, "c:one", (1, "n"), [ONE])
    assert await owner.store.tidy(owner.lease, LONG_MS) == 0
    await owner.store.deliver(0, "c:one", (1, "n"), [ONE])
    assert await owner.inbox() == [b"one"]


async def test_several_sources_at_once(store: WorkerStore) -> None:
    parcels = [Parcel("p1", (5, ""), [ONE, TWO]), Parcel("p3", (7, ""), [ONE]), Parcel("p4", (7, ""), [])]
    await store.deliver_all(2, parcels)
    await store.deliver_all(2, [Parcel("p1", (5, ""), [TWO, THREE]), Parcel("p3", (6, ""), [THREE])])
    assert await inbox(store, 2) == [ONE[1], TWO[1], ONE[1], THREE[1]]


async def test_many_messages_of_many_sources(store: WorkerStore) -> None:
    lengths = (700, 100, 150)
    parcels = [Parcel(f"p{n}", (5, ""), [(k, b"%d" % k) for k in range(1, n + 1)]) for n in lengths]
    await store.deliver_all(2, parcels)
    await store.deliver_all(2, parcels)
    assert await inbox(store, 2) == [b"%d" % k for n in lengths for k in range(1, n + 1)]
