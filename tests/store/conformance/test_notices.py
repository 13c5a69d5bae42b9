"""watch, notices and notifications: every ending is heard of, once per channel."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from durastream.core.status import COMPLETED, RUNNING
from durastream.store.protocol import WorkerStore
from tests.store.conformance.rigs import Rig
from tests.store.conformance.values import STRANGE_IDS, Owner, change, creation, ids_in, new

pytestmark = pytest.mark.anyio

I1, I2, I3 = ids_in(0, 3)
END = b"<end>"


async def listen(store: WorkerStore, channel: str) -> AsyncIterator[bytes | None]:
    """Notifications of a channel, from now on."""
    heard = store.notifications(channel)
    async with asyncio.timeout(10):
        assert await anext(heard) is None
    return heard


async def heard_until_end(heard: AsyncIterator[bytes | None]) -> bytes:
    """All that was published up to END; several blobs may come as one."""
    found = b""
    async with asyncio.timeout(10):
        while not found.endswith(END):
            blob = await anext(heard)
            assert blob is not None, "the connection was lost"
            found += blob
    return found.removesuffix(END)


async def finish(owner: Owner, instance_id: str, blob: bytes, channel: str | None = None) -> None:
    await owner.commit(
        change(await owner.record(instance_id), COMPLETED, (b"e",)), notices=[(instance_id, channel, blob)]
    )


async def test_the_first_notification_says_that_nothing_is_missed_from_now_on(owner: Owner) -> None:
    heard = await listen(owner.store, "c")
    await owner.commit(notices=[(I1, "c", b"one")])
    await owner.commit(notices=[(I2, "c", b"two"), (I3, "c", b"three"), (I1, "c", END)])
    assert await heard_until_end(heard) == b"onetwothree"


async def test_only_its_own_channel_is_heard(owner: Owner) -> None:
    heard = await listen(owner.store, "c")
    await owner.commit(notices=[(I1, "other", b"no"), (I2, "c*", b"no"), (I3, None, b"no")])
    await owner.commit(notices=[(I1, "c", END)])
    assert await heard_until_end(heard) == b""


async def test_every_listener_of_a_channel_hears_it(rig: Rig, owner: Owner) -> None:
    listeners = [await listen(store, "c") for store in (owner.store, await rig.open(), await rig.open())]
    await owner.commit(notices=[(I1, "c", b"one"), (I1, "c", END)])
    assert [await heard_until_end(heard) for heard in listeners] == [b"one"] * 3


async def test_a_watcher_is_told(owner: Owner) -> None:
    await owner.store.start(0, [new(I1)])
    heard = await listen(owner.store, "c")
    (record,) = await owner.store.watch(0, "c", [I1])
    assert record == await owner.record(I1)
    await finish(owner, I1, b"done")
    await owner.commit(notices=[(I2, "c", END)])
    assert await heard_until_end(heard) == b"done"


async def test_all_watchers_are_told_and_the_given_channel_too(owner: Owner) -> None:
    await owner.store.start(0, [new(I1)])
    listeners = [await listen(owner.store, channel) for channel in ("a", "b", "c")]
    await owner.store.watch(0, "a", [I1])
    await owner.store.watch(0, "b", [I1])
    await finish(owner, I1, b"done", "c")
    await owner.commit(notices=[(I2, channel, END) for channel in ("a", "b", "c")])
    assert [await heard_until_end(heard) for heard in listeners] == [b"done"] * 3


async def test_a_channel_hears_of_an_ending_once(owner: Owner) -> None:
    await owner.store.start(0, [new(I1)])
    heard = await listen(owner.store, "c")
    for _ in range(3):
        await owner.store.watch(0, "c", [I1])
    await finish(owner, I1, b"done", "c")
    await owner.commit(notices=[(I2, "c", END)])
    assert await heard_until_end(heard) == b"done"


async def test_who_was_told_is_forgotten(owner: Owner) -> None:
    await owner.store.start(0, [new(I1)])
    heard = await listen(owner.store, "c")
    await owner.store.watch(0, "c", [I1])
    await finish(owner, I1, b"done")
    await owner.commit(notices=[(I1, None, b"once more"), (I2, "c", END)])
    assert await heard_until_end(heard) == b"done"


async def test_a_watcher_hears_the_first_of_two_notices_in_one_commit(owner: Owner) -> None:
    await owner.store.start(0, [new(I1)])
    heard = await listen(owner.store, "c")
    await owner.store.watch(0, "c", [I1])
    await owner.commit(notices=[(I1, None, b"first"), (I1, None, b"second"), (I2, "c", END)])
    assert await heard_until_end(heard) == b"first"


async def test_channels_with_similar_names_are_told_apart(owner: Owner) -> None:
    await owner.store.start(0, [new(I1)])
    listeners = [await listen(owner.store, channel) for channel in ("client-1", "client-11")]
    await owner.store.watch(0, "client-11", [I1])
    await owner.store.watch(0, "client-1", [I1])
    await finish(owner, I1, b"done")
    await owner.commit(notices=[(I2, channel, END) for channel in ("client-1", "client-11")])
    assert [await heard_until_end(heard) for heard in listeners] == [b"done"] * 2


async def test_several_are_watched_at_once(owner: Owner) -> None:
    await owner.store.start(0, [new(I1), new(I3)])
    heard = await listen(owner.store, "c")
    first, missing, third = await owner.store.watch(0, "c", [I1, I2, I3])
    assert (first and first.instance_id, missing, third and third.instance_id) == (I1, None, I3)
    await finish(owner, I3, b"three ")
    await finish(owner, I1, b"one ")
    await owner.commit(notices=[(I2, "c", END)])
    assert await heard_until_end(heard) == b"three one "
    assert await owner.store.watch(0, "c", []) == []


async def test_one_that_ended_before_is_seen_in_the_answer_and_not_registered(rig: Rig, owner: Owner) -> None:
    await owner.commit(creation(I1, COMPLETED, output=b"7"))
    before = await rig.snapshot()
    (record,) = await owner.store.watch(0, "c", [I1])
    assert record is not None and (record.status, record.output) == (COMPLETED, b"7")
    assert await rig.snapshot() == before


async def test_whenever_it_ends_the_watcher_learns_of_it(rig: Rig, owner: Owner) -> None:
    """The race of a watch with the ending: either the answer says it, or a notification does."""
    client = await rig.open()
    heard = await listen(client, "c")
    told, seen = 0, 0
    for instance_id in ids_in(0, 30, prefix="race"):
        await owner.commit(creation(instance_id, RUNNING))
        _, (record,) = await asyncio.gather(finish(owner, instance_id, b"."), client.watch(0, "c", [instance_id]))
        assert record is not None
        seen += record.status == COMPLETED
        told += record.status == RUNNING
    await owner.commit(notices=[(I1, "c", END)])
    assert len(await heard_until_end(heard)) == told == 30 - seen


async def test_leaving_a_channel_does_not_disturb_the_others(owner: Owner) -> None:
    stays, leaves = await listen(owner.store, "c"), await listen(owner.store, "c")
    await leaves.aclose()  # type: ignore[attr-defined]
    await owner.commit(notices=[(I1, "c", b"one"), (I1, "c", END)])
    assert await heard_until_end(stays) == b"one"


@pytest.mark.parametrize("name", STRANGE_IDS)
async def test_strange_channels(rig: Rig, name: str) -> None:
    store = await rig.open()
    lease = await store.acquire(0, "w", "n", 60_000)
    assert lease is not None
    owner = Owner(store, lease)
    heard = await listen(store, name)
    await owner.commit(notices=[(I1, name, b"\x00\xff"), (I1, name, END)])
    assert await heard_until_end(heard) == b"\x00\xff"
