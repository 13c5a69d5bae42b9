"""Entities from end to end: operations, state, failures, signals now and later, who talks to whom. Locks are in
`test_features_locks`, types in `test_features_entity_types`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import durastream as ds
from tests.acceptance.oracle import leftovers
from tests.acceptance.serving import residue, serving, until, until_status
from tests.servers.looking import connect

pytestmark = pytest.mark.anyio


class Counter:
    value: int = 0

    def add(self, amount: int) -> int:
        self.value += amount
        return self.value

    def get(self) -> int:
        return self.value

    def fail_after(self, amount: int, ctx: ds.EntityContext) -> int:
        self.value += amount
        ctx.signal_entity(ds.EntityId("Counter", "other"), "add", amount)
        raise ValueError(f"not {amount}")

    async def slowly(self, amount: int) -> int:
        before = self.value
        await asyncio.sleep(0.01)  # time must pass: others could come between
        self.value = before + amount
        return self.value

    async def fail_slowly(self, amount: int) -> None:
        self.value += amount
        await asyncio.sleep(0.01)  # time must pass: as above
        raise LookupError(f"not {amount} either")

    def forget(self, ctx: ds.EntityContext) -> None:
        ctx.delete_state()

    def _hidden(self) -> int:
        return self.value


def counters() -> ds.App:
    """A class, a function and an async function that count; and orchestrators that use any entity."""
    app = ds.App()

    app.entity(Counter)

    @app.entity(name="tally")
    def tally(ctx: ds.EntityContext) -> None:
        if ctx.operation == "add":
            ctx.set_state(ctx.get_state(int, 0) + ctx.get_input(int))
        elif ctx.operation == "clear":
            ctx.set_state(None)
        elif ctx.operation != "get":
            raise LookupError(ctx.operation)
        ctx.set_result(ctx.get_state(int, 0))

    @app.entity(name="slow tally")
    async def slow_tally(ctx: ds.EntityContext) -> int:
        before: int = ctx.get_state(int, 0)
        await asyncio.sleep(0.001)  # time must pass: as above
        ctx.set_state(before + ctx.get_input(int))
        return before

    @app.orchestrator
    async def calls(ctx: ds.OrchestrationContext, todo: list[tuple[str, str, str, Any]]) -> list[Any]:
        """`todo`: name, key, operation, input. A result of each; of one that fails, type and message."""
        results = []
        for name, key, operation, value in todo:
            try:
                results.append(await ctx.call_entity(ds.EntityId(name, key), operation, value))
            except ds.EntityFailed as error:
                results.append([error.type, error.message])
        return results

    return app


async def run(client: ds.Client, *todo: tuple[str, str, str, Any]) -> list[Any]:
    handle = await client.start("calls", todo)
    result: list[Any] = await handle.result(timeout=10)
    return result


def traces(url: str, name: str) -> list[str]:
    """Keys of the hub's entities, and index members, that hold this text; ended orchestrations are left aside."""
    return [key for key in residue(url, name) if "}:i:" not in key and "}:h:" not in key]


# ---------------------------------------------------------------- operations


@pytest.mark.parametrize("name", ["Counter", "tally"])
async def test_state_appears_with_the_first_operation_and_leaves_nothing_when_it_is_removed(
    server_url: str, name: str
) -> None:
    entity = ds.EntityId(name, "some-key")
    async with serving(counters(), server_url) as client:
        assert await client.read_entity(entity) is None
        assert traces(server_url, "some-key") == []
        assert await run(client, (name, "some-key", "add", 2), (name, "some-key", "add", 3)) == [2, 5]
        assert await client.read_entity(entity) == ({"value": 5} if name == "Counter" else 5)
        status = await client.entity(entity)
        assert (status.locked_by, status.queued) == (None, 0)
        assert [one.id async for one in client.list_entities(name)] == [entity]
        remove = "forget" if name == "Counter" else "clear"
        assert (await run(client, (name, "some-key", remove, None)))[0] in (None, 0)
        await until(lambda: traces(server_url, "some-key") == [])
        assert await client.read_entity(entity) is None
        with pytest.raises(ds.EntityNotFound):
            await client.entity(entity)
        assert await run(client, (name, "some-key", "add", 7)) == [7], "it begins anew"
        await client.signal_entity(entity, "delete")
        await until(lambda: traces(server_url, "some-key") == [])
        assert await run(client, (name, "some-key", "delete", None), (name, "some-key", "delete", None)) == [None, None]
        await until(lambda: traces(server_url, "some-key") == [])
        await until(lambda: leftovers(server_url) == {})


async def test_an_operation_that_only_reads_makes_a_class_entity_and_no_function_entity(server_url: str) -> None:
    async with serving(counters(), server_url) as client:
        assert await run(client, ("Counter", "read", "get", None), ("tally", "read", "get", None)) == [0, 0]
        assert await client.read_entity(ds.EntityId("Counter", "read")) == {"value": 0}
        assert traces(server_url, "@tally@read") == []


async def test_a_failure_changes_nothing_and_only_its_caller_hears_of_it(
    server_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(counters(), server_url) as client:
        results = await run(
            client,
            ("Counter", "a", "add", 1),
            ("Counter", "a", "fail_after", 50),
            ("Counter", "a", "get", None),
            ("Counter", "a", "fail_slowly", 70),
            ("Counter", "a", "slowly", 4),
            ("tally", "t", "add", 3),
            ("tally", "t", "what", None),
            ("tally", "t", "get", None),
        )
        assert results == [
            1, ["ValueError", "not 50"], 1, ["LookupError", "not 70 either"], 5, 3, ["LookupError", "what"], 3,
        ]  # fmt: skip
        assert await client.read_entity(ds.EntityId("Counter", "other")) is None, "what it sent was sent"
        with caplog.at_level(logging.WARNING, logger="durastream"):
            await client.signal_entity(ds.EntityId("Counter", "a"), "fail_after", 9)
            await client.signal_entity(ds.EntityId("Counter", "a"), "add", 1)
            await until(lambda: _state(client, ds.EntityId("Counter", "a"), {"value": 6}))
        assert [record for record in caplog.records if "not 9" in record.getMessage()], "a line in the log tells of it"
        assert traces(server_url, "@Counter@other") == []


async def _state(client: ds.Client, entity: ds.EntityId, wanted: Any) -> bool:
    found: bool = await client.read_entity(entity) == wanted
    return found


async def test_an_operation_that_fails_on_a_new_entity_leaves_nothing(server_url: str) -> None:
    async with serving(counters(), server_url) as client:
        assert (await run(client, ("Counter", "never", "fail_after", 1)))[0][0] == "ValueError"
        assert traces(server_url, "@Counter@never") == []


@pytest.mark.parametrize("operation", ["ad", "_hidden", "__init__", "value", "nothing like it"])
async def test_an_unknown_operation_fails_and_says_what_there_is(server_url: str, operation: str) -> None:
    async with serving(counters(), server_url) as client:
        ((kind, message),) = await run(client, ("Counter", "a", operation, 1))
        assert kind == "NotRegistered"
        assert operation in message and "add" in message
        assert traces(server_url, "@Counter@a") == []


async def test_bad_input_fails_the_operation(server_url: str) -> None:
    async with serving(counters(), server_url) as client:
        ((kind, _),) = await run(client, ("Counter", "a", "add", "three"))
        assert kind == "PayloadError"
        assert await run(client, ("Counter", "a", "add", 3)) == [3]


async def test_async_operations_run_one_at_a_time(server_url: str) -> None:
    """Each reads the state, waits, and writes it: two that ran at the same time would lose one."""
    async with serving(counters(), server_url) as client:
        handles = await client.start_many(
            "calls", [[("Counter", "x", "slowly", 1), ("slow tally", "x", "add", 1)] for _ in range(40)]
        )
        await client.wait_all(handles, timeout=20)
        assert await client.read_entity(ds.EntityId("Counter", "x")) == {"value": 40}
        assert await client.read_entity(ds.EntityId("slow tally", "x")) == 40


async def test_thousands_of_signals_and_calls_for_one_entity_count_once_each(server_url: str) -> None:
    async with serving(counters(), server_url) as client:
        hot = ds.EntityId("Counter", "hot")
        handles = await client.start_many("calls", [[("Counter", "hot", "add", 1)] * 3] * 100)
        await client.signal_entities((hot, "add", 1) for _ in range(5_000))
        await client.wait_all(handles, timeout=20)
        await until(lambda: _state(client, hot, {"value": 5_300}))


# ---------------------------------------------------------------- talking to others


class Node:
    heard: list[Any]

    def __init__(self) -> None:
        self.heard = []

    def hear(self, what: Any, ctx: ds.EntityContext) -> None:
        self.heard.append([what, ctx.caller, ctx.is_signal, ctx.operation, str(ctx.entity_id), ctx.key])

    def pass_on(self, hops: int, ctx: ds.EntityContext) -> int:
        self.heard.append(hops)
        if hops:
            other = ds.EntityId("Node", f"n{(int(ctx.key[1:]) + 1) % 5}")
            ctx.signal_entity(other, "pass_on", hops - 1)
        return hops

    def begin(self, child: str, ctx: ds.EntityContext) -> str:
        return ctx.start_orchestration("told", str(ctx.entity_id), instance_id=child or None)

    def tell(self, instance_id: str, ctx: ds.EntityContext) -> None:
        ctx.send_event(instance_id, "news", self.heard)

    def later(self, seconds: float, ctx: ds.EntityContext) -> None:
        ctx.signal_entity(ctx.entity_id, "hear", "later", at=seconds)
        ctx.signal_entity(ctx.entity_id, "hear", "soon")


def talkers() -> ds.App:
    app = ds.App()

    app.entity(Node)

    @app.orchestrator
    async def told(ctx: ds.OrchestrationContext, who: str) -> Any:
        return [who, await ctx.wait_for_external_event("news")]

    @app.orchestrator
    async def asks(ctx: ds.OrchestrationContext, key: str) -> None:
        node = ds.EntityId("Node", key)
        ctx.signal_entity(node, "hear", "signalled")
        await ctx.call_entity(node, "hear", "called")

    @app.orchestrator
    async def reminds(ctx: ds.OrchestrationContext, key: str) -> float:
        node = ds.EntityId("Node", key)
        ctx.signal_entity(node, "hear", "moment", at=ctx.current_utc_datetime + timedelta(seconds=0.3))
        ctx.signal_entity(node, "hear", "delay", at=0.2)
        ctx.signal_entity(node, "hear", "past", at=datetime(2020, 1, 1, tzinfo=UTC))
        await ctx.call_entity(node, "hear", "now")
        return ctx.current_utc_datetime.timestamp()

    @app.orchestrator
    async def begins(ctx: ds.OrchestrationContext, child: str) -> Any:
        return await ctx.call_entity(ds.EntityId("Node", "b"), "begin", child)

    return app


async def heard(client: ds.Client, key: str) -> list[Any]:
    state = await client.read_entity(ds.EntityId("Node", key))
    return [] if state is None else list(state["heard"])


async def test_what_an_operation_sees_of_its_caller(server_url: str) -> None:
    async with serving(talkers(), server_url) as client:
        await client.signal_entity(ds.EntityId("Node", "x@y"), "hear", "by client")
        await until(lambda: heard(client, "x@y"))
        handle = await client.start("asks", "x@y", instance_id="caller-7")
        await handle.result(timeout=10)
        assert await heard(client, "x@y") == [
            ["by client", None, True, "hear", "@Node@x@y", "x@y"],
            ["signalled", "caller-7", True, "hear", "@Node@x@y", "x@y"],
            ["called", "caller-7", False, "hear", "@Node@x@y", "x@y"],
        ]


async def test_entities_signal_each_other_and_themselves(server_url: str) -> None:
    async with serving(talkers(), server_url) as client:
        await client.signal_entity(ds.EntityId("Node", "n0"), "pass_on", 52)

        async def all_heard() -> bool:
            found = [await heard(client, f"n{n}") for n in range(5)]
            return sorted((hops for some in found for hops in some), reverse=True) == list(range(52, -1, -1))

        await until(all_heard)
        assert await heard(client, "n1") == list(range(51, -1, -5))


async def test_entities_start_orchestrations_and_send_them_events(server_url: str) -> None:
    async with serving(talkers(), server_url) as client:
        for child in ("begun-by-entity", ""):
            handle = await client.start("begins", child)
            begun = client.handle(await handle.result(timeout=10))
            await until(lambda: _exists(client, begun.id))  # noqa: B023
            await client.signal_entity(ds.EntityId("Node", "b"), "tell", begun.id)
            assert await begun.result(timeout=10) == ["@Node@b", []]
        again = await client.start("begins", "begun-by-entity")
        assert await again.result(timeout=10) == "begun-by-entity"
        assert await client.handle("begun-by-entity").result(timeout=10) == ["@Node@b", []], (
            "an id in use stays as it is"
        )


async def _exists(client: ds.Client, instance_id: str) -> bool:
    try:
        return bool(await client.status(instance_id))
    except ds.InstanceNotFound:
        return False


async def test_the_context_of_an_operation_ends_with_it(server_url: str) -> None:
    app, log = ds.App(), list[Any]()

    @app.entity(name="keeper")
    async def keeper(ctx: ds.EntityContext) -> None:
        await asyncio.sleep(0)
        log.append(ctx)

    async with serving(app, server_url) as client:
        await client.signal_entity(ds.EntityId("keeper", "k"), "keep")
        await until(lambda: log)
        with pytest.raises(ds.OrchestratorError, match="after the operation"):
            log[0].signal_entity(ds.EntityId("Node", "z"), "hear", 1)


# ---------------------------------------------------------------- later


async def test_signals_for_later_by_clients_orchestrators_and_entities(server_url: str) -> None:
    async with serving(talkers(), server_url) as client:
        began = datetime.now(UTC)
        await client.signal_entity(ds.EntityId("Node", "c"), "hear", "second", at=0.4)
        await client.signal_entity(ds.EntityId("Node", "c"), "hear", "first", at=began + timedelta(seconds=0.2))
        await client.signal_entity(ds.EntityId("Node", "c"), "hear", "at once")
        await client.signal_entity(ds.EntityId("Node", "e"), "later", 0.2)
        handle = await client.start("reminds", "o")
        await handle.result(timeout=10)
        assert [one[0] for one in await heard(client, "o")][-1:] == ["now"]
        status = await client.entity(ds.EntityId("Node", "o"))
        assert status.queued in (0, 1, 2)
        for key, wanted in {
            "c": ["at once", "first", "second"],
            "o": ["past", "now", "delay", "moment"],
            "e": ["soon", "later"],
        }.items():
            await until(lambda: _words(client, key, wanted), key)  # noqa: B023
        assert datetime.now(UTC) - began >= timedelta(seconds=0.4)
        await until(lambda: leftovers(server_url) == {})


async def _words(client: ds.Client, key: str, wanted: list[str]) -> bool:
    return [one[0] for one in await heard(client, key)] == wanted


async def test_signals_for_later_outlive_the_worker_and_a_deleted_state(server_url: str) -> None:
    app = talkers()
    node = ds.EntityId("Node", "later")
    async with ds.Client(server_url) as client:
        async with ds.Worker(app, server_url, lease=1):
            await client.signal_entity(node, "hear", "now")
            for n in range(5):
                await client.signal_entity(node, "hear", n, at=1 + n / 100)
            await until(lambda: _queued(client, node, 5))
            await client.signal_entity(node, "delete")
            await until(lambda: _state(client, node, None))
            assert [one.kind for one in await client.entity_queue(node)] == ["signal"] * 5
        async with ds.Worker(app, server_url, lease=1):
            await until(lambda: _words(client, "later", [0, 1, 2, 3, 4]))  # type: ignore[list-item]
            await until(lambda: leftovers(server_url) == {})


async def _queued(client: ds.Client, entity: ds.EntityId, count: int) -> bool:
    try:
        return (await client.entity(entity)).queued == count
    except ds.EntityNotFound:
        return False


# ---------------------------------------------------------------- orchestrators


async def test_calls_in_parallel_and_from_generators(server_url: str) -> None:
    app = counters()

    @app.orchestrator
    async def parallel(ctx: ds.OrchestrationContext, n: int) -> list[int]:
        tasks = [ctx.call_entity(ds.EntityId("Counter", f"{k}"), "add", k) for k in range(n)]
        return await ds.when_all(tasks)

    @app.orchestrator
    def by_steps(ctx: ds.OrchestrationContext, n: int) -> Generator[Any, Any, Any]:
        ctx.signal_entity(ds.EntityId("Counter", "g"), "add", n)
        got = yield ctx.call_entity(ds.EntityId("Counter", "g"), "get")
        try:
            yield ctx.call_entity(ds.EntityId("Counter", "g"), "fail_after", 1)
        except ds.EntityFailed as error:
            return [got, error.type]

    async with serving(app, server_url) as client:
        assert await (await client.start(parallel, 100)).result(timeout=10) == list(range(100))
        assert await (await client.start(by_steps, 4)).result(timeout=10) == [4, "ValueError"]


async def test_an_uncaught_failure_fails_the_orchestration_and_rewind_calls_again(server_url: str) -> None:
    app = ds.App()
    broken, runs = [True], [0]

    @app.entity
    class Device:
        pings: int = 0

        def ping(self) -> int:
            runs[0] += 1
            if broken[0]:
                raise RuntimeError("no answer")
            self.pings += 1
            return self.pings

    @app.orchestrator
    async def pings(ctx: ds.OrchestrationContext) -> int:
        return await ctx.call_entity(ds.EntityId("Device", "d"), "ping", return_type=int)

    async with serving(app, server_url) as client:
        handle = await client.start(pings)
        with pytest.raises(ds.OrchestrationFailed, match="no answer"):
            await handle.result(timeout=10)
        broken[0] = False
        await handle.rewind()
        assert await handle.result(timeout=10) == 1
        assert runs == [2]


async def test_calls_continue_after_the_worker_was_replaced(server_url: str) -> None:
    """The orchestration is replayed with entity events in its history."""
    app = counters()

    @app.orchestrator
    async def two(ctx: ds.OrchestrationContext) -> list[int]:
        counter = ds.EntityId("Counter", "two")
        first = await ctx.call_entity(counter, "add", 1)
        ctx.signal_entity(counter, "add", 10)
        await ctx.wait_for_external_event("go")
        return [first, await ctx.call_entity(counter, "add", 1)]

    async with ds.Client(server_url) as client:
        async with ds.Worker(app, server_url, lease=1):
            handle = await client.start(two)
            await until_status(handle, "Running", events=4)
        async with ds.Worker(app, server_url, lease=1):
            await handle.raise_event("go")
            assert await handle.result(timeout=10) == [1, 12]


async def test_thousands_of_entities_with_room_for_a_few(server_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nearly every operation finds its entity evicted."""
    monkeypatch.setattr("durastream.worker.host.max", lambda *_: 5, raising=False)  # live_max of a partition
    async with serving(counters(), server_url) as client:
        ids = [ds.EntityId("Counter", f"{n}") for n in range(1_000)]
        for n in range(3):
            await client.signal_entities((one, "add", n + 1) for one in ids)

        async def all_counted() -> bool:
            return [one.state async for one in client.list_entities("Counter")] == [{"value": 6}] * 1_000

        await until(all_counted)


# ---------------------------------------------------------------- any Redis client, and workers that lack an entity


async def test_signals_from_any_redis_client(server_url: str) -> None:
    async with serving(counters(), server_url) as client:
        with connect(server_url) as server:
            entry: dict[Any, Any] = {"op": "signal", "entity": "Counter", "key": "in", "operation": "add", "input": "5"}
            for _ in range(3):
                server.xadd("ds:{default}:in", entry)
            soon = int(datetime.now(UTC).timestamp() * 1_000) + 200
            server.xadd("ds:{default}:in", {**entry, "at": str(soon)})
            await until(lambda: _state(client, ds.EntityId("Counter", "in"), {"value": 20}))
            for bad in ({"entity": "a@b"}, {"key": ""}, {"operation": "\n"}, {"input": "{"}, {"at": "soon"}):
                server.xadd("ds:{default}:in", {**entry, **bad})
            await until(lambda: server.xlen("ds:{default}:dead") == 5)
        assert await client.read_entity(ds.EntityId("Counter", "in")) == {"value": 20}


async def test_an_unknown_entity_waits_visibly_for_a_worker_that_has_it(server_url: str) -> None:
    lacking = ds.App()

    @lacking.orchestrator
    async def other(ctx: ds.OrchestrationContext) -> None: ...

    counter = ds.EntityId("Counter", "rare")
    async with ds.Client(server_url) as client, ds.Worker(lacking, server_url, lease=1) as first:
        for n in range(3):
            await client.signal_entity(counter, "add", n + 1)
        await client.signal_entity(counter, "add", 10, at=0.1)
        problem = await _problem(client, counter)
        assert problem["kind"] == "unknown-entity"
        assert "Counter" in problem["message"]
        await until(lambda: _told_as_parked(client))
        assert await client.read_entity(counter) is None
        async with ds.Worker(counters(), server_url, lease=1):
            await until(lambda: _state(client, counter, {"value": 16}))
            assert await run(client, ("Counter", "rare", "get", None)) == [16]
            assert await client.entity_problem(counter) is None
            assert await client.read_entity(counter) == {"value": 16}
        assert first.host.failure is None
        await until(lambda: leftovers(server_url) == {})


async def _problem(client: ds.Client, entity: ds.EntityId) -> Any:
    await until(lambda: client.entity_problem(entity))
    return await client.entity_problem(entity)


async def _told_as_parked(client: ds.Client) -> bool:
    workers = await client.workers()
    return any("\nCounter" in names for one in workers for names in one.about["parked"].values())  # type: ignore[attr-defined]
