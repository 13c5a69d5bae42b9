"""`show`, `history` and `list`: look at instances."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from durastream.cli import times
from durastream.cli.exits import UsageError
from durastream.cli.flags import command
from durastream.cli.output import cell, status_text, table, to_json
from durastream.cli.session import Session
from durastream.core.status import TERMINAL
from durastream.core.status import Status as StatusWord
from durastream.inspect import sanitize
from durastream.inspect.rows import SYMBOLS, HistoryRow, history_rows
from durastream.inspect.timeline import Bar, Span, bars, timeline

if TYPE_CHECKING:
    from durastream.client.views import Filters, InstanceStatus
    from durastream.core.events import Event

_BAR_CELLS = 30
_SPANS_MAX = 40


@dataclass(frozen=True)
class IdFlags:
    id: Annotated[str, typer.Argument(metavar="ID", help="Instance id.")]


@dataclass(frozen=True)
class FilterFlags:
    """Which instances; shared with the commands that change many at once."""

    status: Annotated[
        list[str] | None, typer.Option("--status", metavar="WORD", help="Pending, Running, … May be repeated.")
    ] = None
    name: Annotated[str | None, typer.Option("--name", help="Name of the orchestrator.")] = None
    prefix: Annotated[str | None, typer.Option("--prefix", help="What the id begins with.")] = None
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="TIME", help="Created since: 2h (ago), 7d, or 2031-05-01T12:00:00Z."),
    ] = None


@dataclass(frozen=True)
class ListFlags(FilterFlags):
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="At most this many; 0 for all.")] = 100


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    command(
        app,
        "show",
        body=show,
        flags=IdFlags,
        examples=["durastream show order-7", "durastream show order-7 -o json | jq .output"],
    )
    command(
        app,
        "history",
        body=history,
        flags=IdFlags,
        examples=["durastream history order-7", "durastream history order-7 -o jsonl"],
    )
    command(
        app,
        "list",
        body=list_instances,
        flags=ListFlags,
        examples=[
            "durastream list --status Failed --since 2h",
            "durastream list --name place_order --limit 0 -o jsonl | jq -r .id",
        ],
    )


async def show(session: Session, flags: IdFlags) -> None:
    """Show one instance: state, steps on a time line, what it waits for, input, output and error."""
    async with session.client() as client:
        status = await client.status(flags.id)
        events = await client.history(flags.id)
    session.printer.data(status_record(status), text=lambda: Group(*_page(status, events)))


async def history(session: Session, flags: IdFlags) -> None:
    """Print the history of an instance's current execution, one event a row."""
    async with session.client() as client:
        events = await client.history(flags.id)
    numbered = list(zip(history_rows(events), events, strict=True))
    session.printer.rows(numbered, _history_table, lambda pair: history_record(*pair))


async def list_instances(session: Session, flags: ListFlags) -> None:
    """List instances, newest first."""
    wanted = query(flags)
    async with session.client() as client:
        found = client.list(limit=flags.limit or None, **wanted)
        shown = await session.printer.stream(found, instance_table, status_record)
    if flags.limit and shown == flags.limit:
        session.printer.note(f"the newest {shown:,}; --limit 0 for all")


def query(flags: FilterFlags) -> Filters:
    """Filter flags as arguments of `Client.list`."""
    return {
        "status": read_statuses(flags.status),
        "name": flags.name,
        "prefix": flags.prefix,
        "created_after": times.past(flags.since) if flags.since else None,
    }


def read_statuses(words: list[str] | None) -> list[StatusWord] | None:
    """Status words in any case, also separated by commas."""
    if not words:
        return None
    known: dict[str, StatusWord] = {word.lower(): word for word in SYMBOLS}
    asked = [part for word in words for part in word.split(",") if part]
    return [_known_status(known, word) for word in asked]


def _known_status(known: dict[str, StatusWord], word: str) -> StatusWord:
    if word.lower() not in known:
        raise UsageError(f"--status {word!r}: one of {', '.join(known.values())}")
    return known[word.lower()]


# ---- records: what JSON output holds


def status_record(status: InstanceStatus) -> dict[str, Any]:
    """The instance with the field names of `InstanceStatus`."""
    return {field.name: getattr(status, field.name) for field in fields(status)}


def history_record(row: HistoryRow, event: Event) -> dict[str, Any]:
    """The event with its number and kind; payloads as values."""
    return {"number": row.number, "kind": row.kind} | event._asdict() | {"at": row.at}


# ---- text


def instance_table(statuses: list[InstanceStatus]) -> Table:
    now = datetime.now(UTC)
    return table(("id", "name", "status", "created", "took"), (_instance_row(each, now) for each in statuses))


def _instance_row(status: InstanceStatus, now: datetime) -> Iterator[object]:
    ended = status.completed_at or now
    yield cell(status.id, 1_024)  # whole: it is what one copies
    yield status.name
    yield _status(status.runtime_status)
    yield times.clock(status.created_at)
    yield times.words(ended - status.created_at)


def _status(word: StatusWord) -> Text:
    return status_text(word, SYMBOLS.get(word, "?"))


def _history_table(numbered: list[tuple[HistoryRow, Event]]) -> Table:
    return table(("#", "at", "event", "of", "what", "data"), (_history_cells(row) for row, _ in numbered))


def _history_cells(row: HistoryRow) -> list[object]:
    of = "" if row.answers is None else str(row.answers)
    return [str(row.number), f"{row.at.astimezone():%H:%M:%S.%f}"[:-3], row.kind, of, row.label, row.detail]


def history_line(row: HistoryRow) -> str:
    """One event as one line, for following it live."""
    of = "" if row.answers is None else f" of {row.answers}"
    return sanitize.line(f"{row.number:>4}  {row.kind}{of}  {row.label}  {row.detail}".rstrip(), 160)


def _page(status: InstanceStatus, events: list[Event]) -> Iterator[RenderableType]:
    now = datetime.now(UTC)
    spans = timeline(events)
    yield Text.assemble((sanitize.line(status.id, 1_024), "bold"), "  ", _status(status.runtime_status))
    yield _facts(status, now)
    if status.problem is not None:
        yield Text.assemble(("stuck: ", "bold red"), sanitize.line(_problem(status.problem), 1_000))
    if status.runtime_status not in TERMINAL:
        yield Text.assemble(("waits for: ", "bold"), sanitize.line(waits_for(status, spans), 300))
    if spans:
        yield Text("")
        yield _timeline_table(spans, status.completed_at or now)
    yield from _payloads(status)


def _problem(problem: Any) -> str:
    return str(problem.get("message", problem)) if isinstance(problem, dict) else str(problem)


def waits_for(status: InstanceStatus, spans: Iterable[Span]) -> str:
    """In words, as far as history tells: an orchestrator that waits for an event has recorded nothing of it yet."""
    open_spans = [f"{span.kind} {span.label} (event {span.task})" for span in spans if span.outcome == "waiting"]
    if open_spans:
        more = f" and {len(open_spans) - 3:,} more" if len(open_spans) > 3 else ""
        return ", ".join(open_spans[:3]) + more
    if status.runtime_status == "Pending" and status.start_at is not None:
        return f"its start at {times.clock(status.start_at)}"
    if status.runtime_status == "Pending":
        return f"a worker that has the orchestrator {status.name}"
    if status.runtime_status == "Suspended":
        return "being resumed"
    return "an external event, or its next turn"


def _facts(status: InstanceStatus, now: datetime) -> Table:
    facts = {
        "orchestrator": status.name if status.version is None else f"{status.name} (version {status.version})",
        "created": f"{times.clock(status.created_at)} ({times.ago(status.created_at, now)})",
        "took": times.words(status.completed_at - status.created_at) if status.completed_at else None,
        "parent": status.parent_id,
        "starts": times.clock(status.start_at) if status.start_at else None,
        "tags": ", ".join(f"{key}={value}" for key, value in status.tags.items()),
        "custom status": None if status.custom_status is None else to_json(status.custom_status),
        "history": f"{status.events:,} events, execution {status.execution_id}, partition {status.partition}",
    }
    grid = Table.grid(padding=(0, 2))
    for name, value in facts.items():
        if value:
            grid.add_row(Text(name, style="dim"), cell(value, 200))
    return grid


def _timeline_table(spans: list[Span], until: datetime) -> Table:
    last = spans[-_SPANS_MAX:]
    grid = table(("#", "kind", "what", "time", "took", "outcome"), [])
    for span, bar in zip(last, bars(last, until, _BAR_CELLS), strict=True):
        took = times.words((span.ended or until) - span.started)
        grid.add_row(
            str(span.task), span.kind, cell(span.label, 60), _bar_text(bar, span), took, cell(_outcome(span), 100)
        )
    return grid


def _outcome(span: Span) -> str:
    return f"{span.outcome}: {span.detail}" if span.detail else span.outcome


def _bar_text(bar: Bar, span: Span) -> Text:
    style = {"done": "green", "failed": "red", "waiting": "cyan"}[span.outcome]
    return Text(" " * bar.before + ("━" if span.ended else "╌") * bar.cells, style=style)


def _payloads(status: InstanceStatus) -> Iterator[Text]:
    for name, value in (("input", status.input), ("output", status.output)):
        if value is not None:
            yield Text.assemble("\n", (name, "bold"), "  ", sanitize.block(to_json(value, indent=True), 4_000))
    if status.failure is not None:
        text = f"{status.failure.type}: {status.failure.message}\n{status.failure.stack}".rstrip()
        yield Text.assemble("\n", ("error", "bold red"), "  ", sanitize.block(text, 8_000))
