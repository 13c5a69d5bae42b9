"""What is known of a registered entity: its operations, and how its state becomes JSON text and back.

Two kinds. A class: its attributes are the state, its public methods the operations. A function: it is called with a context
for every operation, and asks it for operation, input and state.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field
from difflib import get_close_matches
from functools import cached_property
from typing import Any, ClassVar, Final, TypedDict, get_origin, get_type_hints

from durastream.core.codec import Codec
from durastream.core.definitions import Callee, Registry, operation_parameters
from durastream.core.events import Json
from durastream.errors import NotRegistered, OrchestratorError, PayloadError

DELETE: Final = "delete"
"""The operation that every entity has: it removes the state without calling code of the entity. A class may bring its own
method of that name."""

_VARIADIC: Final = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


@dataclass(frozen=True, eq=False)
class Operation(Callee):
    """A public method of an entity class."""

    def _kind(self) -> str:
        return "entity operation"


@dataclass(frozen=True, eq=False)
class EntityDefinition:
    """What class and function entities share."""

    name: str
    registry: Registry = field(repr=False)
    local_names: Mapping[str, Any] = field(default_factory=dict, kw_only=True, repr=False)

    @cached_property
    def state_title(self) -> str:
        return f"state of entity {self.name}"

    def operations(self) -> list[str]:
        """The names it answers to; of a function entity nobody knows them: none."""
        raise NotImplementedError

    def result_type(self, operation: str) -> Any:
        """What the result of an operation is decoded to; `Any` where that is not known."""
        raise NotImplementedError

    def decode_state(self, state: Json | None, codec: Codec) -> Any:
        """The state as user code sees it: an object of the class, or a value. None where there is none."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class FunctionEntity(EntityDefinition):
    """`def counter(ctx: EntityContext)`, `async` or not."""

    function: Callable[..., Any]

    def operations(self) -> list[str]:
        return []

    def result_type(self, operation: str) -> Any:
        return Any

    def decode_state(self, state: Json | None, codec: Codec) -> Any:
        return codec.decode(state, Any)


@dataclass(frozen=True, eq=False)
class ClassEntity(EntityDefinition):
    """A class that can be made without arguments. Private attributes are kept as well as public ones."""

    cls: type[Any]

    @cached_property
    def _methods(self) -> dict[str, Operation]:
        found: dict[str, Operation] = {}
        for name in dir(self.cls):
            method = inspect.getattr_static(self.cls, name)
            if not name.startswith("_") and inspect.isfunction(method):
                parameter, context = operation_parameters(method)
                title = f"{self.name}.{name}"
                found[name] = Operation(title, method, parameter, context, local_names=self.local_names)
        return found

    def check(self) -> None:
        """Raises OrchestratorError for a class that cannot work as an entity."""
        shown = f"{self.cls.__module__}.{self.cls.__qualname__}"
        if any(isinstance(value, Field) for value in vars(self.cls).values()):
            raise OrchestratorError(
                f"entity class {shown} uses field(…) but is no dataclass: decorate it with @dataclass"
            )
        try:
            self.new()
        except TypeError as error:
            raise OrchestratorError(
                f"entity class {shown} cannot be made without arguments, as it is on first use: give its attributes"
                f" defaults ({error})"
            ) from None
        if not self._methods:
            raise OrchestratorError(f"entity class {shown} has no public method: its operations are its public methods")

    def operations(self) -> list[str]:
        return sorted(self._methods)

    def operation(self, name: str) -> Operation:
        """Raises NotRegistered, which lists what there is."""
        found = self._methods.get(name)
        if found is None:
            close = get_close_matches(name, self._methods, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            known = ", ".join(self.operations())
            raise NotRegistered(f"entity {self.name!r} has no operation {name[:80]!r}; it has: {known}.{hint}")
        return found

    def has(self, operation: str) -> bool:
        return operation in self._methods

    def result_type(self, operation: str) -> Any:
        found = self._methods.get(operation)
        return Any if found is None else found.return_type

    # -- state

    @cached_property
    def _hints(self) -> dict[str, Any]:
        try:
            hints = get_type_hints(self.cls, localns=dict(self.local_names), include_extras=True)
        except Exception:  # evaluating annotations runs user code: attributes are then kept as they come out of JSON
            return {}
        return {name: hint for name, hint in hints.items() if get_origin(hint) is not ClassVar and hint is not ClassVar}

    @cached_property
    def _typed(self) -> Any:
        return TypedDict(self.cls.__name__, self._hints, total=False)  # type: ignore[operator]

    @cached_property
    def _slots(self) -> tuple[str, ...]:
        """Attributes of a class without `__dict__`."""
        if hasattr(self.new(), "__dict__"):
            return ()
        return tuple(
            name for base in self.cls.__mro__ for name in _as_tuple(getattr(base, "__slots__", ())) if name[:2] != "__"
        )

    @cached_property
    def _defaults(self) -> dict[str, Any]:
        """Values that stand in the class itself. Each entity gets its own copy, of a list for one."""
        found = {name: getattr(self.cls, name) for name in self._hints if hasattr(self.cls, name)}
        return {name: value for name, value in found.items() if not inspect.isdatadescriptor(value)}

    def new(self) -> Any:
        """An object as it is on first use."""
        made = self.cls()
        attributes = getattr(made, "__dict__", None)
        if attributes is not None:
            for name, value in self._defaults.items():
                if name not in attributes:
                    attributes[name] = copy.deepcopy(value)
        return made

    def encode_state(self, made: Any, codec: Codec) -> Json | None:
        """Raises PayloadError for an attribute that has no JSON form."""
        if self._slots:
            state = {name: getattr(made, name) for name in self._slots if hasattr(made, name)}
        else:
            state = made.__dict__
        return codec.encode(state, self.state_title)

    def decode_state(self, state: Json | None, codec: Codec) -> Any:
        """Attributes that the stored state lacks, because the class got them since, have the values of a new object."""
        if state is None:
            return None
        attributes = codec.decode(state, Any)
        if not isinstance(attributes, dict):
            raise PayloadError(f"{self.state_title} is no JSON object: it was written by other code")
        if self._hints:
            attributes |= codec.decode(state, self._typed)
        made = self.new()
        if self._slots:
            for name in attributes.keys() & set(self._slots):
                setattr(made, name, attributes[name])
        else:
            made.__dict__.update(attributes)
        return made


def _as_tuple(slots: Any) -> tuple[str, ...]:
    return (slots,) if isinstance(slots, str) else tuple(slots)


def check_entity_function(function: Any) -> Callable[..., Any]:
    """The function itself if it can be an entity. Raises OrchestratorError."""
    shown = f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', function)}"
    if not inspect.isroutine(function) or inspect.isbuiltin(function):
        raise OrchestratorError(f"an entity must be a class or a function, not {function!r}")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise OrchestratorError(f"entity {shown} is a generator: return the result instead of yielding")
    parameters = inspect.signature(function).parameters.values()
    needed = [one for one in parameters if one.default is one.empty and one.kind not in _VARIADIC]
    if len(needed) != 1 or needed[0].kind is inspect.Parameter.KEYWORD_ONLY:
        raise OrchestratorError(f"entity {shown} must take the context, and nothing else: def f(ctx)")
    return function
