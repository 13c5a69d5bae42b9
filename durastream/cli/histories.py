"""`history`: the events of an instance's current execution, page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer
from rich.table import Table

from durastream.cli.exits import UsageError
from durastream.cli.flags import command
from durastream.cli.output import cell, cut, table
from durastream.cli.records import history_record
from durastream.cli.session import Session
from durastream.cli.showing import IdFlags
from durastream.inspect.rows import HistoryRow, history_rows

if TYPE_CHECKING:
    from durastream.client import Client
    from durastream.core.events import Event

PAGE = 500

Numbered: TypeAlias = "tuple[int, Event]"


@dataclass(frozen=True)
class HistoryFlags(IdFlags):
    first: Annotated[int | None, typer.Option("--first", metavar="N", min=1, help="Only the first N events.")] = None
    last: Annotated[int | None, typer.Option("--last", metavar="N", min=1, help="Only the last N events.")] = None


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    command(
        app,
        "history",
        body=history,
        flags=HistoryFlags,
        examples=[
            "durastream history order-7",
            "durastream history order-7 --last 20",
            "durastream history order-7 -o jsonl | jq -r .kind",
        ],
    )


async def history(session: Session, flags: HistoryFlags) -> None:
    """Print the history of an instance's current execution, one event a row."""
    if flags.first and flags.last:
        raise UsageError("--first or --last, not both")
    async with session.client() as client:
        length = (await client.status(flags.id)).events
        begin = max(length - flags.last, 0) if flags.last else 0
        end = min(length, flags.first) if flags.first else length
        await session.printer.stream(events(client, flags.id, begin, end), _table, _record)
    if end - begin < length:
        session.printer.note(f"events {begin:,} to {end - 1:,} of {length:,}")


async def events(client: Client, instance_id: str, begin: int, end: int) -> AsyncIterator[Numbered]:
    """Events `begin … end-1` with their numbers, a page at a time; fewer, if the history has been replaced meanwhile."""
    while begin < end:
        page = await client.history_page(instance_id, begin, count=min(PAGE, end - begin))
        if not page.events:
            return
        for number, event in enumerate(page.events, page.first):
            yield number, event
        begin = page.first + len(page.events)


def row_of(number: int, event: Event) -> HistoryRow:
    (row,) = history_rows([event], number)
    return row


def _record(numbered: Numbered) -> object:
    return history_record(row_of(*numbered), numbered[1])


def _table(numbered: list[Numbered]) -> Table:
    """Widths that hold for most events, so that the pages of a long history stand in line."""
    shown = table(("#", "at", "event", "of", "what", "data"), (_cells(row_of(*each)) for each in numbered))
    for column, cells in zip(shown.columns, (5, 12, 17, 5), strict=False):
        column.min_width, column.no_wrap = cells, True
    return shown


def _cells(row: HistoryRow) -> list[object]:
    of = "" if row.answers is None else str(row.answers)
    at = f"{row.at.astimezone():%H:%M:%S.%f}"[:-3]
    return [str(row.number), at, row.kind, cell(of or " "), cut(row.label), cut(row.detail)]
