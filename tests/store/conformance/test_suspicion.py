"""What a store remembers of owners and workers that died of their work."""

from __future__ import annotations

import pytest

from durastream.errors import Fenced
from durastream.store.protocol import SUSPECT, Lease, WorkerStore
from tests.store.conformance.rigs import Rig
from tests.store.conformance.values import SHORT_MS, Owner, blobs, claim_all, own

pytestmark = pytest.mark.anyio


async def take_over(rig: Rig, store: WorkerStore, number: int, ttl_ms: int = SHORT_MS) -> Lease:
    """The lease of the next owner, as soon as that of the last one has run out."""
    return await rig.eventually(lambda: store.acquire(0, f"w{number}", f"n{number}", ttl_ms)) or Lease(0, 0, "")


async def test_owners_that_die_young_are_counted(rig: Rig, store: WorkerStore) -> None:
    for number in range(4):
        lease = await take_over(rig, store, number)
        assert await store.deaths(lease) == number


async def test_an_owner_that_gave_its_lease_up_did_not_die(rig: Rig, store: WorkerStore) -> None:
    await take_over(rig, store, 1)
    lease = await take_over(rig, store, 2)
    assert await store.deaths(lease) == 1
    await store.release(lease)
    assert await store.deaths(await take_over(rig, store, 3)) == 0


async def test_an_owner_that_lived_long_breaks_the_row(rig: Rig, store: WorkerStore) -> None:
    await take_over(rig, store, 1)
    lease = await take_over(rig, store, 2)
    assert await store.deaths(lease) == 1
    until = await rig.now() + 4 * SHORT_MS

    async def renewed() -> bool:
        assert await store.renew([lease], "w2", SHORT_MS) == [lease]
        return await rig.now() > until

    await rig.eventually(renewed)
    assert await store.deaths(await take_over(rig, store, 3)) == 1


async def test_who_falls_silent_while_it_tries_an_entry_is_named(rig: Rig, store: WorkerStore) -> None:
    for number in range(3):
        lease = await take_over(rig, store, number)
        assert await store.tried(lease, "7-0") == tuple(f"w{one}" for one in range(number))
        await store.attempt(lease, "7-0")
        await store.attempt(lease, "7-0")  # the same call, repeated
    lease = await take_over(rig, store, 1, ttl_ms=60_000)
    assert await store.tried(lease, "7-0") == ("w0", "w1", "w2")
    assert await store.tried(lease, "8-0") == ()


async def test_one_that_does_so_twice_is_named_once(rig: Rig, store: WorkerStore) -> None:
    for _ in range(2):
        await store.attempt(await take_over(rig, store, 1), "T\n1\nt.0\nid \U0001f98a")
    lease = await take_over(rig, store, 2)
    assert await store.tried(lease, "T\n1\nt.0\nid \U0001f98a") == ("w1",)


@pytest.mark.parametrize("following", ["", "8-0"])
async def test_nothing_is_held_against_what_an_owner_got_over(rig: Rig, store: WorkerStore, following: str) -> None:
    await store.attempt(await take_over(rig, store, 1), "7-0")
    lease = await take_over(rig, store, 2)
    await store.attempt(lease, "7-0")
    await store.attempt(lease, following)
    assert await store.tried(lease, "7-0") == ()
    lease = await take_over(rig, store, 3)
    assert await store.tried(lease, "7-0") == ()
    assert await store.tried(lease, "8-0") == (("w2",) if following else ())


async def test_who_gives_its_lease_up_has_not_died_of_what_it_tried(rig: Rig, store: WorkerStore) -> None:
    lease = await take_over(rig, store, 1)
    await store.attempt(lease, "7-0")
    await store.release(lease)
    assert await store.tried(await take_over(rig, store, 2), "7-0") == ()


async def test_only_the_owner_notes_what_it_tries(rig: Rig, store: WorkerStore) -> None:
    late = await take_over(rig, store, 1)
    await take_over(rig, store, 2)
    with pytest.raises(Fenced):
        await store.attempt(late, "7-0")
    with pytest.raises(Fenced):
        await store.mend(late)


async def test_nothing_to_mend(owner: Owner, store: WorkerStore) -> None:
    await store.deliver(0, "c:x", (0, "n"), [(1, b"message")])
    await owner.commit(outbox=[(1, b"message")])
    assert await store.mend(owner.lease) == (False, [])
    assert await owner.inbox() == [b"message"]
    assert len(await store.outbox(owner.lease, (0, 0), 10)) == 1


async def test_of_suspects_only_the_one_that_had_begun_counts(owner: Owner, store: WorkerStore) -> None:
    await owner.commit(activities=[("default", b"a"), ("default", b"b")])
    for death in range(SUSPECT):
        assert len(await claim_all(store, f"w{death}", "default")) == 2
        await store.reclaim(owner.lease, [f"w{death}"], 10)
    claimed = {one.blob: one for one in await claim_all(store, "last", "default")}
    assert {len(one.died) for one in claimed.values()} == {SUSPECT}
    assert await store.claimed("last", ["default"]) != [], "reading again what is claimed does not begin it"
    assert await store.begin("last", claimed[b"b"])
    back = {one.blob: len(one.died) for one in await store.reclaim(owner.lease, ["last"], 10)}
    assert back == {b"a": SUSPECT, b"b": SUSPECT + 1}


async def test_what_is_gone_does_not_begin(owner: Owner, store: WorkerStore) -> None:
    await owner.commit(activities=[("default", b"a")])
    (activity,) = await claim_all(store, "dead", "default")
    await store.reclaim(owner.lease, ["dead"], 10)
    assert not await store.begin("dead", activity)
    assert blobs(await claim_all(store, "next", "default")) == [b"a"]


async def test_owners_of_other_partitions_are_counted_apart(rig: Rig, store: WorkerStore) -> None:
    for number in range(2):
        await take_over(rig, store, number)
    other = await own(store, 1)
    assert await store.deaths(other.lease) == 0
