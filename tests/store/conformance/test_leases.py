"""acquire, renew, release, leases; and that a stale lease can do nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from durastream.errors import Fenced
from durastream.store.protocol import Commit, Lease, LeaseInfo, WorkerStore
from tests.store.conformance.rigs import Rig
from tests.store.conformance.values import LONG_MS, SHORT_MS, Owner, creation, ids_in, new, own

pytestmark = pytest.mark.anyio


async def take_over(rig: Rig, store: WorkerStore) -> tuple[Lease, Lease]:
    """A lease that ran out, and the one that followed."""
    old = await store.acquire(0, "w1", "n1", SHORT_MS)
    assert old is not None
    following = await rig.eventually(lambda: store.acquire(0, "w2", "n2", LONG_MS))
    assert following is not None
    return old, following


async def test_one_owner_at_a_time(store: WorkerStore) -> None:
    lease = await store.acquire(0, "w1", "n1", LONG_MS)
    assert lease is not None and (lease.partition, lease.nonce) == (0, "n1") and lease.epoch > 0
    assert await store.acquire(0, "w2", "n2", LONG_MS) is None
    assert await store.acquire(1, "w2", "n2", LONG_MS) is not None


async def test_of_many_at_once_one_gets_it(rig: Rig) -> None:
    stores = [await rig.open() for _ in range(4)]
    leases = await asyncio.gather(*(one.acquire(0, f"w{k}", f"n{k}", LONG_MS) for k, one in enumerate(stores)))
    assert sum(lease is not None for lease in leases) == 1


async def test_a_repeated_acquisition_answers_the_same(store: WorkerStore) -> None:
    lease = await store.acquire(0, "w1", "n1", LONG_MS)
    assert lease is not None
    assert await store.acquire(0, "w1", "n1", LONG_MS) == lease


async def test_a_worker_does_not_share_with_its_own_former_life(store: WorkerStore) -> None:
    assert await store.acquire(0, "w1", "n1", LONG_MS) is not None
    assert await store.acquire(0, "w1", "n2", LONG_MS) is None


async def test_a_lease_runs_out_and_the_next_epoch_is_higher(rig: Rig, store: WorkerStore) -> None:
    old, following = await take_over(rig, store)
    assert following.epoch > old.epoch
    assert await store.renew([old], "w1", LONG_MS) == []
    assert await store.acquire(0, "w1", "n3", LONG_MS) is None


async def test_renewal_prolongs(rig: Rig, store: WorkerStore) -> None:
    lease = await store.acquire(0, "w1", "n1", LONG_MS)
    assert lease is not None
    before = (await store.leases())[0].until
    assert await store.renew([lease], "w1", 10 * LONG_MS) == [lease]
    assert (await store.leases())[0].until >= before + 8 * LONG_MS


async def test_a_lease_that_ran_out_is_not_renewed_even_if_nobody_took_it(rig: Rig, store: WorkerStore) -> None:
    lease = await store.acquire(0, "w1", "n1", SHORT_MS)
    assert lease is not None

    async def ran_out() -> bool:
        return (await store.leases())[0].until < await rig.now()

    await rig.eventually(ran_out)
    assert await store.renew([lease], "w1", LONG_MS) == []
    again = await store.acquire(0, "w1", "n1", LONG_MS)
    assert again is not None and again.epoch > lease.epoch


async def test_a_lease_of_which_the_store_has_forgotten_commits_is_lost(store: WorkerStore) -> None:
    lease = await store.acquire(0, "w1", "n1", LONG_MS)
    assert lease is not None
    await store.commit(lease, 1, Commit(inbox=[b"m"]))
    assert await store.renew([lease], "w1", LONG_MS, {lease: 1}) == [lease]
    assert await store.renew([lease], "w1", LONG_MS, {lease: 2}) == []


async def test_renewal_of_several_answers_those_still_held(store: WorkerStore) -> None:
    leases = [await store.acquire(partition, "w1", "n1", LONG_MS) for partition in (0, 1, 2)]
    held = [lease for lease in leases if lease is not None]
    await store.release(held[1])
    assert await store.renew([*held, held[0]._replace(nonce="x")], "w1", LONG_MS) == [held[0], held[2]]
    assert await store.renew([], "w1", LONG_MS) == []


async def test_a_released_partition_is_free_at_once(store: WorkerStore) -> None:
    lease = await store.acquire(0, "w1", "n1", LONG_MS)
    assert lease is not None
    await store.release(lease)
    info = (await store.leases())[0]
    assert (info.owner, info.until) == (None, 0)
    following = await store.acquire(0, "w2", "n2", LONG_MS)
    assert following is not None and following.epoch > lease.epoch


async def test_a_repeated_or_late_release_does_not_hurt_the_next_owner(rig: Rig, store: WorkerStore) -> None:
    lease = await store.acquire(0, "w1", "n1", LONG_MS)
    assert lease is not None
    await store.release(lease)
    await store.release(lease)
    following = await store.acquire(0, "w2", "n2", LONG_MS)
    assert following is not None
    await store.release(lease)
    assert await store.renew([following], "w2", LONG_MS) == [following]


async def test_leases_are_told_with_what_waits(rig: Rig, owner: Owner) -> None:
    store, now = owner.store, await rig.now()
    (instance_id, later) = ids_in(0, 2)
    await store.start(0, [new(instance_id), new(later, start_at=now + LONG_MS)])
    await owner.commit(outbox=[(1, b"x"), (2, b"y")], activities=[("default", b"a"), ("gpu", b"b"), ("gpu", b"c")])
    await store.claim_activities("w1", ["gpu"], 1, 0)
    first, second, *_ = infos = await store.leases()
    assert [one.partition for one in infos] == [0, 1, 2, 3]
    assert now < first.until <= await rig.now() + LONG_MS
    assert first == LeaseInfo(0, "w1", owner.lease.epoch, first.until, backlog=2, timers=1, outbox=2, activities=3)
    assert second == LeaseInfo(1, None, 0, 0, backlog=0, timers=0, outbox=0, activities=0)


async def test_handles_see_the_same_leases(rig: Rig, store: WorkerStore) -> None:
    await own(store, 3)
    assert (await (await rig.open()).leases())[3].owner == "w1"


# ---------------------------------------------------------------- fencing

I1, I2 = ids_in(0, 2)
Verb = Callable[[WorkerStore, Lease], Awaitable[object]]
FENCED: dict[str, Verb] = {
    "commit": lambda store, lease: store.commit(lease, 1, Commit([creation(I2)], inbox=[b"x"], timers_add=[(1, "t")])),
    "a commit seen before": lambda store, lease: store.commit(lease, 0, Commit()),
    "due": lambda store, lease: store.due(lease, 10),
    "forget": lambda store, lease: store.forget(lease, [(lease.epoch, 1)]),
    "forget nothing": lambda store, lease: store.forget(lease, []),
    "tidy": lambda store, lease: store.tidy(lease, 0),
    "reclaim": lambda store, lease: store.reclaim(lease, ["dead"], 10),
}


async def furnished(store: WorkerStore) -> Owner:
    """An owner of partition 0 with something to lose for each verb."""
    owner = await own(store, 0)
    await store.start(0, [new(I1)])
    await owner.commit(outbox=[(1, b"x")], activities=[("default", b"a")], timers_add=[(1, "timer")])
    await store.claim_activities("dead", ["default"], 1, 0)
    return owner


@pytest.mark.parametrize("verb", FENCED.values(), ids=FENCED)
@pytest.mark.parametrize("stale", ["lower epoch", "higher epoch", "other nonce"])
async def test_a_lease_that_is_not_the_present_one_is_fenced(rig: Rig, verb: Verb, stale: str) -> None:
    store = await rig.open()
    lease = (await furnished(store)).lease
    others = {
        "lower epoch": lease._replace(epoch=lease.epoch - 1),
        "higher epoch": lease._replace(epoch=lease.epoch + 1),
        "other nonce": lease._replace(nonce="n2"),
    }
    before = await rig.snapshot()
    with pytest.raises(Fenced):
        await verb(store, others[stale])
    assert await rig.snapshot() == before


@pytest.mark.parametrize("verb", FENCED.values(), ids=FENCED)
async def test_a_released_lease_is_fenced(rig: Rig, verb: Verb) -> None:
    store = await rig.open()
    owner = await furnished(store)
    await store.release(owner.lease)
    before = await rig.snapshot()
    with pytest.raises(Fenced):
        await verb(store, owner.lease)
    assert await rig.snapshot() == before


@pytest.mark.parametrize("verb", FENCED.values(), ids=FENCED)
async def test_nobody_owns_a_partition_that_was_never_acquired(rig: Rig, verb: Verb) -> None:
    store = await rig.open()
    with pytest.raises(Fenced):
        await verb(store, Lease(0, 0, ""))


async def test_a_released_lease_has_no_nonce_that_could_be_named(store: WorkerStore) -> None:
    lease = (await own(store, 0)).lease
    await store.release(lease)
    with pytest.raises(Fenced):
        await store.commit(lease._replace(nonce=""), 1, Commit(inbox=[b"x"]))
    with pytest.raises(Fenced):
        await store.due(lease._replace(nonce=""), 1)


async def test_what_only_reads_answers_anybody(store: WorkerStore) -> None:
    await store.start(0, [new(I1)])
    nobody = Lease(0, 0, "")
    assert await store.load(nobody, [I2]) == [None]
    assert await store.load_entities(nobody, ["@Counter@e"]) == [None]
    assert await store.outbox(nobody, (0, 0), 1) == []
    assert await store.deaths(nobody) == 0


async def test_after_a_takeover_the_old_owner_is_fenced(rig: Rig, store: WorkerStore) -> None:
    old, following = await take_over(rig, store)
    with pytest.raises(Fenced):
        await store.commit(old, 1, Commit(inbox=[b"zombie"]))
    await store.commit(following, 1, Commit(inbox=[b"alive"]))
