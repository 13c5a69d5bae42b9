"""Critical sections from end to end: what they keep out, the rules inside, and that every way out opens the locks."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any

import pytest

import durastream as ds
from tests.acceptance.oracle import leftovers
from tests.acceptance.serving import serving, until, until_status
from tests.servers.looking import connect

pytestmark = pytest.mark.anyio

A, B, C = (ds.EntityId("Box", key) for key in "abc")
ALL = (A, B, C)


class Box:
    said: list[str]

    def __init__(self) -> None:
        self.said = []

    def say(self, what: str) -> int:
        self.said.append(what)
        return len(self.said)

    def refuse(self) -> None:
        raise ValueError("no")


def boxes() -> ds.App:
    app = ds.App()

    app.entity(Box)

    @app.orchestrator
    async def says(ctx: ds.OrchestrationContext, plan: tuple[str, str]) -> None:
        """`plan`: what to say, and the keys of the boxes, all of which are locked."""
        what, keys = plan
        ids = [ds.EntityId("Box", key) for key in keys]
        async with ctx.lock_entities(*ids):
            for one in ids:
                await ctx.call_entity(one, "say", f"{what} in")
            for one in ids:
                await ctx.call_entity(one, "say", f"{what} out")

    @app.orchestrator
    async def holds(ctx: ds.OrchestrationContext, end: str) -> Any:
        """Holds all boxes until the event `go`, then leaves as it is told."""
        async with ctx.lock_entities(*ALL):
            await ctx.call_entity(A, "say", "held")
            ctx.set_custom_status("inside")
            if end == "code":
                raise KeyError("in the section")
            if end == "refused":
                await ctx.call_entity(B, "refuse")
            if end == "again":
                ctx.continue_as_new("return")
                return None
            await ctx.wait_for_external_event("go")
            if end == "early":
                return "from within"
        return "after"

    @app.orchestrator
    async def calls(ctx: ds.OrchestrationContext, key: str) -> int:
        return await ctx.call_entity(ds.EntityId("Box", key), "say", "called", return_type=int)

    return app


async def said(client: ds.Client, entity: ds.EntityId) -> list[str]:
    state = await client.read_entity(entity)
    return [] if state is None else list(state["said"])


async def locked(client: ds.Client) -> list[str]:
    return [one.id.key async for one in client.list_entities("Box", locked=True)]


async def inside(client: ds.Client, end: str = "return", **options: Any) -> ds.Handle[Any]:
    """An orchestration that holds all boxes."""
    handle = await client.start("holds", end, **options)
    await until_status(handle, "Running", custom_status="inside")
    return handle


async def all_open(client: ds.Client, url: str) -> None:
    """Nobody holds or waits for a lock, others get it at once, and nothing is left over."""
    await until(lambda: _none(client), "all locks are open")
    handle = await client.start("says", ("check", "abc"))
    await handle.result(timeout=10)
    await until(lambda: leftovers(url) == {}, "nothing is left over")


async def _none(client: ds.Client) -> bool:
    return not await locked(client)


# ---------------------------------------------------------------- what it is for


async def test_nobody_comes_between_in_and_out(server_url: str) -> None:
    """Overlapping sets in all orders, from coroutines: each box sees every orchestration's `in` and `out` together."""
    app = boxes()
    keys = [first + second for first in "abcdef" for second in "abcdef" if first != second]
    async with serving(app, server_url) as client:
        plans = [(f"{n}", keys[n % len(keys)]) for n in range(300)]
        handles = await client.start_many("says", plans)
        await client.wait_all(handles, timeout=40)
        for key in "abcdef":
            words = await said(client, ds.EntityId("Box", key))
            wanted = sorted(what for what, among in plans if key in among)
            pairs = list(zip(words[::2], words[1::2], strict=True))
            assert all(one.split()[0] == other.split()[0] for one, other in pairs), pairs
            assert sorted(one.split()[0] for one, _ in pairs) == wanted
        await until(lambda: leftovers(server_url) == {})


async def test_what_others_send_waits_and_is_applied_after_in_order(server_url: str) -> None:
    async with serving(boxes(), server_url) as client:
        handle = await inside(client)
        assert await locked(client) == ["a", "b", "c"]
        status = await client.entity(A)
        assert (status.locked_by, status.locked_at is not None) == (handle.id, True)
        for n in range(5):
            await client.signal_entity(B, "say", f"signal {n}")
        call = await client.start("calls", "b")
        await client.signal_entity(B, "say", "later", at=0.1)
        await until(lambda: _queue(client, B, 7))
        kinds = [one.kind for one in await client.entity_queue(B)]
        assert sorted(kinds) == ["call", *["signal"] * 6]
        assert await said(client, B) == []
        await handle.raise_event("go")
        assert await handle.result(timeout=10) == "after"
        assert await call.result(timeout=10) >= 1
        await until(lambda: _has_said(client, B, 7))
        words = await said(client, B)
        assert [one for one in words if one.startswith("signal")] == [f"signal {n}" for n in range(5)]
        await all_open(client, server_url)


async def _queue(client: ds.Client, entity: ds.EntityId, count: int) -> bool:
    return (await client.entity(entity)).queued == count


async def _has_said(client: ds.Client, entity: ds.EntityId, count: int) -> bool:
    return len(await said(client, entity)) == count


async def test_a_lock_of_an_entity_without_state(server_url: str) -> None:
    async with serving(boxes(), server_url) as client:
        handle = await inside(client)
        assert (await client.entity(B)).state is None, "locked, and not made by that"
        await handle.raise_event("go")
        await handle.result(timeout=10)
        with pytest.raises(ds.EntityNotFound):
            await _until_gone(client, B)
        assert await said(client, A) == ["held"]


async def _until_gone(client: ds.Client, entity: ds.EntityId) -> None:
    await until(lambda: _none(client))
    await client.entity(entity)


async def test_generators_lock_too(server_url: str) -> None:
    app = boxes()

    @app.orchestrator
    def by_steps(ctx: ds.OrchestrationContext, n: int) -> Generator[Any, Any, int]:
        with (yield ctx.lock_entities(B, A)):
            first = yield ctx.call_entity(A, "say", f"in {n}")
            second = yield ctx.call_entity(B, "say", f"in {n}")
        section = yield ctx.lock_entities(A)
        third = yield ctx.call_entity(A, "say", f"out {n}")
        section.release()
        return int(first + second + third)

    async with serving(app, server_url) as client:
        handles = await client.start_many(by_steps, list(range(30)))
        await client.wait_all(handles, timeout=20)
        assert sorted(await said(client, A)) == sorted(f"{where} {n}" for where in ("in", "out") for n in range(30))
        await all_open(client, server_url)


# ---------------------------------------------------------------- rules


async def test_each_rule_is_told_when_it_is_broken_and_the_section_goes_on(server_url: str) -> None:
    app = boxes()

    @app.orchestrator
    async def breaks(ctx: ds.OrchestrationContext) -> list[str]:
        told: list[str] = []

        def note(error: ds.OrchestratorError) -> None:
            told.append(str(error))

        async with ctx.lock_entities(A, B):
            call = ctx.call_entity(A, "say", "once")
            for attempt in (
                lambda: ctx.call_entity(C, "say", "not locked"),
                lambda: ctx.call_entity(A, "say", "while another call is under way"),
                lambda: ctx.signal_entity(B, "say", "locked"),
                lambda: ctx.lock_entities(C),
                lambda: ctx.call_sub_orchestrator("calls", "c"),
            ):
                try:
                    attempt()
                except ds.OrchestratorError as error:
                    note(error)
            ctx.signal_entity(C, "say", "allowed")
            await call
            await ctx.call_entity(A, "say", "twice")
        await ctx.call_entity(C, "say", "after")
        for ids in ((), (A, "b")):
            try:
                ctx.lock_entities(*ids)
            except ds.DurastreamError as error:
                told.append(type(error).__name__)
        return told

    async with serving(app, server_url) as client:
        told = await (await client.start(breaks)).result(timeout=10)
        assert len(told) == 7, told
        assert told[5:] == ["OrchestratorError", "InvalidId"]
        wanted = ("lock_entities", "await", "call_entity", "lock_entities", "before or after")
        assert all(word in message for word, message in zip(wanted, told, strict=False)), told
        assert await said(client, A) == ["once", "twice"]
        await until(lambda: _said_is(client, C, ["allowed", "after"]))
        await all_open(client, server_url)


async def _said_is(client: ds.Client, entity: ds.EntityId, wanted: list[str]) -> bool:
    return await said(client, entity) == wanted


# ---------------------------------------------------------------- ways out


@pytest.mark.parametrize("end", ["return", "early", "code", "refused", "again"])
async def test_locks_are_open_after_every_ending(server_url: str, end: str) -> None:
    async with serving(boxes(), server_url) as client:
        handle = await client.start("holds", end)
        await handle.raise_event("go", check=False)
        ended = await handle.wait(timeout=10)
        assert ended.runtime_status == ("Failed" if end in ("code", "refused") else "Completed")
        await all_open(client, server_url)
        await handle.purge()
        await all_open(client, server_url)


@pytest.mark.parametrize("how", ["terminate", "suspend and terminate", "replace"])
async def test_locks_are_open_when_the_holder_is_stopped_by_others(server_url: str, how: str) -> None:
    async with serving(boxes(), server_url) as client:
        handle = await inside(client, instance_id="holder")
        waits = await client.start("says", ("waiting", "ba"))
        await until(lambda: _queue(client, A, 1))
        if how.startswith("suspend"):
            await handle.suspend()
            await until_status(handle, "Suspended")
        if how == "replace":
            await client.start("calls", "d", instance_id="holder", if_exists="replace")
        else:
            await handle.terminate("enough")
            await until_status(handle, "Terminated")
        await waits.result(timeout=10)
        await all_open(client, server_url)
        await handle.purge()
        await all_open(client, server_url)


async def test_a_holder_without_its_code_is_terminated(server_url: str) -> None:
    """What it holds is read from its history."""
    app, lacking = boxes(), boxes()
    del lacking._orchestrators["holds"]
    async with ds.Client(server_url) as client:
        async with ds.Worker(app, server_url, lease=1):
            handle = await inside(client)
        async with ds.Worker(lacking, server_url, lease=1):
            await handle.raise_event("go")
            await until(lambda: _problem(handle))
            await handle.terminate("nobody has it any more")
            await until_status(handle, "Terminated")
            await all_open(client, server_url)


async def _problem(handle: ds.Handle[Any]) -> Any:
    return (await handle.status()).problem


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("how", ["terminate", "suspend and terminate", "purge", "cancel"])
async def test_a_request_that_is_given_up_while_somebody_else_holds_a_lock(
    server_url: str, how: str, count: int
) -> None:
    """`count`: how many locks it has got before it has to wait."""
    app = boxes()

    @app.orchestrator
    async def holds_last(ctx: ds.OrchestrationContext) -> None:
        async with ctx.lock_entities(*ALL[count - 1 :]):
            ctx.set_custom_status("inside")
            await ctx.wait_for_external_event("go")

    @app.orchestrator
    async def impatient(ctx: ds.OrchestrationContext) -> str:
        locks = ctx.lock_entities(*ALL)
        await ds.when_any([locks, ctx.wait_for_external_event("stop")])
        return "given up" if locks.cancel() else "entered"

    async with serving(app, server_url) as client:
        first = await client.start(holds_last)
        await until_status(first, "Running", custom_status="inside")
        second = await client.start(impatient)
        await until(lambda: _queue(client, ALL[count - 1], 1))
        third = await client.start("says", ("third", "cba"))
        await until(lambda: _queue(client, A, 1) if count > 1 else _queue(client, A, 2))
        if how == "cancel":
            await second.raise_event("stop")
            assert await second.result(timeout=10) == "given up"
        else:
            if how.startswith("suspend"):
                await second.suspend()
                await until_status(second, "Suspended")
            await second.terminate()
            await until_status(second, "Terminated")
        if how == "purge":
            await second.purge()
        if count > 1:
            await until(lambda: _held_by(client, A, third.id))
        await first.raise_event("go")
        await third.result(timeout=10)
        await all_open(client, server_url)


async def _held_by(client: ds.Client, entity: ds.EntityId, instance_id: str) -> bool:
    return (await client.entity(entity)).locked_by == instance_id


async def test_requests_given_up_at_any_moment_leave_no_lock(server_url: str) -> None:
    app = boxes()

    @app.orchestrator
    async def quick(ctx: ds.OrchestrationContext, n: int) -> int:
        async with ctx.lock_entities(*ALL[n % 2 :]):
            await ctx.call_entity(C, "say", f"{n}")
        return n

    async with serving(app, server_url) as client:
        handles = await client.start_many(quick, list(range(200)))
        for n, handle in enumerate(handles):
            if n % 3:
                await handle.terminate(check=False)
            else:
                await asyncio.sleep(0)
        for handle in handles:
            await handle.wait(timeout=20)
        done = sorted([n for n, handle in enumerate(handles) if (await handle.status()).runtime_status == "Completed"])
        assert set(done) >= set(range(0, 200, 3))
        words = await said(client, C)
        assert len(words) == len(set(words)) and {f"{n}" for n in done} <= set(words)
        await all_open(client, server_url)


async def test_a_section_outlives_its_worker_and_continue_as_new_keeps_nothing(server_url: str) -> None:
    app = boxes()

    @app.orchestrator
    async def rounds(ctx: ds.OrchestrationContext, n: int) -> int:
        async with ctx.lock_entities(A, B):
            await ctx.call_entity(A, "say", f"{n}")
            if n < 20:
                ctx.continue_as_new(n + 1)
        return n

    async with ds.Client(server_url) as client:
        async with ds.Worker(app, server_url, lease=1):
            handle = await inside(client)
            loop = await client.start(rounds, 0)
        async with ds.Worker(app, server_url, lease=1):
            assert await locked(client) == ["a", "b", "c"]
            await handle.raise_event("go")
            assert await handle.result(timeout=10) == "after"
            assert await loop.result(timeout=10) == 20
            assert (await said(client, A)) == ["held", *(f"{n}" for n in range(21))]
            await all_open(client, server_url)


# ---------------------------------------------------------------- rewind and orphans


@pytest.mark.parametrize("where", ["inside", "after"])
async def test_rewind_of_one_that_used_locks(server_url: str, where: str) -> None:
    app = boxes()
    broken = [True]

    @app.activity
    async def charge() -> str:
        if broken[0]:
            raise RuntimeError("out of order")
        return "charged"

    @app.orchestrator
    async def charges(ctx: ds.OrchestrationContext) -> str:
        async with ctx.lock_entities(A, B):
            await ctx.call_entity(A, "say", "begun")
            if where == "inside":
                await ctx.call_activity(charge)
        return await ctx.call_activity(charge)

    async with serving(app, server_url) as client:
        handle = await client.start(charges)
        await until_status(handle, "Failed")
        await all_open(client, server_url)
        broken[0] = False
        if where == "inside":
            with pytest.raises(ds.Conflict, match="critical section"):
                await handle.rewind()
            await until_status(handle, "Failed")
            await handle.restart()
        else:
            await handle.rewind()
        assert await handle.result(timeout=10) == "charged"
        assert (await said(client, A)).count("begun") == (2 if where == "inside" else 1)
        await all_open(client, server_url)


async def test_a_lock_left_behind_by_hand_is_found_and_opened(server_url: str) -> None:
    async with serving(boxes(), server_url) as client:
        handle = await inside(client)
        waits = await client.start("calls", "b")
        assert (await client.clean_entities()).released == ()
        names = client._session.store.keys.partitions[(await handle.status()).partition]  # type: ignore[attr-defined]
        with connect(server_url) as server:
            server.delete(names.instance(handle.id), names.history(handle.id))
        assert (await client.clean_entities()).released == ALL
        assert await waits.result(timeout=10) == 1
        await until(lambda: _none(client))
