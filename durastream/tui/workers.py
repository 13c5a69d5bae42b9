"""The tab of workers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from rich.text import Text
from textual.app import ComposeResult
from textual.widget import Widget
from textual.widgets import Static

from durastream.inspect.facts import HubFacts
from durastream.inspect.hub import WorkerRow
from durastream.tui.dialogs import Page
from durastream.tui.table import Cell, Column, Table
from durastream.tui.text import BAD, GOOD, age, clock, number, plain

_COLUMNS: Final = (
    Column("WORKER", 18, grow=3),
    Column("STATE", 8),
    Column("SEEN", 8, right=True),
    Column("PARTS", 6, right=True),
    Column("BUSY", 9, right=True),
    Column("TURNS", 11, drop=1, right=True),
    Column("ACTIVITIES", 11, drop=2, right=True),
    Column("UP", 9, drop=3, right=True),
    Column("RUNNING", 8, grow=3, drop=4),
)


class WorkersPane(Widget):
    """Each worker as it tells of itself. Enter shows all it has."""

    DEFAULT_CSS = """
    WorkersPane { layout: vertical; height: 1fr; }
    WorkersPane #said { height: 1; padding: 0 1; color: $text-muted; }
    WorkersPane Table { height: 1fr; }
    """

    def __init__(self) -> None:
        super().__init__(id="workers")
        self._now = datetime.now(UTC)

    def compose(self) -> ComposeResult:
        yield Static("", id="said", markup=False)
        empty = "no worker: durastream worker module:app"
        yield Table[WorkerRow](_COLUMNS, key=lambda row: row.id, cells=self._cells, empty=empty)

    @property
    def table(self) -> Table[WorkerRow]:
        return self.query_one(Table)

    async def load(self, hub: HubFacts) -> None:
        """See `live.Live`: all of it is in the overview."""
        overview = hub.overview
        self._now = overview.now
        self.table.show(overview.workers)
        live = overview.live_workers
        busy, slots = sum(row.busy for row in live), sum(row.concurrency for row in live)
        self.query_one("#said", Static).update(Text(f"{len(live)} alive, {busy:,} of {slots:,} activity slots taken"))

    def _cells(self, row: WorkerRow) -> Sequence[Cell]:
        state = Text("✔ alive", GOOD) if row.alive else Text("✘ silent", BAD)
        return (
            row.id, state, age(row.seen_at, self._now), str(len(row.partitions)), f"{row.busy:,}/{row.concurrency:,}",
            number(row.turns), number(row.activities_done), age(row.started_at, self._now), ", ".join(row.running),
        )  # fmt: skip

    def on_table_opened(self) -> None:
        row = self.table.current
        if row is not None:
            self.app.push_screen(Page(f"worker {row.id}", about_text(row)))


def about_text(row: WorkerRow) -> Text:
    """All that a worker tells of itself."""
    told: dict[str, str] = {
        "host": f"{row.host}, process {row.pid}",
        "started": clock(row.started_at),
        "last seen": clock(row.seen_at),
        "partitions": ", ".join(map(str, row.partitions)),
        "queues": ", ".join(row.queues),
        "orchestrators": ", ".join(row.orchestrators),
        "activities": ", ".join(row.activities),
        "entities": ", ".join(row.entities),
        "running now": ", ".join(row.running),
        "operations": number(row.operations),
        "clock": "-" if row.skew_ms is None else f"{row.skew_ms:+,} ms from the server's",
    }
    text = Text()
    for name, value in told.items():
        text.append(f"{name:<14}", "bold").append_text(plain(value or "-", 2_000)).append("\n")
    return text
