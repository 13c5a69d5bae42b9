"""From the text of a filter to its terms, each with its place in the text."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from durastream.core.limits import QUOTE_CHARS_MAX
from durastream.errors import DurastreamError

_SIGNS: Final = "-!"
_QUOTES: Final = "\"'"
_FIELD: Final = re.compile(r"[A-Za-z_]+")
_SAFE: Final = re.compile(r"[^\s\"',:\\]+")
_LENGTH_MAX: Final = 10_000


class FilterError(DurastreamError, ValueError):
    """A filter cannot be read. `position`: of the character where it goes wrong, counted from 0."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.message = message
        self.position = position

    def pointing_at(self, text: str) -> str:
        """Message, the text, and a mark below the character.

        >>> print(FilterError("no such field", 2).pointing_at("a bc:1"))
        no such field
          a bc:1
            ^
        """
        return f"{self.message}\n  {text}\n  {' ' * self.position}^"


@dataclass(frozen=True, slots=True)
class Value:
    """What was written, without its quotes."""

    text: str
    position: int = dataclasses.field(compare=False, default=0)

    def __str__(self) -> str:
        return quoted(self.text)


@dataclass(frozen=True, slots=True)
class Term:
    """`-field:value,value`; `field` is None for a bare word."""

    field: str | None
    values: tuple[Value, ...]
    negated: bool = False
    position: int = dataclasses.field(compare=False, default=0)

    def __str__(self) -> str:
        name = "" if self.field is None else f"{self.field}:"
        return ("-" if self.negated else "") + name + ",".join(map(str, self.values))


def quoted(text: str) -> str:
    """A value as it must be written to be read as this text: in quotes only where it needs them."""
    if _SAFE.fullmatch(text) and text[0] not in _SIGNS:
        return text
    inside = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{inside}"'


def terms(text: str, fields: Iterable[str]) -> Iterator[Term]:
    """All terms of a filter, from left to right. Raises FilterError."""
    if len(text) > _LENGTH_MAX:
        raise FilterError(f"a filter has at most {_LENGTH_MAX:,} characters", _LENGTH_MAX)
    reader = _Reader(text, list(fields))
    while reader.skip_spaces():
        yield reader.term()


class _Reader:
    """Walks through the text once."""

    def __init__(self, text: str, fields: list[str]) -> None:
        self._text = text
        self._at = 0
        self._fields = fields

    def _here(self) -> str:
        """The character that comes next; "" at the end."""
        return self._text[self._at : self._at + 1]

    def skip_spaces(self) -> bool:
        """Whether anything follows."""
        while self._here().isspace():
            self._at += 1
        return bool(self._here())

    def term(self) -> Term:
        start = self._at
        negated = self._here() in _SIGNS
        self._at += negated
        name = self._field()
        values = [self._value(":" if name is None else ",")]
        while name is not None and self._here() == ",":
            self._at += 1
            values.append(self._value(","))
        return Term(name, tuple(values), negated, start)

    def _field(self) -> str | None:
        """The field that begins here, with its colon. Ids hold colons too: what is no word of letters is none."""
        found = _FIELD.match(self._text, self._at)
        if found is None or self._text[found.end() : found.end() + 1] != ":":
            return None
        name = found[0].lower()
        if name not in self._fields:
            raise FilterError(self._unknown(found[0]), self._at)
        self._at = found.end() + 1
        return name

    def _unknown(self, name: str) -> str:
        name = name[:QUOTE_CHARS_MAX]
        close = get_close_matches(name.lower(), self._fields, 1, 0.5)
        meant = f"; did you mean {close[0]}:?" if close else ""
        known = " ".join(f"{field}:" for field in self._fields)
        return f'no field {name}:{meant} Known: {known}  To look for it in ids, put it in quotes: "{name}:…"'

    def _value(self, ends: str) -> Value:
        start, parts = self._at, list[str]()
        while (char := self._here()) and not char.isspace() and not (ends == "," and char == ","):
            parts.append(self._quotes() if char in _QUOTES else self._plain())
        if self._at == start:
            raise FilterError("a value is missing here", start)
        return Value("".join(parts), start)

    def _plain(self) -> str:
        self._at += 1
        return self._text[self._at - 1]

    def _quotes(self) -> str:
        opened, quote = self._at, self._plain()
        found: list[str] = []
        while (char := self._here()) != quote:
            if char == "\\":
                self._at += 1
            if not self._here():
                raise FilterError(f"the quote {quote} that begins here has no end", opened)
            found.append(self._plain())
        self._at += 1
        return "".join(found)
