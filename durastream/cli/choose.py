"""Which instances a command is about: flags and the filter language, brought together in one filter."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.cells import cell_len

from durastream.cli import completion, times
from durastream.cli.exits import UsageError
from durastream.core.status import Status
from durastream.inspect import fetch
from durastream.inspect.filter import Filter, FilterError, parse
from durastream.inspect.filter_tokens import quoted

if TYPE_CHECKING:
    from durastream.client import Client
    from durastream.client.views import InstanceStatus

_AROUND = 60  # characters shown on each side of a mistake


@dataclass(frozen=True)
class FilterFlags:
    """Which instances; shared by `list` and the commands that change many at once. All that is given must fit."""

    filter: Annotated[
        str | None,
        typer.Option(
            "--filter",
            "-f",
            metavar="FILTER",
            help="For example 'status:failed name:Order* after:1h tag:env=prod -id:test'. Fields: status, name, id, after,"
            " before, version, parent, tag, error, stuck, partition.",
            autocompletion=completion.filters,
        ),
    ] = None
    status: Annotated[
        list[str] | None,
        typer.Option(
            "--status",
            metavar="WORD",
            help="Pending, Running, …, active, ended. May be repeated.",
            autocompletion=completion.statuses,
        ),
    ] = None
    name: Annotated[
        str | None,
        typer.Option(
            "--name", help="Name of the orchestrator, or a pattern: Order*.", autocompletion=completion.orchestrators
        ),
    ] = None
    prefix: Annotated[
        str | None, typer.Option("--prefix", help="What the id begins with.", autocompletion=completion.ids)
    ] = None
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="TIME", help="Created since: 2h (ago), 7d, or 2031-05-01T12:00:00Z."),
    ] = None


@dataclass(frozen=True)
class Selection:
    """A filter, and what its patterns cannot say: the beginning of an id, character by character."""

    filter: Filter
    prefix: str

    async def find(
        self, client: Client, limit: int | None = None, *, payloads: bool = False
    ) -> AsyncIterator[InstanceStatus]:
        """Instances that fit, at most `limit`, with their payloads if so wished; newest first if `ordered`."""
        count = 0
        if limit == 0:
            return
        async for status in fetch.find(client, self.filter, payloads=payloads):
            if status.id.startswith(self.prefix):
                yield status
                count += 1
                if count == limit:
                    return

    @property
    def ordered(self) -> bool:
        """Whether `find` gives the newest first."""
        return self.filter.ids is None and not self.filter.prefix

    def __str__(self) -> str:
        return str(self.filter)


def given(flags: FilterFlags) -> bool:
    """Whether any filter was given."""
    return any(getattr(flags, field.name) for field in fields(FilterFlags))


def selection(flags: FilterFlags, words: Sequence[str] = (), *, otherwise: Sequence[Status] = ()) -> Selection:
    """The flags as one filter. `words`: a filter without a flag. `otherwise`: statuses, where nothing names any.

    Raises UsageError that points at the character for what cannot be read.
    """
    now = datetime.now(UTC)
    typed = " ".join([*words, flags.filter or ""]).strip()
    terms = [str(read(typed, now)), *(_term(name, make, flags, now) for name, make in _TERMS.items())]
    found = parse(" ".join(filter(None, terms)), now)
    if otherwise and not any(term.field == "status" and not term.negated for term in found.terms):
        found = parse(f"{found} status:{','.join(otherwise)}", now)
    return Selection(found, flags.prefix or "")


def read(text: str, now: datetime) -> Filter:
    """A filter as somebody typed it. Raises UsageError that points at the character."""
    try:
        return parse(text, now)
    except FilterError as error:
        raise UsageError(pointing(error, text)) from None


def pointing(error: FilterError, text: str) -> str:
    """Message, the text around the place, and a mark below it: one cell for each character that cannot be shown."""
    shown = "".join(char if char.isprintable() else "�" for char in text)
    begin = max(error.position - _AROUND, 0)
    piece = shown[begin : error.position + _AROUND]
    lead = "…" if begin else ""
    return f"{error.message}\n  {lead}{piece}\n  {' ' * (len(lead) + cell_len(shown[begin : error.position]))}^"


def _term(name: str, make: Callable[[Any], str], flags: FilterFlags, now: datetime) -> str:
    value = getattr(flags, name)
    term = make(value) if value else ""
    try:
        return str(parse(term, now))
    except FilterError as error:
        raise UsageError(f"--{name}: {error.message}") from None


def _statuses(words: list[str]) -> str:
    return "status:" + ",".join(quoted(part) for word in words for part in word.split(",") if part)


def _name(name: str) -> str:
    return "name:" + quoted("=" + name if name.startswith("=") else name)


def _prefix(prefix: str) -> str:
    """A pattern that lets all ids through that begin so; `Selection.find` looks closer."""
    return "id:" + quoted(("?" + prefix[1:] if prefix.startswith("=") else prefix) + "*")


def _since(text: str) -> str:
    return "after:" + quoted(times.past(text).isoformat())


_TERMS: Final[dict[str, Callable[[Any], str]]] = {
    "status": _statuses,
    "name": _name,
    "prefix": _prefix,
    "since": _since,
}
