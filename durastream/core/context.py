"""What an orchestrator is given: everything it may do, in a form that repeats on replay.

Each method that decides something queues one decision and returns a task at once; nothing waits until a task is
awaited. The names are those of the Durable Task SDK.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Mapping
from datetime import datetime, timedelta
from logging import LoggerAdapter
from random import Random
from typing import TYPE_CHECKING, Any, Concatenate, Final, Protocol, TypedDict, TypeVar, Unpack, overload
from uuid import UUID, uuid5

from durastream.core.agenda import Agenda, Continuation
from durastream.core.composed import RetriedCall, TimedWait
from durastream.core.definitions import (
    DEFAULT_QUEUE,
    ActivityDefinition,
    OrchestratorDefinition,
    definition_of,
)
from durastream.core.durations import EPOCH, Duration, duration_ms, moment_ms, span_ms
from durastream.core.entity_calls import EntityCalls
from durastream.core.events import EventSent, SubOrchestrationCreated, TaskScheduled
from durastream.core.ids import check_instance_id, check_name
from durastream.core.leaves import EventTask
from durastream.core.replaylogger import ReplayLogger
from durastream.core.retry import RetryPolicy
from durastream.core.tasks import PENDING, Task

if TYPE_CHECKING:
    from logging import Logger

I = TypeVar("I")  # noqa: E741 - input
R = TypeVar("R")
A = TypeVar("A", bound="ContextOfActivity")
C = TypeVar("C", bound="OrchestrationContext")


class ContextOfActivity(Protocol):
    """What tells an activity's context parameter from its input, for type checkers."""

    attempt: int

    def heartbeat(self, details: object = None) -> None: ...


HTTP_ACTIVITY: Final = "durastream.http"
_UUIDS: Final = UUID("6f9f3c53-3b0b-4b7e-9a55-5d1c1c6f2a10")  # the namespace of new_uuid: any fixed one would do


class CallOptions(TypedDict, total=False):
    """Keyword arguments of `call_activity` besides `return_type`."""

    retry: RetryPolicy | None
    timeout: Duration | None
    queue: str | None


class ChildOptions(TypedDict, total=False):
    """Keyword arguments of `call_sub_orchestrator`."""

    instance_id: str | None
    retry: RetryPolicy | None
    version: str | None


class OrchestrationContext(EntityCalls):
    """The first argument of every orchestrator. Valid only while that orchestrator runs."""

    __slots__ = ("_logger", "_random", "_uuids")

    def __init__(self, agenda: Agenda, definition: OrchestratorDefinition) -> None:
        super().__init__(agenda, definition)
        self._logger: LoggerAdapter[Logger] | None = None
        self._random: Random | None = None
        self._uuids = 0

    # -- who and when

    @property
    def instance_id(self) -> str:
        return self._agenda.instance_id

    @property
    def execution_id(self) -> str:
        """Changes with each continue-as-new."""
        return self._agenda.execution_id

    @property
    def parent_id(self) -> str | None:
        """Instance id of the orchestration that called this one."""
        parent = self._agenda.parent
        return None if parent is None else parent.instance_id

    @property
    def version(self) -> str | None:
        """The version the instance was started with."""
        return self._agenda.version

    @property
    def current_utc_datetime(self) -> datetime:
        """The time of the current turn, by the server's clock; the same on replay. Aware, to the millisecond."""
        return EPOCH + timedelta(milliseconds=self._agenda.now)

    @property
    def is_replaying(self) -> bool:
        """Whether the code is being brought back to where it was. Never decide anything by it."""
        return self._agenda.replaying

    @property
    def logger(self) -> LoggerAdapter[Logger]:
        """A logger that is silent while replaying, so that each line is logged once."""
        if self._logger is None:
            self._logger = ReplayLogger(self._agenda, self._definition.name)
        return self._logger

    @property
    def random(self) -> Random:
        """Random numbers that repeat on replay: seeded with instance and execution id. Not for secrets."""
        if self._random is None:
            self._random = Random(f"{self.instance_id}\n{self.execution_id}")
        return self._random

    def new_uuid(self) -> UUID:
        """A UUID that repeats on replay: version 5, of instance, execution and a counter."""
        self._uuids += 1
        return uuid5(_UUIDS, f"{self.instance_id}\n{self.execution_id}\n{self._uuids}")

    # -- calls

    @overload
    def call_activity(
        self, activity: Callable[[], Coroutine[Any, Any, R]], input: None = None, **options: Unpack[CallOptions]
    ) -> Task[R]: ...

    @overload
    def call_activity(
        self, activity: Callable[[A], Coroutine[Any, Any, R]], input: None = None, **options: Unpack[CallOptions]
    ) -> Task[R]: ...

    @overload
    def call_activity(
        self, activity: Callable[Concatenate[I, ...], Coroutine[Any, Any, R]], input: I, **options: Unpack[CallOptions]
    ) -> Task[R]: ...

    @overload
    def call_activity(
        self, activity: Callable[[A, I], Coroutine[Any, Any, R]], input: I, **options: Unpack[CallOptions]
    ) -> Task[R]: ...

    @overload
    def call_activity(
        self, activity: Callable[[], R], input: None = None, **options: Unpack[CallOptions]
    ) -> Task[R]: ...

    @overload
    def call_activity(
        self, activity: Callable[[A], R], input: None = None, **options: Unpack[CallOptions]
    ) -> Task[R]: ...

    @overload
    def call_activity(
        self, activity: Callable[Concatenate[I, ...], R], input: I, **options: Unpack[CallOptions]
    ) -> Task[R]: ...

    @overload
    def call_activity(self, activity: Callable[[A, I], R], input: I, **options: Unpack[CallOptions]) -> Task[R]: ...

    @overload
    def call_activity(
        self,
        activity: Callable[..., Any] | str,
        input: object = None,
        *,
        return_type: type[R],
        **options: Unpack[CallOptions],
    ) -> Task[R]: ...

    @overload
    def call_activity(self, activity: str, input: object = None, **options: Unpack[CallOptions]) -> Task[Any]: ...

    def call_activity(
        self,
        activity: Callable[..., Any] | str,
        input: object = None,
        *,
        retry: RetryPolicy | None = None,
        timeout: Duration | None = None,
        queue: str | None = None,
        return_type: Any = None,
    ) -> Task[Any]:
        """Schedule an activity. The task's result is what it returns; its failure, after all retries, ActivityFailed.

        `activity`: a function decorated with `@app.activity`, or a name. `retry`, `timeout` (of one attempt) and
        `queue` override what it was registered with. The result is decoded to `return_type`, else to the return
        annotation. Raises NotRegistered, InvalidId, PayloadError.
        """
        agenda = self._agenda
        agenda.admit()
        if isinstance(activity, str):
            name, definition = check_name(activity, "activity"), self._find_activity(activity)
        else:
            definition = definition_of(activity, ActivityDefinition)
            name = definition.name
        if definition is None:
            title, queue_, type_, timeout_ms = f"input of activity {name}", DEFAULT_QUEUE, Any, None
        else:
            title, queue_, type_ = definition.input_title, definition.queue, definition.return_type
            timeout_ms = definition.timeout_ms
            retry = retry or definition.retry
        if timeout is not None:
            timeout_ms = duration_ms(timeout, "timeout")
        if queue is not None:
            queue_ = check_name(queue, "queue")
        event = TaskScheduled(agenda.now, name, agenda.codec.encode(input, title), queue_, timeout_ms, 1)
        type_ = type_ if return_type is None else return_type
        if retry is None or retry.max_attempts == 1:
            return agenda.activity(event, type_)
        return RetriedCall(agenda, retry, lambda attempt: agenda.activity(event._replace(attempt=attempt), type_))

    def _find_activity(self, name: str) -> ActivityDefinition | None:
        registry = self._definition.registry
        return None if registry is None else registry.find_activity(name)

    @overload
    def call_sub_orchestrator(
        self, orchestrator: Callable[[C], Coroutine[Any, Any, R]], input: None = None, **options: Unpack[ChildOptions]
    ) -> Task[R]: ...

    @overload
    def call_sub_orchestrator(
        self, orchestrator: Callable[[C, I], Coroutine[Any, Any, R]], input: I, **options: Unpack[ChildOptions]
    ) -> Task[R]: ...

    @overload
    def call_sub_orchestrator(
        self, orchestrator: Callable[[C], Generator[Any, Any, R]], input: None = None, **options: Unpack[ChildOptions]
    ) -> Task[R]: ...

    @overload
    def call_sub_orchestrator(
        self, orchestrator: Callable[[C, I], Generator[Any, Any, R]], input: I, **options: Unpack[ChildOptions]
    ) -> Task[R]: ...

    @overload
    def call_sub_orchestrator(
        self, orchestrator: str, input: object = None, **options: Unpack[ChildOptions]
    ) -> Task[Any]: ...

    def call_sub_orchestrator(
        self,
        orchestrator: Callable[..., Any] | str,
        input: object = None,
        *,
        instance_id: str | None = None,
        retry: RetryPolicy | None = None,
        version: str | None = None,
    ) -> Task[Any]:
        """Start another orchestration and wait for its end. Its failure or termination raises SubOrchestrationFailed.

        `orchestrator`: a decorated function or a name. `instance_id`: else derived from this one's (see `core.ids`); it
        must not be in use. `version`: else the one the function is registered with. Raises NotRegistered, InvalidId,
        PayloadError, and OrchestratorError inside a critical section.
        """
        agenda = self._agenda
        agenda.admit()
        if isinstance(orchestrator, str):
            name, definition = check_name(orchestrator, "orchestrator"), self._find_orchestrator(orchestrator, version)
        else:
            definition = definition_of(orchestrator, OrchestratorDefinition)
            name, version = definition.name, version or definition.version
        type_: Any = Any if definition is None else definition.return_type
        if agenda.section is not None:
            agenda.section._check_child(name)
        data = agenda.codec.encode(input, f"input of orchestrator {name}")
        child_id = "" if instance_id is None else check_instance_id(instance_id)
        event = SubOrchestrationCreated(agenda.now, child_id, name, version, data)
        if retry is None or retry.max_attempts == 1:
            return agenda.child(event, type_)
        return RetriedCall(agenda, retry, lambda _attempt: agenda.child(event, type_))

    def _find_orchestrator(self, name: str, version: str | None) -> OrchestratorDefinition | None:
        registry = self._definition.registry
        return None if registry is None else registry.find_orchestrator(name, version)

    def call_http(
        self,
        method: str,
        url: str,
        *,
        content: object = None,
        headers: Mapping[str, str] | None = None,
        timeout: Duration | None = None,
        retry: RetryPolicy | None = None,
    ) -> Task[Any]:
        """Make an HTTP request durably, by the built-in activity `durastream.http`, whose result is the response."""
        request = {"method": method, "url": url, "content": content, "headers": dict(headers or {})}
        return self.call_activity(HTTP_ACTIVITY, request, retry=retry, timeout=timeout)

    # -- time and events

    def create_timer(self, fire_at: datetime | Duration) -> Task[None]:
        """A durable timer: fires at a moment, or after seconds or a timedelta. One in the past fires at once.

        >>> await ctx.create_timer(timedelta(days=30))  # doctest: +SKIP
        """
        agenda = self._agenda
        agenda.admit()
        if isinstance(fire_at, datetime):
            return agenda.timer(moment_ms(fire_at))
        return agenda.timer(agenda.now + span_ms(fire_at, "timer"))

    @overload
    def wait_for_external_event(self, name: str, *, timeout: Duration | None = None, type: type[R]) -> Task[R]: ...

    @overload
    def wait_for_external_event(
        self, name: str, *, timeout: Duration | None = None, type: None = None
    ) -> Task[Any]: ...

    def wait_for_external_event(
        self,
        name: str,
        *,
        timeout: Duration | None = None,
        type: Any = None,
    ) -> Task[Any]:
        """Wait for an event raised under this name (in any case); the result is its data, decoded to `type`.

        Events are kept until somebody waits for them, and go to waits in the order both came. With `timeout`, awaiting
        it raises ds.TimeoutError when none has come by then.
        """
        agenda = self._agenda
        agenda.admit()
        event: EventTask[Any] = EventTask(agenda, check_name(name, "event"), Any if type is None else type)
        agenda.mailbox.wait(event)
        if timeout is None or event._state != PENDING:
            return event
        return TimedWait(event, agenda.timer(agenda.now + duration_ms(timeout, "timeout")))

    def send_event(self, instance_id: str, name: str, data: object = None) -> None:
        """Raise an external event for another orchestration (or this one). Nothing happens if there is no such one."""
        agenda = self._agenda
        agenda.admit()
        target, known_as = check_instance_id(instance_id), check_name(name, "event")
        payload = agenda.codec.encode(data, f"data of event {name}")
        agenda.queue.append((EventSent(agenda.now, target, known_as, payload), None))

    # -- this instance

    def set_custom_status(self, value: object) -> None:
        """Show a JSON value with the instance's status. Raises PayloadError."""
        agenda = self._agenda
        agenda.admit()
        agenda.custom_status = agenda.codec.encode(value, "custom status")
        agenda.custom_status_changed = True

    def continue_as_new(
        self,
        input: object = None,
        *,
        keep_events: bool = True,
    ) -> None:
        """Start over with a new input and an empty history, once the orchestrator returns (what it returns is ignored).

        Events that have not been consumed are there for the next execution; without `keep_events` only those that
        arrive after the orchestrator has returned. Raises PayloadError.
        """
        agenda = self._agenda
        agenda.admit()
        data = agenda.codec.encode(input, self._definition.input_title)
        agenda.continuation = Continuation(data, keep_events)
