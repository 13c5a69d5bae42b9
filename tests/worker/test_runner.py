"""One activity: whatever it does is an outcome."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
import time
from typing import Any

import pytest

import durastream as ds
from durastream.activity import ActivityContext
from durastream.core.messages import ActivityItem, TaskResult
from durastream.payload import Payloads
from durastream.worker.runner import Runner

pytestmark = pytest.mark.anyio


async def run(
    function: Any, *, data: bytes | None = None, timeout_ms: int | None = None, context: bool = False
) -> TaskResult:
    app = ds.App()
    app.activity(name="it")(function)
    definition = app.find_activity("it")
    assert definition is not None
    runner = Runner(Payloads(), 2)
    item = ActivityItem("i", "tok.0", 4, "it", data, timeout_ms, 1)
    asked = ActivityContext("i", "tok.0", 4, "it", 1) if context or definition.context_parameter else None
    try:
        return await runner.run(definition, item, asked)
    finally:
        runner.close()


async def test_results_are_encoded_and_addressed() -> None:
    async def double(n: int) -> list[int]:
        return [n, n]

    assert await run(double, data=b"4") == TaskResult("i", "tok.0", 4, b"[4,4]", None)


async def test_functions_run_in_threads_with_the_context_of_the_loop() -> None:
    variable = contextvars.ContextVar("variable", default="none")
    variable.set("inherited")
    main = threading.get_ident()

    def work() -> list[Any]:
        return [variable.get(), threading.get_ident() != main]

    assert (await run(work)).result == b'["inherited",true]'


class Strange:
    pass


async def raises(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(3), asyncio.CancelledError("own"), TimeoutError("bank")])
async def test_whatever_is_raised_is_a_failure(error: BaseException) -> None:
    async def fails() -> None:
        raise error

    def fails_in_thread() -> None:
        raise error

    for function in (fails, fails_in_thread):
        failure = (await run(function, timeout_ms=5_000)).failure
        assert failure is not None
        assert (failure.type, failure.message) == (type(error).__name__, str(error))


async def test_stop_iteration_in_a_thread_does_not_hang() -> None:
    def stops() -> None:
        next(iter(()))

    failure = (await asyncio.wait_for(run(stops), 5)).failure
    assert failure is not None
    assert "StopIteration" in failure.message


async def test_results_and_inputs_that_do_not_fit_are_failures() -> None:
    async def strange() -> Any:
        return Strange()

    async def number(n: int) -> int:
        return n

    for outcome in (await run(strange), await run(number, data=b'"text"')):
        assert outcome.failure is not None
        assert outcome.result is None


async def test_a_timeout_cancels_the_coroutine_and_tells_the_thread() -> None:
    ended: list[str] = []

    async def sleeps() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("coroutine")

    def works(ctx: ds.ActivityContext) -> None:
        until = time.monotonic() + 10
        while not ctx.cancelled and time.monotonic() < until:
            time.sleep(0.001)
        ended.append("thread" if ctx.cancelled else "never told")

    for function in (sleeps, works):
        failure = (await run(function, timeout_ms=20)).failure
        assert failure is not None
        assert failure.message == "activity 'it' took longer than its timeout of 20 ms"
    while len(ended) < 2:
        await asyncio.sleep(0.001)  # time must pass: the thread has to notice
    assert ended == ["coroutine", "thread"]


async def test_being_given_up_is_no_outcome() -> None:
    async def sleeps() -> None:
        await asyncio.sleep(60)

    task = asyncio.create_task(run(sleeps))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_stacks_begin_with_the_users_code() -> None:
    async def fails() -> None:
        raise ValueError("here")

    failure = (await run(fails)).failure
    assert failure is not None
    assert failure.stack.count("File") == 1
    assert "worker/runner.py" not in failure.stack.replace("tests/worker/test_runner.py", "")
    assert sys.exc_info() == (None, None, None)
