"""The line where a filter is written: checked at each key, with a mark at the character where it goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input, Static

from durastream.inspect.filter import FilterError, suggestions
from durastream.tui.text import BAD, plain

_PROMPT = "/ "


class FilterLine(Widget):
    """Hidden until opened. `check` raises FilterError for what cannot be read."""

    DEFAULT_CSS = """
    FilterLine { height: auto; display: none; }
    FilterLine #line { layout: horizontal; height: 1; }
    FilterLine #prompt { width: 2; color: $accent; text-style: bold; }
    FilterLine Input { width: 1fr; background: $boost; }
    FilterLine #hint { height: auto; max-height: 3; color: $text-muted; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "give_up", priority=True),
        Binding("tab", "complete", priority=True),
    ]

    class Applied(Message):
        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class GivenUp(Message):
        """Leave everything as it was."""

    def __init__(self, check: Callable[[str], object]) -> None:
        super().__init__()
        self._check = check

    def compose(self) -> ComposeResult:
        with Widget(id="line"):
            yield Static(_PROMPT, id="prompt", markup=False)
            yield Input(select_on_focus=False, compact=True)
        yield Static("", id="hint", markup=False)

    @property
    def input(self) -> Input:
        return self.query_one(Input)

    def open(self, text: str) -> None:
        """Show the line, with this in it."""
        self.display = True
        self.input.value = text
        self.input.cursor_position = len(text)
        self.screen.set_focus(self.input)  # at once: what is typed next is text, and no key that does something
        self._hint()

    def _leave(self, message: Message) -> None:
        self.display = False
        self.post_message(message)

    def on_input_changed(self) -> None:
        self._hint()

    def _wrong(self) -> FilterError | None:
        try:
            self._check(self.input.value)
        except FilterError as error:
            return error
        return None

    def _hint(self) -> None:
        error = self._wrong()
        at_end = self.input.cursor_position >= len(self.input.value)
        self.query_one("#hint", Static).update(self._proposals() if error is None or at_end else _pointed(error))
        if error is not None and (not at_end or not suggestions(self.input.value, self.input.cursor_position)):
            self.query_one("#hint", Static).update(_pointed(error))

    def _proposals(self) -> Text:
        found = suggestions(self.input.value, self.input.cursor_position)
        return plain("  " + "  ".join(found[:12]), 200, "dim")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        error = self._wrong()
        if error is None:
            self._leave(self.Applied(self.input.value))
        else:
            self.query_one("#hint", Static).update(_pointed(error))

    def action_give_up(self) -> None:
        self._leave(self.GivenUp())

    def action_complete(self) -> None:
        """Take the first proposal for the word at the cursor."""
        text, position = self.input.value, self.input.cursor_position
        found = suggestions(text, position)
        if found:
            begin = text[:position].rpartition(" ")[0]
            before = f"{begin} " if begin else ""
            self.input.value = before + found[0] + text[position:]
            self.input.cursor_position = len(before + found[0])


def _pointed(error: FilterError) -> Text:
    """A mark below the character, and the message beside it."""
    return Text(" " * (len(_PROMPT) + min(error.position, 40)) + "↑ ", BAD).append_text(plain(error.message, 300, BAD))
