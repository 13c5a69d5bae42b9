"""A hash of what a function does, stable across processes and hosts with the same Python version."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from hashlib import blake2b
from types import CodeType
from typing import Any


def fingerprint_of(function: Callable[..., Any]) -> str:
    """16 hex digits over byte code, constants and names, those of nested functions included."""
    digest = blake2b(digest_size=8)
    code = getattr(inspect.unwrap(function), "__code__", None)
    for part in _parts(code):
        digest.update(part)
        digest.update(b"\x00")
    return digest.hexdigest()


def _parts(value: object) -> Iterator[bytes]:
    if isinstance(value, CodeType):
        yield value.co_code
        yield repr(value.co_names).encode()
        for constant in value.co_consts:
            yield from _parts(constant)
    elif isinstance(value, frozenset):
        yield repr(sorted(map(repr, value))).encode()  # the order of a set differs from process to process
    elif isinstance(value, tuple):
        for item in value:
            yield from _parts(item)
    else:
        yield repr(value).encode(errors="backslashreplace")
