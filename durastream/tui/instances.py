"""The tab of instances."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import ClassVar, Final

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Static

from durastream.core.status import Status
from durastream.inspect.facts import HubFacts
from durastream.inspect.filter import Filter, parse
from durastream.tui.acting import Acting
from durastream.tui.filter_line import FilterLine
from durastream.tui.host import host
from durastream.tui.keys import bindings
from durastream.tui.listing import ORDERS, PAGE, Listing
from durastream.tui.source import Row
from durastream.tui.table import Cell, Column, Table
from durastream.tui.text import BAD, PENDING, age, clock, plain, status_text

FAILED: Final = "status:failed"
MARKS_MAX: Final = 100_000

_COLUMNS: Final = (
    Column("ID", 18, grow=4),
    Column("NAME", 10, grow=2),
    Column("STATUS", 12),
    Column("AGE", 9, right=True),
    Column("TOOK", 9, drop=2, right=True),
    Column("CREATED", 19, drop=3),
    Column("NOTE", 24, grow=5, drop=1),
)


class InstancesPane(Acting):
    """Newest first, page by page as one goes down."""

    DEFAULT_CSS = """
    InstancesPane { layout: vertical; height: 1fr; }
    InstancesPane #said { height: 1; padding: 0 1; color: $text-muted; }
    InstancesPane Table { height: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("instances")]

    def __init__(self, wanted: str = "") -> None:
        super().__init__(id="instances")
        self._now = datetime.now(UTC)
        self._listing: Listing | None = None
        self._paging: Listing | None = None  # a page of it is being loaded
        self._order = ORDERS[0]
        self._marking = False
        self.wanted = wanted  # the filter, as text

    def compose(self) -> ComposeResult:
        yield Static("", id="said", markup=False)
        yield FilterLine(_checked)
        yield Table[Row](_COLUMNS, key=lambda row: row.id, cells=self._cells, empty="no instance")

    @property
    def table(self) -> Table[Row]:
        return self.query_one(Table)

    # -- what is shown

    def _cells(self, row: Row) -> Sequence[Cell]:
        return (
            row.id,
            row.name,
            status_text(row.status),
            age(row.created_at, self._now),
            age(row.created_at, row.completed_at) if row.completed_at else "",
            clock(row.created_at),
            plain(row.note, 200, BAD if row.status == "Failed" or row.note.startswith("stuck: ") else "dim"),
        )

    async def load(self, hub: HubFacts) -> None:
        """See `live.Live`."""
        self._now = hub.overview.now
        listing = self._listing = self._listing or self._opened()
        if not len(listing) and not listing.done:
            await listing.more()
            self._show(listing)
        seen = [row.id for row in self.table.on_screen]
        await listing.refresh(seen, self._now, at_top=self.table.scroll_offset.y == 0)
        if len(listing) < 2 * self.table.page:
            await listing.more()
        self._show(listing)

    def _opened(self) -> Listing:
        listing = Listing(host(self).source, parse(self.wanted, self._now))
        listing.order = self._order
        return listing

    def _show(self, listing: Listing) -> None:
        if listing is self._listing:
            self.table.show(listing.rows())
            self._say()

    def _say(self) -> None:
        """The line above the table."""
        listing, said = self._listing, Text()
        if self.wanted:
            said.append("filter ", "bold").append_text(plain(self.wanted, 120, "bold yellow")).append("  ")
        if listing is not None:
            said.append(f"{len(listing):,} {_extent(listing)}")
        said.append(f", by {self._order.name}" if self._order is not ORDERS[0] else "")
        if self.table.marked:
            said.append(f"  ■ {len(self.table.marked):,} marked", "bold")
        if listing is not None and listing.behind:
            said.append("  newer ones above: press g", PENDING)
        self.query_one("#said", Static).update(said)

    # -- paging

    def on_table_near_end(self) -> None:
        listing = self._listing
        if listing is not None and not listing.done and not listing.full and self._paging is not listing:
            self._paging = listing  # each key near the end asks for a page: one is enough
            self.run_worker(self._page(listing), group="page", exclusive=False, exit_on_error=False)

    async def _page(self, listing: Listing) -> None:
        try:
            if listing is self._listing and len(listing) - self.table.cursor < PAGE:
                await host(self).attempt(listing.more())
                self._show(listing)
        finally:
            if self._paging is listing:
                self._paging = None

    # -- filter and order

    def apply(self, text: str) -> None:
        """Show what this filter finds; marks are taken away."""
        self.wanted = text.strip()
        self._listing = None
        self.table.marked.clear()
        self.table.empty = "no instance fits the filter" if self.wanted else "no instance"
        self.table.show(())
        self.table.action_first()
        self._say()
        host(self).look_now()

    def action_filter(self) -> None:
        self.query_one(FilterLine).open(self.wanted)

    def on_filter_line_applied(self, event: FilterLine.Applied) -> None:
        self.table.focus()
        if event.text.strip() != self.wanted:
            self.apply(event.text)

    def on_filter_line_given_up(self) -> None:
        self.table.focus()

    def action_failed(self) -> None:
        terms = self.wanted.split()
        rest = [term for term in terms if not term.startswith("status:")]
        self.apply(" ".join(rest if FAILED in terms else [*rest, FAILED]))

    def action_sort(self) -> None:
        self._order = ORDERS[(ORDERS.index(self._order) + 1) % len(ORDERS)]
        if self._listing is not None:
            self._listing.order = self._order
            self._show(self._listing)

    # -- marks

    def action_mark(self) -> None:
        key = self.table.current_key
        if key is not None:
            self.table.marked ^= {key}
            self.table.action_down()
            self._say()

    def action_mark_all(self) -> None:
        if self._marking:
            return
        if self.table.marked:
            self.table.marked.clear()
            self.table.refresh()
            self._say()
        else:
            self._marking = True
            self.run_worker(self._mark_all(self.wanted), exit_on_error=False)

    async def _mark_all(self, wanted: str) -> None:
        """Go through all that the filter finds, whether it is loaded or not."""
        try:
            await host(self).attempt(self._mark_each(parse(wanted, self._now)))
        finally:
            self._marking = False
        self._say()
        self.table.refresh()

    async def _mark_each(self, wanted: Filter) -> None:
        text = self.wanted
        async for row in host(self).source.walk(wanted):
            if text != self.wanted or len(self.table.marked) >= MARKS_MAX:
                return
            if row is not None:
                self.table.marked.add(row.id)
            if len(self.table.marked) % PAGE == 0:
                self._say()

    # -- acting

    def chosen(self) -> list[tuple[str, Status | None]]:
        """Those that are marked, else the one under the cursor."""
        if self.table.marked:
            return [(one, self._status(one)) for one in sorted(self.table.marked)]
        current = self.table.current
        return [] if current is None else [(current.id, current.status)]

    def _status(self, instance_id: str) -> Status | None:
        row = None if self._listing is None else self._listing.get(instance_id)
        return None if row is None else row.status

    def acted(self) -> None:
        self.table.marked.clear()
        self._say()

    def on_table_opened(self, event: Table.Opened) -> None:
        host(self).open_instance(event.key)


def _checked(text: str) -> Filter:
    return parse(text, datetime.now(UTC))


def _extent(listing: Listing) -> str:
    if listing.full:
        return "loaded; a filter finds older ones"
    if listing.done:
        return "in all"
    return f"found in {listing.searched:,}, searching …" if listing.searched else "loaded"
