"""`entity`: list entities, look at one, signal one, and open locks that were left behind."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from durastream.cli import completion, times
from durastream.cli.exits import UsageError
from durastream.cli.flags import NoFlags, command
from durastream.cli.inputs import read_input
from durastream.cli.output import cell, table, to_json
from durastream.cli.session import Session
from durastream.core.entity_id import EntityId
from durastream.core.ids import partition_of
from durastream.errors import EntityNotFound
from durastream.inspect import ages, sanitize
from durastream.inspect.plural import plural

if TYPE_CHECKING:
    from durastream.client import Client, EntityStatus, QueuedMessage

_QUEUE_SHOWN = 50
_START_WORKER = "durastream worker module:app"


@dataclass(frozen=True)
class ListFlags:
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="Only entities of this name.", autocompletion=completion.entities),
    ] = None
    prefix: Annotated[str | None, typer.Option("--prefix", help="What the key begins with; needs a name.")] = None
    locked: Annotated[bool, typer.Option("--locked", help="Only those in somebody's critical section.")] = False
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="At most this many; 0 for all.")] = 100


@dataclass(frozen=True)
class ShowFlags:
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="Name of the entity, or @NAME@KEY.", autocompletion=completion.entities),
    ]
    key: Annotated[str | None, typer.Argument(metavar="KEY", help="Which one.")] = None


@dataclass(frozen=True)
class SignalFlags:
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the entity.", autocompletion=completion.entities)]
    key: Annotated[str, typer.Argument(metavar="KEY", help="Which one.")]
    operation: Annotated[str, typer.Argument(metavar="OPERATION", help="What it is to do.")]
    input: Annotated[
        str | None,
        typer.Option("--input", "-i", metavar="JSON", help="Input as JSON; @FILE reads a file, - reads stdin."),
    ] = None
    at: Annotated[
        str | None, typer.Option("--at", metavar="TIME", help="Do it then: 2031-05-01T12:00:00Z, or +10m from now.")
    ] = None


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    entity = typer.Typer(name="entity", help="List, show and signal entities.", no_args_is_help=True)
    command(
        entity,
        "list",
        body=list_entities,
        flags=ListFlags,
        examples=[
            "durastream entity list",
            "durastream entity list Counter --prefix shop- --limit 0 -o jsonl | jq -r .key",
            "durastream entity list --locked",
        ],
    )
    command(
        entity,
        "show",
        body=show,
        flags=ShowFlags,
        examples=["durastream entity show Counter a", "durastream entity show @Counter@a -o json | jq .state"],
    )
    command(
        entity,
        "signal",
        body=signal,
        flags=SignalFlags,
        examples=[
            "durastream entity signal Counter a add --input 5",
            "durastream entity signal Counter a delete --at +10m",
        ],
    )
    command(entity, "clean", body=clean, flags=NoFlags, examples=["durastream entity clean"])
    app.add_typer(entity)


async def list_entities(session: Session, flags: ListFlags) -> None:
    """List entities in the order of their ids."""
    if flags.prefix and flags.name is None:
        raise UsageError("--prefix is of the key, so it needs a name: durastream entity list Counter --prefix shop-")
    async with session.client() as client:
        found = client.list_entities(
            flags.name, prefix=flags.prefix, locked=True if flags.locked else None, limit=flags.limit or None
        )
        shown = await session.printer.stream(found, _table, entity_record)
    if flags.limit and shown == flags.limit:
        session.printer.note(f"the first {shown:,}; --limit 0 for all")


async def show(session: Session, flags: ShowFlags) -> None:
    """Show one entity: state, times, who holds its lock, and what waits for it.

    Exit code 3: it has no state, no lock and no queue.
    """
    entity_id = EntityId.parse(flags.name) if flags.key is None else EntityId(flags.name, flags.key)
    async with session.client() as client:
        problem = await _problem(client, entity_id)
        try:
            status = await client.entity(entity_id)
        except EntityNotFound as error:
            if problem is not None:
                error.add_note(problem)
            raise
        queue = await client.entity_queue(entity_id, limit=_QUEUE_SHOWN) if status.queued else []
    record = entity_record(status) | {"problem": problem, "queue": [asdict(each) for each in queue]}
    session.printer.data(record, text=lambda: Group(*_page(status, queue, problem)))


async def signal(session: Session, flags: SignalFlags) -> None:
    """Signal an entity: it carries out the operation once, and creates itself if there is none yet.

    The signal is stored for good, and waits for a worker that has the entity.
    """
    value, at = read_input(flags.input), _when(flags.at)
    entity_id = EntityId(flags.name, flags.key)
    async with session.client() as client:
        await client.signal_entity(entity_id, flags.operation, value, at=at)
    session.printer.note(f"signalled {entity_id}: {flags.operation}")


async def clean(session: Session, flags: NoFlags) -> None:
    """Open locks that were left behind: their holder is gone, has ended, or runs as another execution by now."""
    async with session.client() as client:
        cleaned = await client.clean_entities()
    released = [str(each) for each in cleaned.released]
    count = plural(len(released), "lock")
    session.printer.note(f"{count} left behind; told to open" if released else "no lock was left behind")
    rows = ([cell(one, 1_024)] for one in released)
    session.printer.data({"released": released}, text=lambda: table(("released",), rows) if released else "")


def _when(text: str | None) -> datetime | timedelta | None:
    """`+10m` stays a duration: it counts from the server's now, whatever the clock here says."""
    if text is None:
        return None
    return times.duration(text[1:]) if text.startswith("+") else times.moment(text)


async def _problem(client: Client, entity_id: EntityId) -> str | None:
    """Why its operations are not carried out, with what to do about it; None if nothing is known to be wrong."""
    problem = await client.entity_problem(entity_id)
    if problem is not None:
        told = problem.get("message", problem) if isinstance(problem, dict) else problem
        return f"operations wait: {str(told).rstrip('.')}; start a worker with {entity_id.name}: {_START_WORKER}"
    leases = await client.partitions()
    home = leases[partition_of(str(entity_id), len(leases))]
    if home.backlog and (not home.owner or home.until < time.time() * 1_000):
        return f"nobody works on partition {home.partition}, where it lives; start a worker: {_START_WORKER}"
    return None


# ---- records: what JSON output holds


def entity_record(status: EntityStatus) -> dict[str, Any]:
    """The entity with the field names of `EntityStatus`; its id as text, and in parts."""
    shown = {field.name: getattr(status, field.name) for field in fields(status)}
    return shown | {"id": str(status.id), "name": status.id.name, "key": status.id.key}


# ---- text


def _table(entities: list[EntityStatus]) -> Table:
    return table(("id", "state", "updated", "locked by", "waiting"), (_cells(each) for each in entities))


def _cells(status: EntityStatus) -> Iterator[object]:
    yield cell(str(status.id), 1_024)  # whole: it is what one copies
    yield cell(_json(status.state), 60)
    yield times.clock(status.updated_at)
    yield status.locked_by
    yield f"{status.queued:,}"


def _json(value: Any) -> str:
    return "" if value is None else to_json(value)


def _page(status: EntityStatus, queue: list[QueuedMessage], problem: str | None) -> Iterator[RenderableType]:
    yield Text(sanitize.line(str(status.id), 1_024), style="bold")
    yield _facts(status, datetime.now(UTC))
    if problem is not None:
        yield Text.assemble(("stuck: ", "bold red"), sanitize.line(problem, 1_000))
    state = to_json(status.state, indent=True) if status.state is not None else "none"
    yield Text.assemble("\n", ("state", "bold"), "  ", sanitize.block(state, 8_000))
    if queue:
        yield Text("")
        yield table(("#", "kind", "operation", "input", "from", "waits for"), (_queued(each, status) for each in queue))
    if status.queued > len(queue):
        yield Text(f"… and {status.queued - len(queue):,} more")


def _facts(status: EntityStatus, now: datetime) -> Table:
    locked = status.locked_by
    if locked is not None and status.locked_at is not None:
        locked += f", since {times.clock(status.locked_at)} ({ages.ago(status.locked_at, now)})"
    facts = {
        "created": f"{times.clock(status.created_at)} ({ages.ago(status.created_at, now)})",
        "updated": f"{times.clock(status.updated_at)} ({ages.ago(status.updated_at, now)})",
        "revision": f"{status.revision:,}, partition {status.partition}",
        "locked by": locked or "nobody",
        "waiting": f"{status.queued:,}",
    }
    grid = Table.grid(padding=(0, 2))
    for name, value in facts.items():
        grid.add_row(Text(name, style="dim"), cell(value, 400))
    return grid


def _queued(message: QueuedMessage, status: EntityStatus) -> Iterator[object]:
    yield str(message.number)
    yield message.kind
    yield message.operation
    yield cell(_json(message.input), 60)
    yield message.sender or "a client"
    yield _waits_for(message, status)


def _waits_for(message: QueuedMessage, status: EntityStatus) -> str:
    if message.due is not None and message.due > datetime.now(UTC):
        return times.clock(message.due)
    return "the lock" if status.locked_by is not None else "its turn"
