"""Runs one activity: input decoded, function called, outcome encoded. Never raises: whatever happens is an outcome."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from durastream.activity import ActivityContext
from durastream.core.codec import Codec
from durastream.core.definitions import ActivityDefinition
from durastream.core.events import Failure
from durastream.core.failure import failure_of
from durastream.core.messages import ActivityItem, TaskResult

log = logging.getLogger("durastream.worker.activity")

_OWN_FRAMES = 2  # of the engine, above the user's function in a stack


class Runner:
    """Calls activity functions: coroutines on the loop, plain functions in threads."""

    def __init__(self, codec: Codec, threads: int) -> None:
        self._codec = codec
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="durastream-activity")

    async def run(
        self, definition: ActivityDefinition, item: ActivityItem, context: ActivityContext | None
    ) -> TaskResult:
        limit = None if item.timeout_ms is None else asyncio.timeout(item.timeout_ms / 1_000)
        try:
            if limit is None:
                value = await self._call(definition, item, context)
            else:
                async with limit:
                    value = await self._call(definition, item, context)
            result = self._codec.encode(value, definition.result_title)
        except (Exception, SystemExit, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and _is_given_up():
                raise
            overdue = isinstance(error, TimeoutError) and limit is not None and limit.expired()
            failure = _timed_out(item, context) if overdue else failure_of(error, skip=_OWN_FRAMES)
            return self._failed(item, failure)
        return TaskResult(item.instance_id, item.execution_id, item.task, result, None)

    async def _call(self, definition: ActivityDefinition, item: ActivityItem, context: ActivityContext | None) -> Any:
        value = self._codec.decode(item.input, definition.input_type) if definition.takes_input else None
        arguments = definition.bind(value, context)
        if definition.is_async:
            return await definition.function(**arguments)
        return await self._in_thread(definition.function, arguments)

    def _in_thread(self, function: Callable[..., Any], arguments: dict[str, Any]) -> asyncio.Future[Any]:
        inherited = contextvars.copy_context()
        return asyncio.get_running_loop().run_in_executor(self._threads, _in_context, inherited, function, arguments)

    @staticmethod
    def _failed(item: ActivityItem, failure: Failure) -> TaskResult:
        return TaskResult(item.instance_id, item.execution_id, item.task, None, failure)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _timed_out(item: ActivityItem, context: ActivityContext | None) -> Failure:
    if context is not None:
        context.cancel()  # a thread cannot be stopped; it can be told
    return Failure("TimeoutError", f"activity {item.name!r} took longer than its timeout of {item.timeout_ms} ms")


def _in_context(inherited: contextvars.Context, function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    try:
        return inherited.run(function, **arguments)
    except StopIteration as error:  # no future takes it: who waits would wait for ever (Python 3.11)
        raise RuntimeError("the activity raised StopIteration") from error


def _is_given_up() -> bool:
    """Whether the worker cancels the activity, rather than user code having been cancelled by itself."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
