"""The steps of an instance as they are recorded, for somebody who waits for it.

On a terminal: what is over scrolls up, what is under way stands below with the time it takes. Elsewhere: a line each.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from rich.console import Group
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from durastream.cli.histories import PAGE
from durastream.cli.output import Printer
from durastream.inspect import ages, sanitize
from durastream.inspect.rows import HistoryRow, history_rows

if TYPE_CHECKING:
    from durastream.client import Client

_LOOK_SECONDS = 0.25
_UNDER_WAY_MAX = 8
_LINES_MAX = 60  # of one look; a fan-out of thousands is counted instead

_BEGINS: Final = {
    "TaskScheduled": "",
    "TimerCreated": "timer ",
    "SubOrchestrationCreated": "sub-orchestration ",
    "EntityOperationCalled": "entity ",
    "EntityLockRequested": "lock of ",
}
"""Kinds of events that something answers later, and what stands before their label."""

_SAID: Final = {
    "ExecutionStarted": "started",
    "EventRaised": "event",
    "EventSent": "sent",
    "EntityOperationSignaled": "signalled",
    "ExecutionSuspended": "suspended",
    "ExecutionResumed": "resumed",
    "ExecutionTerminated": "terminated",
}
"""Other kinds that are worth a line."""


@dataclass
class Steps:
    """What has been recorded so far: open steps by the number of their event, and lines not yet shown."""

    open: dict[int, HistoryRow] = field(default_factory=dict)
    lines: list[Text] = field(default_factory=list)
    execution: str = ""
    seen: int = 0  # events

    def take(self, rows: Sequence[HistoryRow]) -> None:
        self.seen += len(rows)
        for row in rows:
            begun = self.open.pop(row.answers, None) if row.answers is not None else None
            if row.kind in _BEGINS:
                self.open[row.number] = row
                self.lines.append(_line("·", "dim", _label(row)))
            elif begun is not None:
                self.lines.append(_over(begun, row))
            elif row.kind in _SAID:
                self.lines.append(_line("●", "cyan", f"{_SAID[row.kind]} {row.label}", detail=row.detail))

    def begin_anew(self, execution: str) -> None:
        """Another execution: the numbers of events begin at 0 again."""
        if self.execution:
            self.lines.append(_line("●", "cyan", "continued as new"))
        self.execution, self.seen = execution, 0
        self.open.clear()


@asynccontextmanager
async def following(printer: Printer, client: Client, instance_id: str) -> AsyncIterator[None]:
    """Show the steps on stderr while the body waits, and the last ones when it is done."""
    steps = Steps()
    with _below(printer, steps):
        follower = asyncio.create_task(_follow(printer, client, instance_id, steps))
        try:
            yield
        finally:
            follower.cancel()
            await asyncio.gather(follower, return_exceptions=True)
    await _look(client, instance_id, steps)
    _show(printer, steps)


def _below(printer: Printer, steps: Steps) -> AbstractContextManager[object]:
    """What is under way, below all lines; only where somebody looks."""
    if not printer.lively:
        return nullcontext()
    spinner = Spinner("dots")
    return Live(
        console=printer.stderr,
        transient=True,
        refresh_per_second=8,
        get_renderable=lambda: _under_way(steps, str(spinner.render(printer.stderr.get_time()))),
    )


async def _follow(printer: Printer, client: Client, instance_id: str, steps: Steps) -> None:
    while True:
        await _look(client, instance_id, steps)
        _show(printer, steps)
        await asyncio.sleep(_LOOK_SECONDS)


async def _look(client: Client, instance_id: str, steps: Steps) -> None:
    """Take in what has been recorded since the last look."""
    status = await client.status(instance_id)
    if status.execution_id != steps.execution:
        steps.begin_anew(status.execution_id)
    while steps.seen < status.events:
        page = await client.history_page(instance_id, steps.seen, count=PAGE)
        if not page.events:
            return
        steps.take(history_rows(page.events, page.first))


def _show(printer: Printer, steps: Steps) -> None:
    lines, steps.lines = steps.lines, []
    if printer.lively:
        lines = [line for line in lines if not line.plain.startswith("  ·")]  # shown below, as long as they are open
    for line in lines[:_LINES_MAX]:
        printer.note(line)
    if len(lines) > _LINES_MAX:
        printer.note(f"  … and {len(lines) - _LINES_MAX:,} more")


def _under_way(steps: Steps, sign: str) -> Group:
    now = datetime.now(UTC)
    rows = list(steps.open.values())
    shown = [_line(sign, "cyan", _label(row), took=ages.words(now - row.at)) for row in rows[:_UNDER_WAY_MAX]]
    if len(rows) > _UNDER_WAY_MAX:
        shown.append(Text(f"  … and {len(rows) - _UNDER_WAY_MAX:,} more under way", style="dim"))
    return Group(*(shown or [_line(sign, "cyan", "waiting for an event, or a worker")]))


def _over(begun: HistoryRow, row: HistoryRow) -> Text:
    failed = row.kind.endswith("Failed")
    symbol, style = ("✘", "red") if failed else ("✔", "green")
    took = ages.words(row.at - begun.at)
    return _line(symbol, style, _label(begun), took=took, detail=row.detail if failed else "")


def _label(row: HistoryRow) -> str:
    return _BEGINS[row.kind] + row.label


def _line(symbol: str, style: str, label: str, *, took: str = "", detail: str = "") -> Text:
    parts = [f"{sanitize.line(label, 60):<40}", f"{took:>9}", sanitize.line(detail, 120)]
    text = Text.assemble((f"  {symbol} ", style), no_wrap=True, overflow="ellipsis")
    return text.append("  ".join(parts).rstrip())
