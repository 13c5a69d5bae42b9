"""What an activity function can ask for besides its input: an `ActivityContext`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from durastream.errors import ActivityCancelled

_log = logging.getLogger("durastream.activity")


class ActivityContext:
    """Passed to an activity that has a parameter annotated with this class, or named `ctx`.

    `task` is the number of the event that scheduled it: (instance_id, execution_id, task) is the same in every attempt
    to deliver it, so it serves as an idempotency key. `attempt` counts from 1 and is raised by the retry policy. May be
    used from the thread that a plain function runs in.
    """

    __slots__ = ("_cancelled", "_on_heartbeat", "attempt", "execution_id", "instance_id", "logger", "name", "task")

    def __init__(
        self,
        instance_id: str,
        execution_id: str,
        task: int,
        name: str,
        attempt: int,
        on_heartbeat: Callable[[object], None] | None = None,
    ) -> None:
        self.instance_id = instance_id
        self.execution_id = execution_id
        self.task = task
        self.name = name
        self.attempt = attempt
        self.logger = _Logger(_log.getChild(name), {"instance_id": instance_id, "task": task, "attempt": attempt})
        self._on_heartbeat = on_heartbeat
        self._cancelled = False

    @property
    def cancelled(self) -> bool:
        """Whether the result is no longer needed: the instance has ended, or the timeout has passed."""
        return self._cancelled

    def heartbeat(self, details: object = None) -> None:
        """Say that it is still at work; `details` (JSON values) tell how far. Raises ActivityCancelled if it may stop.

        >>> for number, row in enumerate(rows):  # doctest: +SKIP
        ...     ctx.heartbeat({"row": number})
        ...     load(row)
        """
        if self._cancelled:
            raise ActivityCancelled(
                f"the result of activity {self.name!r} for {self.instance_id!r} is no longer needed"
            )
        if self._on_heartbeat is not None:
            self._on_heartbeat(details)

    def cancel(self) -> None:
        """For the worker: the result is no longer needed."""
        self._cancelled = True


class _Logger(logging.LoggerAdapter[logging.Logger]):
    """Adds instance, task and attempt to what is logged, and keeps what the caller adds."""

    def process(self, msg: Any, kwargs: Any) -> tuple[Any, Any]:
        return msg, {**kwargs, "extra": {**(self.extra or {}), **kwargs.get("extra", {})}}
