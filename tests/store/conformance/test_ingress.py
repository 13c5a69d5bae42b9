"""The ingress of the hub, dead letters, and reply lists: what other Redis clients see."""

from __future__ import annotations

import asyncio

import pytest

from durastream.core.status import COMPLETED, PENDING
from durastream.errors import Fenced
from durastream.store.protocol import Lease, NewInstance, Started, WorkerStore
from tests.store.conformance.rigs import Rig
from tests.store.conformance.values import LONG_MS, SHORT_MS, Owner, change, ids_in, inbox, new
from tests.support import a_moment

pytestmark = pytest.mark.anyio

I1, I2 = ids_in(0, 2)


async def router(store: WorkerStore, nonce: str = "n1") -> Lease:
    lease = await store.acquire_ingress("w1", nonce, LONG_MS)
    assert lease is not None
    return lease


# ---------------------------------------------------------------- the lease


async def test_one_router_at_a_time(store: WorkerStore) -> None:
    lease = await router(store)
    assert lease.partition == -1
    assert await store.acquire_ingress("w1", "n1", LONG_MS) == lease
    assert await store.acquire_ingress("w2", "n2", LONG_MS) is None
    assert await store.renew([lease], "w1", LONG_MS) == [lease]
    await store.release(lease)
    assert await store.renew([lease], "w1", LONG_MS) == []
    assert (await router(store, "n2")).epoch > lease.epoch


async def test_the_lease_of_the_ingress_runs_out(rig: Rig, store: WorkerStore) -> None:
    lease = await store.acquire_ingress("w1", "n1", SHORT_MS)
    following = await rig.eventually(lambda: store.acquire_ingress("w2", "n2", LONG_MS))
    assert lease is not None and following is not None and following.epoch > lease.epoch


async def test_it_is_no_lease_of_a_partition(store: WorkerStore) -> None:
    await router(store)
    assert all(one.owner is None for one in await store.leases())


# ---------------------------------------------------------------- reading


async def test_entries_are_read_in_order_and_stay_until_dropped(rig: Rig, store: WorkerStore) -> None:
    ids = [await rig.ingress({b"op": b"event", b"n": b"%d" % k, b"\xff": b"\x00"}) for k in range(3)]
    first = await store.read_ingress("0", 2, 0)
    assert first == [(ids[k], {b"op": b"event", b"n": b"%d" % k, b"\xff": b"\x00"}) for k in range(2)]
    assert [one for one, _ in await store.read_ingress(ids[1], 9, 0)] == [ids[2]]
    await store.drop_ingress([ids[0], ids[2]])
    await store.drop_ingress([ids[0]])
    assert [one for one, _ in await store.read_ingress("0", 9, 0)] == [ids[1]]
    await store.drop_ingress([])


async def test_a_blocked_read_sees_what_arrives_and_ends_in_time(rig: Rig, store: WorkerStore) -> None:
    async with asyncio.timeout(10):
        assert await store.read_ingress("0", 9, 0) == []
        assert await store.read_ingress("0", 9, 30) == []
        read = asyncio.create_task(store.read_ingress("0", 9, 9_000))
        await a_moment()
        entry_id = await rig.ingress({b"op": b"start"})
        assert await read == [(entry_id, {b"op": b"start"})]


# ---------------------------------------------------------------- routing


async def test_messages_and_starts_are_put_into_the_partition(store: WorkerStore) -> None:
    lease = await router(store)
    answers = await store.route(0, lease, [("1-0", b"event"), ("2-0", new(I1)), ("3-0", b"signal")], [])
    assert answers == [None, Started(I1, "token.0", True, PENDING), None]
    assert await inbox(store, 0) == [b"event", new(I1).message, b"signal"]
    assert (await store.counts())[PENDING] == 1


async def test_a_repeated_entry_has_no_second_effect(store: WorkerStore) -> None:
    lease = await router(store)
    batch: list[tuple[str, NewInstance | bytes]] = [("1-0", b"event"), ("2-0", new(I1))]
    first = await store.route(0, lease, batch, [])
    assert await store.route(0, lease, batch, []) == first
    assert await store.route(0, lease, [*batch, ("3-0", b"more")], []) == [*first, None]
    assert await inbox(store, 0) == [b"event", new(I1).message, b"more"]


async def test_a_repeat_by_the_next_router_has_no_second_effect(store: WorkerStore) -> None:
    lease = await router(store)
    await store.route(0, lease, [("1-0", b"event"), ("2-0", new(I1))], [])
    await store.release(lease)
    following = await router(store, "n2")
    answers = await store.route(0, following, [("1-0", b"event"), ("2-0", new(I1)), ("3-0", b"more")], [])
    assert answers == [None, Started(I1, "token.0", True, PENDING), None]
    assert await inbox(store, 0) == [b"event", new(I1).message, b"more"]


async def test_a_repeated_start_of_one_that_is_gone_does_not_bring_it_back(owner: Owner) -> None:
    store, lease = owner.store, await router(owner.store)
    await store.route(0, lease, [("1-0", new(I1))], [])
    await owner.commit(change(await owner.record(I1), COMPLETED))
    await owner.commit(purged=[(I1, COMPLETED)])
    (answer,) = await store.route(0, lease, [("1-0", new(I1))], [])
    assert answer is not None and answer.created
    assert await store.records([I1]) == [None]


async def test_a_start_of_an_id_that_is_taken_answers_so_each_time(rig: Rig, store: WorkerStore) -> None:
    lease = await router(store)
    await store.start(0, [new(I1, "other.0")])
    taken = [Started(I1, "other.0", False, PENDING)]
    assert await store.route(0, lease, [("1-0", new(I1))], []) == taken
    before = await rig.snapshot()
    assert await store.route(0, lease, [("1-0", new(I1))], []) == taken
    assert await rig.snapshot() == before


async def test_two_entries_that_start_the_same_id(store: WorkerStore) -> None:
    lease = await router(store)
    answers = await store.route(0, lease, [("1-0", new(I1, "a.0")), ("2-0", new(I1, "b.0"))], [])
    assert [one and (one.execution_id, one.created) for one in answers] == [("a.0", True), ("a.0", False)]


async def test_a_scheduled_start_waits_among_the_timers(rig: Rig, owner: Owner) -> None:
    at = await rig.now() + LONG_MS
    await owner.store.route(0, await router(owner.store), [("1-0", new(I1, start_at=at))], [])
    assert await owner.inbox() == [b""]
    assert await owner.store.due(owner.lease, 9) == ([], at)


async def test_a_router_with_a_lower_epoch_is_fenced(rig: Rig, store: WorkerStore) -> None:
    old = await router(store)
    await store.release(old)
    following = await router(store, "n2")
    await store.route(0, following, [("1-0", b"event")], [])
    before = await rig.snapshot()
    with pytest.raises(Fenced):
        await store.route(0, old, [("2-0", b"zombie"), ("3-0", new(I1))], ["1-0"])
    assert await rig.snapshot() == before


async def test_a_call_that_was_overtaken_has_no_effect(rig: Rig, store: WorkerStore) -> None:
    """Its connection broke, it was repeated, what it names was dropped and forgotten, and only then it arrives."""
    lease = await router(store)
    batch = [("1-0", b"event")]
    await store.route(0, lease, batch, [], turn=1)
    await store.route(0, lease, batch, [], turn=1)
    await store.route(0, lease, [], ["1-0"], turn=2)
    before = await rig.snapshot()
    with pytest.raises(Fenced):
        await store.route(0, lease, batch, [], turn=1)
    assert await rig.snapshot() == before
    await store.release(lease)
    await store.route(0, await router(store, "n2"), [("2-0", b"new")], [], turn=1)
    assert await rig.snapshot() != before


async def test_what_is_forgotten_leaves_nothing(rig: Rig, store: WorkerStore) -> None:
    lease = await router(store)
    await store.route(0, lease, [("71717-0", b"a"), ("71718-0", b"b")], [])
    await store.route(0, lease, [], ["71717-0", "not there"])
    text = repr(await rig.snapshot())
    assert "71717-0" not in text and "71718-0" in text


# ---------------------------------------------------------------- dead letters and replies


async def test_dead_letters_are_kept_with_their_reason(rig: Rig, store: WorkerStore) -> None:
    await store.dead_letter([("unknown op", b"\x00\xff"), ("kaputt: ä", b"")])
    await store.dead_letter([])
    await store.dead_letter([("again", b"x")])
    assert await rig.dead_letters() == [("unknown op", b"\x00\xff"), ("kaputt: ä", b""), ("again", b"x")]


async def test_replies_wait_on_their_list_for_an_hour(rig: Rig, store: WorkerStore) -> None:
    await store.reply([("my:answers", b'{"n":1}'), ("{other}", b"2"), ("my:answers", b"3")])
    assert await rig.replies("my:answers") == [b'{"n":1}', b"3"]
    assert await rig.replies("{other}") == [b"2"]
    assert 3_500_000 < await rig.reply_ttl_ms("my:answers") <= 3_600_000
    await store.reply([])
