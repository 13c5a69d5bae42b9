"""What a target of the fuzzer is, and the ways in which one may go wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from durastream.errors import DurastreamError
from tests.fuzz.mutate import Case, Mutator, mutated_bytes

SAID_CHARS_MAX = 2_000
"""The longest text that an error may have, whatever came in."""

Run: TypeAlias = Callable[[Case], object]


class Broken(AssertionError):
    """A property does not hold."""


@dataclass(frozen=True)
class Target:
    """One decoder. `run` gives a case to it, checks what was accepted, and raises only `refuses` for what was not.

    `real`: values made by the code itself, all of which must be accepted. `rubbish`: cases that lead to the refusals.
    `files`: modules whose lines are counted, relative to the package.
    """

    name: str
    files: tuple[str, ...]
    run: Run
    real: Callable[[], list[Case]]
    rubbish: tuple[Case, ...] = ()
    refuses: tuple[type[Exception], ...] = (DurastreamError,)
    mutate: Mutator = mutated_bytes


def check(holds: object, what: str) -> None:
    """A property of what was accepted. (An `assert` would be missed where Python runs with -O.)"""
    if not holds:
        raise Broken(what)


def same(again: object, value: object, what: str) -> None:
    # NaN is no value of ours, so equality is enough; the types must be the same too: 1 == True == 1.0
    if again != value or type(again) is not type(value):
        raise Broken(f"{what}: {value!r:.200} became {again!r:.200}")


def check_refusal(error: Exception) -> None:
    """A refusal says something short that a log can hold."""
    said = str(error)
    check(0 < len(said) <= SAID_CHARS_MAX, f"{type(error).__name__} of {len(said)} characters")
    said.encode()  # or it could be neither logged nor stored


def raw(case: Case) -> bytes:
    check(isinstance(case, bytes), "the mutator of this target makes bytes")
    return case if isinstance(case, bytes) else b""


def fields_of(case: Case) -> list[bytes]:
    check(isinstance(case, tuple), "the mutator of this target makes fields")
    return list(case) if isinstance(case, tuple) else []


def text_of(case: Case) -> str:
    """As a command line hands over what is no UTF-8: with lone surrogates."""
    return raw(case).decode("utf-8", "surrogateescape")
