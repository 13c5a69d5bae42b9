"""Timers and the outbox: what the owner reads besides its inbox."""

from __future__ import annotations

import pytest

from durastream.store.protocol import Outbound
from tests.store.conformance.rigs import Rig
from tests.store.conformance.values import Owner, own

pytestmark = pytest.mark.anyio

HOUR_MS = 3_600_000


async def test_due_timers_come_oldest_first_with_the_time_of_the_next(rig: Rig, owner: Owner) -> None:
    now = await rig.now()
    timers = [(now - 5, "b"), (now + HOUR_MS, "late"), (now - 9, "a"), (now + 2 * HOUR_MS, "later"), (now - 1, "c")]
    await owner.commit(timers_add=timers)
    assert await owner.store.due(owner.lease, 10) == (["a", "b", "c"], now + HOUR_MS)
    assert (await owner.store.due(owner.lease, 2))[0] == ["a", "b"]


async def test_without_timers_there_is_no_next(owner: Owner) -> None:
    assert await owner.store.due(owner.lease, 10) == ([], None)


async def test_reading_due_timers_takes_nothing_away(owner: Owner) -> None:
    await owner.commit(timers_add=[(1, "a")])
    assert await owner.store.due(owner.lease, 10) == await owner.store.due(owner.lease, 10) == (["a"], None)
    await owner.commit(timers_remove=["a", "not there"])
    assert await owner.store.due(owner.lease, 10) == ([], None)


async def test_a_timer_falls_due_by_the_clock_of_the_server(rig: Rig, owner: Owner) -> None:
    due_at = await rig.now() + 80
    await owner.commit(timers_add=[(due_at, "t")])

    async def reached() -> list[str]:
        members, following = await owner.store.due(owner.lease, 10)
        assert bool(members) != (following == due_at)
        return members

    assert await rig.eventually(reached) == ["t"]
    assert await rig.now() >= due_at


async def test_a_timer_that_is_added_again_is_moved(rig: Rig, owner: Owner) -> None:
    later = await rig.now() + HOUR_MS
    await owner.commit(timers_add=[(1, "a")])
    await owner.commit(timers_add=[(later, "a")])
    assert await owner.store.due(owner.lease, 10) == ([], later)


async def test_times_keep_their_precision(owner: Owner) -> None:
    at = 253_402_300_799_999
    await owner.commit(timers_add=[(at, "a")])
    assert await owner.store.due(owner.lease, 10) == ([], at)


async def test_timers_of_partitions_are_apart(owner: Owner) -> None:
    other = await own(owner.store, 1)
    await owner.commit(timers_add=[(1, "a")])
    assert await other.store.due(other.lease, 10) == ([], None)


# ---------------------------------------------------------------- outbox


async def test_the_outbox_is_read_in_pieces(owner: Owner) -> None:
    await owner.commit(outbox=[(k % 4, b"%d" % k) for k in range(12)])
    epoch = owner.lease.epoch
    first = await owner.store.outbox(owner.lease, (0, 0), 5)
    assert [one.blob for one in first] == [b"0", b"1", b"2", b"3", b"4"]
    rest = await owner.store.outbox(owner.lease, first[-1].number, 100)
    assert rest == [Outbound((epoch, k + 1), k % 4, b"%d" % k) for k in range(5, 12)]
    assert await owner.store.outbox(owner.lease, rest[-1].number, 100) == []


async def test_delivered_entries_are_forgotten(owner: Owner) -> None:
    await owner.commit(outbox=[(1, b"a"), (1, b"b"), (1, b"c")])
    epoch = owner.lease.epoch
    for _ in range(2):  # a repeat is harmless
        await owner.store.forget(owner.lease, [(epoch, 1), (epoch, 3)])
    assert await owner.store.outbox(owner.lease, (0, 0), 9) == [Outbound((epoch, 2), 1, b"b")]
    await owner.commit(outbox=[(2, b"d")])
    assert [one.number for one in await owner.store.outbox(owner.lease, (0, 0), 9)] == [(epoch, 2), (epoch, 4)]


async def test_forgetting_nothing_is_nothing(owner: Owner) -> None:
    await owner.commit(outbox=[(1, b"a")])
    await owner.store.forget(owner.lease, [])
    assert len(await owner.store.outbox(owner.lease, (0, 0), 9)) == 1


async def test_what_a_former_owner_left_comes_first(owner: Owner) -> None:
    await owner.commit(outbox=[(1, b"a"), (1, b"b")])
    await owner.store.release(owner.lease)
    following = await own(owner.store, 0, "w2", "n2")
    await following.commit(outbox=[(1, b"c")])
    found = await following.store.outbox(following.lease, (0, 0), 9)
    assert [one.blob for one in found] == [b"a", b"b", b"c"]
    await following.store.forget(following.lease, [found[0].number])
    assert [one.blob for one in await following.store.outbox(following.lease, (0, 0), 9)] == [b"b", b"c"]
