from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from durastream.app import App
from durastream.core.context import OrchestrationContext
from durastream.core.events import EventSent, Parent, TaskScheduled
from durastream.core.messages import RaiseEvent, Start
from durastream.core.retry import RetryPolicy
from tests.core.driver import START_MS, Play

Ctx = OrchestrationContext
app = App()


@app.activity(name="resize", timeout=30, retry=RetryPolicy(2), queue="gpu")
def resize(path: str) -> str:
    return path


@app.activity
async def count(words: list[str]) -> int:
    return len(words)


@app.orchestrator
async def by_function(ctx: Ctx) -> object:
    return await ctx.call_activity(resize, "a.png")


@app.orchestrator
async def by_name(ctx: Ctx) -> object:
    return await ctx.call_activity("resize", "a.png")


@app.orchestrator(version="2")
async def versioned(ctx: Ctx, n: int) -> int:
    return n


def test_who_and_when() -> None:
    async def who(ctx: Ctx) -> list[object]:
        return [ctx.instance_id, ctx.execution_id, ctx.parent_id, ctx.version, str(ctx.current_utc_datetime)]

    play = Play(who, parent=Parent("boss", "t.0", 3), version="7")
    assert play.output() == ["order-7", "tok.0", "boss", "7", "2023-11-14 22:13:21+00:00"]
    assert Play(who).output()[2:4] == [None, None]


def test_time_is_that_of_the_turn() -> None:
    async def times(ctx: Ctx) -> list[float]:
        first = ctx.current_utc_datetime
        await ctx.create_timer(5)
        assert ctx.current_utc_datetime.tzinfo is UTC
        return [(ctx.current_utc_datetime - first).total_seconds()]

    play = Play(times)
    play.fires(1, after_ms=5_432)
    assert play.output() == [5.432]


def test_random_numbers_and_uuids_repeat_on_replay_and_differ_between_executions() -> None:
    async def draws(ctx: Ctx) -> list[object]:
        before = [ctx.random.random(), str(ctx.new_uuid())]
        await ctx.call_activity("a")
        return [*before, ctx.random.random(), str(ctx.new_uuid())]

    outputs = []
    for instance_id in ("a", "a", "b"):
        play = Play(draws, instance_id=instance_id)
        play.reload()
        play.completes(1)
        outputs.append(play.output())
    assert outputs[0] == outputs[1] and not set(outputs[0]) & set(outputs[2])
    assert uuid.UUID(outputs[0][1]).version == 5 and len(set(outputs[0])) == 4


def test_the_logger_is_silent_while_replaying(caplog: pytest.LogCaptureFixture) -> None:
    async def logs(ctx: Ctx) -> None:
        ctx.logger.info("one %s", "step", extra={"more": 1})
        await ctx.call_activity("a")
        ctx.logger.info("two")

    caplog.set_level(logging.INFO)
    play = Play(logs)
    play.reload()
    play.completes(1)
    assert [record.getMessage() for record in caplog.records] == ["one step", "two"]
    record: Any = caplog.records[0]
    assert (record.name, record.instance_id, record.more) == ("durastream.orchestrator.logs", "order-7", 1)


def test_is_replaying() -> None:
    seen = []

    async def looks(ctx: Ctx) -> None:
        seen.append(ctx.is_replaying)
        await ctx.call_activity("a")

    Play(looks)
    assert seen == [False, True]


# ---- calls


@pytest.mark.parametrize("function", [by_function, by_name])
def test_a_call_takes_what_the_activity_was_registered_with(function: Callable[..., Any]) -> None:
    play = Play(function)
    assert play.last.activities == [(1, TaskScheduled(play.now, "resize", b'"a.png"', "gpu", 30_000, 1))]
    assert len(play.fails(1).timers) == 1  # its retry policy
    play.fires(3)
    turn = play.completes(5, 7)
    assert turn.failure is not None and "not str" in turn.failure.message  # its return annotation


def test_a_call_may_say_otherwise() -> None:
    async def differently(ctx: Ctx) -> object:
        call = ctx.call_activity(
            resize, "a", retry=RetryPolicy(1), timeout=timedelta(milliseconds=5), queue="cpu", return_type=int
        )
        return await call

    play = Play(differently)
    assert play.last.activities == [(1, TaskScheduled(play.now, "resize", b'"a"', "cpu", 5, 1))]
    play.completes(1, 7)
    assert play.output() == 7


def test_an_unknown_name_goes_to_the_default_queue() -> None:
    async def elsewhere(ctx: Ctx) -> object:
        return await ctx.call_activity("in another program")

    play = Play(elsewhere)
    assert play.last.activities[0][1][1:] == ("in another program", None, "default", None, 1)


def test_what_cannot_be_called() -> None:
    def plain(n: int) -> int:
        return n

    async def wrong(ctx: Ctx, how: int) -> None:
        calls: list[Callable[[], object]] = [
            lambda: ctx.call_activity(plain, 1),
            lambda: ctx.call_activity(by_name, 1),  # type: ignore[arg-type]
            lambda: ctx.call_sub_orchestrator(resize, 1),  # type: ignore[arg-type, type-var]
            lambda: ctx.call_activity("bad\x00name"),
            lambda: ctx.call_activity("a", object()),
            lambda: ctx.call_sub_orchestrator("a", instance_id=""),
            lambda: ctx.send_event("", "x"),
            lambda: ctx.wait_for_external_event("x", timeout=-1),
            lambda: ctx.create_timer(float("nan")),
        ]
        calls[how]()

    expected = ["NotRegistered"] * 3 + [
        "InvalidId",
        "PayloadError",
        "InvalidId",
        "InvalidId",
        "ValueError",
        "ValueError",
    ]
    found = []
    for how in range(len(expected)):
        failure = Play(wrong, how).last.failure
        assert failure is not None
        found.append(failure.type)
    assert found == expected
    failure = Play(wrong, 0).last.failure
    assert failure is not None and "decorate it with @app.activity" in failure.message


def test_sub_orchestrations_take_the_version_of_the_function() -> None:
    async def calls(ctx: Ctx, version: str | None) -> object:
        return await ctx.call_sub_orchestrator(versioned, 1, version=version)

    for asked, version in ((None, "2"), ("3", "3")):
        (start,) = Play(calls, asked).last.messages
        assert isinstance(start, Start) and (start.name, start.version, start.input) == ("versioned", version, b"1")


def test_http_calls_are_a_built_in_activity() -> None:
    async def fetches(ctx: Ctx) -> object:
        return await ctx.call_http("GET", "https://example.org", headers={"accept": "*/*"}, timeout=5)

    play = Play(fetches)
    event = play.last.activities[0][1]
    assert event.name == "durastream.http" and event.timeout_ms == 5_000
    assert (
        event.input == b'{"method": "GET", "url": "https://example.org", "content": null, "headers": {"accept": "*/*"}}'
    )


# ---- time, events, status


def test_timers_by_moment_span_and_seconds() -> None:
    async def sets(ctx: Ctx) -> None:
        now = ctx.current_utc_datetime
        ctx.create_timer(now + timedelta(seconds=1))
        ctx.create_timer((now + timedelta(seconds=2)).replace(tzinfo=None))
        ctx.create_timer(timedelta(microseconds=1))
        ctx.create_timer(0.25)
        ctx.create_timer(-5)
        ctx.create_timer(datetime(1900, 1, 1, tzinfo=UTC))
        await ctx.wait_for_external_event("x")

    play = Play(sets)
    assert [due - START_MS - 1_000 for _, due in play.last.timers[:5]] == [1_000, 2_000, 1, 250, -5_000]
    assert play.last.timers[5][1] == 0


def test_events_to_others() -> None:
    async def sends(ctx: Ctx) -> None:
        ctx.send_event("friend", "Hello", {"n": 1})
        await ctx.create_timer(1)

    play = Play(sends)
    assert play.history[1] == EventSent(play.now, "friend", "Hello", b'{"n": 1}')
    assert play.last.messages == [RaiseEvent("friend", "Hello", b'{"n": 1}')]


def test_custom_status_is_told_when_it_changes() -> None:
    async def reports(ctx: Ctx) -> None:
        ctx.set_custom_status({"step": 1})
        await ctx.call_activity("a")
        await ctx.call_activity("b")
        ctx.set_custom_status(None)

    play = Play(reports)
    assert (play.last.custom_status, play.last.custom_status_changed) == (b'{"step": 1}', True)
    play.reload()
    play.completes(1)
    assert (play.last.custom_status, play.last.custom_status_changed) == (b'{"step": 1}', False)
    play.completes(3)
    assert (play.last.custom_status, play.last.custom_status_changed) == (None, True)


def test_continue_as_new_takes_effect_when_the_orchestrator_returns() -> None:
    async def again(ctx: Ctx, n: int) -> str:
        ctx.continue_as_new(n + 1)
        ctx.continue_as_new(n + 2)
        await ctx.call_activity("last words")
        return "ignored"

    play = Play(again, 1)
    assert play.last.continued is None and len(play.last.activities) == 1
    turn = play.completes(1)
    assert turn.continued is not None and turn.continued.input == b"3" and turn.result is None
    play.next_execution()
    assert play.execution_id == "tok.1"
    play.turn()
    assert len(play.last.activities) == 1


def test_an_exception_after_continue_as_new_fails_it() -> None:
    async def stumbles(ctx: Ctx) -> None:
        ctx.continue_as_new(1)
        raise ValueError("no")

    assert Play(stumbles).last.status == "Failed"


def test_children_of_the_next_execution_have_other_ids() -> None:
    async def parent(ctx: Ctx, n: int) -> None:
        ctx.call_sub_orchestrator("child")
        if n == 0:
            ctx.continue_as_new(1)
            return
        await ctx.wait_for_external_event("x")

    play = Play(parent, 0)
    play.next_execution()
    (start,) = play.turn().messages
    assert isinstance(start, Start) and start.instance_id == "order-7:1.2" and start.parent is not None
    assert start.parent.execution_id == "tok.1"
