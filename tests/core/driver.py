"""Drives an orchestration by hand and, after every turn, holds a replay of its history against the live execution."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from durastream.core.definitions import OrchestratorDefinition, definition_of, orchestrator_parameters
from durastream.core.events import (
    EntityLockGranted,
    EntityOperationCompleted,
    EntityOperationFailed,
    Event,
    EventRaised,
    ExecutionResumed,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    Failure,
    Parent,
    SubOrchestrationCompleted,
    SubOrchestrationFailed,
    TaskCompleted,
    TaskFailed,
    TimerFired,
    TurnSplit,
)
from durastream.core.execution import Orchestration
from durastream.core.ids import generation_of, next_execution_id
from durastream.core.turn import Turn
from durastream.errors import PayloadError

START_MS = 1_700_000_000_000


class JsonCodec:
    """Plain JSON; a class as the type is called with the value."""

    def encode(self, value: object, what: str) -> bytes | None:
        if value is None:
            return None
        try:
            return json.dumps(value).encode()
        except TypeError as error:
            raise PayloadError(f"{what}: {error}") from None

    def decode(self, data: bytes | None, type_: Any) -> Any:
        if data is None:
            return None
        value = json.loads(data)
        if type_ in (int, str) and not isinstance(value, type_):
            raise PayloadError(f"{value!r} is not {type_.__name__}")
        return value


CODEC = JsonCodec()


def define(function: Callable[..., Any], name: str | None = None) -> OrchestratorDefinition:
    """The definition of a function, registered or not."""
    if hasattr(function, "__durastream__"):
        return definition_of(function, OrchestratorDefinition)
    return OrchestratorDefinition(name or function.__name__, function, orchestrator_parameters(function))


def payload(value: object) -> bytes | None:
    return None if value is None else json.dumps(value).encode()


class Play:
    """One execution. Each turn comes a second after the last unless `now` says otherwise."""

    def __init__(
        self,
        function: Callable[..., Any],
        input: object = None,
        *,
        instance_id: str = "order-7",
        max_decisions: int = 500,
        parent: Parent | None = None,
        version: str | None = None,
        start: bool = True,
        name: str | None = None,
    ) -> None:
        self.definition = define(function, name)
        self.instance_id = instance_id
        self.execution_id = "tok.0"
        self.max_decisions = max_decisions
        self.now = START_MS
        self.history: list[Event] = []
        self.parent = parent
        self.version = version
        self.execution = self.fresh()
        if start:
            self.turn(self.started(payload(input)))

    def fresh(self) -> Orchestration:
        return Orchestration(
            self.definition, self.instance_id, self.execution_id, codec=CODEC, max_decisions=self.max_decisions
        )

    def started(self, data: bytes | None) -> ExecutionStarted:
        generation = generation_of(self.execution_id)
        return ExecutionStarted(self.now, self.definition.name, self.version, data, self.parent, generation)

    def turn(self, *inputs: Event, after_ms: int = 1_000) -> Turn:
        """Run a turn and keep its events. `at` of the inputs is set here."""
        self.now += after_ms
        self.last = self.execution.turn(self.now, [event._replace(at=self.now) for event in inputs])
        assert self.last.first == len(self.history)
        self.history += self.last.events
        assert self.execution.length == len(self.history) or self.last.continued is not None
        if self.last.continued is None:
            self.check_replay().close()
        return self.last

    def check_replay(self) -> Orchestration:
        """A replay of the history must end where the live execution is."""
        copy = self.fresh()
        copy.replay(self.history)
        assert copy.length == self.execution.length
        assert copy.waiting_on() == self.execution.waiting_on()
        assert (copy.agenda.ending is None) == (self.execution.agenda.ending is None)
        if copy.agenda.ending is None:
            assert copy.agenda.open.keys() == self.execution.agenda.open.keys()
            assert sections(copy) == sections(self.execution)
        assert len(copy.agenda.queue) == len(self.execution.agenda.queue)
        assert copy.agenda.custom_status == self.execution.agenda.custom_status
        assert copy.agenda.cancelled == []
        assert (copy.held is None) == (self.execution.held is None)
        return copy

    def reload(self) -> None:
        """Go on with a replayed execution, as after an eviction."""
        replayed = self.check_replay()
        self.execution.close()
        self.execution = replayed

    def next_execution(self) -> None:
        """Open the execution that continues this one, as the worker does."""
        continued = self.last.continued
        assert continued is not None
        self.execution_id = next_execution_id(self.execution_id)
        self.history = [self.started(continued.input), *continued.carried, TurnSplit(self.now)]
        self.execution = self.fresh()
        self.execution.replay(self.history)

    # -- inputs

    def completes(self, task: int, result: object = None) -> Turn:
        return self.turn(completed(task, result))

    def fails(self, task: int, type_: str = "ValueError", *, non_retryable: bool = False) -> Turn:
        return self.turn(failed(task, type_, non_retryable=non_retryable))

    def fires(self, task: int, *, after_ms: int = 1_000) -> Turn:
        return self.turn(fired(task), after_ms=after_ms)

    def raises(self, name: str, data: object = None) -> Turn:
        return self.turn(raised(name, data))

    def output(self) -> Any:
        """The result; AssertionError with the failure if there is none."""
        assert self.last.status == "Completed", (self.last.status, self.last.failure, self.execution.waiting_on())
        return None if self.last.result is None else json.loads(self.last.result)


def sections(run: Orchestration) -> list[Any]:
    """What it knows of critical sections."""
    return [
        one if one is None else (one._entities, one._number, one._granted, sorted(one._calls))
        for one in (run.agenda.section, run.agenda.unreleased)
    ]


def completed(task: int, result: object = None) -> TaskCompleted:
    return TaskCompleted(0, task, payload(result))


def failed(task: int, type_: str = "ValueError", *, non_retryable: bool = False) -> TaskFailed:
    return TaskFailed(0, task, Failure(type_, "it broke", "remote stack", (), non_retryable))


def child_completed(task: int, result: object = None) -> SubOrchestrationCompleted:
    return SubOrchestrationCompleted(0, task, payload(result))


def child_failed(task: int, type_: str = "ValueError") -> SubOrchestrationFailed:
    return SubOrchestrationFailed(0, task, Failure(type_, "it broke"))


def answered(task: int, result: object = None) -> EntityOperationCompleted:
    """The result of an entity operation."""
    return EntityOperationCompleted(0, task, payload(result))


def refused(task: int, type_: str = "ValueError") -> EntityOperationFailed:
    """The failure of an entity operation."""
    return EntityOperationFailed(0, task, Failure(type_, "it broke"))


def granted(task: int) -> EntityLockGranted:
    return EntityLockGranted(0, task)


def fired(task: int) -> TimerFired:
    return TimerFired(0, task)


def raised(name: str, data: object = None) -> EventRaised:
    return EventRaised(0, name, payload(data))


SUSPEND = ExecutionSuspended(0, "a look around")
RESUME = ExecutionResumed(0, None)


def terminate(*, recursive: bool = False, reason: str | None = "no stock") -> ExecutionTerminated:
    return ExecutionTerminated(0, reason, recursive)
