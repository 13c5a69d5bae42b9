"""Starting, waiting, looking: what each call answers when nothing goes wrong."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Generator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from durastream import errors
from durastream.app import App
from durastream.client import Client
from durastream.core import events as ev
from durastream.core.status import COMPLETED, FAILED, TERMINATED
from durastream.store.memory import MemoryStore

from .fakes import FakeWorker, FaultyStore, runs_on

pytestmark = pytest.mark.anyio


@dataclass
class Order:
    sku: str
    count: int


app = App()


@app.orchestrator
async def place_order(ctx: Any, order: Order) -> Order:
    raise NotImplementedError


@app.orchestrator
def by_generator(ctx: Any, order: Order) -> Generator[Any, Any, Order]:
    yield
    return order


async def test_a_result_has_the_annotated_type(client: Client, memory: MemoryStore) -> None:
    async with FakeWorker(memory).running():
        for orchestrator in (place_order, by_generator):
            handle = await client.start(orchestrator, Order("hat", 2))
            assert await handle.result(timeout=5) == Order("hat", 2)


async def test_by_name_and_by_handle_the_result_is_plain(client: Client, memory: MemoryStore) -> None:
    async with FakeWorker(memory).running():
        handle = await client.start("place_order", {"sku": "hat", "count": 2}, instance_id="order {7}:*")
        assert await handle.result(timeout=5) == {"sku": "hat", "count": 2}
        other = client.handle("order {7}:*", type=Order)
        assert await other.result(timeout=5) == Order("hat", 2)


async def test_status_shows_the_whole_record(client: Client, memory: MemoryStore) -> None:
    async with FakeWorker(memory).running():
        handle = await client.start(
            place_order, Order("hat", 2), instance_id="order-7", tags={"shop": "berlin"}, version="2"
        )
        status = await handle.wait(timeout=5)
    assert (status.id, status.name, status.runtime_status) == ("order-7", "place_order", "Completed")
    assert status.ended
    assert status.input == status.output == {"sku": "hat", "count": 2}
    assert (status.tags, status.version, status.parent_id, status.problem) == ({"shop": "berlin"}, "2", None, None)
    assert status.created_at.tzinfo is UTC
    assert status.completed_at is not None
    assert status.completed_at - status.created_at == timedelta(milliseconds=5)
    assert (status.events, status.execution_id) == (1, handle.execution_id)


async def test_history_is_decoded(client: Client, memory: MemoryStore) -> None:
    async with FakeWorker(memory).running():
        handle = await client.start(place_order, Order("hat", 2))
        await handle.result(timeout=5)
        (event,) = await handle.history()
    assert isinstance(event, ev.ExecutionStarted)
    assert event.name == "place_order"


@pytest.mark.parametrize("ask", ["status", "history", "result", "raise_event", "suspend", "rewind", "purge"])
async def test_unknown_instances_are_named(client: Client, ask: str) -> None:
    handle = client.handle("nobody")
    args = ("approved",) if ask == "raise_event" else ()
    with pytest.raises(errors.InstanceNotFound, match="'nobody'"):
        await getattr(handle, ask)(*args)


async def test_failures_arrive_whole(client: Client, memory: MemoryStore) -> None:
    causes = (ev.Failure("OSError", "gone"),)
    worker = FakeWorker(memory, lambda record: (FAILED, ("KeyError", "'x'", "the stack", causes)))
    async with worker.running():
        handle = await client.start("o", 1, instance_id="a")
        with pytest.raises(errors.OrchestrationFailed, match="'a' failed: KeyError: 'x'") as caught:
            await handle.result(timeout=5)
        assert (caught.value.stack, caught.value.causes) == ("the stack", causes)
        assert (await handle.status()).failure == caught.value.failure


async def test_a_terminated_one_tells_the_reason(client: Client, memory: MemoryStore) -> None:
    async with FakeWorker(memory, runs_on).running():
        handle = await client.start("o", 1, instance_id="a")
        await handle.terminate("no stock")
        with pytest.raises(errors.OrchestrationTerminated) as caught:
            await handle.result(timeout=5)
        assert caught.value.message == "no stock"


async def test_a_taken_id(client: Client, memory: MemoryStore) -> None:
    await client.start("o", 1, instance_id="a")
    with pytest.raises(errors.InstanceExists, match="'a' exists already and is Pending"):
        await client.start("o", 2, instance_id="a")
    again = await client.start("o", 2, instance_id="a", if_exists="ignore")
    async with FakeWorker(memory).running():
        assert await again.result(timeout=5) == 1


async def test_who_meets_an_instance_of_another_client_is_told_of_its_end(client: Client, memory: MemoryStore) -> None:
    """Its channel is not the one that is told by itself: it has to ask, not to look around after 15 s."""
    async with Client(memory) as other:
        await other.start("o", 1, instance_id="a")
    met = await client.start("o", 2, instance_id="a", if_exists="ignore")
    (met_too,) = await client.start_many("o", [3], instance_ids=["a"], if_exists="ignore")
    waits = asyncio.gather(met.result(timeout=5), met_too.result(timeout=5))
    async with FakeWorker(memory).running():
        assert list(await waits) == [1, 1]


async def test_replace_waits_for_the_new_execution(client: Client, memory: MemoryStore) -> None:
    async with FakeWorker(memory).running():
        old = await client.start("o", "old", instance_id="a")
        assert await old.result(timeout=5) == "old"
        new = await client.start("o", "new", instance_id="a", if_exists="replace")
        assert await new.result(timeout=5) == "new"
        absent = await client.start("o", "first", instance_id="b", if_exists="replace")
        assert await absent.result(timeout=5) == "first"


async def test_start_many_keeps_the_order(client: Client, store: FaultyStore, memory: MemoryStore) -> None:
    async with FakeWorker(memory).running():
        handles = await client.start_many(place_order, [Order("hat", k) for k in range(1_000)])
        assert [order.count for order in await client.wait_all(handles, timeout=10)] == list(range(1_000))
    assert store.calls.count("start") <= 40


async def test_start_many_with_taken_ids(client: Client, memory: MemoryStore) -> None:
    await client.start("o", "first", instance_id="b")
    ids = ["a", "b", "c"]
    with pytest.raises(errors.InstanceExists, match=r"1 of 3 instances exist already \('b'\)"):
        await client.start_many("o", [1, 2, 3], instance_ids=ids)
    async with FakeWorker(memory).running():
        ignored = await client.start_many("o", [4, 5, 6], instance_ids=ids, if_exists="ignore")
        assert await client.wait_all(ignored, timeout=5) == [1, "first", 3]
        replaced = await client.start_many("o", [4, 5, 6], instance_ids=ids, if_exists="replace")
        assert await client.wait_all(replaced, timeout=5) == [4, 5, 6]


async def test_wait_all_raises_the_first_failure_or_says_who_is_late(client: Client, memory: MemoryStore) -> None:
    def behaviour(record: Any) -> Any:
        return runs_on(record) if record.input == b"0" else (FAILED, ("E", f"of {record.instance_id}"))

    async with FakeWorker(memory, behaviour).running():
        handles = await client.start_many("o", [0, 1, 2], instance_ids=["a", "b", "c"])
        with pytest.raises(errors.OrchestrationFailed, match="of b"):
            await client.wait_all(handles[1:], timeout=5)
        with pytest.raises(errors.TimeoutError, match="'a'"):
            await client.wait_all(handles[:1], timeout=0.01)


async def test_a_scheduled_start_waits(client: Client, memory: MemoryStore) -> None:
    at = datetime(2040, 1, 1, tzinfo=UTC)
    handle = await client.start("o", 1, start_at=at)
    async with FakeWorker(memory).running():
        with pytest.raises(errors.TimeoutError, match=r"has not ended after 0\.05 s"):
            await handle.result(timeout=0.05)
    status = await handle.status()
    assert (status.runtime_status, status.start_at) == ("Pending", at)


async def test_list_filters_and_pages(client: Client, memory: MemoryStore) -> None:
    await client.start_many("even", range(0, 300, 2), instance_ids=[f"n-{k:03}" for k in range(0, 300, 2)])
    await client.start_many("odd", range(1, 300, 2), instance_ids=[f"n-{k:03}" for k in range(1, 300, 2)])
    await client.start("odd", 7, instance_id="tagged", tags={"shop": "berlin", "floor": "1"})

    async def ids(**filters: Any) -> list[str]:
        return [status.id async for status in client.list(**filters)]

    assert len(await ids()) == 301
    assert len(await ids(name="odd")) == 151
    assert sorted(await ids(prefix="n-29")) == [f"n-29{k}" for k in range(10)]
    assert await ids(tags={"shop": "berlin"}) == ["tagged"]
    assert await ids(tags={"shop": "berlin", "floor": "2"}) == []
    assert len(await ids(limit=120)) == 120
    assert len(await ids(limit=3, name="even")) == 3
    assert await ids(status=["Failed", "Running"]) == []
    assert await ids(created_before=datetime(2001, 1, 1, tzinfo=UTC)) == []
    assert len(await ids(created_after=datetime(2001, 1, 1, tzinfo=UTC))) == 301
    assert (await client.counts())["Pending"] == 301


async def test_unknown_options_are_refused(client: Client) -> None:
    with pytest.raises(TypeError, match="no option 'tag'"):
        await client.start("o", 1, tag={})  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="no filter 'naem'"):
        async for _ in client.list(naem="x"):  # type: ignore[call-arg]
            pass
    with pytest.raises(ValueError, match="no runtime status"):
        async for _ in client.list(status="Done"):  # type: ignore[arg-type]
            pass
    with pytest.raises(ValueError, match="if_exists"):
        await client.start("o", 1, if_exists="overwrite")  # type: ignore[call-overload]


async def test_bad_values_are_refused_before_anything_is_sent(client: Client, store: FaultyStore) -> None:
    before = len(store.calls)
    with pytest.raises(errors.PayloadError, match=r"input\.x"):
        await client.start("o", {"x": float("nan")})
    with pytest.raises(errors.PayloadTooLarge, match=r"input is 1,\d\d\d,\d\d\d bytes"):
        await client.start("o", "x" * 1_100_000)
    with pytest.raises(errors.InvalidId):
        await client.start("o", 1, instance_id="\n")
    with pytest.raises(errors.InvalidId):
        await client.start("", 1)
    with pytest.raises(errors.InvalidId, match="tag 'k'"):
        await client.start("o", 1, tags={"k": "v" * 300})
    with pytest.raises(errors.InvalidId):
        await client.raise_event("a", "")
    assert len(store.calls) == before


async def test_large_outputs_are_fetched(client: Client, memory: MemoryStore) -> None:
    async with FakeWorker(memory).running():
        big = "x" * 100_000
        handle = await client.start("o", big)
        assert await handle.result(timeout=5) == big


async def test_workers_and_partitions(client: Client, memory: MemoryStore) -> None:
    await memory.heartbeat("w", {"host": "here"}, 10_000)
    assert [worker.worker_id for worker in await client.workers()] == ["w"]
    assert [lease.partition for lease in await client.partitions()] == [0, 1, 2, 3]


async def test_a_closed_client_says_so(store: FaultyStore) -> None:
    client = Client(store)
    with pytest.raises(errors.DurastreamError, match="async with"):
        await client.start("o")
    async with client:
        handle = await client.start("o")
        waiting = asyncio.create_task(handle.result())
        await asyncio.sleep(0)
    with pytest.raises(errors.DurastreamError, match="closed"):
        await waiting


async def test_ids_are_random_but_can_be_repeated(server: Any) -> None:
    async def first_id(seed: int) -> str:
        async with Client(server.store(hub="default", partitions=4), rng=random.Random(seed)) as client:
            return (await client.start("o")).id

    assert await first_id(1) != await first_id(2)


async def test_events_end_it(client: Client, memory: MemoryStore) -> None:
    async with FakeWorker(memory, runs_on).running():
        handle = await client.start("o")
        await handle.raise_event("finish", {"by": "anna"})
        assert await handle.result(timeout=5) == {"by": "anna"}
        for late in (handle.raise_event("finish"), handle.suspend(), handle.resume(), handle.terminate()):
            with pytest.raises(errors.Conflict, match="it is Completed"):
                await late
        await handle.raise_event("finish", check=False)


async def test_a_result_is_asked_again_each_time(client: Client, memory: MemoryStore) -> None:
    outcome = [(TERMINATED, "no")]
    async with FakeWorker(memory, lambda record: outcome[0]).running():
        handle = await client.start("o", instance_id="a")
        with pytest.raises(errors.OrchestrationTerminated):
            await handle.result(timeout=5)
        with pytest.raises(errors.OrchestrationTerminated):
            await handle.result(timeout=5)
        outcome[0] = (COMPLETED, "yes")
        await client.restart("a", timeout=5)
        assert await handle.result(timeout=5) == "yes"
