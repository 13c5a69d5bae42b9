"""The seam between hosting and deciding: who runs the turns of orchestrators and the operations of entities. Here: Python code
in this process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from durastream import environment
from durastream.app import App
from durastream.core.codec import Codec
from durastream.core.entity_id import EntityId
from durastream.core.entity_run import EntityCode, open_entity
from durastream.core.events import Event, Json
from durastream.core.execution import Orchestration
from durastream.core.rewind import Rewound, rewind
from durastream.core.turn import Execution


class Executor(Protocol):
    """Gives the executions that the worker drives."""

    def open(self, name: str, version: str | None, instance_id: str, execution_id: str) -> Execution | None:
        """A fresh execution, or None if this worker lacks the orchestrator."""
        ...

    def rewind(
        self, name: str, version: str | None, ids: tuple[str, str], history: Sequence[Event], now: int
    ) -> Rewound:
        """What a rewind of a failed execution changes in its history."""
        ...

    def version(self, name: str) -> str | None:
        """The version of an instance that was started without one: None where the orchestrator has none either."""
        ...

    def names(self) -> list[str]: ...

    def open_entity(self, entity: EntityId, state: Json | None) -> EntityCode | None:
        """The code of an entity with its state, or None if this worker lacks it."""
        ...

    def entity_names(self) -> list[str]: ...


class PythonExecutor:
    """Executions of the orchestrators, and code of the entities, that an app has."""

    def __init__(self, app: App, codec: Codec) -> None:
        self._app = app
        self._codec = codec

    def open(self, name: str, version: str | None, instance_id: str, execution_id: str) -> Execution | None:
        definition = self._app.find_orchestrator(name, version)
        if definition is None:
            return None
        return Orchestration(definition, instance_id, execution_id, codec=self._codec)

    def rewind(
        self, name: str, version: str | None, ids: tuple[str, str], history: Sequence[Event], now: int
    ) -> Rewound:
        definition = self._app.find_orchestrator(name, version)
        if definition is None:
            raise LookupError(name)
        return rewind(definition, history, ids, codec=self._codec, now=now)

    def version(self, name: str) -> str | None:
        definition = self._app.find_orchestrator(name)
        return None if definition is None else definition.version

    def names(self) -> list[str]:
        return self._app.orchestrator_names()

    def open_entity(self, entity: EntityId, state: Json | None) -> EntityCode | None:
        definition = self._app.find_entity(entity.name)
        if definition is None:
            return None
        return open_entity(definition, entity, state, codec=self._codec, new_id=_new_id)

    def entity_names(self) -> list[str]:
        return self._app.entity_names()


def _new_id() -> str:
    return environment.token(16)
