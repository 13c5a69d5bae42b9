"""The filter language: `status:failed name:Order* after:1h tag:env=prod -id:test "some words"`.

    filter  = { term }                    all terms must fit
    term    = [ "-" | "!" ] ( field ":" value { "," value } | value )
    value   = { character | '"' … '"' | "'" … "'" }

Of several values one must fit. Quotes keep spaces, commas and colons; inside them a backslash takes the next character as
it is. A bare value is looked for anywhere in the id. The fields, and what their values mean, are in `filter_fields.FIELDS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from durastream.client.views import Filters, InstanceStatus
from durastream.core.status import ALL, Status
from durastream.inspect.filter_fields import BARE, FIELDS, Bounds, Field, Problem, Test
from durastream.inspect.filter_tokens import FilterError, Term, Value, terms

__all__ = ["Filter", "FilterError", "Term", "Value", "parse", "suggestions"]


@dataclass(frozen=True, slots=True)
class Filter:
    """A parsed filter at a moment. What the server can select is in `bounds`, all of it in `matches`.

    `str(filter)` is the filter in one way of writing it; parsed again it is the same filter.
    """

    terms: tuple[Term, ...]
    now: datetime
    bounds: Bounds
    tests: tuple[Test, ...]

    def __str__(self) -> str:
        return " ".join(map(str, self.terms))

    def __bool__(self) -> bool:
        """Whether it restricts anything."""
        return bool(self.terms)

    def matches(self, status: InstanceStatus) -> bool:
        """Whether an instance fits all terms."""
        return all(test(status) for test in self.tests)

    def at(self, now: datetime) -> Filter:
        """The same filter at another time: `after:1h` moves on with it."""
        return _compile(self.terms, now)

    @property
    def nothing(self) -> bool:
        """Whether no instance can fit, whatever it is: `status:failed status:running`."""
        return not self.bounds.statuses

    @property
    def statuses(self) -> tuple[Status, ...]:
        """Those that can fit, in the usual order."""
        return tuple(status for status in ALL if status in self.bounds.statuses)

    @property
    def ids(self) -> tuple[str, ...] | None:
        """The ids asked for exactly (`id:=order-7`), None where the filter names none."""
        return self.bounds.ids

    @property
    def prefix(self) -> str:
        """What the ids of all that fit begin with; "" where they have nothing in common."""
        return self.bounds.prefix

    def listing(self) -> Filters:
        """As arguments of `Client.list`, which leave `matches` to be asked of what comes."""
        bounds = self.bounds
        return {
            "status": self.statuses,
            "prefix": bounds.prefix or None,
            "created_after": bounds.after,
            "created_before": bounds.before,
        }


def parse(text: str, now: datetime) -> Filter:
    """Read a filter. `now` is what durations such as `after:1h` count from. Raises FilterError.

    >>> from datetime import UTC
    >>> parse("status:failed,running -name:Test*", datetime(2031, 5, 1, tzinfo=UTC)).statuses
    ('Running', 'Failed')
    """
    return _compile(tuple(terms(text, FIELDS)), now)


def _compile(parsed: tuple[Term, ...], now: datetime) -> Filter:
    bounds, tests = Bounds(), list[Test]()
    for term in parsed:
        field = BARE if term.field is None else FIELDS[term.field]
        tests.append(_test(term, field, bounds, now))
    return Filter(parsed, now, bounds, tuple(tests))


def _test(term: Term, field: Field, bounds: Bounds, now: datetime) -> Test:
    if len(term.values) > 1 and not field.several:
        raise FilterError(f"{term.field}: takes one value", term.values[1].position)
    if term.negated and field.opposite:
        raise FilterError(f"{term.field}: cannot be turned round; write {field.opposite}:", term.position)
    tests = [_value_test(field, value, now) for value in term.values]
    if field.narrow is not None:
        field.narrow(bounds, [value.text for value in term.values], negated=term.negated, now=now)
    if term.negated:
        return lambda status: not any(test(status) for test in tests)
    return tests[0] if len(tests) == 1 else lambda status: any(test(status) for test in tests)


def _value_test(field: Field, value: Value, now: datetime) -> Test:
    try:
        return field.test(value.text, now)
    except Problem as problem:
        raise FilterError(str(problem), value.position) from None


# ---------------------------------------------------------------- completion


def suggestions(text: str, position: int) -> list[str]:
    """What may stand at the place of the word that ends at `position`: fields, or values of a field that has few.

    >>> suggestions("name:a sta", 10)
    ['status:']
    """
    word = text[:position].rpartition(" ")[2]
    sign = word[:1] if word[:1] in ("-", "!") else ""
    field, colon, typed = word.removeprefix(sign).partition(":")
    if not colon:
        return [f"{sign}{name}:" for name in FIELDS if name.startswith(field.lower())]
    before, comma, last = typed.rpartition(",")
    known = FIELDS[field].choices if field in FIELDS else ()
    return [f"{sign}{field}:{before}{comma}{choice}" for choice in known if choice.startswith(last.lower())]
