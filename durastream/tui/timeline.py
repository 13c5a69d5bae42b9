"""The timeline of an instance as bars: one line for each call, all its attempts and the pauses between them on it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from rich.text import Text

from durastream.inspect.facts import InstanceFacts
from durastream.inspect.steps import Piece, Step, steps
from durastream.inspect.timeline import Scale
from durastream.tui.dialogs import Page
from durastream.tui.host import host
from durastream.tui.table import Cell, Column, Table
from durastream.tui.text import OUTCOMES, age, block, clock, outcome_text, plain

_KINDS: Final = {"sub-orchestration": "child", "entity operation": "entity"}
_OPENS: Final = ("sub-orchestration", "entity operation")
_FILLS: Final = {"run": "█", "pause": "·", "wait": "░", "held": "▓"}

_COLUMNS: Final = (
    Column("KIND", 8, drop=2),
    Column("STEP", 18, grow=2),
    Column("TIMELINE", 16, grow=5),
    Column("TOOK", 9, right=True),
    Column("OUTCOME", 11, grow=3),
)


class TimelineTable(Table[Step]):
    """Enter opens the sub-orchestration or entity, or tells more of the step."""

    def __init__(self, id: str) -> None:
        super().__init__(_COLUMNS, key=lambda step: str(step.task), cells=self._cells_of, empty="no steps yet", id=id)
        self._until = datetime.now(UTC)
        self._begin = self._until

    def take(self, facts: InstanceFacts) -> None:
        """Show these."""
        status = facts.status
        still_set = (
            None
            if status.ended
            else {wait.task for wait in facts.waits if wait.kind == "timer" and wait.task is not None}
        )
        found = steps(facts.history, facts.first, timers_set=still_set)
        self._until = status.completed_at or facts.hub.overview.now
        self._begin = min((step.started for step in found), default=self._until)
        self.show(found)

    def _cells_of(self, step: Step) -> Sequence[Cell]:
        tries = f" ×{step.attempts}" if step.attempts > 1 else ""
        return (
            _KINDS.get(step.kind, step.kind),
            f"{step.label}{tries}",
            lambda width: self._bar(step, width),
            age(step.started, step.ended or self._until),
            _outcome(step),
        )

    def _bar(self, step: Step, width: int) -> Text:
        scale = Scale(self._begin, max(self._until, step.ended or self._until), width)
        bar = Text(" " * width)
        cells = list(bar.plain)
        styles: list[tuple[str, int, int]] = []
        for piece in step.pieces:
            place = scale.bar(piece.started, piece.ended)
            for cell in range(place.before, place.before + place.cells):
                cells[cell] = _fill(piece)
            styles.append((OUTCOMES[piece.outcome][1], place.before, place.before + place.cells))
        bar = Text("".join(cells))
        for style, begin, end in styles:
            bar.stylize(style, begin, end)
        return bar

    def action_open(self) -> None:
        step = self.current
        if step is None:
            return
        if step.kind == "sub-orchestration" and step.target:
            host(self).open_instance(step.target)
        elif step.kind in _OPENS and step.target:
            host(self).open_entity(step.target)
        else:
            self.app.push_screen(Page(f"{step.kind} {step.label}", _story(step)))


def _fill(piece: Piece) -> str:
    return "╌" if piece.ended is None and piece.part == "run" else _FILLS[piece.part]


def _outcome(step: Step) -> Text:
    text = outcome_text(step.outcome)
    return text.append(": ").append_text(plain(step.detail, 200)) if step.detail else text


def _story(step: Step) -> Text:
    """All pieces, one a line."""
    text = Text()
    if step.queue:
        text.append_text(plain(f"queue {step.queue}\n", 200).append("\n"))
    for piece in step.pieces:
        text.append(
            f"{clock(piece.started)}  {piece.part:<5}  {age(piece.started, piece.ended) if piece.ended else 'going on':<10}  "
        )
        text.append_text(outcome_text(piece.outcome)).append("\n")
        if piece.detail:
            text.append("    ").append_text(block(piece.detail, 4_000)).append("\n")
    return text
