"""`dev`: a server and a worker in one process, to try things out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from durastream.cli import target, where
from durastream.cli.exits import OK
from durastream.cli.flags import command
from durastream.cli.logs import Level, LogFormat, to_stderr
from durastream.cli.next_steps import in_dev
from durastream.cli.server import a_server
from durastream.cli.serving import WorkerFlags, work
from durastream.cli.session import Session

BUILT_IN = "durastream.cli.demo_app:app"


@dataclass(frozen=True)
class DevFlags:
    target: Annotated[
        str, typer.Argument(metavar="[MODULE:APP]", help="The app to run; a built-in sample if left out.")
    ] = BUILT_IN
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65535, help="Of the embedded server: 6379, or any free one.")
    ] = None
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", file_okay=False, help="Keep the embedded server's data there."),
    ] = None


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    command(
        app,
        "dev",
        body=dev,
        flags=DevFlags,
        examples=[
            "durastream dev workers.quickstart:app",
            "durastream dev shop.flows:app --redis redis://localhost:6379",
        ],
    )


async def dev(session: Session, flags: DevFlags) -> int:
    """A development server: an embedded Redis (unless --redis names one) and a worker. Ctrl-C stops both."""
    to_stderr(Level.WARNING, LogFormat.TEXT)
    app = target.load(flags.target)
    note = session.printer.note
    port = flags.port or where.free_port()
    async with a_server(session.redis, say=note, port=port, directory=flags.data) as url:
        note(f"{flags.target} on {url}, hub {session.hub}")
        note(in_dev(url, session.hub, app.orchestrator_names()))
        note("Ctrl-C stops everything.")
        await work(replace(session, redis=url), WorkerFlags(flags.target), app)
    note("stopped")
    return OK
