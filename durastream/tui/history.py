"""The history of an instance: its end first, the rest as one goes up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final

import orjson
from rich.text import Text

from durastream.core.events import Event, Failure
from durastream.inspect.facts import InstanceFacts
from durastream.inspect.rows import HistoryRow, history_rows
from durastream.tui.dialogs import Page
from durastream.tui.host import host
from durastream.tui.instance_text import failure_text
from durastream.tui.table import Cell, Column, Table
from durastream.tui.text import BAD, GOOD, block, clock, json_text, plain

PAGE: Final = 200
_HELD_MAX: Final = 20_000
_STYLES: Final = {"Failed": BAD, "Completed": GOOD, "Terminated": "magenta"}

_COLUMNS: Final = (
    Column("#", 6, right=True),
    Column("AT", 12, drop=1),
    Column("EVENT", 22),
    Column("OF", 5, drop=2, right=True),
    Column("WHAT", 10, grow=2),
    Column("DATA", 10, grow=4),
)


class HistoryTable(Table[HistoryRow]):
    """One row for each event. Enter shows it whole."""

    FOLLOWS: ClassVar[bool] = False

    def __init__(self, instance_id: str, *, id: str) -> None:
        super().__init__(_COLUMNS, key=lambda row: str(row.number), cells=_cells, empty="no events", id=id)
        self._instance_id = instance_id
        self._events: dict[int, Event] = {}
        self._execution: str | None = None
        self._loading = False

    def take(self, facts: InstanceFacts) -> None:
        """Its end as it is now; another execution takes the place of all."""
        if facts.status.execution_id != self._execution:
            self._events.clear()
            self._execution = facts.status.execution_id
        elif self._events and facts.first > max(self._events) + 1:
            self._events.clear()  # more came in than was read: go up to see it
        fresh = not self._events
        self._events |= dict(enumerate(facts.history, facts.first))
        self._show()
        if fresh:
            self.move_to(len(self.items) - 1)

    def _show(self) -> None:
        first = min(self._events, default=0)
        self.show(history_rows([self._events[number] for number in sorted(self._events)], first))

    def on_table_near_top(self) -> None:
        first = min(self._events, default=0)
        if first > 0 and not self._loading and len(self._events) < _HELD_MAX:
            self._loading = True
            self.run_worker(self._load_before(first), exit_on_error=False)

    async def _load_before(self, first: int) -> None:
        begin = max(first - PAGE, 0)
        try:
            asked = host(self)
            found = await asked.attempt(asked.source.events(self._instance_id, begin, first - begin))
        finally:
            self._loading = False
        if found and first in self._events:
            self._events |= dict(enumerate(found, begin))
            self._show()

    def action_open(self) -> None:
        row = self.current
        if row is not None:
            title = f"{row.number} {row.kind}  {clock(row.at)}"
            self.app.push_screen(Page(title, event_text(self._events[row.number])))


def _cells(row: HistoryRow) -> Sequence[Cell]:
    style = next((style for word, style in _STYLES.items() if row.kind.endswith(word)), "")
    return (
        str(row.number),
        f"{row.at.astimezone():%H:%M:%S.%f}"[:-3],
        Text(row.kind, style),
        "" if row.answers is None else str(row.answers),
        row.label,
        row.detail,
    )


def event_text(event: Event) -> Text:
    """All fields of an event; payloads spread out."""
    text = Text()
    for name, value in event._asdict().items():
        if value is None or name == "at":
            continue
        text.append(f"{name}\n", "bold").append_text(_field(value)).append("\n\n")
    return text


def _field(value: Any) -> Text:
    if isinstance(value, Failure):
        return failure_text(value)
    if isinstance(value, bytes):
        return block(_spread(value))
    return plain(value, 2_000)


def _spread(payload: bytes) -> str:
    try:
        return json_text(orjson.loads(payload), indent=True)
    except ValueError:
        return payload.decode("utf-8", "replace")
