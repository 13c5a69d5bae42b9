"""`replay`: run recorded executions against today's code, without a server: does a deployment fit what is under way?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer
from rich.text import Text

from durastream.cli import recorded, target
from durastream.cli.exits import FAILED, OK, USAGE, UsageError
from durastream.cli.flags import command
from durastream.cli.output import Format, Printer
from durastream.cli.recorded import Recorded
from durastream.cli.session import Session
from durastream.core.execution import Orchestration
from durastream.errors import NonDeterminismError
from durastream.inspect import sanitize
from durastream.inspect.rows import HistoryRow, history_rows
from durastream.payload import Payloads

if TYPE_CHECKING:
    from durastream.app import App

Result: TypeAlias = Literal["fits", "differs", "unreadable"]

_CODES: dict[Result, int] = {"fits": OK, "differs": FAILED, "unreadable": USAGE}
_WAITS_SHOWN = 3
_BEFORE = 2  # events shown before the one that differs


@dataclass(frozen=True)
class ReplayFlags:
    files: Annotated[list[str], typer.Argument(metavar="HISTORY.json", help="What export wrote; one or several.")]
    target: Annotated[str, typer.Argument(metavar="MODULE:APP", help="The app to run, for example shop.flows:app.")]


@dataclass(frozen=True)
class Verdict:
    """What came of one file. `event`: number of the event at which code and history part; `around`: that one in context."""

    file: str
    result: Result
    events: int = 0
    event: int | None = None
    message: str = ""
    waits_for: tuple[str, ...] = ()
    around: tuple[str, ...] = ()


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    command(
        app,
        "replay",
        body=replay,
        flags=ReplayFlags,
        examples=["durastream replay order-7.json shop.flows:app", "durastream replay recorded/*.json shop.flows:app"],
    )


async def replay(session: Session, flags: ReplayFlags) -> int:
    """Run recorded executions against today's code, without a server or any activity.

    Exit code 0: all fit, 1: one does not, 2: one cannot be read. Run it before a deployment, in CI, on what `export` wrote.
    """
    app = target.load(flags.target)
    verdicts = [judge(Path(file), app) for file in flags.files]
    printer = session.printer
    if printer.format is Format.TEXT:
        for verdict in verdicts:
            _show(printer, verdict)
    else:
        printer.rows(verdicts, lambda _: "", asdict)
    return max(_CODES[verdict.result] for verdict in verdicts)


def judge(path: Path, app: App) -> Verdict:
    """Replay one file."""
    try:
        execution = recorded.read(path)
    except UsageError as error:
        return Verdict(str(path), "unreadable", message=str(error))
    definition = app.find_orchestrator(execution.orchestrator, execution.version)
    if definition is None:
        message = str(app.missing_orchestrator(execution.orchestrator, execution.version))
        return Verdict(str(path), "differs", len(execution.history), 0, message)
    run = Orchestration(definition, execution.instance_id, execution.execution_id, codec=Payloads())
    return _run(path, execution, run)


def _run(path: Path, execution: Recorded, run: Orchestration) -> Verdict:
    count = len(execution.history)
    try:
        run.replay(execution.history)
        return Verdict(str(path), "fits", count, waits_for=tuple(run.waiting_on()))
    except NonDeterminismError as error:
        around = tuple(_around(execution, run.length))
        return Verdict(str(path), "differs", count, run.length, str(error), around=around)
    finally:
        run.close()


def _around(execution: Recorded, number: int) -> Iterator[str]:
    first = max(number - _BEFORE, 0)
    for row in history_rows(execution.history[first : number + 1], first):
        yield f"{'▸' if row.number == number else ' '} {_row(row)}"
    if number >= len(execution.history):
        yield f"▸ {number:>4}  (the history ends here)"


def _row(row: HistoryRow) -> str:
    of = "" if row.answers is None else f" of {row.answers}"
    return sanitize.line(f"{row.number:>4}  {row.kind}{of}  {row.label}  {row.detail}".rstrip(), 120)


def _show(printer: Printer, verdict: Verdict) -> None:
    symbol, style, text = _WORDS[verdict.result](verdict)
    printer.stdout.print(Text.assemble((f"{symbol} ", style), sanitize.line(f"{verdict.file}  {text}", 600)))
    lines: Sequence[str] = (verdict.message, *verdict.around) if verdict.result == "differs" else verdict.around
    for line in lines:
        printer.stdout.print(Text("    " + sanitize.line(line, 2_000)))


def _fits(verdict: Verdict) -> tuple[str, str, str]:
    shown, left = verdict.waits_for[:_WAITS_SHOWN], len(verdict.waits_for) - _WAITS_SHOWN
    more = f" and {left:,} more" if left > 0 else ""
    waits = f", waits for {', '.join(shown)}{more}" if shown else ""
    return "✔", "green", f"fits: {verdict.events:,} events{waits}"


def _differs(verdict: Verdict) -> tuple[str, str, str]:
    return "✘", "red", f"does not fit from event {verdict.event} of {verdict.events:,} on"


def _unreadable(verdict: Verdict) -> tuple[str, str, str]:
    return "?", "yellow", verdict.message.removeprefix(f"{verdict.file}: ")


_WORDS = {"fits": _fits, "differs": _differs, "unreadable": _unreadable}
