"""Questions: yes or no, and a form of a few lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final, NamedTuple

import orjson
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static

from durastream.tui.text import BAD, block, plain

_IDS_SHOWN: Final = 5

_BOX: Final = """
{name} {{ align: center middle; background: $background 60%; }}
{name} > Vertical {{
    width: 72; max-width: 95%; height: auto; max-height: 95%; padding: 0 2; border: round $primary; background: $surface;
}}
{name} Horizontal {{ height: auto; align-horizontal: right; margin-top: 1; }}
{name} Button {{ min-width: 12; margin-left: 2; }}
{name} Button:focus {{ text-style: bold reverse; }}
{name} Input {{ background: $boost; margin-top: 1; }}
{name} .error {{ color: $error; }}
"""


def box_css(name: str) -> str:
    """The look of a dialog."""
    return _BOX.format(name=name)


class Confirm(ModalScreen[bool]):
    """A question about some ids. The answer no is under the cursor: an enter too many does nothing."""

    DEFAULT_CSS = box_css("Confirm")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)"),
        Binding("n,escape", "answer(False)"),
        Binding("left,right", "app.focus_next"),
    ]

    def __init__(self, question: str, ids: Sequence[str], *, warning: str = "") -> None:
        super().__init__()
        self._question = question
        self._ids = ids
        self._warning = warning

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(plain(self._question, style="bold"), markup=False)
            yield Static(self._listed(), markup=False)
            if self._warning:
                yield Static(plain(self._warning, style=BAD), markup=False)
            with Horizontal():
                yield Button("Yes (y)", id="yes", variant="error" if self._warning else "primary", compact=True)
                yield Button("No (n)", id="no", compact=True)

    def on_mount(self) -> None:
        self.query_one("#no", Button).focus()

    def _listed(self) -> Text:
        lines = [plain(one, 120) for one in self._ids[:_IDS_SHOWN]]
        if len(self._ids) > _IDS_SHOWN:
            lines.append(Text(f"… and {len(self._ids) - _IDS_SHOWN:,} more", "dim"))
        return Text("\n").join(lines)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "yes")

    def action_answer(self, answer: bool) -> None:
        self.dismiss(answer)


class Filled(NamedTuple):
    """What was put into a form."""

    name: str
    data: Any


class Form(ModalScreen["Filled | None"]):
    """A name and a JSON value, for some ids. Enter in the last line asks for no more: the form says whom it is for."""

    DEFAULT_CSS = box_css("Form")
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel")]

    def __init__(self, title: str, ids: Sequence[str], *, name: str) -> None:
        super().__init__()
        self._title = title
        self._ids = ids
        self._name_label = name

    def compose(self) -> ComposeResult:
        shown = ", ".join(self._ids[:3]) + (f" and {len(self._ids) - 3:,} more" if len(self._ids) > 3 else "")
        with Vertical():
            yield Static(plain(self._title, style="bold"), markup=False)
            yield Static(plain(shown, 300), markup=False)
            yield Input(placeholder=self._name_label, id="name", compact=True)
            yield Input(placeholder='JSON: true, 5, "text", {…}; empty for none', id="data", compact=True)
            yield Static("", id="error", classes="error", markup=False)
            with Horizontal():
                yield Button("Send (enter)", id="send", variant="primary", compact=True)
                yield Button("Cancel (esc)", id="cancel", compact=True)

    def on_mount(self) -> None:
        self.query_one("#name", Input).focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if event.input.id == "name":
            self.query_one("#data", Input).focus()
        else:
            self._send()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        if event.button.id == "send":
            self._send()
        else:
            self.dismiss(None)

    def action_cancel(self) -> None:
        self.dismiss(None)

    def _send(self) -> None:
        name, text = self.query_one("#name", Input).value.strip(), self.query_one("#data", Input).value.strip()
        if not name:
            self._complain(f"{self._name_label}: a name is needed")
            return
        try:
            self.dismiss(Filled(name, orjson.loads(text) if text else None))
        except ValueError as error:
            self._complain(f"not JSON: {error}; a text needs its quotes")

    def _complain(self, text: str) -> None:
        self.query_one("#error", Static).update(plain(text))


class Page(ModalScreen[None]):
    """Something to read; any way out closes it."""

    DEFAULT_CSS = """
    Page { align: center middle; background: $background 60%; }
    Page > VerticalScroll {
        width: 100; max-width: 98%; height: auto; max-height: 96%; padding: 0 1; border: round $primary;
        background: $surface;
    }
    Page Static { height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter,question_mark,exclamation_mark", "close"),
        Binding("j,down", "scroll(1)"),
        Binding("k,up", "scroll(-1)"),
        Binding("pagedown,space", "scroll(15)"),
        Binding("pageup", "scroll(-15)"),
    ]

    def __init__(self, title: str, body: Text) -> None:
        super().__init__()
        self._title = title
        self._body = body

    def compose(self) -> ComposeResult:
        with VerticalScroll() as box:
            box.border_subtitle = "esc closes"
            yield Static(Text.assemble(plain(self._title, 120, "bold"), "\n\n", self._body), markup=False)

    def action_close(self) -> None:
        self.dismiss(None)

    def action_scroll(self, lines: int) -> None:
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)


def paragraph(text: str, limit: int = 20_000) -> Text:
    """Foreign text for a page."""
    return block(text, limit)
