"""`top`: the terminal UI."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Annotated

import typer

from durastream.cli.exits import UsageError
from durastream.cli.flags import command
from durastream.cli.session import Session


@dataclass(frozen=True)
class TopFlags:
    read_only: Annotated[bool, typer.Option("--read-only", help="Look only: keys that change things are refused.")] = (
        False
    )
    filter: Annotated[
        str, typer.Option("--filter", "-f", metavar="FILTER", help="Which instances to begin with; as behind / inside.")
    ] = ""
    period: Annotated[
        float, typer.Option("--period", min=0.2, max=60, metavar="SECONDS", help="Time between two looks.")
    ] = 1.0


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    command(
        app,
        "top",
        body=top,
        flags=TopFlags,
        examples=["durastream top", "durastream top --read-only --filter 'status:failed after:1h'"],
    )


async def top(session: Session, flags: TopFlags) -> None:
    """Look at a hub and act on it, live, in the terminal: instances, entities, partitions, workers."""
    try:
        from durastream.tui import launch
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "textual":
            raise
        raise UsageError(
            "durastream top needs Textual, which is not installed: pip install 'durastream[tui]'"
        ) from None
    if not (sys.stdin.isatty() and sys.stdout.isatty() and sys.stderr.isatty()):
        raise UsageError("durastream top needs a terminal; for scripts: durastream list -o json")
    _check(flags.filter)
    await launch.run(session.url, session.hub, read_only=flags.read_only, period_s=flags.period, wanted=flags.filter)


def _check(text: str) -> None:
    from datetime import UTC, datetime

    from durastream.inspect.filter import FilterError, parse

    try:
        parse(text, datetime.now(UTC))
    except FilterError as error:
        raise UsageError(error.pointing_at(text)) from None
