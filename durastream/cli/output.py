"""Printing: data on stdout as text, JSON or JSON lines; everything else on stderr.

All text passes `inspect.sanitize`. Colour and live displays only on a terminal and never with NO_COLOR; tables that go
into a pipe are as wide as their content, so that nothing a script reads is cut.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable
from enum import StrEnum
from typing import Any, TypeVar

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from durastream.inspect import sanitize

T = TypeVar("T")
_PIPE_COLUMNS = 4_000  # wide enough that rich never wraps what goes into a pipe


class Format(StrEnum):
    """What goes to stdout: text for people, one JSON document, or one JSON document a line."""

    TEXT = "text"
    JSON = "json"
    JSONL = "jsonl"


STATUS_STYLES = {
    "Pending": "dim",
    "Running": "cyan",
    "Completed": "green",
    "Failed": "red",
    "Terminated": "yellow",
    "Suspended": "magenta",
}


class Printer:
    """Prints in one format. `data` writes to stdout, `note` and `error` to stderr."""

    def __init__(self, form: Format) -> None:
        self.format = form
        self.stdout = console()
        self.stderr = console(stderr=True)

    def data(self, record: object, text: Callable[[], object] | None = None) -> None:
        """One result. `text` makes what people see (a string, or something rich can render); without it, JSON."""
        if self.format is not Format.TEXT:
            self._write(to_json(record, indent=self.format is Format.JSON))
        elif text is None:
            self._write(to_json(record, indent=self.stdout.is_terminal))
        else:
            self.stdout.print(text())

    def record_only(self, record: object) -> None:
        """One result that only programs want on stdout: people have been told on stderr."""
        if self.format is not Format.TEXT:
            self.data(record)

    def rows(self, records: Iterable[T], table: Callable[[list[T]], object], record: Callable[[T], object]) -> None:
        """Several results: a table, a JSON array, or a line each."""
        everything = list(records)
        if self.format is Format.TEXT:
            self.stdout.print(table(everything))
        elif self.format is Format.JSON:
            self._write(to_json([record(each) for each in everything], indent=True))
        else:
            for each in everything:
                self._write(to_json(record(each)))

    async def stream(
        self, records: AsyncIterable[T], table: Callable[[list[T]], object], record: Callable[[T], object]
    ) -> int:
        """Like `rows`; JSON lines are written as they come. Returns how many there were."""
        if self.format is not Format.JSONL:
            everything = [each async for each in records]
            self.rows(everything, table, record)
            return len(everything)
        count = 0
        async for each in records:
            self._write(to_json(record(each)))
            count += 1
        return count

    def note(self, message: object) -> None:
        """Something the user should know, that is no result. A string is sanitised, and is no markup."""
        self.stderr.print(sanitize.block(message) if isinstance(message, str) else message)

    def error(self, message: str) -> None:
        self.stderr.print(Text.assemble(("error: ", "bold red"), sanitize.block(message, 4_000)))

    def _write(self, text: str) -> None:
        # Past rich: it would fold long lines.
        self.stdout.file.write(sanitize.json_text(text) + "\n")


def console(*, stderr: bool = False) -> Console:
    """A console without markup, emoji codes or highlighting: what is printed is what was meant."""
    plain = Console(stderr=stderr, markup=False, emoji=False, highlight=False)
    return (
        plain
        if plain.is_terminal
        else Console(stderr=stderr, markup=False, emoji=False, highlight=False, soft_wrap=True, width=_PIPE_COLUMNS)
    )


def table(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> Table:
    """A plain table; strings are cut to one safe line, rich objects stay as they are."""
    result = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        result.add_column(column.upper(), overflow="fold")
    for row in rows:
        result.add_row(*(cell(value) for value in row))
    return result


def cell(value: object, limit: int = 120) -> Text:
    """One safe line; `-` where there is nothing."""
    if isinstance(value, Text):
        return value
    return Text("-" if value is None or value == "" else sanitize.line(value, limit))


def status_text(status: str, symbol: str = "") -> Text:
    return Text(f"{symbol} {status}".strip(), style=STATUS_STYLES.get(status, ""))


def to_json(value: object, *, indent: bool = False) -> str:
    """JSON text. Payload bytes become the values they hold, times ISO 8601."""
    options = orjson.OPT_NON_STR_KEYS | orjson.OPT_UTC_Z | (orjson.OPT_INDENT_2 if indent else 0)
    return orjson.dumps(value, default=_plain, option=options).decode()


def payload(raw: bytes | str | None) -> Any:
    """The value of JSON text; the text itself where it is none."""
    if raw is None:
        return None
    try:
        return orjson.loads(raw)
    except ValueError:
        return raw.decode("utf-8", "replace") if isinstance(raw, bytes) else raw


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return payload(value)
    if hasattr(value, "_asdict"):
        return value._asdict()
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    return str(value)
