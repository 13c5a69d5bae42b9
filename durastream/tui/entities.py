"""The tab of entities."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime
from typing import ClassVar, Final

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Static

from durastream.client.entity_views import EntityStatus
from durastream.core.entity_id import EntityId, check_entity_name
from durastream.core.ids import check_instance_id
from durastream.errors import InvalidId
from durastream.inspect.facts import HubFacts
from durastream.inspect.filter import FilterError
from durastream.tui.entity_acting import EntityActing
from durastream.tui.filter_line import FilterLine
from durastream.tui.host import host
from durastream.tui.keys import bindings
from durastream.tui.table import Cell, Column, Table
from durastream.tui.text import PENDING, age, number, plain, value_text

PAGE: Final = 100
HELD_MAX: Final = 20_000

_COLUMNS: Final = (
    Column("ENTITY", 20, grow=3),
    Column("STATE", 10, grow=4),
    Column("LOCKED BY", 10, grow=2, drop=1),
    Column("QUEUE", 6, right=True),
    Column("REV", 8, drop=2, right=True),
    Column("CHANGED", 9, right=True),
)


class EntitiesPane(EntityActing):
    """By their ids, page by page as one goes down."""

    DEFAULT_CSS = """
    EntitiesPane { layout: vertical; height: 1fr; }
    EntitiesPane #said { height: 1; padding: 0 1; color: $text-muted; }
    EntitiesPane Table { height: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("entities")]

    def __init__(self) -> None:
        super().__init__(id="entities")
        self._now = datetime.now(UTC)
        self._wanted = ""
        self._found: dict[str, EntityStatus] = {}
        self._walk: AsyncGenerator[EntityStatus, None] | None = None
        self._done = False
        self._paging = False

    def compose(self) -> ComposeResult:
        yield Static("", id="said", markup=False)
        yield FilterLine(read_filter)
        yield Table[EntityStatus](_COLUMNS, key=lambda one: str(one.id), cells=self._cells, empty="no entity")

    @property
    def table(self) -> Table[EntityStatus]:
        return self.query_one(Table)

    def _cells(self, one: EntityStatus) -> Sequence[Cell]:
        lock = plain(f"‖ {one.locked_by}", 200, PENDING) if one.locked_by else Text("-", "dim")
        state = Text("-", "dim") if one.state is None else value_text(one.state)
        return str(one.id), state, lock, number(one.queued), number(one.revision), age(one.updated_at, self._now)

    # -- live

    async def load(self, hub: HubFacts) -> None:
        """See `live.Live`: a page from the beginning; further down what is on the screen."""
        self._now = hub.overview.now
        wanted = self._wanted
        first = await self._page(self._open(), PAGE)
        if wanted != self._wanted:
            return
        keys = {str(one.id) for one in first}
        last = str(first[-1].id) if len(first) == PAGE else None
        for key in [key for key in self._found if key not in keys and (last is None or key <= last)]:
            del self._found[key]
        self._found |= {str(one.id): one for one in first}
        self._done = self._done or last is None
        await self._refresh_seen(keys)
        self._show()

    async def _refresh_seen(self, fresh: set[str]) -> None:
        seen = [one.id for one in self.table.on_screen if str(one.id) not in fresh]
        for one in seen:
            now = (await host(self).source.entity(one)).status
            if now is None:
                self._found.pop(str(one), None)
            else:
                self._found[str(one)] = now

    def _open(self) -> AsyncGenerator[EntityStatus, None]:
        name, prefix = read_filter(self._wanted)
        return host(self).source.entities(name, prefix)

    async def _page(self, walk: AsyncGenerator[EntityStatus, None], count: int) -> list[EntityStatus]:
        found: list[EntityStatus] = []
        async for one in walk:
            found.append(one)
            if len(found) >= count:
                break
        return found

    def _show(self) -> None:
        self.table.show([self._found[key] for key in sorted(self._found)])
        said = Text()
        if self._wanted:
            said.append("filter ", "bold").append_text(plain(self._wanted, 120, "bold yellow")).append("  ")
        self.query_one("#said", Static).update(
            said.append(f"{len(self._found):,} {'in all' if self._done else 'loaded'}")
        )

    # -- paging

    def on_table_near_end(self) -> None:
        if not self._done and not self._paging and len(self._found) < HELD_MAX:
            self._paging = True
            self.run_worker(self._more(), exit_on_error=False)

    async def _more(self) -> None:
        wanted = self._wanted
        self._walk = self._walk or self._open()
        try:
            while not self._done:
                before = len(self._found)
                found = await host(self).attempt(self._page(self._walk, PAGE))
                if wanted != self._wanted or found is None:
                    self._walk = None
                    return
                self._done = len(found) < PAGE
                self._found |= {str(one.id): one for one in found}
                if len(self._found) > before:
                    break
        finally:
            self._paging = False
        self._show()

    # -- filter

    def action_filter(self) -> None:
        self.query_one(FilterLine).open(self._wanted)

    def on_filter_line_applied(self, event: FilterLine.Applied) -> None:
        self._wanted = event.text.strip()
        self._found, self._walk, self._done = {}, None, False
        self.table.show(())
        self.table.action_first()
        self.table.focus()
        host(self).look_now()

    def on_filter_line_given_up(self) -> None:
        self.table.focus()

    # -- acting

    def entity(self) -> EntityId | None:
        current = self.table.current
        return None if current is None else current.id

    def on_table_opened(self, event: Table.Opened) -> None:
        host(self).open_entity(event.key)


def read_filter(text: str) -> tuple[str | None, str]:
    """`Counter`, `Counter key-prefix` or `@Counter@key-prefix` → name and prefix. Raises FilterError."""
    stripped = text.strip()
    if not stripped:
        return None, ""
    name, _, prefix = stripped[1:].partition("@") if stripped.startswith("@") else stripped.partition(" ")
    try:
        check_entity_name(name)
        if prefix:
            check_instance_id(prefix.strip(), "prefix of entity keys")
    except InvalidId as error:
        raise FilterError(str(error), 0) from None
    return name, prefix.strip()
