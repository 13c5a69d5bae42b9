"""One entity at work: operations in, one at a time, outcomes out.

The state is JSON text after each operation, so that an operation that raises can leave it as it was before. Objects of a
class are kept between operations, and made anew from the text after one that failed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any, Final, NamedTuple, Protocol

from durastream.core.codec import Codec
from durastream.core.entities import DELETE, ClassEntity, EntityDefinition, FunctionEntity
from durastream.core.entity_context import EntityContext
from durastream.core.entity_id import EntityId
from durastream.core.events import Failure, Json
from durastream.core.failure import failure_of
from durastream.core.messages import EntityOperation, Message


class Outcome(NamedTuple):
    """What came of an operation. `messages` are to be sent; there are none when it failed."""

    result: Json | None
    failure: Failure | None
    messages: list[Message]


class EntityCode(Protocol):
    """The seam between running operations and storing what comes of them. A remote SDK may stand behind it as well."""

    state: Json | None

    def run(self, operation: EntityOperation, now: int) -> Outcome | Awaitable[Outcome]:
        """Apply one operation to the state. The next one comes after its outcome. Nothing that it does is undone
        when it raises but what is in the state and in `messages`."""
        ...

    def failed(self, error: BaseException) -> Outcome:
        """Put the state back to where it was before the operation that is running."""
        ...


class EntityRun:
    """Code of this process. Subclasses know how state and code meet."""

    def __init__(self, entity: EntityId, state: Json | None, *, codec: Codec, new_id: Callable[[], str]) -> None:
        self.entity = entity
        self.state = state
        self.codec = codec
        self.new_id = new_id

    def run(self, operation: EntityOperation, now: int) -> Outcome | Awaitable[Outcome]:
        context = EntityContext(self, operation, now)
        try:
            produced = self.invoke(context)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # also SystemExit: it must not end the worker
            context._close()
            return self.failed(error)
        if isawaitable(produced):
            return self._await(context, produced)
        return self._conclude(context, produced)

    async def _await(self, context: EntityContext, produced: Awaitable[Any]) -> Outcome:
        try:
            value = await produced
        except (Exception, SystemExit) as error:
            context._close()
            return self.failed(error)
        return self._conclude(context, value)

    def _conclude(self, context: EntityContext, value: object) -> Outcome:
        operation = context._operation
        result = None
        context._close()
        try:
            if operation.caller is not None:
                result = self.codec.encode(
                    context._result(value), f"result of {operation.entity} {operation.operation}"
                )
            state = self.settle(context)
        except Exception as error:  # methods of user types run here
            return self.failed(error)
        self.state = state if state is None else bytes(memoryview(state))  # orjson keeps 4 KB behind what it gives
        return Outcome(result, None, context._messages)

    def failed(self, error: BaseException) -> Outcome:
        self.forget()
        return Outcome(None, failure_of(error, skip=2), [])

    # -- for subclasses

    def invoke(self, context: EntityContext) -> Any:
        """Run user code."""
        raise NotImplementedError

    def settle(self, context: EntityContext) -> Json | None:
        """The state after the operation. Raises what encoding it raises."""
        raise NotImplementedError

    def forget(self) -> None:
        """What user code may have spoilt."""

    def read(self, context: EntityContext, type_: Any) -> Any:
        """The state as it stands within the operation; None: there is none."""
        raise NotImplementedError

    def write(self, context: EntityContext, value: object) -> None:
        """Replace it, or with None remove it."""
        raise NotImplementedError


_GONE: Final = object()


class ClassRun(EntityRun):
    """An object of the class lives from operation to operation."""

    def __init__(self, definition: ClassEntity, entity: EntityId, state: Json | None, **tools: Any) -> None:
        super().__init__(entity, state, **tools)
        self._definition = definition
        self._object: Any = None  # made when it is needed; _GONE: removed by the operation that is running

    def invoke(self, context: EntityContext) -> Any:
        definition, name = self._definition, context.operation
        if name == DELETE and not definition.has(name):
            self._object = _GONE
            return None
        operation = definition.operation(name)
        value = None
        if operation.takes_input:
            value = self.codec.decode(context._operation.input, operation.input_type)
        if self._object is None:
            self._object = definition.decode_state(self.state, self.codec)
            if self._object is None:
                self._object = definition.new()
        return operation.function(self._object, **operation.bind(value, context))

    def settle(self, context: EntityContext) -> Json | None:
        if self._object is _GONE:
            self._object = None
            return None
        return self._definition.encode_state(self._object, self.codec)

    def forget(self) -> None:
        self._object = None

    def read(self, context: EntityContext, type_: Any) -> Any:
        return None if self._object is _GONE else self._object

    def write(self, context: EntityContext, value: object) -> None:
        if value is not None and not isinstance(value, self._definition.cls):
            expected = self._definition.cls.__name__
            raise TypeError(f"the state of {self.entity} is a {expected}, not {type(value).__name__}")
        self._object = _GONE if value is None else value


class FunctionRun(EntityRun):
    """Nothing lives from operation to operation but the text."""

    def __init__(self, definition: FunctionEntity, entity: EntityId, state: Json | None, **tools: Any) -> None:
        super().__init__(entity, state, **tools)
        self._definition = definition
        self._next = state  # as the operation that is running leaves it

    def invoke(self, context: EntityContext) -> Any:
        self._next = self.state
        if context.operation == DELETE:
            self._next = None
            return None
        return self._definition.function(context)

    def settle(self, context: EntityContext) -> Json | None:
        return self._next

    def read(self, context: EntityContext, type_: Any) -> Any:
        return self.codec.decode(self._next, type_)

    def write(self, context: EntityContext, value: object) -> None:
        self._next = self.codec.encode(value, self._definition.state_title)


_RUNS: Final[dict[type[EntityDefinition], Callable[..., EntityRun]]] = {
    ClassEntity: ClassRun,
    FunctionEntity: FunctionRun,
}


def open_entity(
    definition: EntityDefinition, entity: EntityId, state: Json | None, *, codec: Codec, new_id: Callable[[], str]
) -> EntityCode:
    """Code and state of one entity. `new_id` gives random ids for the orchestrations that it starts."""
    return _RUNS[type(definition)](definition, entity, state, codec=codec, new_id=new_id)
