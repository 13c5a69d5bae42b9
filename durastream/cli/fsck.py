"""`fsck`: does everything hold in this hub that must? With `--repair`: what can be mended safely, explained and asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from durastream.cli.ask import Declined, confirm
from durastream.cli.exits import FAILED, OK, CouldNotCheck, exit_code
from durastream.cli.flags import command
from durastream.cli.output import Printer, cell, table
from durastream.cli.session import Session

if TYPE_CHECKING:
    from durastream.inspect.fsck import Progress as Told
    from durastream.inspect.fsck import Report
    from durastream.inspect.invariants.violation import Violation
    from durastream.store.redis.repairs import Repairs


@dataclass(frozen=True)
class FsckFlags:
    repair: Annotated[
        bool, typer.Option("--repair", help="Mend what can be mended safely; each step is explained and asked for.")
    ] = False
    purged: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID", help="An id that was purged: also search everything for what is left of it. Repeatable."
        ),
    ] = None
    yes: Annotated[bool, typer.Option("--yes", "-y", envvar="DURASTREAM_YES", help="Do not ask.")] = False


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    command(
        app,
        "fsck",
        body=fsck,
        flags=FsckFlags,
        examples=[
            "durastream fsck",
            "durastream fsck -o json | jq .violations",
            "durastream fsck --repair",
            "durastream fsck --purged order-7",
        ],
    )


async def fsck(session: Session, flags: FsckFlags) -> int:
    """Look through the whole hub and name everything that breaks an invariant, with its key.

    It reads only (without --repair), in small steps, and may be run while workers work: what is under way is not reported.
    Exit code 0: all that can be seen holds, or was repaired; 1: something does not. Others mean that it could not be checked,
    and say nothing of the hub: 2: flags; 3: no such hub; 5: the server cannot be reached; 7: anything else that went wrong.
    """
    from durastream.inspect.fsck import fsck as look_through
    from durastream.store.redis.repairs import Repairs

    hub = await Repairs.open(session.url, session.hub)
    try:
        with _bar(session.printer) as told, _checking():
            report = await look_through(hub, progress=told, purged=flags.purged or ())
        repaired = await _repair(session.printer, hub, report, yes=flags.yes) if flags.repair else []
    finally:
        await hub.close()
    _print(session, report, repaired)
    return OK if sum(report.counts.values()) == len(repaired) else FAILED


@contextmanager
def _checking() -> Iterator[None]:
    """Whatever ends the check must not look like its result."""
    try:
        yield
    except Exception as error:
        if exit_code(error) != FAILED:
            raise
        raise CouldNotCheck(f"the check went no further: {type(error).__name__}: {error}") from error


# ---------------------------------------------------------------- repairing


async def _repair(printer: Printer, hub: Repairs, report: Report, *, yes: bool) -> list[Violation]:
    """Those that were repaired."""
    done: list[Violation] = []
    if any(violation.repair is not None for violation in report.violations):
        await hub.prove("operator")
    for violation in report.violations:
        repair = violation.repair
        if repair is None:
            continue
        printer.note(f"{violation.invariant} {violation.key}: {violation.text}")
        loses = f" Lost by it: {repair.loses}." if repair.loses else ""
        try:
            confirm(f"Repair: {repair.does}?{loses}", yes=yes)
        except Declined:
            continue
        if await hub.repair(repair.verb, repair.arguments):
            done.append(violation)
            printer.note(f"done: {repair.does}.{loses}")
        else:
            printer.note("not done: it has changed meanwhile, or belongs to a worker that is alive. Run fsck again")
    return done


# ---------------------------------------------------------------- showing


@contextmanager
def _bar(printer: Printer) -> Iterator[Told]:
    """A bar on a terminal; nothing elsewhere."""
    if not printer.lively:
        yield lambda what, done, of: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=printer.stderr, transient=True) as progress:
        task = progress.add_task("hub", total=None)
        yield lambda what, done, of: progress.update(task, description=what, completed=done, total=of or None)


def _print(session: Session, report: Report, repaired: Sequence[Violation]) -> None:
    printer = session.printer
    if report.violations or report.doubts or session.format != "text":
        printer.data(_record(session, report, repaired), text=lambda: _table(report, repaired))
    for line in _summary(session, report, repaired):
        printer.note(line)


def _table(report: Report, repaired: Sequence[Violation]) -> object:
    rows = [_row(one, "repaired" if one in repaired else "") for one in report.violations]
    rows += [_row(one, "doubtful") for one in report.doubts]
    return table(("invariant", "key", "what", ""), rows)


def _row(violation: Violation, state: str) -> list[object]:
    state = state or ("--repair mends it" if violation.repair else "")
    return [violation.invariant, cell(violation.key, 400), cell(violation.text, 400), state]


def _summary(session: Session, report: Report, repaired: Sequence[Violation]) -> Iterator[str]:
    seen = ", ".join(f"{count:,} {what}" for what, count in sorted(report.looked_at.items()))
    yield f"hub {session.hub}: looked at {seen or 'nothing'}; {report.dead_letters:,} dead letters"
    if report.omitted:
        by = ", ".join(f"{name}: {count:,}" for name, count in sorted(report.counts.items()))
        yield f"{report.omitted:,} more violations are not shown; by invariant: {by}"
    total = sum(report.counts.values())
    if not total:
        yield "everything that can be seen holds" + (f"; {len(report.doubts)} doubtful" if report.doubts else "")
        return
    yield f"{total:,} violations, {len(repaired):,} repaired" if repaired else f"{total:,} violations"


def _record(session: Session, report: Report, repaired: Sequence[Violation]) -> dict[str, Any]:
    return {
        "hub": session.hub,
        "clean": report.clean,
        "violations": [_violation(one) | {"repaired": one in repaired} for one in report.violations],
        "doubts": [_violation(one) for one in report.doubts],
        "counts": dict(report.counts),
        "looked_at": dict(report.looked_at),
        "dead_letters": report.dead_letters,
    }


def _violation(one: Violation) -> dict[str, Any]:
    repair = one.repair
    told = None if repair is None else {"does": repair.does, "loses": repair.loses or None}
    return {"invariant": one.invariant, "key": one.key, "text": one.text, "repair": told}
