"""The owner of a partition, alone: what it commits together, holds back, forgets, and reads again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

import durastream as ds
from durastream import wire
from durastream.core.events import Parent
from durastream.core.messages import (
    ChildResult,
    Continue,
    Describe,
    Message,
    Purge,
    RaiseEvent,
    Restart,
    Resume,
    Start,
    Suspend,
    TaskResult,
    Terminate,
)
from durastream.errors import Fenced, Refused, StoreUnavailable
from durastream.notices import Ack, unpack_notices
from durastream.store.protocol import Commit, NewInstance
from durastream.worker import backoff, committer
from tests.worker.rigs import Rig, memory_server, until

pytestmark = pytest.mark.anyio


def sample_app() -> ds.App:
    app = ds.App()

    @app.orchestrator
    async def waits(ctx: ds.OrchestrationContext) -> list[Any]:
        return [await ctx.wait_for_external_event("go", type=int) for _ in range(3)]

    @app.orchestrator
    async def asks(ctx: ds.OrchestrationContext) -> str:
        return await ctx.call_activity("work", return_type=str)

    @app.orchestrator
    async def sleeps(ctx: ds.OrchestrationContext) -> str:
        await ctx.create_timer(0)
        return await ctx.wait_for_external_event("go", type=str)

    @app.orchestrator
    async def fans(ctx: ds.OrchestrationContext) -> int:
        await ds.when_all([ctx.call_sub_orchestrator("quick", instance_id=f"q{n}") for n in range(400)])
        return 400

    @app.orchestrator
    async def loops(ctx: ds.OrchestrationContext, n: int) -> int:
        await ctx.wait_for_external_event("go")
        ctx.continue_as_new(n + 1)
        return n

    @app.orchestrator
    async def quick(ctx: ds.OrchestrationContext) -> None: ...

    return app


def go(instance_id: str, n: int = 0) -> RaiseEvent:
    return RaiseEvent(instance_id, "go", str(n).encode())


async def test_a_turn_and_what_it_consumes_are_in_one_commit_however_full_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(committer, "_WEIGHT_MAX", 7)
    rig = await Rig.own(sample_app(), memory_server())
    for n in range(20):
        await rig.start("waits", f"i{n}")
    before = len(rig.store.commits)
    await rig.send(*(go(f"i{n}", k) for k in range(3) for n in range(20)))
    commits = rig.committed(before)
    assert len(commits) > 5
    for commit in commits:
        events = sum(len(change.events) for change in commit.changes)
        endings = sum(change.status[1] == "Completed" for change in commit.changes)
        assert len(commit.consumed) == events - endings, "each event is recorded where its message is consumed"
    assert [await rig.status(f"i{n}") for n in range(20)] == ["Completed"] * 20


async def test_hundreds_of_messages_of_a_turn_go_with_its_history(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(committer, "_WEIGHT_MAX", 50)
    rig = await Rig.own(sample_app(), memory_server())
    await rig.start("fans", "f")
    (turn,) = [
        one for one in rig.store.commits if any(change.instance_id == "f" and change.events for change in one.changes)
    ][:1]
    (change,) = turn.changes
    assert (len(change.events), len(turn.inbox)) == (401, 400)
    assert await rig.status("f") == "Completed"
    assert await rig.inbox() == []


async def test_late_duplicate_and_foreign_outcomes_are_dropped_and_counted() -> None:
    rig = await Rig.own(sample_app(), memory_server())
    await rig.start("asks", "a")
    late: list[Message] = [
        TaskResult("a", "other.0", 1, b'"x"', None),
        TaskResult("a", "tok.0", 7, b'"x"', None),
        TaskResult("nobody", "tok.0", 1, b'"x"', None),
        ChildResult("a", "tok.0", 1, b'"x"', None),
        Continue("a", "gone.3"),
    ]
    await rig.send(*late)
    assert await rig.status("a") == "Running"
    outcome = TaskResult("a", "tok.0", 1, b'"x"', None)
    await rig.send(outcome, outcome)
    await rig.send(outcome)
    assert await rig.status("a") == "Completed"
    assert await rig.inbox() == []
    assert rig.partition.dropped == len(late) + 2


async def test_a_suspension_that_meets_continue_as_new_is_shown_and_holds() -> None:
    rig = await Rig.own(sample_app(), memory_server())
    await rig.start("loops", "l", data=b"0")
    await rig.send(go("l"), Suspend("l", "wait"))
    (record,) = await rig.store.records(["l"])
    assert (record.status, record.execution_id) == ("Suspended", "tok.1")
    await rig.send(go("l"))
    (record,) = await rig.store.records(["l"])
    assert (record.status, record.execution_id) == ("Suspended", "tok.1")
    await rig.send(Resume("l", None), Resume("l", "too much"))
    (record,) = await rig.store.records(["l"])
    assert (record.status, record.execution_id, record.input) == ("Running", "tok.2", b"2")


async def test_a_new_owner_replays_and_goes_on() -> None:
    server = memory_server()
    first = await Rig.own(sample_app(), server)
    await first.start("waits", "w")
    await first.send(go("w", 1), go("w", 2))
    await first.store.release(first.partition.lease)
    first.partition.close()
    second = await Rig.own(sample_app(), server)
    await second.send(go("w", 3))
    (record,) = await second.store.records(["w"])
    assert (record.status, record.output) == ("Completed", b"[1,2,3]")


async def test_a_fenced_owner_writes_nothing_and_does_not_ask_again() -> None:
    server = memory_server()
    first = await Rig.own(sample_app(), server)
    await first.start("waits", "w")
    await first.store.release(first.partition.lease)
    await Rig.own(sample_app(), server)
    first.store.commits.clear()
    await first.send(go("w", 1))
    assert first.lost
    assert isinstance(first.lost[0], Fenced)
    assert first.store.commits == []
    await first.partition.settle()
    (record,) = await first.store.records(["w"])
    assert record.events == 1


async def test_one_who_is_fenced_while_it_reads_afresh_lets_go_without_an_alarm(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Found by chaos (deployment always, seed 100): a frozen worker woke up in the middle of a recovery."""
    server = memory_server()
    first = await Rig.own(sample_app(), server)
    await first.start("waits", "w")
    await first.store.release(first.partition.lease)
    await Rig.own(sample_app(), server)
    first.store.failures = [Refused("somebody else wrote")]
    await first.send(go("w", 1))
    assert first.lost
    assert not [error for error in first.lost if "gave up" in str(error)]
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_a_refused_commit_is_read_again_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = await Rig.own(sample_app(), memory_server())
    for n in range(5):
        await rig.start("waits", f"w{n}")
    rig.store.failures = [Refused("somebody else wrote")]
    await rig.send(*(go(f"w{n}", k) for k in range(3) for n in range(5)))
    assert not rig.partition.careful
    assert [await rig.status(f"w{n}") for n in range(5)] == ["Completed"] * 5
    assert rig.lost == []
    assert not [one for one in rig.outbound if one.target == "dead"]


async def test_one_whose_messages_are_refused_even_alone_is_parked_until_it_is_resumed() -> None:
    rig = await Rig.own(sample_app(), memory_server())
    for n in range(3):
        await rig.start("waits", f"w{n}")

    original = rig.store.commit

    async def refuses_one(lease: Any, sequence: int, commit: Commit) -> None:
        if any(change.instance_id == "w1" and change.events for change in commit.changes):
            raise Refused("its history is a string")
        await original(lease, sequence, commit)

    rig.store.commit = refuses_one  # type: ignore[method-assign]
    await rig.send(*(go(f"w{n}", k) for k in range(3) for n in range(3)))
    assert [await rig.status(f"w{n}") for n in range(3)] == ["Completed", "Suspended", "Completed"]
    (record,) = await rig.store.records(["w1"])
    assert b"its history is a string" in record.problem
    assert len(await rig.inbox()) == 3, "its messages are kept"
    rig.store.commit = original  # type: ignore[method-assign]
    await rig.send(Resume("w1", "mended"))
    (record,) = await rig.store.records(["w1"])
    assert (record.status, record.problem, await rig.inbox()) == ("Completed", None, [])


async def test_a_bug_of_the_engine_in_one_message_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = await Rig.own(sample_app(), memory_server())
    for n in range(3):
        await rig.start("waits", f"w{n}")
    original: Callable[..., Any] = rig.partition.recorder.turn

    def fails_for_one(live: Any, turn: Any, now: int) -> None:
        if live.instance_id == "w1":
            raise AssertionError("a bug")
        original(live, turn, now)

    monkeypatch.setattr(rig.partition.recorder, "turn", fails_for_one)
    await rig.send(*(go(f"w{n}", k) for k in range(3) for n in range(3)))
    assert [await rig.status(f"w{n}") for n in range(3)] == ["Completed", "Suspended", "Completed"]
    (record,) = await rig.store.records(["w1"])
    assert b"a bug" in record.problem


async def test_an_outage_delays_but_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "_FIRST_S", 0.0001)
    rig = await Rig.own(sample_app(), memory_server())
    rig.store.failures = [StoreUnavailable("away")] * 3
    await rig.start("waits", "w")
    rig.store.failures = [StoreUnavailable("away")] * 3
    await rig.send(go("w", 1), go("w", 2), go("w", 3))
    assert await rig.status("w") == "Completed"


async def test_instances_beyond_the_limit_are_forgotten_but_not_lost() -> None:
    rig = await Rig.own(sample_app(), memory_server(), live_max=5)
    for n in range(50):
        await rig.start("waits", f"w{n}")
    assert len(rig.partition._live) <= 6
    for k in range(3):
        for n in range(50):
            await rig.send(go(f"w{n}", k))
    assert [await rig.status(f"w{n}") for n in range(50)] == ["Completed"] * 50
    assert len(rig.partition._live) <= 6


async def test_messages_before_a_scheduled_start_wait_in_the_inbox_and_then_go_in_order() -> None:
    rig = await Rig.own(sample_app(), memory_server())
    at = time.time_ns() // 1_000_000 + 30
    await rig.start("waits", "later", start_at=at)
    assert rig.partition.next_due is not None
    assert rig.partition.next_due <= at
    await rig.send(go("later", 1), Suspend("later", None), go("later", 2), Resume("later", None), go("later", 3))
    assert (await rig.status("later"), len(await rig.inbox())) == ("Pending", 5)

    async def started() -> bool:
        await rig.fire()
        return await rig.status("later") != "Pending"

    await until(started)
    (record,) = await rig.store.records(["later"])
    assert (record.status, record.output, await rig.inbox()) == ("Completed", b"[1,2,3]", [])


async def test_what_was_held_for_one_that_is_terminated_goes_with_it() -> None:
    rig = await Rig.own(sample_app(), memory_server())
    await rig.start("unknown", "u")
    await rig.send(go("u"), TaskResult("u", "tok.0", 1, None, None))
    assert (await rig.status("u"), len(await rig.inbox()), rig.partition.held) == ("Pending", 3, 3)
    await rig.send(Terminate("u", "over", True, None))
    assert (await rig.status("u"), await rig.inbox(), rig.partition.held) == ("Terminated", [], 0)


async def test_a_restart_that_meets_no_orchestrator_is_taken_up_by_the_next_owner() -> None:
    server = memory_server()
    first = await Rig.own(sample_app(), server)
    await first.start("quick", "q")
    await first.store.release(first.partition.lease)
    first.partition.close()
    without = await Rig.own(ds.App(), server)
    await without.send(Restart("q", "again.0", None))
    assert (await without.status("q"), len(await without.inbox())) == ("Pending", 1)
    await without.store.release(without.partition.lease)
    without.partition.close()
    third = await Rig.own(sample_app(), server)
    await third.settle()
    (record,) = await third.store.records(["q"])
    assert (record.status, record.execution_id, await third.inbox()) == ("Completed", "again.0", [])


async def test_timers_of_parked_instances_do_not_hide_those_of_others() -> None:
    server = memory_server()
    first = await Rig.own(sample_app(), server)
    await first.start("sleeps", "s")
    await first.store.release(first.partition.lease)
    first.partition.close()
    without = await Rig.own(ds.App(), server)

    async def fired() -> bool:
        await without.fire()
        return without.partition.firing == 1

    await until(fired)  # it is due a moment after it was made
    assert without.partition.held == 0
    await without.fire()  # it comes again, and is not taken again
    assert without.partition.firing == 1
    (record,) = await without.store.records(["s"])
    assert record.problem is not None


async def test_a_start_that_follows_a_purge_at_once_is_not_lost() -> None:
    """The server has purged and let the id be started again; the owner has not heard yet that its purge is done."""
    rig = await Rig.own(sample_app(), memory_server())
    await rig.start("quick", "q")
    rig.store.replies.clear()
    await rig.store.deliver(0, "c:x", (1, ""), [(1, wire.pack_message(Purge("q", None)))])
    await rig.feed()
    await until(lambda: _is(rig, "absent"))
    message = Start("q", "tok2.0", "quick", None, None, None, None, None, None, "error", True)
    blob = wire.pack_message(message)
    await rig.store.start(0, [NewInstance("q", "tok2.0", "quick", None, None, None, None, None, None, blob)])
    await rig.feed()
    rig.store.replies.set()
    await rig.settle()
    (record,) = await rig.store.records(["q"])
    assert (record.status, record.execution_id) == ("Completed", "tok2.0")


async def _is(rig: Rig, status: str) -> bool:
    return await rig.status("q") == status


async def test_terminate_of_another_instance_under_the_childs_id_does_nothing() -> None:
    rig = await Rig.own(sample_app(), memory_server())
    await rig.start("waits", "w")
    await rig.send(Terminate("w", "my child", True, Parent("p", "x.0", 3)))
    assert await rig.status("w") == "Running"


async def test_it_says_what_events_the_code_waits_for() -> None:
    rig = await Rig.own(sample_app(), memory_server())
    await rig.start("waits", "a")
    await rig.send(Describe("a", "chan 77"), Describe("nobody", "chan 78"))
    notices = [next(iter(unpack_notices(blob))) for commit in rig.store.commits for _, _, blob in commit.notices]
    assert notices == [Ack("77", True, '["go"]'), Ack("78", False, "[]")]
