"""What is known of a registered function: its name, its options, and what its signature says. Entities: `core.entities`.

Annotations are resolved when they are first needed, so that they may name what is defined later in a module; one that
cannot be resolved counts as `Any`: values are then passed as they come out of JSON.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, get_args, get_type_hints

from durastream.core.fingerprint import fingerprint_of
from durastream.core.retry import RetryPolicy
from durastream.errors import NotRegistered, OrchestratorError

if TYPE_CHECKING:
    from durastream.core.entities import EntityDefinition

DEFAULT_QUEUE: Final = "default"
MARK: Final = "__durastream__"
"""Attribute of a registered function: its definition."""

_BY_KEYWORD: Final = inspect.Parameter.KEYWORD_ONLY
_VARIADIC: Final = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


@dataclass(frozen=True, eq=False)
class Definition:
    """What orchestrators and activities share. `local_names`: names that annotations may use besides globals."""

    name: str
    function: Callable[..., Any]
    input_parameter: inspect.Parameter | None
    local_names: Mapping[str, Any] = field(default_factory=dict, kw_only=True, repr=False)

    @property
    def takes_input(self) -> bool:
        return self.input_parameter is not None

    @cached_property
    def input_optional(self) -> bool:
        """Whether the input may be left out, so that the parameter's default holds."""
        parameter = self.input_parameter
        return parameter is not None and parameter.default is not inspect.Parameter.empty

    @cached_property
    def input_type(self) -> Any:
        """What the input is decoded to. `Any` without an annotation."""
        return Any if self.input_parameter is None else self._hint(self.input_parameter.name)

    @cached_property
    def return_type(self) -> Any:
        """What the result is decoded to. `Any` without an annotation."""
        returned = self._hint("return")
        if inspect.isgeneratorfunction(inspect.unwrap(self.function)):
            return (*get_args(returned), Any, Any, Any)[2]
        return returned

    @cached_property
    def input_title(self) -> str:
        return f"input of {self._kind()} {self.name}"

    @cached_property
    def result_title(self) -> str:
        return f"result of {self._kind()} {self.name}"

    def _kind(self) -> str:
        raise NotImplementedError

    def _hint(self, name: str) -> Any:
        function: Any = inspect.unwrap(self.function)
        annotations = getattr(function, "__annotations__", {})
        if name not in annotations:
            return Any
        only = SimpleNamespace(__annotations__={name: annotations[name]})
        try:
            return get_type_hints(only, getattr(function, "__globals__", {}), dict(self.local_names))[name]
        except (
            Exception
        ):  # evaluating an annotation runs user code: a name only type checkers know, a broken expression
            return Any


@dataclass(frozen=True, eq=False)
class Callee(Definition):
    """A function that is called with an input, a context, both or neither: `def f(input)`, with `ctx` anywhere."""

    context_parameter: str | None = None

    def bind(self, value: object, context: object) -> dict[str, Any]:
        """Keyword arguments of a call. An input of None is left out where the parameter has a default."""
        arguments: dict[str, Any] = {}
        parameter = self.input_parameter
        if parameter is not None and not (value is None and self.input_optional):
            arguments[parameter.name] = value
        if self.context_parameter is not None:
            arguments[self.context_parameter] = context
        return arguments


@dataclass(frozen=True, eq=False)
class ActivityDefinition(Callee):
    """An activity: `async def` or not."""

    timeout_ms: int | None = None
    retry: RetryPolicy | None = None
    queue: str = DEFAULT_QUEUE

    @cached_property
    def is_async(self) -> bool:
        return inspect.iscoroutinefunction(inspect.unwrap(self.function))

    def _kind(self) -> str:
        return "activity"


class Registry(Protocol):
    """Where orchestrators look up what they call by name."""

    def find_activity(self, name: str) -> ActivityDefinition | None: ...

    def find_orchestrator(self, name: str, version: str | None = None) -> OrchestratorDefinition | None: ...

    def find_entity(self, name: str) -> EntityDefinition | None: ...


@dataclass(frozen=True, eq=False)
class OrchestratorDefinition(Definition):
    """An orchestrator: `async def f(ctx)` or `f(ctx, input)`, a generator function, or a plain function."""

    version: str | None = None
    registry: Registry | None = field(default=None, repr=False)

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits that change when the code does (not with comments, line numbers or file names)."""
        return fingerprint_of(self.function)

    def _kind(self) -> str:
        return "orchestrator"


# ---------------------------------------------------------------- reading signatures


def orchestrator_parameters(function: Callable[..., Any]) -> inspect.Parameter | None:
    """The input parameter of an orchestrator function. Raises OrchestratorError for signatures that cannot work."""
    _check_function(function, "orchestrator")
    parameters = _parameters(function)
    if not parameters or parameters[0].kind is _BY_KEYWORD:
        raise OrchestratorError(f"orchestrator {_shown(function)} must take the context first: def f(ctx, input)")
    return _single(function, "orchestrator", parameters[1:], by_position=True)


def activity_parameters(function: Callable[..., Any]) -> tuple[inspect.Parameter | None, str | None]:
    """(input parameter, name of the context parameter) of an activity function. Raises OrchestratorError."""
    _check_function(function, "activity")
    return _callee_parameters(function, "activity", _parameters(function))


def operation_parameters(method: Callable[..., Any]) -> tuple[inspect.Parameter | None, str | None]:
    """Like `activity_parameters`, of a public method of an entity class."""
    what = "entity operation"
    if inspect.isasyncgenfunction(method) or inspect.isgeneratorfunction(method):
        raise OrchestratorError(f"{what} {_shown(method)} is a generator: return a list instead of yielding")
    return _callee_parameters(method, what, _parameters(method)[1:])


def _callee_parameters(
    function: Callable[..., Any], what: str, parameters: list[inspect.Parameter]
) -> tuple[inspect.Parameter | None, str | None]:
    context = next((one.name for one in parameters if _is_context(one)), None)
    rest = [one for one in parameters if one.name != context]
    return _single(function, what, rest, by_position=False), context


def _check_function(function: object, what: str) -> None:
    if not inspect.isroutine(function) or inspect.isbuiltin(function):
        raise OrchestratorError(f"an {what} must be a function, not {function!r}")
    if inspect.isasyncgenfunction(function):
        raise OrchestratorError(f"{what} {_shown(function)} is an async generator: use await or yield, not both")
    if what == "activity" and inspect.isgeneratorfunction(function):
        raise OrchestratorError(f"activity {_shown(function)} is a generator: return a list instead of yielding")


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    return [one for one in inspect.signature(function).parameters.values() if one.kind not in _VARIADIC]


def _single(
    function: Callable[..., Any], what: str, parameters: list[inspect.Parameter], *, by_position: bool
) -> inspect.Parameter | None:
    required = [one.name for one in parameters[1:] if one.default is inspect.Parameter.empty]
    if required:
        raise OrchestratorError(
            f"{what} {_shown(function)} takes one input, but also requires {', '.join(required)}: put several values"
            " into a dataclass or a dict"
        )
    first = parameters[0] if parameters else None
    if first is None or first.kind is not (_BY_KEYWORD if by_position else inspect.Parameter.POSITIONAL_ONLY):
        return first
    how = "by position" if by_position else "by name"
    raise OrchestratorError(f"{what} {_shown(function)}: its input {first.name!r} must be allowed {how}")


def _is_context(parameter: inspect.Parameter) -> bool:
    annotation = parameter.annotation
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    return parameter.name == "ctx" or text.rpartition(".")[2] in ("ActivityContext", "EntityContext")


def _shown(function: Any) -> str:
    return f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', function)}"


# ---------------------------------------------------------------- finding

D = TypeVar("D")


def definition_of(function: object, kind: type[D]) -> D:
    """The definition of a registered function. Raises NotRegistered."""
    definition = getattr(function, MARK, None)
    if isinstance(definition, kind):
        return definition
    what = kind.__name__.removesuffix("Definition").lower()
    raise NotRegistered(f"{_shown(function)} is not registered: decorate it with @app.{what}, or call it by name")


def not_registered(kind: str, name: str, names: Iterable[str]) -> NotRegistered:
    """The error for an unknown name: lists what there is, and the closest."""
    known = sorted(names)
    close = get_close_matches(name, known, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return NotRegistered(f"there is no {kind} {name!r}; registered: {', '.join(known) or 'none'}.{hint}")
