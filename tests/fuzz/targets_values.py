"""Payloads: JSON text that users, other languages and old versions give, plain and as Python types."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any

from durastream.core.limits import DEPTH_MAX, INT_MAX, ITEMS_MAX
from durastream.errors import PayloadError
from durastream.payload import Payloads
from tests.fuzz import corpus
from tests.fuzz.mutate import Case, mutated_json
from tests.fuzz.target import Target, check, raw, same

_PAYLOADS = Payloads(50_000)


class Size(Enum):
    SMALL = "small"
    LARGE = "large"


@dataclass
class Inner:
    n: int


@dataclass
class Order:
    """A type as users write them."""

    sku: str
    amount: int
    price: Decimal
    when: datetime
    tags: list[str]
    kind: Size
    inner: Inner | None = None


def _checked(case: Case) -> None:
    """As the ingress takes JSON: compact, the same value, and good for ever after."""
    text = raw(case)
    compact = _PAYLOADS.check_json(text)
    value = _PAYLOADS.decode(compact)
    same(_PAYLOADS.check_json(compact), compact, "checked again")
    check(_twice_the_same_keys(text) is False, "a key stands there twice")
    same(_without_signs(value), _without_signs(json.loads(text)), "what another reader makes of it")
    _accepted(value)


def _decoded(case: Case) -> None:
    """As payloads are read from the store."""
    _accepted(_PAYLOADS.decode(raw(case)))


def _typed(case: Case) -> None:
    value = _PAYLOADS.decode(raw(case), Order, "input")
    if value is not None:
        same(_PAYLOADS.decode(_PAYLOADS.encode(value), Order), value, "encoded and read again")


def _accepted(value: Any) -> None:
    """It lies within the domain, and can be stored and read again."""
    _in_domain(value)
    if value is not None:
        again = _PAYLOADS.encode(value)
        same(_PAYLOADS.decode(again), value, "encoded and read again")


def _in_domain(value: Any) -> None:
    """The rules of docs/limits.md, written once more and plainly."""
    waiting, items = [(value, 0)], 0
    while waiting:
        one, depth = waiting.pop()
        if isinstance(one, (list, dict)):
            check(depth < DEPTH_MAX, f"{depth + 1} levels")
            items += len(one)
            waiting += ((inner, depth + 1) for inner in (one.values() if isinstance(one, dict) else one))
        _KINDS.get(type(one), _strange)(one)
    check(items <= ITEMS_MAX, f"{items} items")


def _strange(value: Any) -> None:
    check(False, f"a {type(value).__name__}")


def _keys(value: dict[Any, Any]) -> None:
    check(all(type(key) is str and key.encode() is not None for key in value), "a key is no text")


_KINDS: dict[type, Callable[[Any], object]] = {
    type(None): lambda one: None,
    bool: lambda one: None,
    int: lambda one: check(-INT_MAX <= one <= INT_MAX, f"the integer {one:.3g}"),
    float: lambda one: check(math.isfinite(one), f"the number {one}"),
    str: lambda one: one.encode(),
    list: lambda one: None,
    dict: _keys,
}


def _twice_the_same_keys(text: bytes) -> bool:
    found = False

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal found
        found = found or len(dict(pairs)) < len(pairs)
        return dict(pairs)

    json.loads(text, object_pairs_hook=members)
    return found


def _without_signs(value: Any) -> Any:
    """-0 is 0 for some readers."""
    return json.loads(json.dumps(value).replace("-0.0", "0.0"))


def _seeds() -> list[Case]:
    return list(corpus.PAYLOADS)


def _orders() -> list[Case]:
    whole = next(text for text in corpus.PAYLOADS if b"sku" in text)
    return [whole, b"null", whole.replace(b',"inner":{"n":1}', b"")]


_REFUSED: tuple[Case, ...] = (
    b"",
    b"{",
    b"nul",
    b"NaN",
    b"1e999",
    b"[1e999]",
    b"[9223372036854775808]",
    b"-9223372036854775808",
    b"1" * 5_000,
    b"[[" + b"9" * 400 + b"]]",
    b'{"a":1,"a":2}',
    b'{"a":{"\\u0061":1,"a":2}}',
    b'"\\ud800"',
    b'"\xed\xa0\x80"',
    b'"\xff"',
    b"[" * 101 + b"]" * 101,
    b"[" * 100_000,
    b"[" * 1_100 + b"]" * 1_100,
    b'{"a":' * 101 + b"1" + b"}" * 101,
    b"[" + b"1," * 100_000 + b"1]",
    b'"' + b"x" * 50_000 + b'"',
    b"\xef\xbb\xbf{}",
    b"[1]x",
    b"'a'",
    b'{"k' + b"x" * 300 + b'":[9223372036854775808]}',
    b'[{"a.b":{"c":[9223372036854775808]}}]',
    b'{"sku":1,"amount":"x"}',
    b'[{"a":1,"a":' + b"[" * 120 + b"]" * 120 + b"}]",
)

TARGETS: tuple[Target, ...] = (
    Target("payload.check_json", ("payload.py",), _checked, _seeds, _REFUSED, (PayloadError,), mutated_json),
    Target("payload.decode", ("payload.py",), _decoded, _seeds, _REFUSED, (PayloadError,), mutated_json),
    Target("payload.typed", ("payload.py",), _typed, _orders, _REFUSED, (PayloadError,), mutated_json),
)
