"""A list of rows of any length, of which only those on the screen are drawn.

It keeps its place by what the rows are, not by their numbers: after new rows came or others went, cursor and view are on the
same ones as before. At the very top the view stays there, so that the newest are seen coming in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final, Generic, NamedTuple, TypeAlias, TypeVar

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual import events
from textual.binding import BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from durastream.inspect import sanitize
from durastream.tui.keys import bindings

T = TypeVar("T")

Cell: TypeAlias = "str | Text | Callable[[int], Text]"
"""Text that may hold anything; safe text; or a picture of a given width."""

_MARGIN: Final = 2  # for the cursor and the mark
_CELL_MAX: Final = 400


class Column(NamedTuple):
    """`width`: least number of cells. `grow`: share of what is left over. `drop`: left out first where there is no room, the
    highest first; 0: never. `right`: numbers."""

    title: str
    width: int
    grow: int = 0
    drop: int = 0
    right: bool = False


class Table(ScrollView, Generic[T], can_focus=True):
    """`key` tells rows apart, `cells` says what is in them; it is asked for rows on the screen only."""

    DEFAULT_CSS = """
    Table { background: $background; color: $foreground; scrollbar-size-horizontal: 0; scrollbar-size-vertical: 1; }
    Table .table--head { text-style: bold; color: $text-muted; background: $surface; }
    Table .table--cursor { background: $surface-lighten-2; }
    Table .table--idle { background: $surface; }
    """
    FOLLOWS: ClassVar[bool] = True
    """Whether the cursor on the first row stays on what is first."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"table--head", "table--cursor", "table--idle"}
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("table")]

    class Opened(Message):
        """Enter on a row."""

        def __init__(self, table: Table[Any], key: str) -> None:
            super().__init__()
            self.table = table
            self.key = key

        @property
        def control(self) -> Table[Any]:
            return self.table

    class NearEnd(Message):
        """More rows may soon be wanted."""

    class NearTop(Message):
        """The first row is on the screen, and the user moved there."""

    def __init__(
        self, columns: Sequence[Column], *, key: Callable[[T], str], cells: Callable[[T], Sequence[Cell]],
        empty: str = "nothing here", id: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(id=id)
        self._columns = columns
        self._key = key
        self._cells = cells
        self.empty = empty
        self.items: Sequence[T] = ()
        self.marked: set[str] = set()
        self.cursor = 0
        self._held: str | None = None  # key of the row the cursor stays on; None: it stays at the top
        self._laid: tuple[int, list[tuple[int, int]]] = (-1, [])

    # -- what is shown

    def show(self, items: Sequence[T]) -> None:
        """Show these rows from now on."""
        top, first = self._top_key(), self.scroll_offset.y
        in_view = first <= self.cursor < first + self.page
        self.items = items
        self._resize()
        places = {self._key(item): place for place, item in enumerate(items)}
        self.cursor = max(0, min(places.get(self._held or "", self.cursor), len(items) - 1))
        if self._held is not None:
            self._held = self.current_key
        if first > 0:
            self._put_on_top(places.get(top or "", first))
        if in_view:
            self._scroll_into_view(self.scroll_offset.y)
        self.refresh()

    def _put_on_top(self, top: int) -> None:
        if top != self.scroll_offset.y:
            self.scroll_to(y=top, animate=False, force=True, immediate=True)

    def _top_key(self) -> str | None:
        top = self.scroll_offset.y
        return self._key(self.items[top]) if top < len(self.items) else None

    def _resize(self) -> None:
        self.virtual_size = Size(self.size.width, len(self.items) + 1)

    @property
    def current(self) -> T | None:
        """The row under the cursor."""
        return self.items[self.cursor] if self.cursor < len(self.items) else None

    @property
    def current_key(self) -> str | None:
        current = self.current
        return None if current is None else self._key(current)

    @property
    def page(self) -> int:
        """Rows that fit on the screen."""
        return max(self.size.height - 1, 1)

    @property
    def on_screen(self) -> Sequence[T]:
        """Rows that are seen."""
        top = self.scroll_offset.y
        return self.items[top : top + self.page]

    # -- moving

    def move_to(self, place: int) -> None:
        """Put the cursor on a row, and see that it is on the screen."""
        self.cursor = max(0, min(place, len(self.items) - 1))
        self._held = self.current_key
        self._scroll_into_view(self.scroll_offset.y)
        self._tell()
        self.refresh()

    def move_to_key(self, key: str) -> None:
        """Put the cursor on the row with this key, if there is one."""
        for place, item in enumerate(self.items):
            if self._key(item) == key:
                self.move_to(place)
                return

    def _tell(self) -> None:
        if self.cursor + self.page >= len(self.items):
            self.post_message(self.NearEnd())
        if self.cursor == 0:
            self.post_message(self.NearTop())

    def action_up(self) -> None:
        self.move_to(self.cursor - 1)

    def action_down(self) -> None:
        self.move_to(self.cursor + 1)

    def action_page_up(self) -> None:
        self.move_to(self.cursor - self.page)

    def action_page_down(self) -> None:
        self.move_to(self.cursor + self.page)

    def action_first(self) -> None:
        self.move_to(0)
        if self.FOLLOWS:
            self._held = None

    def action_last(self) -> None:
        self.move_to(len(self.items) - 1)

    def action_open(self) -> None:
        if self.current_key is not None:
            self.post_message(self.Opened(self, self.current_key))

    def on_click(self, event: events.Click) -> None:
        """A click puts the cursor there, a second one opens."""
        offset = event.get_content_offset(self)
        place = -1 if offset is None else offset.y - 1 + self.scroll_offset.y
        if offset is None or offset.y == 0 or place >= len(self.items):
            return
        self.move_to(place)
        if event.chain == 2:
            self.action_open()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if new_value + 2 * self.page >= len(self.items):
            self.post_message(self.NearEnd())

    # -- drawing

    def on_resize(self) -> None:
        """What was hidden, or smaller, may have scrolled further than there is need to now."""
        self._resize()
        self._scroll_into_view(self.scroll_offset.y)

    def _scroll_into_view(self, top: int) -> None:
        """Scroll to this first row, or as near to it as leaves the cursor on the screen and no empty lines below."""
        self._put_on_top(min(max(top, self.cursor - self.page + 1), self.cursor, max(len(self.items) - self.page, 0)))

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        if y == 0:
            return self._strip(self._head(), self.get_component_rich_style("table--head"))
        place = y - 1 + self.scroll_offset.y
        if place < len(self.items):
            return self._row(place)
        said = f"  {self.empty}" if y == 1 and not self.items else ""
        return self._strip(Text(said.ljust(width)[:width], "dim"), self.rich_style)

    def _row(self, place: int) -> Strip:
        item = self.items[place]
        here = place == self.cursor
        mark = "■" if self._key(item) in self.marked else " "
        line = Text.assemble((("›" if here and self.has_focus else " ") + mark, "bold"))
        values = self._cells(item)
        for column, width in self._layout():
            line.append_text(_fitted(values[column], width, self._columns[column].right))
            line.append(" ")
        name = "table--cursor" if self.has_focus else "table--idle"
        return self._strip(line, self.get_component_rich_style(name) if here else self.rich_style)

    def _head(self) -> Text:
        line = Text(" " * _MARGIN)
        for column, width in self._layout():
            line.append_text(_fitted(self._columns[column].title, width, self._columns[column].right))
            line.append(" ")
        return line

    def _strip(self, line: Text, style: Style) -> Strip:
        segments = [Segment(one.text, one.style) for one in line.render(self.app.console) if one.text != "\n"]
        return Strip(segments).adjust_cell_length(self.size.width).apply_style(style)

    def _layout(self) -> list[tuple[int, int]]:
        """(column, width) of those that are shown; worked out once for each width."""
        if self._laid[0] != self.size.width:
            self._laid = (self.size.width, _widths(self._columns, self.size.width - _MARGIN))
        return self._laid[1]


def _widths(columns: Sequence[Column], room: int) -> list[tuple[int, int]]:
    chosen = list(range(len(columns)))
    for column in sorted(chosen, key=lambda one: -columns[one].drop):
        if sum(columns[one].width + 1 for one in chosen) <= room or not columns[column].drop:
            break
        chosen.remove(column)
    left = max(room - sum(columns[one].width + 1 for one in chosen), 0)
    shares = sum(columns[one].grow for one in chosen)
    return [(one, columns[one].width + (left * columns[one].grow // shares if shares else 0)) for one in chosen]


def _fitted(cell: Cell, width: int, right: bool) -> Text:
    if isinstance(cell, str):
        text = Text(sanitize.line(cell, _CELL_MAX))
    elif isinstance(cell, Text):
        text = cell.copy()
    else:
        text = cell(width)
    text.truncate(width, overflow="ellipsis")
    missing = width - text.cell_len
    if right:
        text.pad_left(missing)
    else:
        text.pad_right(missing)
    return text
