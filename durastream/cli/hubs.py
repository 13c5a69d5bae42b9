"""`hub`, `partitions` and `workers`: the hub itself and who works on it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from durastream.cli import times
from durastream.cli.ask import confirm
from durastream.cli.flags import NoFlags, command
from durastream.cli.output import cut, table
from durastream.cli.session import Session
from durastream.inspect import ages
from durastream.inspect.rows import when

if TYPE_CHECKING:
    from durastream.store.protocol import HubInfo, LeaseInfo, WorkerInfo

_COLUMNS = ("name", "partitions", "retention", "largest payload", "created")


@dataclass(frozen=True)
class HubFlags:
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the hub.")]


@dataclass(frozen=True)
class CreateFlags(HubFlags):
    partitions: Annotated[
        int, typer.Option("--partitions", min=1, max=1024, help="Fixed for ever: more let more workers share the hub.")
    ] = 16
    retention: Annotated[
        str | None, typer.Option("--retention", metavar="TIME", help="Keep ended instances this long: 7d, 12h.")
    ] = None
    payload_bytes: Annotated[
        int | None, typer.Option("--payload-bytes", min=1, help="Largest input, output or event, in bytes.")
    ] = None


@dataclass(frozen=True)
class DeleteFlags(HubFlags):
    yes: Annotated[bool, typer.Option("--yes", "-y", envvar="DURASTREAM_YES", help="Do not ask.")] = False


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    hub = typer.Typer(name="hub", help="Create, list, show and delete task hubs.", no_args_is_help=True)
    command(
        hub,
        "create",
        body=create,
        flags=CreateFlags,
        examples=["durastream hub create orders --partitions 32 --retention 7d"],
    )
    command(hub, "list", body=list_all, flags=NoFlags, examples=["durastream hub list"])
    command(hub, "show", body=show, flags=HubFlags, examples=["durastream hub show default"])
    command(hub, "delete", body=delete, flags=DeleteFlags, examples=["durastream hub delete orders --yes"])
    app.add_typer(hub)
    command(app, "partitions", body=partitions, flags=NoFlags, examples=["durastream partitions"])
    command(app, "workers", body=workers, flags=NoFlags, examples=["durastream workers -o json"])


async def create(session: Session, flags: CreateFlags) -> None:
    """Create a hub. One that is first used without this gets the defaults."""
    from durastream.store.redis.hubs import create_hub

    chosen: dict[str, Any] = {"partitions": flags.partitions}
    if flags.retention is not None:
        chosen["retention_s"] = times.duration(flags.retention).total_seconds()
    if flags.payload_bytes is not None:
        chosen["payload_bytes_max"] = flags.payload_bytes
    info = await create_hub(session.url, flags.name, **chosen)
    session.printer.data(info, text=lambda: _table([info]))


async def list_all(session: Session, flags: NoFlags) -> None:
    """List the hubs of this server."""
    from durastream.store.redis.hubs import hub_info, list_hubs

    infos = [await hub_info(session.url, name) for name in await list_hubs(session.url)]
    session.printer.rows(infos, _table, lambda info: info)


async def show(session: Session, flags: HubFlags) -> None:
    """Show the settings of a hub and how many instances it has in each status."""
    from durastream.store.redis.hubs import hub_info

    info = await hub_info(session.url, flags.name)
    async with Session(session.redis, flags.name, session.format).client() as client:
        counts = await client.counts()
    session.printer.data(info._asdict() | {"instances": counts}, text=lambda: _table([info]))
    if session.format == "text":
        session.printer.data(counts, text=lambda: table(counts, [[f"{count:,}" for count in counts.values()]]))


async def delete(session: Session, flags: DeleteFlags) -> None:
    """Delete a hub with everything in it. Cannot be undone."""
    from durastream.store.redis.hubs import delete_hub, hub_info

    await hub_info(session.url, flags.name)  # says so if there is none, before anybody is asked
    confirm(f"Delete hub {flags.name} on {session.where} with all its instances?", yes=flags.yes)
    await delete_hub(session.url, flags.name)
    session.printer.note(f"deleted hub {flags.name}")


async def partitions(session: Session, flags: NoFlags) -> None:
    """Show the partitions of the hub: who owns each, and what waits in it."""
    async with session.client() as client:
        leases = await client.partitions()
    session.printer.rows(leases, _partition_table, lambda lease: lease)


async def workers(session: Session, flags: NoFlags) -> None:
    """Show the workers of the hub and what they can run; also those that fell silent within the last hour."""
    async with session.client() as client:
        known = await client.workers()
    session.printer.rows(known, _worker_table, lambda worker: worker)
    if not known:
        session.printer.note("no worker; start one: durastream worker module:app")


def _table(hubs: list[HubInfo]) -> Table:
    return table(_COLUMNS, (_hub_cells(info) for info in hubs))


def _hub_cells(info: HubInfo) -> Iterator[object]:
    yield info.name
    yield str(info.partitions)
    yield ages.words(timedelta(milliseconds=info.retention_ms))
    yield f"{info.payload_bytes_max:,} bytes"
    yield times.clock(when(info.created_at))


def _partition_table(leases: list[LeaseInfo]) -> Table:
    now = time.time() * 1000
    columns = ("#", "owner", "epoch", "lease", "backlog", "timers", "outbox", "activities")
    return table(columns, (_partition_cells(lease, now) for lease in leases))


def _partition_cells(lease: LeaseInfo, now: float) -> Iterator[object]:
    yield str(lease.partition)
    yield lease.owner or "nobody"
    yield str(lease.epoch)
    yield "free" if not lease.owner else "expired" if lease.until < now else "held"
    yield from (f"{count:,}" for count in (lease.backlog, lease.timers, lease.outbox, lease.activities))


def _worker_table(known: list[WorkerInfo]) -> Table:
    shown = table(
        ("worker", "host", "pid", "seen", "owns", "running", "queues", "orchestrators", "activities"),
        (_worker_cells(worker) for worker in known),
    )
    for column in shown.columns[2:6]:
        column.no_wrap = True
    return shown


def _worker_cells(worker: WorkerInfo) -> Iterator[object]:
    about = worker.about
    yield worker.worker_id
    yield about.get("host")
    yield str(about.get("pid", "-"))
    yield ages.ago(when(worker.seen_at), datetime.now(UTC))
    yield _count(about.get("owned"))
    yield f"{_count(about.get('busy'))} of {_count(about.get('concurrency'))}"
    yield from (cut(_joined(about.get(key))) for key in ("queues", "orchestrators", "activities"))


def _count(value: object) -> str:
    return str(len(value)) if isinstance(value, (list, tuple)) else str(value or 0)


def _joined(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value or "-")
