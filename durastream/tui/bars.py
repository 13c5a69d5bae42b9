"""The lines at the bottom: what keeps the display from being live, and keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from rich.text import Text
from textual.app import RenderResult
from textual.widget import Widget

from durastream.tui.keys import Place, changing, for_bar
from durastream.tui.text import plain

_KEY: Final = "bold cyan"
_CHANGES: Final = "bold yellow"


class KeyBar(Widget):
    """Keys that work here, as many as there is room for; `? keys` is always among them."""

    DEFAULT_CSS = "KeyBar { height: 1; background: $panel; padding: 0 1; }"

    def __init__(self, place: Place, *, read_only: bool) -> None:
        super().__init__()
        self.place: Place = place
        self._read_only = read_only

    def tell(self, place: Place) -> None:
        """From now on for another place."""
        self.place = place
        self.refresh()

    def render(self) -> RenderResult:
        whole = self._line(brief=False)
        return whole if whole.cell_len <= self.size.width else self._line(brief=True)

    def _line(self, *, brief: bool) -> Text:
        """With each changing key by its name, or (`brief`) with all of them in one; others as far as there is room."""
        last = Text.assemble(self._changing(brief=brief), ("?", _KEY), " keys  ", ("q", _KEY), " quit")
        line, room = Text(), self.size.width - last.cell_len
        for key in for_bar(self.place):
            one = Text.assemble((key.shown, _KEY), f" {key.brief}  ")
            if key.action not in ("help", "quit") and (line.cell_len + one.cell_len <= room or not brief):
                line.append_text(one)
        return line.append_text(last)

    def _changing(self, *, brief: bool) -> Text:
        if self._read_only:
            return Text("read-only  ", "bold yellow")
        keys = changing(self.place)
        if brief and len(keys) > 2:
            return Text.assemble(("".join(key.shown for key in keys), _CHANGES), " change  ")
        return Text("").join(Text.assemble((key.shown, _CHANGES), f" {key.brief}  ") for key in keys)


class Banner(Widget):
    """Shown while the server is lost or the display paused."""

    DEFAULT_CSS = """
    Banner { height: auto; max-height: 2; display: none; padding: 0 1; background: $error; color: $text; }
    Banner.-paused { background: $warning; }
    """

    def __init__(self, said: Callable[[], tuple[str, bool]]) -> None:
        super().__init__()
        self._said = said

    def on_mount(self) -> None:
        self.look()

    def look(self) -> None:
        """Ask again what is to be said."""
        text, lost = self._said()
        self.display = bool(text)
        self.set_class(not lost, "-paused")
        self.refresh(layout=True)

    def render(self) -> RenderResult:
        return plain(self._said()[0], 300)
