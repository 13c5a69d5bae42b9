"""The page of an entity."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import ClassVar, Final

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widgets import Static

from durastream.client.entity_views import QueuedMessage
from durastream.core.entity_id import EntityId
from durastream.inspect.facts import HubFacts
from durastream.tui.bars import Banner, KeyBar
from durastream.tui.dialogs import Page
from durastream.tui.entity_acting import EntityActing
from durastream.tui.host import host
from durastream.tui.keys import bindings
from durastream.tui.source import EntityView
from durastream.tui.table import Cell, Column, Table
from durastream.tui.text import BAD, PENDING, age, block, clock, json_text, plain, value_text

_STATE_MAX: Final = 8_000

_COLUMNS: Final = (
    Column("#", 7, right=True),
    Column("WAITS", 10),
    Column("OPERATION", 12, grow=2),
    Column("INPUT", 10, grow=3),
    Column("FROM", 12, grow=2, drop=1),
    Column("DUE", 10, right=True),
)


class EntityScreen(EntityActing, Screen[None]):
    """State, who holds the lock, and what waits."""

    DEFAULT_CSS = """
    EntityScreen #head { height: auto; max-height: 6; padding: 0 1; background: $panel; }
    EntityScreen #state { height: 1fr; padding: 0 1; }
    EntityScreen #state Static { height: auto; }
    EntityScreen Table { height: 1fr; border-top: solid $panel; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("entity")]
    AUTO_FOCUS: ClassVar[str | None] = "Table"

    def __init__(self, entity: EntityId, *, read_only: bool) -> None:
        super().__init__()
        self._entity = entity
        self._read_only = read_only
        self._now = datetime.now(UTC)
        self._view: EntityView | None = None

    def compose(self) -> ComposeResult:
        yield Static(plain(self._entity, 300, "bold"), id="head", markup=False)
        with VerticalScroll(id="state"):
            yield Static("", markup=False)
        empty = "nothing waits for its lock or its time"
        yield Table[QueuedMessage](_COLUMNS, key=lambda one: str(one.number), cells=self._cells, empty=empty)
        yield Banner(host(self).said)
        yield KeyBar("entity", read_only=self._read_only)

    def on_mount(self) -> None:
        host(self).look_now()

    def on_screen_resume(self) -> None:
        host(self).look_now()

    async def load(self, hub: HubFacts) -> None:
        """See `live.Live`."""
        self._now = hub.overview.now
        view = self._view = await host(self).source.entity(self._entity)
        self.query_one("#head", Static).update(_head(view, self._now))
        self.query_one("#state Static", Static).update(_state(view))
        self.query_one(Table).show(view.queue)

    def _cells(self, one: QueuedMessage) -> Sequence[Cell]:
        due = "-" if one.due is None else age(one.due, self._now)
        given = "" if one.input is None else value_text(one.input)
        return str(one.number), one.kind, one.operation or "", given, one.sender or "a client", due

    def entity(self) -> EntityId:
        return self._entity

    def on_table_opened(self) -> None:
        one: QueuedMessage | None = self.query_one(Table).current
        if one is not None:
            title = f"{one.kind} {one.operation or ''} from {one.sender or 'a client'}"
            self.app.push_screen(Page(title, block(json_text(one.input, indent=True), _STATE_MAX)))

    def action_back(self) -> None:
        self.app.pop_screen()

    def action_follow(self) -> None:
        """Who holds the lock."""
        status = None if self._view is None else self._view.status
        if status is None or status.locked_by is None:
            host(self).tell("nobody holds its lock")
        else:
            host(self).open_instance(status.locked_by)


def _head(view: EntityView, now: datetime) -> Text:
    title = plain(view.id, 300, "bold")
    status = view.status
    if status is None:
        return title.append("  has no state, no lock, and nothing waits for it", PENDING)
    facts = (
        f"partition {status.partition} · revision {status.revision:,} · created {clock(status.created_at)} · "
        f"changed {age(status.updated_at, now)} ago · {status.queued:,} queued"
    )
    lines = [title, Text(facts)]
    if status.locked_by is not None:
        held = f" for {age(status.locked_at, now)}" if status.locked_at else ""
        lines.append(
            Text.assemble(
                ("‖ locked by ", PENDING), plain(status.locked_by, 300, "bold"), held, (" (o opens it)", "dim")
            )
        )
    if view.problem is not None:
        problem = view.problem.get("message", view.problem) if isinstance(view.problem, dict) else view.problem
        lines.append(Text.assemble(("✘ stalled: ", BAD), plain(problem, 400)))
    return Text("\n").join(lines)


def _state(view: EntityView) -> Text:
    state = None if view.status is None else view.status.state
    if state is None:
        return Text("no state", "dim")
    return Text.assemble(("state\n", "bold"), block(json_text(state, indent=True), _STATE_MAX))
