"""The entities of a partition, alone on the memory store: batches, queues, locks, loading, forgetting, giving up."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

import durastream as ds
from durastream import wire
from durastream.core.events import Failure, Parent
from durastream.core.messages import (
    EntityOperation,
    EntityResult,
    LockEntities,
    LockGranted,
    Message,
    Start,
    Terminate,
    UnlockEntities,
)
from durastream.errors import Refused
from durastream.store.protocol import EntityRecord
from tests.worker.rigs import Rig, memory_server, until

pytestmark = pytest.mark.anyio

A = "@Counter@a"
ME, OTHER = Parent("me", "x.0", 1), Parent("other", "y.0", 1)


class Stage:
    """Lets a test hold an asynchronous operation back."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.entered = 0


def sample_app(stage: Stage | None = None) -> ds.App:
    app = ds.App()

    @app.entity
    class Counter:
        value: int = 0

        def add(self, amount: int) -> int:
            self.value += amount
            return self.value

        def get(self) -> int:
            return self.value

        def fail(self, ctx: ds.EntityContext) -> None:
            self.value = -1
            ctx.signal_entity(ds.EntityId("Counter", "b"), "add", 1)
            raise ValueError("no")

        def tell(self, ctx: ds.EntityContext) -> None:
            ctx.signal_entity(ds.EntityId("Counter", "b"), "add", self.value)

        async def wait(self) -> int:
            assert stage is not None
            stage.entered += 1
            await stage.go.wait()
            self.value += 100
            return self.value

        async def stubborn(self) -> None:
            assert stage is not None
            stage.entered += 1
            while not stage.go.is_set():
                try:
                    await stage.go.wait()
                except asyncio.CancelledError:
                    continue
            self.value += 1

        async def cancel(self) -> None:
            raise asyncio.CancelledError

    @app.orchestrator
    async def holds(ctx: ds.OrchestrationContext) -> Any:
        async with ctx.lock_entities(ds.EntityId("Counter", "a")):
            return await ctx.wait_for_external_event("go")

    return app


def signal(operation: str, data: bytes | None = None, *, entity: str = A, due: int | None = None) -> EntityOperation:
    return EntityOperation(entity, operation, data, None, None, due)


def call(operation: str, data: bytes | None = None, *, caller: Parent = ME) -> EntityOperation:
    return EntityOperation(A, operation, data, caller, caller.instance_id, None)


def lock(holder: Parent) -> LockEntities:
    """Takes the lock of A and goes no further: nobody has the code of the second entity."""
    return LockEntities(A, (A, "@Nobody@z"), holder)


async def record(rig: Rig, entity: str = A) -> EntityRecord | None:
    found: list[EntityRecord | None] = await rig.store.entities([entity])
    return found[0]


async def known(rig: Rig) -> EntityRecord:
    found = await record(rig)
    assert found is not None
    return found


async def value(rig: Rig, entity: str = A) -> int | None:
    found = await record(rig, entity)
    return None if found is None or found.state is None else orjson.loads(found.state)["value"]


def told(rig: Rig) -> list[Message]:
    """What was put into the partition's own inbox."""
    return [wire.unpack_message(blob) for commit in rig.store.commits for blob in commit.inbox]


async def test_what_waits_for_an_entity_is_one_batch_and_one_change() -> None:
    rig = await Rig.own(sample_app(), memory_server())
    await rig.send(*(signal("add", b"1") for _ in range(100)))
    assert await value(rig) == 100
    assert sum(len(commit.entities) for commit in rig.store.commits) == 1
    assert (await known(rig)).revision == 0


async def test_a_caller_gets_its_answer_with_the_same_commit() -> None:
    rig = await Rig.own(sample_app(), memory_server())
    await rig.send(call("add", b"5"))
    assert told(rig) == [EntityResult("me", "x.0", 1, b"5", None)]
    first = rig.store.commits[0]
    assert (len(first.entities), len(first.inbox), len(first.consumed)) == (1, 1, 1)


async def test_a_question_writes_nothing_to_an_entity_that_stays_as_it_is() -> None:
    rig = await Rig.own(sample_app(), memory_server())
    await rig.send(call("add", b"5"))
    await rig.send(call("get"))
    assert sum(len(commit.entities) for commit in rig.store.commits) == 1


async def test_a_failing_operation_fails_its_caller_only(caplog: pytest.LogCaptureFixture) -> None:
    rig = await Rig.own(sample_app(), memory_server())
    await rig.send(signal("add", b"1"), call("fail"), signal("fail"), signal("add", b"1"))
    assert await value(rig) == 2
    (answer,) = told(rig)
    assert isinstance(answer, EntityResult)
    assert answer.failure is not None
    assert (answer.failure.type, answer.failure.message) == ("ValueError", "no")
    assert "1 signals failed, the last one 'fail': ValueError: no" in caplog.text


async def test_what_an_operation_sends_arrives() -> None:
    rig = await Rig.own(sample_app(), memory_server())
    await rig.send(signal("add", b"3"), signal("tell"))
    assert await value(rig, "@Counter@b") == 3


async def test_nothing_is_left_of_an_entity_that_was_deleted() -> None:
    rig = await Rig.own(sample_app(), memory_server())
    await rig.send(signal("add", b"3"))
    await rig.send(signal("delete"))
    assert await record(rig) is None
    assert (await rig.store.entity_page("", cursor=None, limit=10)).records == []
    await rig.send(signal("add", b"1"), signal("delete"))  # comes and goes in one commit
    assert await record(rig) is None
    await rig.send(signal("add", b"2"))
    assert await value(rig) == 2


# ---------------------------------------------------------------- locks and queues


async def test_while_locked_others_wait_in_the_queue() -> None:
    rig = await Rig.own(sample_app(), memory_server())
    await rig.send(lock(ME), signal("add", b"1"), call("add", b"10"), call("add", b"2", caller=OTHER))
    found = await known(rig)
    assert (found.lock, found.queued, await value(rig)) == ("me\nx.0\n1", 2, 10)
    assert await rig.store.locks(0) == {A: "me\nx.0\n1"}
    await rig.send(UnlockEntities(A, (), ME))
    found = await known(rig)
    assert (found.lock, found.queued, await value(rig)) == (None, 0, 13)
    assert await rig.store.locks(0) == {}


async def test_the_queue_survives_its_owner() -> None:
    server = memory_server()
    first = await Rig.own(sample_app(), server)
    await first.send(lock(ME), signal("add", b"1"), lock(OTHER), signal("add", b"2"))
    await first.store.release(first.partition.lease)
    second = await Rig.own(sample_app(), server)
    await second.send(UnlockEntities(A, (), ME))
    found = await known(second)
    assert (found.lock, found.queued, await value(second)) == ("other\ny.0\n1", 1, 1)
    await second.send(UnlockEntities(A, (), OTHER))
    assert await value(second) == 3


async def test_a_lock_on_an_entity_without_state_leaves_nothing_when_it_goes() -> None:
    rig = await Rig.own(sample_app(), memory_server())
    await rig.send(lock(ME))
    assert (await known(rig)).state is None
    await rig.send(UnlockEntities(A, (), ME))
    assert await record(rig) is None


async def test_locks_that_nobody_wants_any_more_are_handed_back() -> None:
    rig = await Rig.own(sample_app(), memory_server())
    await rig.send(LockEntities(A, (A,), Parent("gone", "x.0", 7)))
    assert told(rig) == [LockGranted("gone", "x.0", 7, (A,)), UnlockEntities(A, (), Parent("gone", "x.0", 7))]
    assert await record(rig) is None


async def test_a_parked_orchestration_gives_its_locks_back_when_it_is_terminated() -> None:
    server = memory_server()
    rig = await Rig.own(sample_app(), server)
    await rig.start("holds", "me")
    assert (await known(rig)).lock is not None
    await rig.store.release(rig.partition.lease)
    without = ds.App()  # a deploy that lacks the orchestrator
    without.include(sample_app())
    without._orchestrators.clear()
    other = await Rig.own(without, server)
    await other.send(Terminate("me", "why", True, None))
    assert await record(other) is None


# ---------------------------------------------------------------- signals for later


async def test_a_signal_for_later_waits_in_the_queue_and_fires() -> None:
    rig = await Rig.own(sample_app(), memory_server())
    due = await rig.store.now() + 50
    await rig.send(signal("add", b"4", due=due))
    found = await known(rig)
    assert (found.state, found.queued) == (None, 1)

    async def fired() -> bool:
        await rig.fire()
        return await value(rig) == 4

    await until(fired)
    assert (await known(rig)).queued == 0
    assert await rig.store.due(rig.partition.lease, 10) == ([], None)


async def test_a_signal_for_later_is_kept_by_the_next_owner() -> None:
    server = memory_server()
    first = await Rig.own(sample_app(), server)
    await first.send(signal("add", b"4", due=await first.store.now() + 50))
    await first.store.release(first.partition.lease)
    second = await Rig.own(sample_app(), server)

    async def fired() -> bool:
        await second.fire()
        return await value(second) == 4

    await until(fired)


# ---------------------------------------------------------------- asynchronous operations


async def test_what_arrives_while_an_operation_is_under_way_waits() -> None:
    stage = Stage()
    rig = await Rig.own(sample_app(stage), memory_server())
    await rig.store.deliver(0, "c:1", (1, ""), [(1, wire.pack_message(call("wait")))])
    await rig.feed()
    await until(lambda: stage.entered)
    await rig.store.deliver(0, "c:1", (1, ""), [(2, wire.pack_message(signal("add", b"1")))])
    await rig.feed()
    assert await record(rig) is None
    stage.go.set()
    await rig.settle()
    assert await value(rig) == 101
    assert told(rig) == [EntityResult("me", "x.0", 1, b"100", None)]


async def test_an_operation_under_way_is_run_again_by_the_next_owner() -> None:
    server, stage = memory_server(), Stage()
    first = await Rig.own(sample_app(stage), server)
    await first.send(lock(ME), signal("wait"), signal("add", b"1"))
    await first.store.deliver(0, "c:9", (1, ""), [(1, wire.pack_message(UnlockEntities(A, (), ME)))])
    await first.feed()
    await until(lambda: stage.entered)
    await first.partition.committer.drain()
    first.partition.close()
    await first.store.release(first.partition.lease)
    second = await Rig.own(sample_app(stage), server)
    stage.go.set()
    await second.settle()
    assert stage.entered == 2
    assert await value(second) == 101
    ((_, left),) = await second.store.read_inboxes({0: "0"}, 10, 0)
    assert [wire.unpack_message(entry.blob)[0] for entry in left] == ["@Nobody@z"]


async def test_an_operation_that_cancels_itself_fails() -> None:
    rig = await Rig.own(sample_app(), memory_server())
    await rig.send(call("cancel"))
    (answer,) = told(rig)
    assert isinstance(answer, EntityResult)
    assert answer.failure is not None
    assert answer.failure.type == "CancelledError"


# ---------------------------------------------------------------- code that is not there


async def test_an_unknown_entity_waits_visibly_for_a_worker_that_has_it() -> None:
    server = memory_server()
    rig = await Rig.own(ds.App(), server)
    await rig.send(signal("add", b"1"), signal("add", b"2"))
    reason = orjson.loads((await rig.store.stalled(0))[A])
    assert reason["kind"] == "unknown-entity"
    assert "has no entity 'Counter' (it has: none)" in reason["message"]
    assert rig.partition.held == 2
    assert rig.partition.lacking() == {"\nCounter"}
    await rig.store.release(rig.partition.lease)
    other = await Rig.own(sample_app(), server)
    await other.settle()
    assert await value(other) == 3
    assert await other.store.stalled(0) == {}


# ---------------------------------------------------------------- memory


async def test_entities_are_forgotten_and_read_again() -> None:
    rig = await Rig.own(sample_app(), memory_server(), live_max=3)
    for _ in range(2):
        await rig.send(*(signal("add", b"1", entity=f"@Counter@{n}") for n in range(20)))
    assert len(rig.partition.entities._live) <= 3
    assert [await value(rig, f"@Counter@{n}") for n in range(20)] == [2] * 20


async def test_an_entity_with_nothing_to_keep_is_forgotten_at_once() -> None:
    rig = await Rig.own(sample_app(), memory_server())
    await rig.send(signal("nothing"))
    assert rig.partition.entities._live == {}


# ---------------------------------------------------------------- trouble


async def test_a_refused_commit_is_tried_again_on_what_the_store_has() -> None:
    rig = await Rig.own(sample_app(), memory_server())
    await rig.send(signal("add", b"1"))
    rig.store.failures.append(Refused("for once"))
    await rig.send(signal("add", b"1"), signal("add", b"1"))
    assert await value(rig) == 3


async def test_a_message_that_is_given_up() -> None:
    rig = await Rig.own(sample_app(), memory_server())
    failure = Failure("WorkerCrashed", "died of it")
    await rig.store.deliver(0, "c:1", (1, ""), [(1, wire.pack_message(call("add", b"1")))])
    ((_, (entry,)),) = await rig.store.read_inboxes({0: "0"}, 10, 0)
    rig.partition.entities.refuse((entry.entry_id, False, call("add", b"1")), failure, entry.blob)
    await rig.partition.settle()
    assert told(rig) == [EntityResult("me", "x.0", 1, None, failure)]
    rig.partition.entities.refuse(("0-1", False, signal("add")), failure, b"blob")
    await rig.partition.settle()
    assert [outbound.target for outbound in rig.outbound] == ["dead"]


async def test_an_entry_of_a_queue_that_is_given_up() -> None:
    rig = await Rig.own(sample_app(), memory_server())
    await rig.send(lock(ME), call("add", b"1", caller=OTHER), signal("add", b"2"))
    rig.partition.reset()
    await rig.partition.entities.refuse_queued(A, 0, Failure("WorkerCrashed", "died of it"))
    await rig.partition.settle()
    assert (await known(rig)).queued == 1
    await rig.send(UnlockEntities(A, (), ME))
    assert await value(rig) == 2


async def test_in_careful_mode_a_queue_is_gone_through_step_by_step() -> None:
    rig = await Rig.own(sample_app(), memory_server())
    entities = rig.partition.entities
    await rig.send(lock(ME), signal("add", b"1"), signal("add", b"2"))
    rig.partition.reset()
    rig.partition.careful = True
    assert await entities.first_queued(A) is None
    await rig.store.deliver(0, "c:9", (1, ""), [(1, wire.pack_message(UnlockEntities(A, (), ME)))])
    await rig.feed()
    await rig.partition.settle()
    assert await value(rig) is None
    for number, so_far in ((0, 1), (1, 3)):
        assert await entities.first_queued(A) == (number, signal("add", b"%d" % (number + 1)))
        entities.step(A)
        await rig.partition.settle()
        assert await value(rig) == so_far
    assert await entities.first_queued(A) is None


async def test_an_operation_that_will_not_be_cancelled_has_no_effect_after_a_reset() -> None:
    stage = Stage()
    rig = await Rig.own(sample_app(stage), memory_server())
    await rig.store.deliver(0, "c:1", (1, ""), [(1, wire.pack_message(signal("stubborn")))])
    await rig.feed()
    await until(lambda: stage.entered)
    rig.partition.reset()
    await rig.partition.settle()  # does not wait for it
    stage.go.set()
    await rig.settle()
    assert await value(rig) == 1
    assert stage.entered == 2


async def test_a_start_by_an_entity() -> None:
    app = sample_app()

    @app.entity
    class Starter:
        def go(self, ctx: ds.EntityContext) -> str:
            return ctx.start_orchestration("holds", instance_id="started")

    rig = await Rig.own(app, memory_server())
    await rig.send(signal("go", entity="@Starter@a"))
    (found,) = await rig.store.records(["started"])
    assert found is not None
    assert any(isinstance(message, Start) for message in told(rig))
