"""Leaf tasks: each waits for one thing outside. `number` is the event that scheduled it, -1 until that is recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic

from durastream.core.durations import moment_text
from durastream.core.events import Failure, Json
from durastream.core.ids import child_instance_id
from durastream.core.tasks import DONE, FAILED, PENDING, T, Task
from durastream.errors import ActivityFailed, EntityFailed, RemoteError, SubOrchestrationFailed

if TYPE_CHECKING:
    from durastream.core.agenda import Agenda


class LeafTask(Task[T]):
    """A task with a number of its own in the history."""

    __slots__ = ("_agenda", "_number")

    def __init__(self, agenda: Agenda) -> None:
        # Written out rather than through super(): one of these is made for every step of every orchestration.
        self._state = PENDING
        self._value = None
        self._watchers = None
        self._seen = False
        self._agenda = agenda
        self._number = -1

    def _recorded(self, number: int) -> None:
        """The decision it stands for has got its event number: from now on it can be answered."""
        self._number = number
        if self._state == PENDING:
            self._agenda.open[number] = self

    def cancel(self) -> bool:
        if self._state != PENDING:
            return False
        self._agenda.open.pop(self._number, None)
        return super().cancel()

    def _title(self) -> str:
        where = f" (event {self._number})" if self._number >= 0 else ""
        return f"{self._what()}{where}"

    def _what(self) -> str:
        raise NotImplementedError


class CallTask(LeafTask[T], Generic[T]):
    """A call that is answered with a result or a failure."""

    __slots__ = ("_name", "_type")

    _error: type[RemoteError]

    def __init__(self, agenda: Agenda, name: str, type_: Any) -> None:
        LeafTask.__init__(self, agenda)
        self._name = name
        self._type = type_

    def _complete(self, result: Json | None) -> None:
        try:
            value = self._agenda.codec.decode(result, self._type)
        except Exception as error:  # constructors of user types run here: told to the one who awaits
            self._settle(FAILED, error)
        else:
            self._settle(DONE, value)

    def _fail(self, failure: Failure) -> None:
        self._settle(FAILED, self._error(self._title(), failure))


class ActivityTask(CallTask[T]):
    __slots__ = ()
    _error = ActivityFailed

    def _what(self) -> str:
        return f"activity {self._name}"


class ChildTask(CallTask[T]):
    """A sub-orchestration. `instance_id` is None where it is derived from the number."""

    __slots__ = ("_instance_id",)
    _error = SubOrchestrationFailed

    def __init__(self, agenda: Agenda, name: str, type_: Any, *, instance_id: str | None) -> None:
        CallTask.__init__(self, agenda, name, type_)
        self._instance_id = instance_id

    def _id(self) -> str:
        agenda = self._agenda
        return self._instance_id or child_instance_id(agenda.instance_id, agenda.generation, self._number)

    def _what(self) -> str:
        named = f" {self._id()}" if self._instance_id or self._number >= 0 else ""
        return f"sub-orchestration {self._name}{named}"


class EntityTask(CallTask[T]):
    """A call of an entity."""

    __slots__ = ("_entity",)
    _error = EntityFailed

    def __init__(self, agenda: Agenda, operation: str, type_: Any, *, entity: str) -> None:
        CallTask.__init__(self, agenda, operation, type_)
        self._entity = entity

    def _what(self) -> str:
        return f"entity operation {self._entity} {self._name}"


class TimerTask(LeafTask[None]):
    __slots__ = ("_due",)

    def __init__(self, agenda: Agenda, due: int) -> None:
        LeafTask.__init__(self, agenda)
        self._due = due

    def cancel(self) -> bool:
        if self._state == PENDING and self._number in self._agenda.open:
            self._agenda.cancelled.append(self._number)
        return super().cancel()

    def _what(self) -> str:
        return f"timer {moment_text(self._due)}"


class EventTask(LeafTask[T]):
    """A wait for an external event. Decides nothing, so it never gets a number."""

    __slots__ = ("_arrival", "_event", "_name", "_type")

    def __init__(self, agenda: Agenda, name: str, type_: Any) -> None:
        LeafTask.__init__(self, agenda)
        self._name = name
        self._type = type_
        self._event: Any = None  # what it was given, and the number of that event: kept until user code has seen it
        self._arrival = -1

    def cancel(self) -> bool:
        if self._state != PENDING:
            return False
        self._agenda.mailbox.forget(self)
        return super().cancel()

    def _see(self) -> None:
        self._seen = True
        self._event = None

    def _what(self) -> str:
        return f"event {self._name}"
