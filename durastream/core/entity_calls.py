"""What orchestrators do with entities: call them, signal them, lock them. Part of `OrchestrationContext`."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar, overload

from durastream.core.durations import Duration, moment_ms, span_ms
from durastream.core.entity_id import EntityId
from durastream.core.events import EntityOperationCalled, EntityOperationSignaled
from durastream.core.ids import check_name
from durastream.core.limits import LOCK_ENTITIES_MAX, TIME_MS_MAX
from durastream.errors import InvalidId, OrchestratorError

if TYPE_CHECKING:
    from durastream.core.agenda import Agenda
    from durastream.core.definitions import OrchestratorDefinition
    from durastream.core.sections import LockTask
    from durastream.core.tasks import Task

R = TypeVar("R")


class EntityCalls:
    """The methods of an orchestrator's context that have to do with entities."""

    __slots__ = ("_agenda", "_definition")

    def __init__(self, agenda: Agenda, definition: OrchestratorDefinition) -> None:
        self._agenda = agenda
        self._definition = definition

    @overload
    def call_entity(
        self, entity_id: EntityId, operation: str, input: object = None, *, return_type: type[R]
    ) -> Task[R]: ...

    @overload
    def call_entity(
        self, entity_id: EntityId, operation: str, input: object = None, *, return_type: None = None
    ) -> Task[Any]: ...

    def call_entity(
        self, entity_id: EntityId, operation: str, input: object = None, *, return_type: Any = None
    ) -> Task[Any]:
        """Have an entity do something and wait for what it returns. If the operation raises, awaiting raises EntityFailed.

        An entity that does not exist yet begins with its initial state. The result is decoded to `return_type`, else
        to the operation's return annotation if this app has the entity. Inside a critical section only locked entities
        may be called, each by one call at a time. Raises InvalidId, OrchestratorError, PayloadError.

        >>> total = await ctx.call_entity(ds.EntityId("Counter", "a"), "add", 5)  # doctest: +SKIP
        """
        agenda = self._agenda
        agenda.admit()
        entity, name = str(_checked(entity_id)), check_name(operation, "operation")
        if agenda.section is not None:
            agenda.section._check_call(entity)
        data = agenda.codec.encode(input, _input_title(entity_id, name))
        type_ = self._result_type(entity_id, name) if return_type is None else return_type
        return agenda.operation(EntityOperationCalled(agenda.now, entity, name, data), type_)

    def signal_entity(
        self, entity_id: EntityId, operation: str, input: object = None, *, at: datetime | Duration | None = None
    ) -> None:
        """Have an entity do something without waiting for it: nobody hears of a result or a failure.

        `at`: a moment, or seconds or a timedelta from now; it is sent at once and applied then. Signals and calls to one
        entity are applied in the order sent, except those for later. Inside a critical section only entities that it has
        not locked may be signalled. Raises InvalidId, OrchestratorError, PayloadError.
        """
        agenda = self._agenda
        agenda.admit()
        entity, name = str(_checked(entity_id)), check_name(operation, "operation")
        if agenda.section is not None:
            agenda.section._check_signal(entity)
        data = agenda.codec.encode(input, _input_title(entity_id, name))
        due = None if at is None else self._due(at)
        agenda.queue.append((EntityOperationSignaled(agenda.now, entity, name, data, due), None))

    def lock_entities(self, *entity_ids: EntityId) -> LockTask:
        """Lock entities for this orchestration: until it leaves the section, others' operations on them wait.

        They are locked one after the other in an order that is the same for everyone, so sections never wait for each
        other in a circle. They are released at the end of the block, also by an exception, and with the orchestration.
        From here to the end of the section only these entities may be called and only others signalled; no further
        locks, no sub-orchestrations. Raises InvalidId, and OrchestratorError for none, more than 100, or a second section.

        >>> async with ctx.lock_entities(a, b):  # doctest: +SKIP
        ...     await ctx.call_entity(a, "withdraw", 10)
        ...     await ctx.call_entity(b, "deposit", 10)

        In a generator:

        >>> with (yield ctx.lock_entities(a, b)):  # doctest: +SKIP
        ...     yield ctx.call_entity(a, "withdraw", 10)
        """
        agenda = self._agenda
        agenda.admit()
        entities = tuple(sorted({str(_checked(one)) for one in entity_ids}))
        if not 0 < len(entities) <= LOCK_ENTITIES_MAX:
            raise OrchestratorError(
                f"lock_entities was called with {len(entities)} entities: one section locks 1 to {LOCK_ENTITIES_MAX}"
            )
        if agenda.section is not None:
            agenda.section._check_lock()
        return agenda.lock(entities)

    def _due(self, at: datetime | Duration) -> int:
        due = moment_ms(at) if isinstance(at, datetime) else self._agenda.now + span_ms(at, "at")
        return min(max(due, 0), TIME_MS_MAX)

    def _result_type(self, entity_id: EntityId, operation: str) -> Any:
        registry = self._definition.registry
        definition = None if registry is None else registry.find_entity(entity_id.name)
        return Any if definition is None else definition.result_type(operation)


def _checked(entity_id: object) -> EntityId:
    if not isinstance(entity_id, EntityId):
        shown = ascii(entity_id)[:80]
        raise InvalidId(f"{shown} is {type(entity_id).__name__}, not an entity id: write ds.EntityId(name, key)")
    return entity_id


def _input_title(entity_id: EntityId, operation: str) -> str:
    return f"input of operation {operation} of entity {entity_id.name}"
