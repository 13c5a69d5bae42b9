"""Events and messages as bytes: msgpack arrays `[code, *fields]`. Codes are published: never reuse one.

Decoding is strict: unknown codes, wrong lengths and wrong field types raise `WireError`, so that rubbish written into a
stream by hand becomes a dead letter and never a crash inside the engine. Encoding checks the same rules, so that
nothing is stored that could not be read again. Failure, Parent and a nested Start are arrays of their fields, without a
code.

Payload fields are opaque here: that they hold JSON is checked where they are decoded (`payload`).

This is the hottest path of the engine. Each class gets one packing and one building function, generated from its
annotations when the module is loaded, with all checks inlined; only a refusal goes through slow code, to say why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import NoneType
from typing import Any, Final, TypeAlias, TypeVar, cast, get_args, get_type_hints

import msgpack
import orjson

from durastream.core import events as e
from durastream.core import messages as m
from durastream.core.events import Event, Failure, Parent
from durastream.core.limits import (
    CAUSES_DEPTH_MAX,
    ENTITY_BYTES_MAX,
    ID_BYTES_MAX,
    LOCK_ENTITIES_MAX,
    QUOTE_CHARS_MAX,
    TIME_MS_MAX,
    TIME_MS_MIN,
)
from durastream.core.messages import ActivityItem, Message
from durastream.errors import WireError

Build: TypeAlias = Callable[..., Any]
Pack: TypeAlias = Callable[..., bytes]
T = TypeVar("T")

# ---------------------------------------------------------------- the published codes

EVENT_CODES: Final[dict[int, type[Any]]] = {
    # inputs: 1 to 39
    1: e.ExecutionStarted,
    2: e.TaskCompleted,
    3: e.TaskFailed,
    4: e.SubOrchestrationCompleted,
    5: e.SubOrchestrationFailed,
    6: e.TimerFired,
    7: e.EventRaised,
    8: e.ExecutionSuspended,
    9: e.ExecutionResumed,
    10: e.ExecutionTerminated,
    11: e.EntityOperationCompleted,
    12: e.EntityOperationFailed,
    13: e.EntityLockGranted,
    # decisions: 40 to 69
    40: e.TaskScheduled,
    41: e.TimerCreated,
    42: e.SubOrchestrationCreated,
    43: e.EventSent,
    44: e.TurnSplit,
    45: e.EntityOperationCalled,
    46: e.EntityOperationSignaled,
    47: e.EntityLockRequested,
    48: e.EntityUnlockSent,
    # endings: 70 to 79
    70: e.ExecutionCompleted,
    71: e.ExecutionFailed,
    72: e.EventRewound,
}

MESSAGE_CODES: Final[dict[int, type[Any]]] = {
    1: m.Start,
    2: m.TaskResult,
    3: m.ChildResult,
    4: m.RaiseEvent,
    5: m.Suspend,
    6: m.Resume,
    7: m.Terminate,
    8: m.Continue,
    9: m.Rewind,
    10: m.Restart,
    11: m.Purge,
    12: m.EntityResult,
    13: m.LockGranted,
    14: m.EntityOperation,
    15: m.LockEntities,
    16: m.UnlockEntities,
    17: m.Describe,
}

ACTIVITY_CODES: Final[dict[int, type[Any]]] = {1: ActivityItem}

# ---------------------------------------------------------------- field rules

_PACKER: Final = msgpack.Packer(
    autoreset=True
)  # one for all: each owns a buffer of 256 KiB; no Python code runs within

_NESTED: Final = (Failure, Parent, m.Start)


def _sized(bytes_max: int) -> str:
    """Condition: text of 1 to so many bytes. Up to a quarter of that in characters needs no encoding: one has at most 4."""
    return (
        f"isinstance({{0}}, str) and (0 < len({{0}}) <= {bytes_max // 4}"
        f" or 0 < len({{0}}) <= {bytes_max} and len({{0}}.encode()) <= {bytes_max})"
    )


_ENTITY: Final = (
    f'{_sized(ENTITY_BYTES_MAX)} and {{0}}[0] == "@"',
    f"str of 1 to {ENTITY_BYTES_MAX} bytes that begins with @",
)
_ENTITIES: Final = tuple[str, ...]  # the only field type that is a list


def _several(least: int) -> tuple[str, str]:
    each, words = _ENTITY
    return (
        f"isinstance({{0}}, tuple) and {least} <= len({{0}}) <= {LOCK_ENTITIES_MAX}"
        f" and all({each.format('one')} for one in {{0}})",
        f"array of {least} to {LOCK_ENTITIES_MAX}, each {words}",
    )


_TYPE_RULES: Final[dict[Any, tuple[str, str]]] = {
    # type: (condition on `{}`, the same in words). isinstance, not exact type, where a subclass packs as the type itself.
    int: (f"{{0}}.__class__ is int and -{TIME_MS_MAX} <= {{0}} <= {TIME_MS_MAX}", f"int within ±{TIME_MS_MAX}"),
    bool: ("({0} is True or {0} is False)", "bool"),
    str: ("isinstance({0}, str)", "str"),
    bytes: ("isinstance({0}, bytes)", "bytes"),
    _ENTITIES: _several(0),
}

_TIME: Final = (f"{{0}}.__class__ is int and {TIME_MS_MIN} <= {{0}} <= {TIME_MS_MAX}", "ms within the years 1 to 9999")

_NAME_RULES: Final[dict[str, tuple[str, str]]] = {
    "at": _TIME,
    "due": _TIME,
    "instance_id": (_sized(ID_BYTES_MAX), f"str of 1 to {ID_BYTES_MAX} bytes"),
    "entity": _ENTITY,
    "entities": _several(1),
    "if_exists": ('{0} in ("error", "ignore", "replace", "child")', '"error", "ignore", "replace" or "child"'),
}


class _Field:
    """One field of a class: how to check it, how to turn its array into a named tuple, and the rule in words."""

    def __init__(self, name: str, hint: Any) -> None:
        kinds = get_args(hint) if NoneType in get_args(hint) else (hint,)
        self.name = name
        self.shown = "was" if name == "kind" else name  # "kind" is the class in the readable form
        self.optional = NoneType in kinds
        self.type: Any = next(kind for kind in kinds if kind is not NoneType)
        self.nested = self.type in _NESTED
        none = f"{name} is None or " if self.optional else ""
        if self.nested:
            self.check, self.words = f"({none}isinstance({name}, tuple))", f"array of a {self.type.__name__}"
        else:
            rule, self.words = _NAME_RULES.get(name) or _TYPE_RULES[self.type]
            self.check = f"({none}{rule.format(name)})"
        self.words += " or nil" if self.optional else ""

    @property
    def value(self) -> str:
        """Expression for the field's value, given its name holds what came in."""
        if not self.nested:
            return self.name
        build = f"build_{self.type.__name__}(*{self.name})"
        return f"None if {self.name} is None else {build}" if self.optional else build

    def accepts(self, value: object) -> bool:
        return bool(_compile(f"lambda {self.name}: {self.check}")(value))


def _fields(cls: type[Any]) -> list[_Field]:
    return [_Field(name, hint) for name, hint in get_type_hints(cls).items()]


def _compile(source: str, **names: Any) -> Any:
    # Sources are made of this module's tables and field names only; the standard library's namedtuple does the same.
    return eval(source, {**_NESTED_BUILDERS, **names})  # noqa: S307


def _builder(cls: type[Any], code: int | None) -> Build:
    """`f(code, *fields) -> cls` (`f(*fields)` where code is None). Raises WireError; TypeError for a wrong count."""
    fields = _fields(cls)
    names = [field.name for field in fields]
    values = "".join(f"{field.value}, " for field in fields)
    made = f"new(cls, ({values}))" if any(f.nested for f in fields) else f"new(cls, ({', '.join(names)},))"
    checks = " and ".join(field.check for field in fields)
    head = [] if code is None else ["code"]
    test = checks if code is None else f"code.__class__ is int and {checks}"  # True and 1.0 find entry 1 of a dict too
    source = f"lambda {', '.join(head + names)}: {made} if {test} else refuse(cls, ({', '.join(names)},))"
    return cast(Build, _compile(source, cls=cls, new=tuple.__new__, refuse=_refuse))


def _packer(cls: type[Any], code: int) -> Pack:
    """`f(*fields) -> bytes`. Raises WireError; ValueError where msgpack refuses (a lone surrogate, for one)."""
    fields = _fields(cls)
    names = ", ".join(field.name for field in fields)
    values = ", ".join(field.value for field in fields)
    checks = " and ".join(field.check for field in fields)
    source = f"lambda {names}: pack(({code}, {values})) if {checks} else refuse(cls, ({names},))"
    return cast(Pack, _compile(source, cls=cls, pack=_PACKER.pack, refuse=_refuse))


def _refuse(cls: type[Any], values: Iterable[object]) -> Any:
    for field, value in zip(_fields(cls), values, strict=True):
        if not field.accepts(value):
            raise WireError(f"{cls.__name__}.{field.name}: expected {field.words}, got {_quote(value)}")
    raise WireError(f"{cls.__name__}: its code is not an integer")


def _build_failure(kind: Any, message: Any, stack: Any, causes: Any, non_retryable: Any, *, depth: int = 0) -> Failure:
    texts = isinstance(kind, str) and isinstance(message, str) and isinstance(stack, str)
    if not (texts and isinstance(causes, tuple) and isinstance(non_retryable, bool)):
        raise WireError("Failure: expected [str, str, str, [cause, …], bool]")
    if not causes:
        return Failure(kind, message, stack, (), non_retryable)
    if depth >= CAUSES_DEPTH_MAX:
        raise WireError(f"Failure: causes are nested deeper than {CAUSES_DEPTH_MAX}")
    inner = [_build_failure(*cause, depth=depth + 1) for cause in causes]
    return Failure(kind, message, stack, tuple(inner), non_retryable)


_NESTED_BUILDERS: Final[dict[str, Any]] = {"build_Failure": _build_failure}
for _cls in (Parent, m.Start):
    _NESTED_BUILDERS[f"build_{_cls.__name__}"] = _builder(_cls, None)

# ---------------------------------------------------------------- bytes


class _Family:
    """The classes that share one table of codes."""

    def __init__(self, what: str, codes: Mapping[int, type[Any]]) -> None:
        self.what = what
        self.build: dict[object, Build] = {code: _builder(cls, code) for code, cls in codes.items()}
        self.pack: dict[type, Pack] = {cls: _packer(cls, code) for code, cls in codes.items()}

    def unreadable(self, blob: object, fields: object, error: Exception) -> WireError:
        if isinstance(error, WireError):
            return WireError(f"bad {self.what}: {error}")
        return WireError(f"bad {self.what}: {self._why(fields, error)}; got {_quote(blob)}")

    def unpackable(self, value: object, error: Exception) -> WireError:
        if type(value) not in self.pack:
            return WireError(f"{_quote(value)} is no {self.what}")
        return WireError(f"cannot pack {self.what} {type(value).__name__}: {_quote(error)}")

    def _why(self, fields: object, error: Exception) -> str:
        if fields is None:
            return f"no msgpack array ({_quote(error)})"
        if not isinstance(fields, tuple) or not fields:
            return "no msgpack array [code, …]"
        if isinstance(error, KeyError):
            return f"unknown code {_quote(fields[0])}, perhaps written by a newer version"
        return f"wrong number of fields for code {_quote(fields[0])}, or inside one of them"


_RUBBISH: Final = (WireError, ValueError, TypeError, KeyError, IndexError, OverflowError, RecursionError)
"""Everything that msgpack and the generated functions raise for bytes that are no event or message."""

_unpackb = partial(msgpack.unpackb, use_list=False, max_ext_len=0)
_EVENTS: Final = _Family("event", EVENT_CODES)
_MESSAGES: Final = _Family("message", MESSAGE_CODES)
_ACTIVITIES: Final = _Family("activity item", ACTIVITY_CODES)


def _make_pack(family: _Family) -> Callable[[Any], bytes]:
    table = family.pack

    def pack(value: Any) -> bytes:
        try:
            return table[value.__class__](*value)
        except _RUBBISH as error:
            raise family.unpackable(value, error) from None

    return pack


def _make_unpack(family: _Family) -> Callable[[bytes], Any]:
    table, unpackb = family.build, _unpackb

    def unpack(blob: bytes) -> Any:
        fields = None
        try:
            fields = unpackb(blob)
            return table[fields[0]](*fields)
        except _RUBBISH as error:
            raise family.unreadable(blob, fields, error) from None

    return unpack


pack_event: Final[Callable[[Event], bytes]] = _make_pack(_EVENTS)
"""Event → bytes. Raises WireError for a value that could not be read again."""

unpack_event: Final[Callable[[bytes], Event]] = _make_unpack(_EVENTS)
"""Bytes → event. Raises WireError, and nothing else, for bytes that are no event; its text is bounded and escaped."""

pack_message: Final[Callable[[Message], bytes]] = _make_pack(_MESSAGES)
"""Message → bytes; like `pack_event`."""

unpack_message: Final[Callable[[bytes], Message]] = _make_unpack(_MESSAGES)
"""Bytes → message; like `unpack_event`."""

pack_activity: Final[Callable[[ActivityItem], bytes]] = _make_pack(_ACTIVITIES)
"""Entry of an activity stream → bytes; like `pack_event`."""

unpack_activity: Final[Callable[[bytes], ActivityItem]] = _make_unpack(_ACTIVITIES)
"""Bytes → entry of an activity stream; like `unpack_event`."""


def _quote(value: object) -> str:
    """A bounded, escaped picture of foreign data: ASCII only, whatever was in it, and cheap however large it is."""
    if isinstance(value, Exception):
        return ascii(str(value)[:QUOTE_CHARS_MAX])
    if isinstance(value, (int, float, NoneType)):
        return ascii(value)[:QUOTE_CHARS_MAX]
    if not isinstance(value, (str, bytes)):
        return f"a value of type {type(value).__name__}"
    unit = "bytes" if isinstance(value, bytes) else "characters"
    shown = ascii(value[:QUOTE_CHARS_MAX])
    cut = f"{shown[:QUOTE_CHARS_MAX]}…" if len(value) > QUOTE_CHARS_MAX or len(shown) > QUOTE_CHARS_MAX else shown
    return f"{cut} ({len(value)} {unit})"


# ---------------------------------------------------------------- readable form

EVENT_KINDS: Final[dict[str, type[Any]]] = {cls.__name__: cls for cls in EVENT_CODES.values()}


def event_to_json(event: Event) -> dict[str, Any]:
    """Readable form: `{"kind": "TaskScheduled", "at": 1700000000000, …}`, payloads as JSON values.

    A field that is None is left out, so that "no payload" and the payload `null` stay apart. The kind that a rewind
    took away is shown as `was`. Raises WireError for a payload that is not JSON.
    """
    shown: dict[str, Any] = {"kind": type(event).__name__}
    for field, value in zip(_fields(type(event)), event, strict=True):
        if value is not None:
            shown[field.shown] = _TO_JSON.get(field.type, _same)(value)
    return shown


def event_from_json(shown: Mapping[str, Any]) -> Event:
    """The event that `event_to_json` shows so. Raises WireError."""
    kind = shown.get("kind")
    cls = EVENT_KINDS.get(kind) if isinstance(kind, str) else None
    if cls is None:
        raise WireError(f"no event has the kind {_quote(kind)}; known: {', '.join(EVENT_KINDS)}")
    fields = _fields(cls)
    unknown = shown.keys() - {"kind", *(field.shown for field in fields)}
    if unknown:
        raise WireError(f"{cls.__name__} has no field {_quote(min(map(str, unknown)))}")
    values = [_from_json(field, shown) for field in fields]
    event = cast(Event, cls(*values))
    pack_event(event)
    return event


def _from_json(field: _Field, shown: Mapping[str, Any]) -> Any:
    if field.shown not in shown:
        return None
    try:
        return _FROM_JSON.get(field.type, _same)(shown[field.shown])
    except (TypeError, ValueError, KeyError, AttributeError, RecursionError) as error:
        raise WireError(f"{field.name}: expected {field.words} ({_quote(error)})") from None


def _same(value: Any) -> Any:
    return value


def _payload_to_json(payload: bytes) -> Any:
    try:
        return orjson.loads(payload)
    except ValueError as error:
        raise WireError(f"payload is not JSON ({_quote(error)}): {_quote(payload)}") from None


def _failure_to_json(failure: Failure) -> dict[str, Any]:
    return failure._asdict() | {"causes": [_failure_to_json(cause) for cause in failure.causes]}


def _failure_from_json(shown: Mapping[str, Any]) -> Failure:
    causes = tuple(_failure_from_json(cause) for cause in shown.get("causes", ()))
    return Failure(**{**shown, "causes": causes})


_TO_JSON: Final[dict[Any, Callable[[Any], Any]]] = {
    bytes: _payload_to_json,
    _ENTITIES: list,
    Failure: _failure_to_json,
    Parent: Parent._asdict,
}

_FROM_JSON: Final[dict[Any, Callable[[Any], Any]]] = {
    bytes: orjson.dumps,
    _ENTITIES: tuple,
    Failure: _failure_from_json,
    Parent: lambda shown: Parent(**shown),
}
