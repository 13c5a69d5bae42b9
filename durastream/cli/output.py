"""Printing: data on stdout as text, JSON or JSON lines; everything else on stderr.

All text passes `inspect.sanitize`. Colour and live displays only on a terminal and never with NO_COLOR; tables that go
into a pipe are as wide as their content, so that nothing a script reads is cut.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any, TypeVar

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from durastream.core.status import Status
from durastream.inspect import sanitize
from durastream.inspect.rows import SYMBOLS

T = TypeVar("T")
_PIPE_COLUMNS = 4_000  # wide enough that rich never wraps what goes into a pipe
_ROWS_AT_ONCE = 200  # of a table: later pages are printed as they come, below the first one's header


class Format(StrEnum):
    """What goes to stdout: text for people, one JSON document, or one JSON document a line."""

    TEXT = "text"
    JSON = "json"
    JSONL = "jsonl"


STATUS_STYLES: dict[Status, str] = {
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
            self._show(text())

    def text(self, record: object, text: str) -> None:
        """One result that is a text for other programs: written as it is, never folded."""
        if self.format is Format.TEXT:
            self._put(sanitize.block(text, len(text)))
        else:
            self.data(record)

    def record_only(self, record: object) -> None:
        """One result that only programs want on stdout: people have been told on stderr."""
        if self.format is not Format.TEXT:
            self.data(record)

    def rows(self, records: Iterable[T], table: Callable[[list[T]], object], record: Callable[[T], object]) -> None:
        """Several results: a table, a JSON array, or a line each."""
        everything = list(records)
        if self.format is Format.TEXT:
            self._show(table(everything))
        elif self.format is Format.JSON:
            self._write(to_json([record(each) for each in everything], indent=True))
        else:
            for each in everything:
                self._write(to_json(record(each)))

    async def stream(
        self, records: AsyncIterable[T], table: Callable[[list[T]], object], record: Callable[[T], object]
    ) -> int:
        """Like `rows`, but written as they come, so that few are held at a time. Returns how many there were."""
        write = {Format.TEXT: self._stream_text, Format.JSON: self._stream_json, Format.JSONL: self._stream_lines}
        return await write[self.format](records, table, record)

    async def _stream_text(
        self, records: AsyncIterable[T], table: Callable[[list[T]], object], record: Callable[[T], object]
    ) -> int:
        count = 0
        async for page in _pages(records, _ROWS_AT_ONCE):
            shown = table(page)
            if count and isinstance(shown, Table):
                shown.show_header = False
            self._show(shown)
            count += len(page)
        if count == 0:
            self._show(table([]))
        return count

    async def _stream_json(
        self, records: AsyncIterable[T], table: Callable[[list[T]], object], record: Callable[[T], object]
    ) -> int:
        count = 0
        async for each in records:
            self._put(("," if count else "[") + "\n" + to_json(record(each), indent=True))
            count += 1
        self._write("\n]" if count else "[]")
        return count

    async def _stream_lines(
        self, records: AsyncIterable[T], table: Callable[[list[T]], object], record: Callable[[T], object]
    ) -> int:
        count = 0
        async for each in records:
            self._write(to_json(record(each)))
            count += 1
        return count

    @property
    def lively(self) -> bool:
        """Whether a bar, a spinner or a live display may be shown: a person looks at stderr, and wants more than plain text."""
        console = self.stderr
        return console.file.isatty() and not console.is_dumb_terminal and not os.environ.get("NO_COLOR")

    @contextmanager
    def looking(self, what: str) -> Iterator[Callable[[int], None]]:
        """While something is counted: a line on a terminal that shows the count so far."""
        if not self.lively:
            yield lambda count: None
            return
        with self.stderr.status(f"{what} …") as status:
            yield lambda count: status.update(f"{what} … {count:,} found")

    def note(self, message: object) -> None:
        """Something the user should know, that is no result. A string is sanitised, and is no markup."""
        if isinstance(message, Text):  # printing joins texts, which loses how the text itself wants to be wrapped
            self.stderr.print(message, no_wrap=message.no_wrap, overflow=message.overflow)
        else:
            self.stderr.print(sanitize.block(message) if isinstance(message, str) else message)

    def error(self, message: str) -> None:
        self.stderr.print(Text.assemble(("error: ", "bold red"), sanitize.block(message, 4_000)))

    def _show(self, what: object) -> None:
        """Text on stdout. In a pipe without the spaces that fill up the cells of a table."""
        if self.stdout.is_terminal:
            self.stdout.print(what)
            return
        with self.stdout.capture() as captured:
            self.stdout.print(what)
        self.stdout.file.write("".join(line.rstrip(" ") + "\n" for line in captured.get().split("\n")[:-1]))

    def _write(self, text: str) -> None:
        self._put(text + "\n")

    def _put(self, text: str) -> None:
        # Past rich: it would fold long lines.
        self.stdout.file.write(sanitize.json_text(text))


async def _pages(records: AsyncIterable[T], size: int) -> AsyncIterator[list[T]]:
    page: list[T] = []
    async for each in records:
        page.append(each)
        if len(page) == size:
            yield page
            page = []
    if page:
        yield page


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


def cut(value: object) -> Text:
    """One line that ends where the terminal does, for what is too long for a table: -o json has all of it."""
    shown = cell(value or " ")
    shown.no_wrap, shown.overflow = True, "ellipsis"
    return shown


def status_cell(status: Status, *, stuck: bool = False) -> Text:
    """Symbol and word, in colour where there is any; with a mark if something keeps the instance from moving."""
    symbol = SYMBOLS.get(status, "?")
    return Text(f"{symbol} {status}{' !' if stuck else ''}", style=STATUS_STYLES.get(status, ""))


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
