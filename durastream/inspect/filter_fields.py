"""The fields of the filter language: what their values mean, and how far each narrows down what the server is asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import Any, Final, Protocol, TypeAlias

from durastream.client.views import InstanceStatus
from durastream.core.limits import QUOTE_CHARS_MAX
from durastream.core.status import ALL, Status

Test: TypeAlias = Callable[[InstanceStatus], bool]
TextTest: TypeAlias = Callable[[str], bool]


_PARTITION_DIGITS_MAX: Final = 9


class Problem(ValueError):
    """A value means nothing."""


def quoted(text: str) -> str:
    """What was typed, for a message; cut."""
    return repr(text) if len(text) <= QUOTE_CHARS_MAX else f"{text[:QUOTE_CHARS_MAX]!r}…"


@dataclass(slots=True)
class Bounds:
    """What the server can be asked for: all that fits the filter lies within, and maybe more."""

    statuses: frozenset[Status] = frozenset(ALL)
    after: datetime | None = None  # created then or later
    before: datetime | None = None
    prefix: str = ""  # of the id
    ids: tuple[str, ...] | None = None  # exactly these


class Narrow(Protocol):
    """Narrows the bounds down to what a term lets through; called after all its values were read."""

    def __call__(self, bounds: Bounds, values: Sequence[str], /, *, negated: bool, now: datetime) -> None: ...


@dataclass(frozen=True, slots=True)
class Field:
    """`test(value, now)` gives the test of one value, or raises Problem."""

    help: str
    example: str
    test: Callable[[str, datetime], Test]
    several: bool = True  # values separated by commas
    opposite: str = ""  # the field to write instead of a negation
    narrow: Narrow | None = None
    choices: tuple[str, ...] = ()  # all values there are, where they are few


# ---------------------------------------------------------------- texts


def text_test(value: str, *, otherwise: Callable[[str], TextTest]) -> TextTest:
    """`=abc`: exactly that. With `*` or `?`: a pattern for the whole. Else what `otherwise` makes of it."""
    if value.startswith("="):
        return value[1:].__eq__
    if "*" in value or "?" in value:
        return _pattern(value)
    return otherwise(value)


def _pattern(value: str) -> TextTest:
    return lambda text: fits_pattern(text, value)


def fits_pattern(text: str, pattern: str) -> bool:
    """Whether the whole text fits: `*` stands for anything, `?` for one character.

    Costs at most the product of the lengths, whatever the pattern: after a mismatch only the latest `*` takes one more
    character. (A regular expression of many stars would try for ages.)
    """
    at = in_pattern = 0
    star, resume = -1, 0
    while at < len(text):
        char = pattern[in_pattern : in_pattern + 1]
        if char == "*":
            star, resume = in_pattern, at
            in_pattern += 1
        elif char == "?" or (char and char == text[at]):
            at, in_pattern = at + 1, in_pattern + 1
        elif star >= 0:
            resume += 1
            at, in_pattern = resume, star + 1
        else:
            return False
    return not pattern[in_pattern:].strip("*")


def _begins(value: str) -> TextTest:
    return lambda text: text.startswith(value)


def _equals(value: str) -> TextTest:
    return value.__eq__


def _contains(value: str) -> TextTest:
    folded = value.casefold()
    return lambda text: folded in text.casefold()


def _on(attribute: str, otherwise: Callable[[str], TextTest]) -> Callable[[str, datetime], Test]:
    """A test of a text of the instance; one that is not there fits nothing."""

    def made(value: str, now: datetime) -> Test:
        test = text_test(value, otherwise=otherwise)

        def fits(status: InstanceStatus) -> bool:
            text = getattr(status, attribute)
            return text is not None and test(text)

        return fits

    return made


# ---------------------------------------------------------------- ids


def _id_prefix(value: str) -> str:
    """What all ids that fit this value begin with."""
    if value.startswith("="):
        return value[1:]
    return re.split(r"[*?]", value, maxsplit=1)[0]


def _narrow_ids(bounds: Bounds, values: Sequence[str], /, *, negated: bool, now: datetime) -> None:
    if negated:
        return
    if all(value.startswith("=") for value in values):
        exact = [value[1:] for value in values]
        bounds.ids = tuple(dict.fromkeys(exact if bounds.ids is None else [one for one in bounds.ids if one in exact]))
    prefix = _common([_id_prefix(value) for value in values])
    if len(prefix) > len(bounds.prefix):
        bounds.prefix = prefix


def _common(texts: Sequence[str]) -> str:
    """The longest beginning of all of them."""
    low, high = min(texts), max(texts)
    same = next((k for k, char in enumerate(low) if char != high[k]), len(low))
    return low[:same]


# ---------------------------------------------------------------- status

_WORDS: Final[dict[str, Status]] = {status.lower(): status for status in ALL}
_SETS: Final[dict[str, frozenset[Status]]] = {
    "active": frozenset(("Pending", "Running", "Suspended")),
    "ended": frozenset(("Completed", "Failed", "Terminated")),
}


def _statuses(value: str) -> frozenset[Status]:
    word = value.lower()
    if word in _SETS:
        return _SETS[word]
    if word in _WORDS:
        return frozenset((_WORDS[word],))
    known = [*_WORDS, *_SETS]
    close = get_close_matches(word, known, 1, 0.5)
    meant = f"did you mean {close[0]}? " if close else ""
    raise Problem(f"{quoted(value)} is no status; {meant}Known: {', '.join(known)}")


def _status_test(value: str, now: datetime) -> Test:
    wanted = _statuses(value)
    return lambda status: status.runtime_status in wanted


def _narrow_statuses(bounds: Bounds, values: Sequence[str], /, *, negated: bool, now: datetime) -> None:
    named = frozenset[Status]().union(*map(_statuses, values))
    bounds.statuses = bounds.statuses - named if negated else bounds.statuses & named


# ---------------------------------------------------------------- times

_SECONDS: Final[dict[str, float]] = {"ms": 0.001, "s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw])")
_SPAN: Final = re.compile(rf"(?:{_PART.pattern})+")


def moment(value: str, now: datetime) -> datetime:
    """`90s`, `1h30m`, `7d` (ago), `2031-05-01`, `2031-05-01T12:00` (local time), `…Z`. Raises Problem."""
    try:
        if _SPAN.fullmatch(value):
            return now - timedelta(seconds=sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(value)))
        return datetime.fromisoformat(value).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Problem(
            f"{quoted(value)} is no time: write 90s, 1h30m or 7d (ago), 2031-05-01 or 2031-05-01T12:00Z"
        ) from None


def _after_test(value: str, now: datetime) -> Test:
    least = moment(value, now)
    return lambda status: status.created_at >= least


def _before_test(value: str, now: datetime) -> Test:
    most = moment(value, now)
    return lambda status: status.created_at <= most


def _narrow_after(bounds: Bounds, values: Sequence[str], /, *, negated: bool, now: datetime) -> None:
    least = moment(values[0], now)
    bounds.after = least if bounds.after is None else max(bounds.after, least)


def _narrow_before(bounds: Bounds, values: Sequence[str], /, *, negated: bool, now: datetime) -> None:
    most = moment(values[0], now)
    bounds.before = most if bounds.before is None else min(bounds.before, most)


# ---------------------------------------------------------------- the rest


def _tag_test(value: str, now: datetime) -> Test:
    """`env=prod`, `env=pr*`, or `env` for any value."""
    key, equals, wanted = value.partition("=")
    if not key:
        raise Problem("a tag is written tag:name=value, or tag:name for any value")
    if not equals:
        return lambda status: key in status.tags
    test = text_test(wanted, otherwise=_equals)
    return lambda status: key in status.tags and test(str(status.tags[key]))


def _error_test(value: str, now: datetime) -> Test:
    test = text_test(value, otherwise=_contains)

    def fits(status: InstanceStatus) -> bool:
        failure = status.failure
        return failure is not None and (test(failure.type) or test(failure.message))

    return fits


def problem_kind(problem: Any) -> str:
    """What kind of problem keeps an instance from moving: "" for none."""
    if isinstance(problem, Mapping):
        return str(problem.get("kind", "unknown"))
    return "" if problem is None else "unknown"


def _stuck_test(value: str, now: datetime) -> Test:
    test = text_test(value, otherwise=_contains)
    return lambda status: status.problem is not None and (value == "any" or test(problem_kind(status.problem)))


def _partition_test(value: str, now: datetime) -> Test:
    if not (value.isascii() and value.isdigit() and len(value) <= _PARTITION_DIGITS_MAX):
        raise Problem(f"{quoted(value)} is no number of a partition")
    number = int(value)
    return lambda status: status.partition == number


FIELDS: Final[dict[str, Field]] = {
    "status": Field(
        "Runtime status; `active` and `ended` stand for three each.", "status:failed,running",
        _status_test, narrow=_narrow_statuses, choices=(*_WORDS, *_SETS),
    ),
    "name": Field("Name of the orchestrator, or a pattern for it.", "name:Order*", _on("name", _equals)),
    "id": Field(
        "What the id begins with; a pattern; or `=` and the whole id.", "id:order-7", _on("id", _begins),
        narrow=_narrow_ids,
    ),
    "after": Field(
        "Created since: so long ago, or a time.", "after:1h", _after_test,
        several=False, opposite="before", narrow=_narrow_after,
    ),
    "before": Field(
        "Created until then.", "before:2031-05-01", _before_test,
        several=False, opposite="after", narrow=_narrow_before,
    ),
    "version": Field("Version of the orchestrator.", "version:1.*", _on("version", _equals)),
    "parent": Field("What the id of the parent begins with.", "parent:order-7", _on("parent_id", _begins)),
    "tag": Field("A tag with this value, or with any.", "tag:env=prod", _tag_test),
    "error": Field("Anything in the type or message of the failure.", "error:timeout", _error_test),
    "stuck": Field(
        "It cannot move, for a reason of this kind.", "stuck:any", _stuck_test,
        choices=(
            "any", "unknown-orchestrator", "nondeterminism", "corrupt-history", "turn-failed", "refused",
            "worker-crashed",
        ),
    ),
    "partition": Field("Number of the partition.", "partition:3", _partition_test),
}  # fmt: skip

BARE: Final = Field("Anything in the id.", "order", _on("id", _contains))
"""A word without a field."""
