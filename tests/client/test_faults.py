"""Lost connections, lost answers, lost notifications: nothing acknowledged is lost, nothing is doubled."""

from __future__ import annotations

import asyncio
import gc
import random
from collections import Counter

import pytest

from durastream import errors
from durastream.client import Client, waits
from durastream.client.ending import Ending
from durastream.core import messages as ms
from durastream.notices import End
from durastream.store.memory import MemoryServer, MemoryStore

from .fakes import FakeWorker, FaultyStore, at_random, messages_of, runs_on, until, until_completed

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("seed", range(8))
async def test_starts_and_events_take_effect_exactly_once(server: MemoryServer, memory: MemoryStore, seed: int) -> None:
    print(f"seed {seed}")
    store = FaultyStore(server.store(hub="default", partitions=4), at_random(seed, 0.3))
    worker = FakeWorker(memory, runs_on)

    async def one(client: Client, k: int) -> None:
        handle = await client.start("o", k, instance_id=f"i-{k}")
        await handle.raise_event("tick", k)
        await handle.raise_event("finish", k)
        assert await handle.result(timeout=20) == k

    async with Client(store, rng=random.Random(seed), retry_for_s=30) as client, worker.running():
        await asyncio.gather(*(one(client, k) for k in range(60)))
    started = Counter(message.instance_id for message in messages_of(worker, ms.Start))
    raised = Counter((m.instance_id, m.name) for m in messages_of(worker, ms.RaiseEvent))
    assert started == {f"i-{k}": 1 for k in range(60)}
    assert raised == {(f"i-{k}", name): 1 for k in range(60) for name in ("tick", "finish")}
    order = {k: [m.name for m in messages_of(worker, ms.RaiseEvent) if m.instance_id == f"i-{k}"] for k in range(60)}
    assert all(names == ["tick", "finish"] for names in order.values())


@pytest.mark.parametrize("fault", ["before", "after"])
@pytest.mark.parametrize("verb", ["start", "deliver", "records", "watch"])
async def test_one_failure_of_each_verb(
    client: Client, store: FaultyStore, memory: MemoryStore, verb: str, fault: str
) -> None:
    failing = [verb]
    store.choose = lambda name: fault if name in failing and failing.pop() else None
    worker = FakeWorker(memory, runs_on)
    async with worker.running():
        await client.start("o", instance_id="a")
        await client.raise_event("a", "finish", 1)
        assert await client.handle("a").result(timeout=5) == 1
    assert not failing
    assert len(worker.seen) == 2


async def test_giving_up_says_that_the_fate_is_unknown_and_blocks_nobody(
    server: MemoryServer, memory: MemoryStore
) -> None:
    store = FaultyStore(server.store(hub="default", partitions=4))
    async with Client(store, retry_for_s=0.2) as client:
        await client.start("o", instance_id="a")
        store.choose = lambda verb: "after" if verb == "deliver" else None
        with pytest.raises(errors.StoreUnavailable, match="fate is unknown"):
            await client.raise_event("a", "first", check=False)
        store.choose = lambda verb: None
        await client.raise_event("a", "second", check=False)
    worker = FakeWorker(memory, runs_on)
    async with worker.running():
        await until(lambda: len(worker.seen) == 3)
    assert [m.name for m in messages_of(worker, ms.RaiseEvent)] == ["first", "second"]


async def test_reads_give_up_too(store: FaultyStore) -> None:
    store.choose = lambda verb: "before"
    async with Client(store, retry_for_s=0.1) as client:
        with pytest.raises(errors.StoreUnavailable, match="gave up after"):
            await client.status("a")
        with pytest.raises(errors.StoreUnavailable):
            await client.start_many("o", range(500))


async def test_other_errors_of_the_store_are_passed_on(client: Client, store: FaultyStore) -> None:
    def broken(verb: str) -> None:
        raise errors.ServerUnsuitable("too old")

    store.choose = broken
    with pytest.raises(errors.ServerUnsuitable, match="too old"):
        await client.start("o")


async def test_a_cancelled_start_does_not_disturb_others(
    client: Client, store: FaultyStore, memory: MemoryStore
) -> None:
    tasks = [asyncio.create_task(client.start("o", k, instance_id=f"i-{k}")) for k in range(20)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    async with FakeWorker(memory).running():
        assert await client.wait_all([task.result() for task in tasks[1::2]], timeout=5) == list(range(1, 20, 2))


# ---- notifications


async def test_a_started_one_is_not_asked_for(client: Client, store: FaultyStore, memory: MemoryStore) -> None:
    await until(lambda: client._session.waits.live)
    async with FakeWorker(memory).running():
        results = await asyncio.gather(*(_start_and_wait(client, k) for k in range(200)))
    assert results == list(range(200))
    assert store.calls.count("watch") == 0


async def _start_and_wait(client: Client, k: int) -> int:
    result: int = await (await client.start("o", k)).result(timeout=5)
    return result


async def test_others_are_asked_for_once_in_a_batch(client: Client, store: FaultyStore, memory: MemoryStore) -> None:
    await until(lambda: client._session.waits.live)
    other = Client(memory)
    async with other:
        await other.start_many("o", range(200), instance_ids=[f"i-{k}" for k in range(200)])
        waiting = asyncio.gather(*(client.handle(f"i-{k}").result(timeout=5) for k in range(200)))
        await until(lambda: store.calls.count("watch") == memory.hub.partitions)
        async with FakeWorker(memory).running():
            assert await waiting == list(range(200))
    assert store.calls.count("watch") == memory.hub.partitions


async def test_an_end_before_the_wait_is_kept(client: Client, store: FaultyStore, memory: MemoryStore) -> None:
    await until(lambda: client._session.waits.live)
    async with FakeWorker(memory).running():
        handle = await client.start("o", 5)
        await until(lambda: handle._ending.notice is not None)
        assert await handle.result(timeout=5) == 5
    assert store.calls == ["start"]


async def test_nothing_is_kept_of_dropped_handles(client: Client, memory: MemoryStore) -> None:
    async with FakeWorker(memory).running():
        handles = await client.start_many("o", range(500))
        await client.wait_all(handles, timeout=5)
        waited = asyncio.create_task(client.handle(handles[0].id).result())
        await waited
        del handles, waited
        gc.collect()
    assert len(client._session.waits._known) == 0
    assert not client._session.waits._waited


async def test_a_cancelled_wait_leaves_nothing_and_loses_nothing(client: Client, memory: MemoryStore) -> None:
    handle = await client.start("o", 5)
    waiting = asyncio.create_task(handle.result())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not client._session.waits._waited
    async with FakeWorker(memory).running():
        assert await handle.result(timeout=5) == 5


async def test_a_wait_cancelled_as_the_end_arrives_can_be_repeated(
    client: Client, memory: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await until(lambda: client._session.waits.live)
    handle = await client.start("o", 5)
    waiting = asyncio.create_task(handle.result())
    told = client._session.waits
    settle = told._settle

    def cancel_too(ending: Ending, notice: End) -> None:
        settle(ending, notice)
        waiting.cancel()

    monkeypatch.setattr(told, "_settle", cancel_too)
    async with FakeWorker(memory).running():
        with pytest.raises(asyncio.CancelledError):
            await waiting
        monkeypatch.undo()
        assert await handle.result(timeout=5) == 5


@pytest.mark.parametrize("loss", ["reconnect", "break_subscription"])
async def test_after_a_reconnection_all_waits_are_asked_again(
    client: Client, store: FaultyStore, memory: MemoryStore, loss: str
) -> None:
    await until(lambda: client._session.waits.live)
    handles = [await client.start("o", k) for k in range(50)]
    waiting = asyncio.gather(*(handle.result(timeout=5) for handle in handles[:40]))
    store.deaf = True
    async with FakeWorker(memory).running():
        await until_completed(memory, 50)
        assert not waiting.done()
        store.deaf = False
        getattr(store, loss)()
        assert await waiting == list(range(40))
        assert await client.wait_all(handles[40:], timeout=5) == list(range(40, 50))


async def test_notifications_lost_without_a_trace_are_made_up_for(
    server: MemoryServer, memory: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waits, "_LOOK_S", 0.02)
    store = FaultyStore(server.store(hub="default", partitions=4))
    store.deaf = True
    async with Client(store) as client, FakeWorker(memory).running():
        await until(lambda: client._session.waits.live)
        handles = await client.start_many("o", range(300))
        assert await client.wait_all(handles, timeout=10) == list(range(300))


async def test_rubbish_on_the_channel_is_ignored(client: Client, store: FaultyStore, memory: MemoryStore) -> None:
    await until(lambda: client._session.waits.live)
    store._heard.put_nowait(b"\xc1rubbish")
    async with FakeWorker(memory).running():
        assert await (await client.start("o", 5)).result(timeout=5) == 5


async def test_a_start_that_fails_does_not_blind_other_waits(client: Client, memory: MemoryStore) -> None:
    first = await client.start("o", 1, instance_id="a")
    waiting = asyncio.create_task(first.result(timeout=5))
    await asyncio.sleep(0)
    with pytest.raises(errors.InstanceExists):
        await client.start("o", 2, instance_id="a")
    async with FakeWorker(memory).running():
        assert await waiting == 1
