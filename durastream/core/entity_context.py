"""What an entity operation is given: who it is, what is asked of it, and what it may do to others."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from durastream.core.definitions import OrchestratorDefinition, definition_of
from durastream.core.durations import EPOCH, Duration, moment_ms, span_ms
from durastream.core.entity_id import EntityId
from durastream.core.ids import check_instance_id, check_name
from durastream.core.messages import EntityOperation, Message, RaiseEvent, Start
from durastream.errors import OrchestratorError

if TYPE_CHECKING:
    from durastream.core.entity_run import EntityRun

_UNSET: Final = object()
MESSAGES_MAX: Final = 1_000
"""What one operation may send: it is committed with the operation, as one."""

_log = logging.getLogger("durastream.entity")


class EntityContext:
    """Passed to an operation that has a parameter annotated with this class, or named `ctx`; to a function entity always.

    What it sends leaves together with the new state, once, and not at all if the operation raises. Valid only while the
    operation runs.
    """

    __slots__ = ("_logger", "_messages", "_now", "_open", "_operation", "_run", "_set")

    def __init__(self, run: EntityRun, operation: EntityOperation, now: int) -> None:
        self._run = run
        self._operation = operation
        self._now = now
        self._messages: list[Message] = []
        self._set: Any = _UNSET
        self._open = True
        self._logger: _Logger | None = None

    # -- what is asked

    @property
    def entity_id(self) -> EntityId:
        return self._run.entity

    @property
    def key(self) -> str:
        """The key of this entity."""
        return self._run.entity.key

    @property
    def operation(self) -> str:
        """The name of the operation."""
        return self._operation.operation

    @property
    def input(self) -> Any:
        """The input as it comes out of JSON; None where there is none."""
        return self.get_input()

    def get_input(self, type: Any = Any) -> Any:
        """The input, decoded to a type. Raises PayloadError."""
        return self._run.codec.decode(self._operation.input, type)

    @property
    def caller(self) -> str | None:
        """Who asked: the instance id of an orchestration, an entity as `@name@key`, or None for a client."""
        caller = self._operation.caller
        return self._operation.sender if caller is None else caller.instance_id

    @property
    def is_signal(self) -> bool:
        """Whether nobody waits for the result."""
        return self._operation.caller is None

    @property
    def current_utc_datetime(self) -> datetime:
        """The time of the operation, by the server's clock. Aware, to the millisecond."""
        return EPOCH + timedelta(milliseconds=self._now)

    @property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        """Logs as `durastream.entity.NAME`, with entity and operation as extra fields."""
        if self._logger is None:
            entity = self._run.entity
            extra = {"entity": str(entity), "operation": self.operation}
            self._logger = _Logger(_log.getChild(entity.name), extra)
        return self._logger

    # -- state and result

    def get_state(self, type: Any = Any, default: Any = None) -> Any:
        """The state, decoded to a type; `default` where there is none. In a class entity: the object itself."""
        state = self._run.read(self, type)
        return default if state is None else state

    def set_state(self, value: object) -> None:
        """Replace the state; None removes it. Raises PayloadError."""
        self._admit()
        self._run.write(self, value)

    def delete_state(self) -> None:
        """Remove the state. An entity without one leaves nothing behind."""
        self.set_state(None)

    @property
    def has_state(self) -> bool:
        return self._run.read(self, Any) is not None

    def set_result(self, value: object) -> None:
        """What the caller gets; the same as returning it."""
        self._admit()
        self._set = value

    # -- others

    def signal_entity(
        self, entity_id: EntityId, operation: str, input: object = None, *, at: datetime | Duration | None = None
    ) -> None:
        """Have another entity (or this one) do something, without waiting for it. `at`: a moment, or a time from now."""
        if not isinstance(entity_id, EntityId):
            raise OrchestratorError(f"signal_entity takes an EntityId(name, key), not {type(entity_id).__name__}")
        check_name(operation, "operation")
        data = self._run.codec.encode(input, f"input of {entity_id} {operation}")
        due = None if at is None else moment_ms(at) if isinstance(at, datetime) else self._now + span_ms(at, "at")
        self._send(EntityOperation(str(entity_id), operation, data, None, str(self._run.entity), due))

    def start_orchestration(
        self,
        orchestrator: Callable[..., Any] | str,
        input: object = None,
        *,
        instance_id: str | None = None,
        version: str | None = None,
    ) -> str:
        """Start an orchestration, by function or by name; its instance id. Nothing happens if that id is in use."""
        if isinstance(orchestrator, str):
            name = check_name(orchestrator, "orchestrator")
        else:
            definition = definition_of(orchestrator, OrchestratorDefinition)
            name, version = definition.name, version or definition.version
        target = self._run.new_id() if instance_id is None else check_instance_id(instance_id)
        data = self._run.codec.encode(input, f"input of orchestrator {name}")
        self._send(
            Start(
                target, f"{self._run.new_id()}.0", name, version, data, None,
                tags=None, notify=None, reply=None, if_exists="error", created=False,
            )
        )  # fmt: skip
        return target

    def send_event(self, instance_id: str, name: str, data: object = None) -> None:
        """Raise an external event for an orchestration. Nothing happens if there is no such one."""
        payload = self._run.codec.encode(data, f"data of event {name}")
        self._send(RaiseEvent(check_instance_id(instance_id), check_name(name, "event"), payload))

    # -- for the engine

    def _result(self, returned: object) -> object:
        return returned if self._set is _UNSET else self._set

    def _send(self, message: Message) -> None:
        self._admit()
        if len(self._messages) >= MESSAGES_MAX:
            raise OrchestratorError(
                f"operation {self.operation!r} of {self._run.entity} sends more than {MESSAGES_MAX:,} messages: start an"
                " orchestration that does"
            )
        self._messages.append(message)

    def _admit(self) -> None:
        if not self._open:
            raise OrchestratorError(
                f"the context of operation {self.operation!r} of {self._run.entity} was used after the operation: what"
                " it decides must be decided while it runs"
            )

    def _close(self) -> None:
        self._open = False


class _Logger(logging.LoggerAdapter[logging.Logger]):
    def process(self, msg: Any, kwargs: Any) -> tuple[Any, Any]:
        return msg, {**kwargs, "extra": {**(self.extra or {}), **kwargs.get("extra", {})}}
