"""`start` and `wait`: begin an orchestration, and wait for how it ends."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from durastream import errors
from durastream.cli import times
from durastream.cli.exits import FAILED, OK, UsageError
from durastream.cli.flags import command
from durastream.cli.looking import history_line, status_record
from durastream.cli.output import Printer, to_json
from durastream.cli.session import Session
from durastream.inspect.rows import history_rows

if TYPE_CHECKING:
    from durastream.client import Client

_FOLLOW_SECONDS = 0.25
Timeout = Annotated[float | None, typer.Option("--timeout", metavar="SECONDS", help="Stop waiting after this long.")]


class IfExists(StrEnum):
    ERROR = "error"
    IGNORE = "ignore"
    REPLACE = "replace"


@dataclass(frozen=True)
class StartFlags:
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the orchestrator.")]
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
    id: Annotated[str, typer.Argument(metavar="ID", help="Instance id.")]
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
    """Start an orchestration and print its id; with --wait print its output instead.

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
    """Wait, show the steps on a terminal meanwhile, print how it ended."""
    code = OK
    async with _following(printer, client, instance_id):
        try:
            await client.handle(instance_id).result(timeout=timeout)
        except errors.OrchestrationFailed as error:
            code = FAILED
            printer.error(f"{error}\n{error.stack}".rstrip())
    status = await client.status(instance_id)
    if code == OK:
        printer.data(status_record(status), text=lambda: to_json(status.output))
    else:
        printer.record_only(status_record(status))
    return code


@asynccontextmanager
async def _following(printer: Printer, client: Client, instance_id: str) -> AsyncIterator[None]:
    """Print each history event as it is recorded, for a person who watches; nothing off a terminal."""
    if not printer.stderr.is_terminal:
        yield
        return
    shown = 0

    async def show_more() -> None:
        nonlocal shown
        history = await client.history(instance_id)
        for row in history_rows(history[shown:], shown):
            printer.note(history_line(row))
        shown = len(history)

    follower = asyncio.create_task(_for_ever(show_more))
    try:
        yield
    finally:
        follower.cancel()
        await asyncio.wait([follower])
    await show_more()


async def _for_ever(step: Callable[[], Awaitable[None]]) -> None:
    while True:
        await step()
        await asyncio.sleep(_FOLLOW_SECONDS)


def read_input(text: str | None) -> Any:
    """The value of `--input` / `--data`."""
    if text is None:
        return None
    source = _read(text)
    try:
        return orjson.loads(source)
    except ValueError as error:
        hint = "a JSON string needs its own quotes: '\"text\"'" if text == source else f"read from {text}"
        raise UsageError(f"not JSON ({error}): {source[:80]!r}; {hint}") from None


def _read(text: str) -> str:
    if text == "-":
        return sys.stdin.read()
    if not text.startswith("@"):
        return text
    try:
        return Path(text[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {text[1:]!r}: {error}") from None


def read_tags(pairs: list[str]) -> dict[str, str]:
    for pair in pairs:
        if not pair.partition("=")[0] or "=" not in pair:
            raise UsageError(f"--tag {pair!r}: write KEY=VALUE")
    return dict(pair.split("=", 1) for pair in pairs)
