"""The registry of a program: which orchestrators, activities and entities it has, under which names."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import FrameType
from typing import Any, Final, TypeVar, overload

from durastream.core.definitions import (
    DEFAULT_QUEUE,
    MARK,
    ActivityDefinition,
    OrchestratorDefinition,
    activity_parameters,
    not_registered,
    orchestrator_parameters,
)
from durastream.core.durations import Duration, duration_ms
from durastream.core.entities import ClassEntity, EntityDefinition, FunctionEntity, check_entity_function
from durastream.core.entity_id import check_entity_name
from durastream.core.ids import check_name
from durastream.core.retry import RetryPolicy
from durastream.errors import DurastreamError, NotRegistered

F = TypeVar("F", bound=Callable[..., Any])

_WORD: Final = re.compile(r"[^\W\d]\w*")
_NUMBER: Final = re.compile(r"(\d+)")


class App:
    """Collects orchestrators, activities and entities. No I/O: it can be made and imported anywhere.

    >>> app = App()
    >>> @app.activity
    ... async def greet(name: str) -> str:
    ...     return f"Hello, {name}!"
    >>> app.activity_names()
    ['greet']
    """

    def __init__(self) -> None:
        self._activities: dict[str, ActivityDefinition] = {}
        self._orchestrators: dict[str, dict[str | None, OrchestratorDefinition]] = {}
        self._entities: dict[str, EntityDefinition] = {}

    # -- registering

    @overload
    def activity(self, function: F) -> F: ...

    @overload
    def activity(
        self,
        *,
        name: str | None = None,
        timeout: Duration | None = None,
        retry: RetryPolicy | None = None,
        queue: str = DEFAULT_QUEUE,
    ) -> Callable[[F], F]: ...

    def activity(
        self,
        function: Callable[..., Any] | None = None,
        *,
        name: str | None = None,
        timeout: Duration | None = None,
        retry: RetryPolicy | None = None,
        queue: str = DEFAULT_QUEUE,
    ) -> Any:
        """Register an activity: `def` (runs in a thread) or `async def`. The function itself stays as it is.

        `name`: else the function's. `timeout` of one attempt, `retry` and `queue`: what holds unless the call says
        otherwise. Raises DurastreamError for a name that is taken and for a signature that cannot work.
        """
        if "/" in check_name(queue, "queue"):
            raise DurastreamError(
                f"queue {queue!r}: a queue name has no '/'; it separates a queue from an activity's name"
            )
        timeout_ms = None if timeout is None else duration_ms(timeout, "timeout")

        def register(function: F) -> F:
            parameter, context = activity_parameters(function)
            known_as = check_name(name or function.__name__, "activity")
            local_names = _local_names(function, sys._getframe(depth))
            definition = ActivityDefinition(
                known_as, function, parameter, context, timeout_ms, retry, queue, local_names=local_names
            )
            self._add_activity(definition)
            _mark(function, definition)
            return function

        depth = 1 if function is None else 2
        return register if function is None else register(function)

    @overload
    def orchestrator(self, function: F) -> F: ...

    @overload
    def orchestrator(self, *, name: str | None = None, version: str | None = None) -> Callable[[F], F]: ...

    def orchestrator(
        self,
        function: Callable[..., Any] | None = None,
        *,
        name: str | None = None,
        version: str | None = None,
    ) -> Any:
        """Register an orchestrator: `async def` with await, or a generator function with yield. It stays as it is.

        Several versions of a name may be registered; an instance keeps the version it was started with. Raises
        DurastreamError for a name and version that are taken and for a signature that cannot work.
        """
        if version is not None:
            check_name(version, "version")

        def register(function: F) -> F:
            parameter = orchestrator_parameters(function)
            known_as = check_name(name or function.__name__, "orchestrator")
            local_names = _local_names(function, sys._getframe(depth))
            definition = OrchestratorDefinition(
                known_as, function, parameter, version, registry=self, local_names=local_names
            )
            self._add_orchestrator(definition)
            _mark(function, definition)
            return function

        depth = 1 if function is None else 2
        return register if function is None else register(function)

    @overload
    def entity(self, target: F) -> F: ...

    @overload
    def entity(self, *, name: str | None = None) -> Callable[[F], F]: ...

    def entity(self, target: Callable[..., Any] | None = None, *, name: str | None = None) -> Any:
        """Register an entity: a class, whose attributes are the state and whose public methods are the operations, or a
        function that is called with an `EntityContext` for every operation. `async` or not.

        `name`: else that of the class or function. Raises DurastreamError for a name that is taken and for what cannot
        work.
        """

        def register(target: F) -> F:
            local_names = _local_names(target, sys._getframe(depth))
            definition = self._entity(check_entity_name(name or target.__name__), target, local_names)
            self._add_entity(definition)
            _mark(target, definition)
            return target

        depth = 1 if target is None else 2
        return register if target is None else register(target)

    def include(self, other: App) -> None:
        """Take over everything that another app has. Raises DurastreamError for a name that both have."""
        for activity in other._activities.values():
            self._add_activity(activity)
        for versions in other._orchestrators.values():
            for orchestrator in versions.values():
                self._add_orchestrator(replace(orchestrator, registry=self))  # finds this app's activities, too
        for entity in other._entities.values():
            self._add_entity(replace(entity, registry=self))

    def _add_activity(self, definition: ActivityDefinition) -> None:
        if definition.name in self._activities:
            raise DurastreamError(f"activity {definition.name!r} is registered already: give one another name")
        self._activities[definition.name] = definition

    def _add_orchestrator(self, definition: OrchestratorDefinition) -> None:
        versions = self._orchestrators.setdefault(definition.name, {})
        if definition.version in versions:
            version = "" if definition.version is None else f" version {definition.version}"
            raise DurastreamError(
                f"orchestrator {definition.name!r}{version} is registered already: give one another name or version"
            )
        versions[definition.version] = definition

    def _entity(self, name: str, target: object, local_names: Mapping[str, Any]) -> EntityDefinition:
        if isinstance(target, type):
            of_class = ClassEntity(name, self, target, local_names=local_names)
            of_class.check()
            return of_class
        return FunctionEntity(name, self, check_entity_function(target), local_names=local_names)

    def _add_entity(self, definition: EntityDefinition) -> None:
        if definition.name in self._entities:
            raise DurastreamError(f"entity {definition.name!r} is registered already: give one another name")
        self._entities[definition.name] = definition

    # -- finding

    def find_activity(self, name: str) -> ActivityDefinition | None:
        """The activity of this name, or None."""
        return self._activities.get(name)

    def find_orchestrator(self, name: str, version: str | None = None) -> OrchestratorDefinition | None:
        """The orchestrator of this name and version, or None.

        Without a version: the one registered without, else the highest (`1.10` is above `1.9`).
        """
        versions = self._orchestrators.get(name)
        if not versions:
            return None
        if version is None and None not in versions:
            version = max((one for one in versions if one is not None), key=_natural)
        return versions.get(version)

    def find_entity(self, name: str) -> EntityDefinition | None:
        """The entity of this name, or None."""
        return self._entities.get(name)

    def entity_names(self) -> list[str]:
        return sorted(self._entities)

    def orchestrator_names(self) -> list[str]:
        return sorted(self._orchestrators)

    def orchestrator_versions(self) -> list[tuple[str, str | None]]:
        """Name and version of each orchestrator."""
        return [(name, version) for name in sorted(self._orchestrators) for version in self._orchestrators[name]]

    def activity_names(self) -> list[str]:
        return sorted(self._activities)

    def queues(self) -> list[str]:
        """The queues that its activities are registered for."""
        return sorted({activity.queue for activity in self._activities.values()})

    def missing_orchestrator(self, name: str, version: str | None = None) -> NotRegistered:
        """The error that says that this app lacks it, what it has, and what may have been meant."""
        if version is not None and name in self._orchestrators:
            versions = ", ".join(sorted(one or "without version" for one in self._orchestrators[name]))
            return NotRegistered(f"there is no version {version!r} of orchestrator {name!r}; registered: {versions}.")
        return not_registered("orchestrator", name, self._orchestrators)

    def missing_activity(self, name: str) -> NotRegistered:
        """Like `missing_orchestrator`."""
        return not_registered("activity", name, self._activities)


def _mark(
    function: Callable[..., Any], definition: ActivityDefinition | OrchestratorDefinition | EntityDefinition
) -> None:
    """Let the function be used in place of its name."""
    target: Any = getattr(function, "__func__", function)
    setattr(target, MARK, definition)


def _local_names(function: Callable[..., Any], frame: FrameType) -> Mapping[str, Any]:
    """What annotations of a function defined inside another one name there; nothing for functions of a module."""
    if "<locals>" not in function.__qualname__:
        return {}
    texts = [str(one) for one in _annotations(function)]
    words = {word for text in texts for word in _WORD.findall(text)}
    return {word: frame.f_locals[word] for word in words if word in frame.f_locals}


def _annotations(target: Any) -> list[object]:
    """Of a function, or of a class and its methods."""
    found = list(getattr(target, "__annotations__", {}).values())
    if isinstance(target, type):
        found += [one for method in vars(target).values() for one in getattr(method, "__annotations__", {}).values()]
    return found


def _natural(version: str) -> list[tuple[int, int, str]]:
    """A sort key in which numbers count as numbers."""
    parts = _NUMBER.split(version)
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts if part]
