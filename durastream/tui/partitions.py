"""The tab of partitions and activity queues."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from rich.text import Text
from textual.app import ComposeResult
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static

from durastream.inspect.facts import HubFacts
from durastream.inspect.hub import PartitionRow, QueueRow
from durastream.tui.table import Cell, Column, Table
from durastream.tui.text import BAD, GOOD, PENDING, age, number, plain

_LEASES: Final = {"held": ("✔", GOOD), "expired": ("✘", BAD), "free": ("○", PENDING)}

_COLUMNS: Final = (
    Column("#", 4, right=True),
    Column("LEASE", 9),
    Column("OWNER", 14, grow=1),
    Column("INBOX", 8, right=True),
    Column("OLDEST", 9, right=True),
    Column("ACTIV.", 8, right=True),
    Column("TIMERS", 8, drop=1, right=True),
    Column("OUTBOX", 7, drop=3, right=True),
    Column("STUCK", 7, drop=2, right=True),
)
_QUEUES: Final = (
    Column("QUEUE", 16, grow=1),
    Column("WAITING", 9, right=True),
    Column("RUNNING", 9, right=True),
    Column("OLDEST", 9, right=True),
    Column("WORKERS", 8, right=True),
    Column("SLOTS", 9, right=True),
)


class ListPartition(Message):
    """Show the instances of a partition."""

    def __init__(self, partition: int) -> None:
        super().__init__()
        self.partition = partition


class PartitionsPane(Widget):
    """Who owns each partition and what waits in it; each activity queue over all of them. Enter: a partition's instances."""

    DEFAULT_CSS = """
    PartitionsPane { layout: vertical; height: 1fr; }
    PartitionsPane #said { height: 1; padding: 0 1; color: $text-muted; }
    PartitionsPane #partition-table { height: 2fr; }
    PartitionsPane #queue-table { height: 1fr; min-height: 4; border-top: solid $panel; }
    """

    def __init__(self) -> None:
        super().__init__(id="partitions")
        self._now = datetime.now(UTC)

    def compose(self) -> ComposeResult:
        yield Static("", id="said", markup=False)
        yield Table[PartitionRow](_COLUMNS, key=lambda row: str(row.number), cells=self._cells, id="partition-table")
        yield Table[QueueRow](
            _QUEUES, key=lambda row: row.queue, cells=self._queue_cells, empty="no queues yet", id="queue-table"
        )

    async def load(self, hub: HubFacts) -> None:
        """See `live.Live`: all of it is in the overview."""
        overview = hub.overview
        self._now = overview.now
        self.query_one("#partition-table", Table).show(overview.partitions)
        self.query_one("#queue-table", Table).show(overview.queues)
        owned = len(overview.partitions) - len(overview.unowned)
        said = Text(f"{owned} of {len(overview.partitions)} partitions are owned")
        self.query_one("#said", Static).update(said)

    def _cells(self, row: PartitionRow) -> Sequence[Cell]:
        symbol, style = _LEASES[row.lease]
        owner = plain(row.owner or "-", 120, "" if row.owner_alive else BAD)
        return (
            str(row.number), Text(f"{symbol} {row.lease}", style), owner, number(row.backlog), age(row.oldest, self._now),
            number(row.activities), number(row.timers), number(row.outbox), _stuck(row.parked + row.stalled),
        )  # fmt: skip

    def _queue_cells(self, row: QueueRow) -> Sequence[Cell]:
        workers = Text(number(row.workers), "" if row.workers else BAD)
        return (
            row.queue, number(row.waiting), number(row.running), age(row.oldest, self._now), workers,
            f"{row.busy:,}/{row.slots:,}",
        )  # fmt: skip

    def on_table_opened(self, event: Table.Opened) -> None:
        if event.table.id == "partition-table":
            self.post_message(ListPartition(int(event.key)))


def _stuck(count: int) -> Text:
    return Text(number(count), BAD if count else "dim")
