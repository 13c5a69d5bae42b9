"""User values as JSON text, and back.

One strict domain holds at every door and both ways, so that what is accepted can be stored, replayed and shown: valid
UTF-8, string keys without duplicates, finite numbers, integers within ±(2^63-1), at most `DEPTH_MAX` levels,
`ITEMS_MAX` items and the hub's number of bytes (see `core.limits`). What breaks a rule raises `PayloadError` naming the
path inside the value (`input.items[3].price`) and the rule.

Values are encoded first, at C speed, and the bytes are looked at for signs of trouble; only with such a sign is the
value walked in Python. The walk either names what is wrong or returns the same value in plain types, ready to encode.
"""

from __future__ import annotations

import json
import math
from base64 import b64encode
from collections.abc import Callable, Iterable
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from types import NoneType
from typing import Any, Final, TypeAlias
from uuid import UUID

import msgspec
import orjson

from durastream.core.limits import (
    DEPTH_MAX,
    INT_MAX,
    ITEMS_MAX,
    PAYLOAD_BYTES_HARD_MAX,
    PAYLOAD_BYTES_MAX,
    QUOTE_CHARS_MAX,
)
from durastream.errors import PayloadError, PayloadTooLarge

Path: TypeAlias = (
    "tuple[Path | None, str | int]"  # (path of the container, key); the outermost key is what the value is
)

# Integers over 53 bits fail and take the slow way, where the exact limit is checked. orjson's own idea of a dataclass
# adds cached properties and leaves out fields that begin with an underscore.
_FAST: Final = orjson.OPT_STRICT_INTEGER | orjson.OPT_PASSTHROUGH_DATACLASS
_DIGITS: Final = bytes(48 if 48 <= char < 58 else 32 for char in range(256))
_LONG_NUMBER: Final = b"0" * 19  # 2^63 has 19 digits
_ERROR_CHARS_MAX: Final = 500


class Payloads:
    """Encoder and decoder of payloads with one hub's size limit. Holds nothing else: threads may share it."""

    def __init__(self, limit_bytes: int = PAYLOAD_BYTES_MAX) -> None:
        if not 0 < limit_bytes <= PAYLOAD_BYTES_HARD_MAX:
            raise ValueError(f"payload limit must lie within 1 and {PAYLOAD_BYTES_HARD_MAX} bytes, not {limit_bytes}")
        self.limit_bytes = limit_bytes

    def encode(self, value: Any, what: str = "value") -> bytes | None:
        """JSON text of a value, compact; None for None.

        Takes JSON types, dataclasses, pydantic models, msgspec structs, enums, datetime, date, time, timedelta, UUID,
        Decimal (as string), bytes (base64), tuples and sets (sorted where they can be). `what` begins the path in
        the text of `PayloadError` and `PayloadTooLarge`.

        >>> Payloads().encode({"sku": 1}, "input")
        b'{"sku":1}'
        """
        if value is None:
            return None
        try:
            data = orjson.dumps(value, _plain_form, _FAST)
        except TypeError:
            data = _encode_slowly(value, what)
        else:
            if (b"null" in data and _may_hide_numbers(data, value)) or _breaks_shape(data):
                data = _encode_slowly(value, what)
        self._check_size(data, what)
        return data

    def decode(self, data: bytes | None, type_: Any = None, what: str = "payload") -> Any:
        """The value of a JSON text, of the given type if there is one. None for None and for `null`.

        Raises PayloadError for text outside the domain and for values that do not fit the type. Duplicate keys are
        looked for at the doors only (`check_json`); here the last one counts.
        """
        if data is None or data == b"null":
            return None
        if len(data) > PAYLOAD_BYTES_HARD_MAX:
            raise _too_large(what, len(data), PAYLOAD_BYTES_HARD_MAX)
        if _LONG_NUMBER in data.translate(_DIGITS) or _breaks_shape(data):
            _check_slowly(data, what)
        try:
            return (orjson.loads if type_ is None else _decoder(type_))(data)
        except Exception as error:  # constructors of user types run here and may raise anything
            raise PayloadError(_misfit(what, type_, error)) from error

    def check_json(self, text: bytes, what: str = "value") -> bytes:
        """Foreign JSON text in compact form, once it is known to lie within the domain. Raises PayloadError."""
        self._check_size(text, what)
        try:
            value = orjson.loads(text)
        except ValueError as error:
            raise PayloadError(f"{what}: not JSON: {error}") from None
        if _LONG_NUMBER in text.translate(_DIGITS) or _breaks_shape(text):
            _check_slowly(text, what)
        compact = orjson.dumps(value)
        if _lost_keys(text, compact):
            _check_slowly(text, what)
        return compact

    def _check_size(self, data: bytes, what: str) -> None:
        if len(data) > self.limit_bytes:
            raise _too_large(what, len(data), self.limit_bytes)


def _too_large(what: str, size: int, limit: int) -> PayloadTooLarge:
    advice = "keep large data elsewhere and pass a reference, or raise the hub's payload limit"
    return PayloadTooLarge(f"{what} is {size:,} bytes as JSON, over the limit of {limit:,}: {advice}")


# ---------------------------------------------------------------- signs of trouble in JSON text


def _may_hide_numbers(data: bytes, value: Any) -> bool:
    """Whether a `null` may stand for a NaN or an infinity, which is how orjson writes them."""
    return type(value) not in (dict, list) or bool(orjson.loads(data) != value)


def _breaks_shape(data: bytes) -> bool:
    """Whether valid JSON text is nested too deep or has too many items. Exact for compact text."""
    if len(data) <= 2 * DEPTH_MAX:  # each level takes two bytes, each item two
        return False
    if len(data) <= 2 * ITEMS_MAX and data.count(b"[") + data.count(b"{") <= DEPTH_MAX:
        return False
    outside = _outside_strings(data)
    opens = outside.count(b"[") + outside.count(b"{")
    items = outside.count(b",") + opens - outside.count(b"[]") - outside.count(b"{}")
    return items > ITEMS_MAX or (opens > DEPTH_MAX and _too_deep(outside))


def _outside_strings(data: bytes) -> bytes:
    """Valid JSON text with a quotation mark in place of each string."""
    if b"\\" in data:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    return b'"'.join(data.split(b'"')[::2])


_BRACKETS: Final = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS: Final = bytes(char for char in range(256) if char not in b"[]{}")


def _too_deep(outside: bytes) -> bool:
    brackets = outside.translate(_BRACKETS, _NO_BRACKETS)
    for _ in range(DEPTH_MAX):  # each pass takes away the innermost level
        if not brackets:
            return False
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)


def _lost_keys(text: bytes, compact: bytes) -> bool:
    """Whether parsing `text` dropped members, which is what happens to duplicate keys."""
    if b"\\" not in text and text.count(b":") == compact.count(b":"):
        return False
    return _outside_strings(text).count(b":") != _outside_strings(compact).count(b":")


# ---------------------------------------------------------------- the slow way: walk, name what is wrong


def _encode_slowly(value: Any, what: str) -> bytes:
    return orjson.dumps(_Walk().plain(value, (None, what), 0))


def _check_slowly(text: bytes, what: str) -> None:
    try:
        value = json.loads(text, object_pairs_hook=_Pairs)
    except RecursionError:
        raise PayloadError(f"{what}: nested deeper than {DEPTH_MAX} levels") from None
    except ValueError as error:
        raise PayloadError(f"{what}: not JSON: {str(error)[:_ERROR_CHARS_MAX]}") from None
    _Walk().plain(value, (None, what), 0)


class _Pairs(list[tuple[str, Any]]):
    """Members of an object as they stand in the text, duplicates included."""


class _Walk:
    """One walk over a value: returns it in plain types, or raises PayloadError where it first breaks a rule."""

    def __init__(self) -> None:
        self.items = 0

    def plain(self, value: Any, path: Path, depth: int) -> Any:
        cls: Any = type(value)
        handler = _handler(cls)
        if handler is not None:
            return handler(self, value, path, depth)
        try:
            form = _plain_form(value)
        except TypeError as error:
            raise _broken(path, str(error)) from None
        except Exception as error:  # serializers and properties of user types run here and may raise anything
            raise _broken(path, f"{type(error).__name__} while it was encoded: {error}") from error
        return self.plain(form, path, depth)

    def object(self, value: dict[Any, Any], path: Path, depth: int) -> dict[str, Any]:
        return self.members(value.items(), path, depth)

    def members(self, pairs: Iterable[tuple[Any, Any]], path: Path, depth: int) -> dict[str, Any]:
        self.enter(path, depth)
        made: dict[str, Any] = {}
        for key, value in pairs:
            self.count(path)
            if not isinstance(key, str):
                raise _broken(path, f"keys must be strings, not {type(key).__name__} ({_cut(key)})")
            name = self.text(key, path, depth)
            if name in made:
                raise _broken(path, f"the key {_cut(name)} stands there twice")
            made[name] = self.plain(value, (path, name), depth + 1)
        return made

    def array(self, value: Iterable[Any], path: Path, depth: int) -> list[Any]:
        self.enter(path, depth)
        made = []
        for index, item in enumerate(value):
            self.count(path)
            made.append(self.plain(item, (path, index), depth + 1))
        return made

    def enter(self, path: Path, depth: int) -> None:
        if depth >= DEPTH_MAX:
            raise _broken(path, f"nested deeper than {DEPTH_MAX} levels")

    def count(self, path: Path) -> None:
        self.items += 1
        if self.items > ITEMS_MAX:
            raise _broken(path, f"more than {ITEMS_MAX:,} items in one payload")

    def text(self, value: str, path: Path, _depth: int) -> str:
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise _broken(path, f"text is not valid Unicode: a lone surrogate at index {error.start}") from None
        return str.__str__(value)

    def integer(self, value: int, path: Path, _depth: int) -> int:
        if not -INT_MAX <= value <= INT_MAX:
            raise _broken(path, "integers must lie within ±(2^63-1); use a string or a Decimal for larger ones")
        return int.__int__(value)

    def number(self, value: float, path: Path, _depth: int) -> float:
        if not math.isfinite(value):
            raise _broken(path, f"{value} is no JSON number: floats must be finite")
        return float.__float__(value)

    def as_it_is(self, value: Any, _path: Path, _depth: int) -> Any:
        return value

    def enum(self, value: Enum, path: Path, depth: int) -> Any:
        return self.plain(value.value, path, depth)


Handler: TypeAlias = Callable[[_Walk, Any, Path, int], Any]

_HANDLERS: Final[dict[type, Handler]] = {
    NoneType: _Walk.as_it_is,
    bool: _Walk.as_it_is,
    int: _Walk.integer,
    float: _Walk.number,
    str: _Walk.text,
    dict: _Walk.object,
    _Pairs: _Walk.members,
    list: _Walk.array,
    tuple: _Walk.array,
    Enum: _Walk.enum,
    datetime: _Walk.as_it_is,
    date: _Walk.as_it_is,
    UUID: _Walk.as_it_is,
}


@lru_cache(maxsize=4096)
def _handler(cls: type) -> Handler | None:
    return next((_HANDLERS[base] for base in cls.__mro__ if base in _HANDLERS), None)


def _broken(path: Path, rule: str) -> PayloadError:
    return PayloadError(f"{_shown(path)}: {rule[:_ERROR_CHARS_MAX]}")


def _shown(path: Path) -> str:
    steps: list[str] = []
    at: Path | None = path
    while at is not None:
        parent, key = at
        steps.append(key if parent is None and isinstance(key, str) else _step(key))
        at = parent
    return "".join(reversed(steps))


def _step(key: str | int) -> str:
    if isinstance(key, str) and key.isidentifier() and key.isascii() and len(key) <= QUOTE_CHARS_MAX:
        return f".{key}"
    return f"[{_cut(key)}]"


def _cut(value: Any) -> str:
    shown = ascii(value)
    return shown if len(shown) <= QUOTE_CHARS_MAX else f"{shown[:QUOTE_CHARS_MAX]}…"


# ---------------------------------------------------------------- user types → plain forms


def _plain_form(value: Any) -> Any:
    """One step from a user's type towards JSON types. Raises TypeError for what has no such form."""
    cls: Any = type(value)
    return _converter(cls)(value)


@lru_cache(maxsize=4096)
def _converter(cls: type) -> Callable[[Any], Any]:
    # A class that came from pydantic brings its serializer along: pydantic itself need not be imported or installed.
    serializer = getattr(cls, "__pydantic_serializer__", None)
    if serializer is not None:
        return lambda value: serializer.to_python(value, mode="json", by_alias=True)
    if is_dataclass(cls):
        names = tuple(field.name for field in fields(cls))
        return lambda value: {name: getattr(value, name) for name in names}
    return next((form for base, form in _FORMS.items() if issubclass(cls, base)), _no_form)


def _no_form(value: Any) -> Any:
    kind = type(value)
    raise TypeError(
        f"a value of type {kind.__module__}.{kind.__qualname__} cannot be stored as JSON: "
        "use JSON types, a dataclass, a pydantic model or a msgspec struct"
    )


def _decimal(value: Decimal) -> str:
    if not value.is_finite():
        raise TypeError(f"Decimal {value} is not finite")
    return str(value)


def _elements(value: Iterable[Any]) -> list[Any]:
    try:
        return sorted(value)  # the same text in every process, whatever the hash seed
    except TypeError:
        return list(value)


_FORMS: Final[dict[type, Callable[[Any], Any]]] = {
    Decimal: _decimal,
    bytes: lambda value: b64encode(value).decode(),
    bytearray: lambda value: b64encode(value).decode(),
    memoryview: lambda value: b64encode(value).decode(),
    tuple: list,  # named tuples
    set: _elements,
    frozenset: _elements,
    float: float,  # subclasses, numpy.float64 for one
    time: time.isoformat,
    timedelta: msgspec.to_builtins,
    msgspec.Struct: lambda value: msgspec.to_builtins(value, enc_hook=_plain_form),
}


# ---------------------------------------------------------------- JSON text → user types


def _decoder(type_: Any) -> Callable[[bytes], Any]:
    try:
        return _cached_decoder(type_)
    except TypeError:  # not hashable (an Annotated with a list, for one) or not decodable: the latter raises again
        return _new_decoder(type_)


def _new_decoder(type_: Any) -> Callable[[bytes], Any]:
    if type_ is Any or type_ is object:
        return orjson.loads
    validator = getattr(type_, "__pydantic_validator__", None)
    if validator is not None:
        return validator.validate_json  # type: ignore[no-any-return]
    return msgspec.json.Decoder(type_, dec_hook=_foreign).decode


_cached_decoder = lru_cache(maxsize=4096)(_new_decoder)


def _foreign(cls: Any, value: Any) -> Any:
    """What msgspec calls for a type it does not know, somewhere inside the annotated one."""
    validator = getattr(cls, "__pydantic_validator__", None)
    if validator is None:
        raise TypeError(
            f"cannot decode to {_name(cls)}: use JSON types, a dataclass, a pydantic model or a msgspec struct"
        )
    return validator.validate_json(orjson.dumps(value))


def _misfit(what: str, type_: Any, error: Exception) -> str:
    reason = str(error)[:_ERROR_CHARS_MAX].replace("`$", f"`{what}")
    if type_ is None:
        return f"{what}: not JSON: {reason}"
    return f"{what} does not fit {_name(type_)}: {reason}"


def _name(type_: Any) -> str:
    return type_.__qualname__ if isinstance(type_, type) else str(type_)[:QUOTE_CHARS_MAX]
