"""The timeline drawn in a terminal: a bar for each step on one scale of time, with its attempts and pauses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from durastream.inspect import ages, sanitize
from durastream.inspect.timeline import Scale, scale

if TYPE_CHECKING:
    from durastream.inspect.steps import Piece, Step

_BAR_CELLS_MIN = 12
_LABEL_CELLS_MIN = 16
_LABEL_CELLS_MAX = 44
_FIXED_CELLS = 6 + 2 + 10 + 4 * 2  # number, symbol, duration, and two cells between columns

SYMBOLS: Final = {"done": "✔", "failed": "✘", "waiting": "…", "cancelled": "-"}
STYLES: Final = {"done": "green", "failed": "red", "waiting": "cyan", "cancelled": "dim"}

_KINDS: Final = {"timer": "timer ", "sub-orchestration": "child ", "lock": "lock ", "event": "event "}
"""What stands before a label that does not say it by itself."""

_CELLS: Final = {"run": "━", "pause": "┄", "wait": "╌", "held": "▬"}
_OPEN: Final = "╍"  # still going on


def drawn(steps: Sequence[Step], until: datetime, width: int) -> Table:
    """The steps as rows that fit into `width` cells; a failure is told below its bar."""
    labels = [label(step) for step in steps]
    room = max(width - _FIXED_CELLS, _BAR_CELLS_MIN + _LABEL_CELLS_MIN)
    wide = min(max(map(cell_len, labels), default=0), _LABEL_CELLS_MAX, max(room * 2 // 5, _LABEL_CELLS_MIN))
    on = scale([], until, room - wide)
    if steps:
        begin = min(step.started for step in steps)
        end = max([until, *(step.ended for step in steps if step.ended)])
        on = Scale(begin, end, room - wide)
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=True, header_style="dim")
    for name, justify in (("#", "right"), ("", "left"), ("", "left"), (_axis(on), "left"), ("took", "right")):
        grid.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for step, text in zip(steps, labels, strict=True):
        shown = Text(text)
        shown.truncate(wide, overflow="ellipsis", pad=True)
        _add(grid, step, shown, on)
    return grid


def label(step: Step) -> str:
    """What it is, in one safe line; a timer that is due on the day it was set tells the time only."""
    times = f" ×{step.attempts}" if step.attempts > 1 else ""
    what = step.label.replace(f"{step.started:%Y-%m-%d} ", "") if step.kind == "timer" else step.label
    return sanitize.line(_KINDS.get(step.kind, "") + what, 80) + times


def _add(grid: Table, step: Step, text: Text, on: Scale) -> None:
    took = ages.words((step.ended or on.end) - step.started)
    symbol = Text(SYMBOLS[step.outcome], style=STYLES[step.outcome])
    grid.add_row(str(step.task), symbol, text, _bar(step, on), took)
    if step.detail and step.outcome != "done":
        why = Text(sanitize.line(step.detail, 2 * on.width), style="red")
        why.truncate(on.width, overflow="ellipsis")
        grid.add_row("", "", "", why, "")


def _bar(step: Step, on: Scale) -> Text:
    """Later pieces are drawn over earlier ones, so that the latest attempt is never hidden."""
    cells: list[tuple[str, str]] = [(" ", "")] * on.width
    for piece in step.pieces:
        place = on.bar(piece.started, piece.ended)
        cells[place.before : place.before + place.cells] = [_look(piece)] * place.cells
    return Text.assemble(*_runs(cells))


def _look(piece: Piece) -> tuple[str, str]:
    going_on = piece.ended is None and piece.part != "pause"
    return _OPEN if going_on else _CELLS[piece.part], "dim" if piece.part == "pause" else STYLES[piece.outcome]


def _runs(cells: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Neighbours of one style together: a line of 200 cells is then a few pieces of text."""
    begin = 0
    for at in range(1, len(cells) + 1):
        if at == len(cells) or cells[at][1] != cells[begin][1]:
            yield "".join(char for char, _ in cells[begin:at]), cells[begin][1]
            begin = at


def _axis(on: Scale) -> str:
    """`0           12.0 s`: what the left and right end of the bars stand for."""
    end = ages.words(on.end - on.begin)
    return "0" + end.rjust(on.width - 1)
