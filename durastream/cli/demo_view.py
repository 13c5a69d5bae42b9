"""What the demo shows: a live table on a terminal, a line a second elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from durastream.cli.demo_witness import Run, Verdict
from durastream.cli.output import status_cell, table
from durastream.core.status import COMPLETED, PENDING, Status

_LINE_SECONDS = 1.0


@dataclass(slots=True)
class Picture:
    """The state of the demo at one moment."""

    orders: Sequence[str]
    steps: Sequence[str]
    statuses: dict[str, Status] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)
    killed: str | None = None

    @property
    def completed(self) -> int:
        return sum(status == COMPLETED for status in self.statuses.values())

    @property
    def steps_done(self) -> int:
        return len({(run.order, run.step) for run in self.runs if run.done is not None})

    def running(self, worker: str) -> list[Run]:
        return [run for run in self.runs if run.worker == worker and run.done is None]


class View:
    """Shows pictures and remarks. Use as a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._begun = time.monotonic()
        self._last_line = 0.0

    def __enter__(self) -> View:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, picture: Picture) -> None:
        if self._live is not None:
            self._live.update(Group(orders_table(picture), Text(summary(picture))), refresh=True)
        elif time.monotonic() - self._last_line >= _LINE_SECONDS:
            self._last_line = time.monotonic()
            self.say(summary(picture))

    def say(self, text: str, style: str = "") -> None:
        """A remark, with the seconds since the demo began; above the table on a terminal."""
        self._console.print(Text.assemble((f"{time.monotonic() - self._begun:5.1f} s  ", "dim"), (text, style)))


def summary(picture: Picture) -> str:
    return (
        f"{picture.completed} of {len(picture.orders)} orders completed, "
        f"{picture.steps_done} of {len(picture.orders) * len(picture.steps)} steps done"
    )


def orders_table(picture: Picture) -> Table:
    return table(("order", "status", "steps", "now"), (_order_cells(picture, order) for order in picture.orders))


def _order_cells(picture: Picture, order: str) -> list[object]:
    runs = [run for run in picture.runs if run.order == order]
    done = {run.step for run in runs if run.done is not None}
    open_runs = [run for run in runs if run.done is None and run.step not in done]
    status = picture.statuses.get(order, PENDING)
    marks = Text("".join("●" if step in done else "○" for step in picture.steps), style="green")
    return [order, status_cell(status), marks, _now(open_runs, picture.killed)]


def _now(open_runs: Sequence[Run], killed: str | None) -> Text:
    alive = [run for run in open_runs if run.worker != killed]
    if alive:
        return Text(f"{alive[-1].step} on {alive[-1].worker}", style="cyan")
    if open_runs:
        return Text(f"{open_runs[-1].step} was cut off with {killed}", style="red")
    return Text("")


def verdict_lines(verdict: Verdict, killed: str | None) -> list[str]:
    """The proof, in words."""
    lines = [
        f"{verdict.orders} orders completed: {verdict.recorded} of {verdict.steps} steps recorded, each exactly once.",
        f"{verdict.executions} executions = {verdict.steps} steps + {verdict.run_again} run again.",
    ]
    if killed is not None:
        lines.append(
            f"{verdict.cut_off} steps were running on {killed} when it was killed: only those ran again, elsewhere."
        )
    lines.append("No finished activity ran again. Nothing was lost.")
    return lines
