"""`event`, and the verbs that change instances: one by one, or all that a filter finds."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from durastream.cli import choose, completion
from durastream.cli.ask import confirm
from durastream.cli.bulk import apply
from durastream.cli.exits import OK, UsageError
from durastream.cli.flags import command
from durastream.cli.inputs import read_input
from durastream.cli.output import Format
from durastream.cli.session import Session
from durastream.core.status import COMPLETED, FAILED, PENDING, RUNNING, SUSPENDED, TERMINATED, Status

if TYPE_CHECKING:
    from durastream.client import Client


@dataclass(frozen=True)
class EventFlags:
    id: Annotated[str, typer.Argument(metavar="ID", help="Instance id.", autocompletion=completion.ids)]
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the event.")]
    data: Annotated[
        str | None, typer.Option("--data", "-d", metavar="JSON", help="What it carries; @FILE or - as in start.")
    ] = None


@dataclass(frozen=True)
class Chosen:
    """Ids to act on."""

    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="ID", help="Instance ids; or use a filter.", autocompletion=completion.ids),
    ] = None


@dataclass(frozen=True)
class VerbFlags(choose.FilterFlags, Chosen):
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=0, help="Of those that fit a filter at most this many; 0 for all.")
    ] = 100_000
    yes: Annotated[bool, typer.Option("--yes", "-y", envvar="DURASTREAM_YES", help="Do not ask.")] = False


@dataclass(frozen=True)
class ReasonFlags(VerbFlags):
    reason: Annotated[str | None, typer.Option("--reason", "-r", help="Why; kept in the history.")] = None


@dataclass(frozen=True)
class TerminateFlags(ReasonFlags):
    recursive: Annotated[
        bool, typer.Option("--recursive/--only-this", help="Also the sub-orchestrations it started.")
    ] = True


@dataclass(frozen=True)
class Verb:
    """One way to change instances. `targets` are the statuses a filter looks for when it names none."""

    name: str
    done: str
    help: str
    flags: type[VerbFlags]
    targets: tuple[Status, ...]
    destructive: bool
    change: Callable[[Client, str, Any], Awaitable[object]]


VERBS = (
    Verb(
        "suspend",
        "suspended",
        "Pause instances: they take in events and results, but run no code until resumed.",
        ReasonFlags,
        (PENDING, RUNNING),
        destructive=False,
        change=lambda client, instance_id, flags: client.suspend(instance_id, flags.reason),
    ),
    Verb(
        "resume",
        "resumed",
        "Let suspended instances go on.",
        ReasonFlags,
        (SUSPENDED,),
        destructive=False,
        change=lambda client, instance_id, flags: client.resume(instance_id, flags.reason),
    ),
    Verb(
        "terminate",
        "told to terminate",
        "End instances now, without running any more of their code. Cannot be undone.",
        TerminateFlags,
        (PENDING, RUNNING, SUSPENDED),
        destructive=True,
        change=lambda client, instance_id, flags: client.terminate(
            instance_id, flags.reason, recursive=flags.recursive
        ),
    ),
    Verb(
        "rewind",
        "rewound",
        "Run again what failed in failed instances, keeping what has been done.",
        ReasonFlags,
        (FAILED,),
        destructive=False,
        change=lambda client, instance_id, flags: client.rewind(instance_id, flags.reason),
    ),
    Verb(
        "restart",
        "restarted",
        "Run ended instances again from the beginning, with the same input. Their history is lost.",
        VerbFlags,
        (COMPLETED, FAILED, TERMINATED),
        destructive=True,
        change=lambda client, instance_id, flags: client.restart(instance_id),
    ),
    Verb(
        "purge",
        "purged",
        "Delete ended instances with their history. Cannot be undone.",
        VerbFlags,
        (COMPLETED, FAILED, TERMINATED),
        destructive=True,
        change=lambda client, instance_id, flags: client.purge(instance_id),
    ),
)


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    command(
        app,
        "event",
        body=event,
        flags=EventFlags,
        examples=["durastream event approval-1 approved --data true"],
    )
    for verb in VERBS:
        command(
            app,
            verb.name,
            body=functools.partial(_run_verb, verb),
            flags=verb.flags,
            examples=_examples(verb),
            help=verb.help,
        )


def _examples(verb: Verb) -> list[str]:
    yes = " --yes" if verb.destructive else ""
    status = verb.targets[-1].lower()
    return [
        f"durastream {verb.name} order-7{yes}",
        f"durastream {verb.name} --filter 'status:{status} name:Order* after:1h'",
        f"durastream {verb.name} --status {status} --prefix order-2031- --yes -o json",
    ]


async def event(session: Session, flags: EventFlags) -> int:
    """Raise an event for an instance. It is kept until the orchestrator waits for it."""
    data = read_input(flags.data)
    async with session.client() as client:
        await client.raise_event(flags.id, flags.name, data)
    session.printer.note(f"raised {flags.name} for {flags.id}")
    return OK


async def _run_verb(verb: Verb, session: Session, flags: VerbFlags) -> int:
    wanted = _wanted(verb, flags)
    async with session.client() as client:
        ids, more = list(dict.fromkeys(flags.ids or ())), False
        if wanted is not None:
            ids, more = await _found(session, client, wanted, flags.limit)
        if not ids:
            session.printer.note(f"no instance fits {wanted}: nothing to {verb.name}")
            if session.printer.format is Format.JSON:
                session.printer.data({"done": [], "failed": {}})
            return OK
        if verb.destructive or wanted is not None:
            confirm(_question(verb, ids, more=more), yes=flags.yes)
        code = await apply(session.printer, ids, change=lambda each: verb.change(client, each, flags), done=verb.done)
    if more:
        session.printer.note(f"more instances fit than --limit {flags.limit} lets through; 0 is for all")
    return code


async def _found(session: Session, client: Client, wanted: choose.Selection, limit: int) -> tuple[list[str], bool]:
    """Ids of those that fit, at most `limit`, and whether there are more."""
    ids: list[str] = []
    with session.printer.looking("looking for instances") as tell:
        async for status in wanted.find(client, limit + 1 if limit else None):
            ids.append(status.id)
            tell(len(ids))
    return (ids[:limit], len(ids) > limit) if limit else (ids, False)


def _wanted(verb: Verb, flags: VerbFlags) -> choose.Selection | None:
    """The filter; None where ids were given. Raises UsageError unless there is one of both."""
    filtered = choose.given(flags)
    if flags.ids and filtered:
        raise UsageError("give ids or a filter, not both")
    if flags.ids:
        return None
    if not filtered:
        raise UsageError(f"which instances? Give ids, or a filter: durastream {verb.name} --status {verb.targets[0]}")
    return choose.selection(flags, otherwise=verb.targets)


def _question(verb: Verb, ids: list[str], *, more: bool) -> str:
    if len(ids) == 1:
        return f"{verb.name.capitalize()} {ids[0]}?"
    shown = f"{', '.join(ids[:3])}{', …' if len(ids) > 3 else ''}"
    left = " More fit than --limit lets through." if more else ""
    return f"{verb.name.capitalize()} {len(ids):,} instances ({shown})?{left}"
