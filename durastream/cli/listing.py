"""`list`: instances as a table or JSON."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from durastream.cli import choose, completion, times
from durastream.cli.flags import command
from durastream.cli.output import Format, cell, status_cell, table
from durastream.cli.records import status_record
from durastream.cli.session import Session
from durastream.inspect import ages

if TYPE_CHECKING:
    from durastream.client import Client
    from durastream.client.views import InstanceStatus

_WIDE_CELLS = 100
_SORTED_MAX = 2_000  # instances that are looked at to find the newest, where the index is searched by id


@dataclass(frozen=True)
class ListFlags(choose.FilterFlags):
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILTER", help="The same as --filter.", autocompletion=completion.filters),
    ] = None
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="At most this many; 0 for all.")] = 100


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    command(
        app,
        "list",
        body=list_instances,
        flags=ListFlags,
        examples=[
            "durastream list 'status:failed name:Order* after:2h'",
            "durastream list stuck:any",
            "durastream list --status Failed --since 2h",
            "durastream list --name place_order --limit 0 -o jsonl | jq -r .id",
        ],
    )


async def list_instances(session: Session, flags: ListFlags) -> None:
    """List instances, newest first."""
    wanted, limit = choose.selection(flags, flags.words or ()), flags.limit
    payloads = session.printer.format is not Format.TEXT  # the table shows none, and each may be a MiB
    async with session.client() as client:
        if limit and not wanted.ordered:
            found = _by_id(session, client, wanted, limit, payloads=payloads)
        else:
            found = wanted.find(client, limit or None, payloads=payloads)
        columns = partial(instance_table, narrow=session.printer.stdout.width < _WIDE_CELLS)
        shown = await session.printer.stream(found, columns, status_record)
    if limit and shown == limit:
        session.printer.note(f"the newest {shown:,}; --limit 0 for all")
    elif not shown and session.printer.format is Format.TEXT:
        session.printer.note(f"no instance fits {wanted}" if wanted.filter else "no instance yet")


async def _by_id(
    session: Session, client: Client, wanted: choose.Selection, limit: int, *, payloads: bool
) -> AsyncIterator[InstanceStatus]:
    """The newest of those whose ids begin so; of very many, the newest of some."""
    found: list[InstanceStatus] = []
    most = max(limit, _SORTED_MAX)
    with session.printer.looking("looking for instances") as tell:
        async for status in wanted.find(client, most, payloads=payloads):
            found.append(status)
            tell(len(found))
    if len(found) == most > limit:
        session.printer.note(f"more than {most:,} fit: these are the newest of the first {most:,} that were found")
    for status in sorted(found, key=lambda one: one.created_at, reverse=True)[:limit]:
        yield status


def instance_table(statuses: list[InstanceStatus], *, narrow: bool = False) -> Table:
    """`narrow`: times are short, so that ids of 32 characters stay whole in a terminal of 80."""
    now = datetime.now(UTC)
    clock = times.short if narrow else times.clock
    shown = table(("id", "name", "status", "created", "took"), (_row(each, now, clock) for each in statuses))
    for column in shown.columns[1:]:
        column.no_wrap, column.overflow = True, "ellipsis"
    return shown


def _row(status: InstanceStatus, now: datetime, clock: Callable[[datetime], str]) -> Iterator[object]:
    yield cell(status.id, 1_024)  # whole: it is what one copies
    yield status.name
    yield status_cell(status.runtime_status, stuck=status.problem is not None)
    yield clock(status.created_at)
    yield ages.words((status.completed_at or now) - status.created_at)
