"""`start` and `wait`: begin an orchestration, and wait for how it ends."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from durastream import errors
from durastream.cli import completion, times
from durastream.cli.exits import FAILED, OK, UsageError
from durastream.cli.flags import command
from durastream.cli.following import following
from durastream.cli.inputs import read_input, read_tags
from durastream.cli.output import Printer, to_json
from durastream.cli.records import status_record
from durastream.cli.session import Session

if TYPE_CHECKING:
    from durastream.client import Client

Timeout = Annotated[float | None, typer.Option("--timeout", metavar="SECONDS", help="Stop waiting after this long.")]


class IfExists(StrEnum):
    ERROR = "error"
    IGNORE = "ignore"
    REPLACE = "replace"


@dataclass(frozen=True)
class StartFlags:
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="Name of the orchestrator.", autocompletion=completion.orchestrators),
    ]
    input: Annotated[
        str | None,
        typer.Option("--input", "-i", metavar="JSON", help="Input as JSON; @FILE reads a file, - reads stdin."),
    ] = None
    id: Annotated[str | None, typer.Option("--id", help="Instance id; a random one if left out.")] = None
    at: Annotated[
        str | None, typer.Option("--at", metavar="TIME", help="Start then: 2031-05-01T12:00:00Z, or +10m from now.")
    ] = None
    tag: Annotated[list[str] | None, typer.Option("--tag", metavar="KEY=VALUE", help="May be repeated.")] = None
    version: Annotated[str | None, typer.Option("--version", help="Version of the orchestrator.")] = None
    if_exists: Annotated[IfExists, typer.Option("--if-exists", help="What to do when the id is taken.")] = (
        IfExists.ERROR
    )
    wait: Annotated[bool, typer.Option("--wait", "-w", help="Wait for the end and print the output.")] = False
    timeout: Timeout = None


@dataclass(frozen=True)
class WaitFlags:
    id: Annotated[str, typer.Argument(metavar="ID", help="Instance id.", autocompletion=completion.ids)]
    timeout: Timeout = None


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    command(
        app,
        "start",
        body=start,
        flags=StartFlags,
        examples=[
            "durastream start hello --input '\"world\"' --wait",
            "durastream start place_order --id order-7 --input @order.json --tag shop=berlin",
        ],
    )
    command(app, "wait", body=wait, flags=WaitFlags, examples=["durastream wait order-7 --timeout 60"])


async def start(session: Session, flags: StartFlags) -> int:
    """Start an orchestration and print its id; with --wait show its steps on stderr, then print its output instead.

    It starts as soon as a worker has it: without a worker it stays Pending, and is not lost.
    """
    value, tags = read_input(flags.input), read_tags(flags.tag or [])
    start_at = times.moment(flags.at) if flags.at else None
    if start_at is not None and flags.if_exists is IfExists.REPLACE:
        raise UsageError("--if-exists replace starts at once: leave --at out")
    async with session.client() as client:
        handle = await client.start(
            flags.name,
            value,
            instance_id=flags.id,
            start_at=start_at,
            tags=tags or None,
            version=flags.version,
            if_exists=flags.if_exists.value,
        )
        if flags.wait:
            session.printer.note(f"started {handle.id}")
            return await outcome(session.printer, client, handle.id, timeout=flags.timeout)
        session.printer.data({"id": handle.id}, text=lambda: handle.id)
    return OK


async def wait(session: Session, flags: WaitFlags) -> int:
    """Wait for an orchestration to end and print its output.

    Exit code 0: completed, 1: failed or terminated, 3: no such instance, 6: timed out.
    """
    async with session.client() as client:
        return await outcome(session.printer, client, flags.id, timeout=flags.timeout)


async def outcome(printer: Printer, client: Client, instance_id: str, *, timeout: float | None) -> int:
    """Wait, show the steps meanwhile, print how it ended."""
    failed: errors.OrchestrationFailed | None = None
    async with following(printer, client, instance_id):
        try:
            await client.handle(instance_id).result(timeout=timeout)
        except errors.OrchestrationFailed as error:
            failed = error
    status = await client.status(instance_id)
    if failed is None:
        printer.data(status_record(status), text=lambda: to_json(status.output))
        return OK
    printer.error(f"{failed}\n{failed.stack}".rstrip())
    printer.record_only(status_record(status))
    return FAILED
