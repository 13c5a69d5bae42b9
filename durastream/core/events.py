"""History events: what is written, once and for ever, about one execution.

An event is a named tuple. The first field, `at`, is the time of the turn that recorded it: milliseconds since the
epoch by the server's clock. Payloads (`input`, `result`, `data`) are JSON text as bytes, or None where there is none.
`task` is the number of the event that scheduled what is now answered: the identity of an activity's, timer's or child's
outcome is (execution id, task).

Inputs come from outside and drive user code; decisions were made by user code; endings close the execution. The history
of a turn is its inputs in the order they were applied, then its decisions in the order they were made. Event numbers
count from 0 without gaps. Each kind maps one-to-one to an event of the Durable Task protocol.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

Json: TypeAlias = bytes
"""JSON text, UTF-8."""


class Failure(NamedTuple):
    """Why something failed, free of Python objects, so that it can be stored and shown anywhere."""

    type: str
    message: str
    stack: str = ""
    causes: tuple[Failure, ...] = ()
    non_retryable: bool = False


class Parent(NamedTuple):
    """The orchestration that waits for this one, and the number of the event that started it."""

    instance_id: str
    execution_id: str
    task: int


# ---- inputs


class ExecutionStarted(NamedTuple):
    at: int
    name: str
    version: str | None
    input: Json | None
    parent: Parent | None
    generation: int  # 0 for the first execution, +1 with each continue-as-new


class TaskCompleted(NamedTuple):
    at: int
    task: int
    result: Json | None


class TaskFailed(NamedTuple):
    at: int
    task: int
    failure: Failure


class SubOrchestrationCompleted(NamedTuple):
    at: int
    task: int
    result: Json | None


class SubOrchestrationFailed(NamedTuple):
    at: int
    task: int
    failure: Failure


class TimerFired(NamedTuple):
    at: int
    task: int


class EventRaised(NamedTuple):
    at: int
    name: str
    data: Json | None


class EntityOperationCompleted(NamedTuple):
    at: int
    task: int
    result: Json | None


class EntityOperationFailed(NamedTuple):
    at: int
    task: int
    failure: Failure


class EntityLockGranted(NamedTuple):
    at: int
    task: int


class ExecutionSuspended(NamedTuple):
    at: int
    reason: str | None


class ExecutionResumed(NamedTuple):
    at: int
    reason: str | None


class ExecutionTerminated(NamedTuple):
    at: int
    reason: str | None
    recursive: bool


# ---- decisions


class TaskScheduled(NamedTuple):
    at: int
    name: str
    input: Json | None
    queue: str
    timeout_ms: int | None
    attempt: int  # 1 for the first try; set by the retry policy


class TimerCreated(NamedTuple):
    at: int
    due: int  # ms since the epoch, server clock


class SubOrchestrationCreated(NamedTuple):
    at: int
    instance_id: str
    name: str
    version: str | None
    input: Json | None


class EventSent(NamedTuple):
    at: int
    instance_id: str
    name: str
    data: Json | None


class EntityOperationCalled(NamedTuple):
    at: int
    entity: str  # "@name@key"
    operation: str
    input: Json | None


class EntityOperationSignaled(NamedTuple):
    at: int
    entity: str
    operation: str
    input: Json | None
    due: int | None  # ms; None = now


class EntityLockRequested(NamedTuple):
    at: int
    entities: tuple[str, ...]  # in the order in which they are locked


class EntityUnlockSent(NamedTuple):
    """The critical section of the lock request `task` was left, or the request was given up."""

    at: int
    task: int


class TurnSplit(NamedTuple):
    """A turn decided more than one commit may carry; the rest of its decisions follow in the next turn."""

    at: int


# ---- endings


class ExecutionCompleted(NamedTuple):
    at: int
    result: Json | None


class ExecutionFailed(NamedTuple):
    at: int
    failure: Failure


class EventRewound(NamedTuple):
    """Stands where a rewind took an event away, so that numbers stay what they were."""

    at: int
    kind: str  # class name of the event that stood here


Event: TypeAlias = (
    ExecutionStarted
    | TaskCompleted
    | TaskFailed
    | SubOrchestrationCompleted
    | SubOrchestrationFailed
    | TimerFired
    | EventRaised
    | EntityOperationCompleted
    | EntityOperationFailed
    | EntityLockGranted
    | ExecutionSuspended
    | ExecutionResumed
    | ExecutionTerminated
    | TaskScheduled
    | TimerCreated
    | SubOrchestrationCreated
    | EventSent
    | EntityOperationCalled
    | EntityOperationSignaled
    | EntityLockRequested
    | EntityUnlockSent
    | TurnSplit
    | ExecutionCompleted
    | ExecutionFailed
    | EventRewound
)
