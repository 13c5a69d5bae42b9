"""`export`: write a recorded execution as JSON, to keep it, to send it, or to replay it."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from durastream.cli import completion, recorded
from durastream.cli.ask import confirm
from durastream.cli.bulk import bar
from durastream.cli.exits import UsageError
from durastream.cli.flags import command
from durastream.cli.histories import events
from durastream.cli.output import Printer, to_json
from durastream.cli.records import status_record
from durastream.cli.session import Session
from durastream.errors import Conflict
from durastream.inspect import sanitize
from durastream.wire import event_to_json

if TYPE_CHECKING:
    from durastream.client import Client
    from durastream.client.views import InstanceStatus

_STDOUT = "-"


@dataclass(frozen=True)
class ExportFlags:
    id: Annotated[str, typer.Argument(metavar="ID", help="Instance id.", autocompletion=completion.ids)]
    file: Annotated[str, typer.Option("--file", "-f", metavar="FILE", help="Where to; - is stdout.")] = _STDOUT
    yes: Annotated[
        bool, typer.Option("--yes", "-y", envvar="DURASTREAM_YES", help="Overwrite the file without asking.")
    ] = False


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    command(
        app,
        "export",
        body=export,
        flags=ExportFlags,
        examples=["durastream export order-7 -f order-7.json", "durastream export order-7 | jq .history[-1]"],
    )


async def export(session: Session, flags: ExportFlags) -> None:
    """Write an instance's record and the history of its current execution as JSON.

    `durastream replay` runs it against today's code. It holds all payloads as they are: mind who may read it.
    """
    async with session.client() as client:
        status = await client.status(flags.id)
        if flags.file == _STDOUT:
            await _write(session.printer, client, status, sys.stdout.write)
            return
        path = _free(Path(flags.file), yes=flags.yes)
        with _replacing(path) as write:
            await _write(session.printer, client, status, write)
    session.printer.note(f"wrote {status.events:,} events to {path}")


def _free(path: Path, *, yes: bool) -> Path:
    if path.exists():
        confirm(f"Overwrite {path}?", yes=yes)
    return path


@contextmanager
def _replacing(path: Path) -> Iterator[Callable[[str], object]]:
    """Write beside the file and put it in its place at the end: whatever happens, it is whole or not there."""
    beside = path.with_name(path.name + ".part")
    try:
        with beside.open("w", encoding="utf-8") as file:
            yield file.write
        beside.replace(path)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        beside.unlink(missing_ok=True)


async def _write(printer: Printer, client: Client, status: InstanceStatus, write: Callable[[str], object]) -> None:
    head = recorded.head(status, client.hub, status_record(status))
    write(sanitize.json_text(recorded.opening(to_json(head, indent=True))))
    with bar(printer, "exporting", status.events) as advance:
        async for text in _events(client, status):
            write(text)
            advance()
    write(recorded.CLOSING)


async def _events(client: Client, status: InstanceStatus) -> AsyncIterator[str]:
    """The events as text. Raises Conflict if another execution has taken the place of this one meanwhile."""
    count = 0
    async for number, event in events(client, status.id, 0, status.events):
        yield ("," if number else "") + "\n    " + sanitize.json_text(to_json(event_to_json(event)))
        count += 1
    now = await client.status(status.id)
    if now.execution_id != status.execution_id or count < status.events:
        raise Conflict(f"instance {status.id!r} began another execution while it was exported: try again")
