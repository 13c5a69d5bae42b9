"""The page of an instance."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar, Final

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, VerticalScroll
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static

from durastream.core.status import Status
from durastream.errors import InstanceNotFound
from durastream.inspect.diagnose import diagnose_instance
from durastream.inspect.facts import HubFacts, InstanceFacts
from durastream.tui.acting import Acting
from durastream.tui.bars import Banner, KeyBar
from durastream.tui.history import HistoryTable
from durastream.tui.host import host
from durastream.tui.instance_text import findings_text, head_text, payloads_text
from durastream.tui.keys import bindings
from durastream.tui.text import BAD, plain
from durastream.tui.timeline import TimelineTable

PARTS: Final = ("timeline", "history", "payloads")


class InstanceScreen(Acting, Screen[None]):
    """Header, findings, what it waits for; then timeline, history and payloads: side by side where there is room."""

    DEFAULT_CSS = """
    InstanceScreen #head { height: auto; max-height: 6; padding: 0 1; background: $panel; }
    InstanceScreen #found { height: auto; max-height: 6; padding: 0 1; background: $boost; display: none; }
    InstanceScreen #names { height: 1; padding: 0 1; }
    InstanceScreen #parts { height: 1fr; }
    InstanceScreen #parts > * { display: none; height: 1fr; }
    InstanceScreen #parts > .-active { display: block; }
    InstanceScreen.-wide #names { display: none; }
    InstanceScreen.-wide #parts { layout: grid; grid-size: 2 2; grid-columns: 3fr 2fr; grid-rows: 1fr 1fr; }
    InstanceScreen.-wide #parts > * { display: block; height: 1fr; }
    InstanceScreen.-wide #parts > #payloads { row-span: 2; border-left: solid $panel; }
    InstanceScreen #payloads { padding: 0 1; }
    InstanceScreen #payloads Static { height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("instance")]
    AUTO_FOCUS: ClassVar[str | None] = "#timeline"

    def __init__(self, instance_id: str, *, read_only: bool) -> None:
        super().__init__()
        self.instance_id = instance_id
        self._read_only = read_only
        self._facts: InstanceFacts | None = None
        self._part = "timeline"
        self._drawn: datetime | None = None  # when what the payloads show was written
        self._parent_id: str | None = None

    def compose(self) -> ComposeResult:
        yield Static(plain(self.instance_id, 300, "bold"), id="head", markup=False)
        yield Static("", id="found", markup=False)
        yield Static("", id="names", markup=False)
        with Container(id="parts"):
            yield TimelineTable(id="timeline")
            with VerticalScroll(id="payloads"):
                yield Static("", markup=False)
            yield HistoryTable(self.instance_id, id="history")
        yield Banner(host(self).said)
        yield KeyBar("instance", read_only=self._read_only)

    def on_mount(self) -> None:
        self._show_part("timeline")
        host(self).look_now()

    def on_screen_resume(self) -> None:
        host(self).look_now()

    # -- live

    async def load(self, hub: HubFacts) -> None:
        """See `live.Live`. An instance that has ended and is not changed is not read again."""
        source = host(self).source
        try:
            if self._facts is not None and self._facts.status.ended:
                now = await source.status(self.instance_id)
                if now == self._facts.status:
                    return
            facts = await source.instance(self.instance_id, hub)
        except InstanceNotFound:
            self._show_gone()
            return
        self._show(facts)
        self._facts = facts

    def _show(self, facts: InstanceFacts) -> None:
        now = facts.hub.overview.now
        self._parent_id = facts.status.parent_id
        self.query_one("#head", Static).update(head_text(facts, now))
        found = findings_text(facts, diagnose_instance(facts), now)
        self.query_one("#found", Static).update(found)
        self.query_one("#found").display = bool(found)
        self.query_one(TimelineTable).take(facts)
        self.query_one(HistoryTable).take(facts)
        if facts.status.updated_at != self._drawn:  # payloads may be large
            self.query_one("#payloads Static", Static).update(payloads_text(facts.status))
            self._drawn = facts.status.updated_at

    def _show_gone(self) -> None:
        self._facts = None
        gone = Text.assemble(plain(self.instance_id, 300, "bold"), ("  does not exist: purged, or never started", BAD))
        self.query_one("#head", Static).update(gone)
        self.query_one("#found").display = False

    # -- parts

    def action_next_part(self) -> None:
        self._show_part(PARTS[(PARTS.index(self._part) + 1) % len(PARTS)])

    def _show_part(self, name: str) -> None:
        self._part = name
        for part in PARTS:
            self.query_one(f"#{part}").set_class(part == name, "-active")
        self.query_one(f"#{name}", Widget).focus()
        names = [Text(f" {part} ", "bold reverse" if part == name else "") for part in PARTS]
        self.query_one("#names", Static).update(Text(" ").join(names).append("  tab: next", "dim"))

    # -- keys

    def chosen(self) -> Sequence[tuple[str, Status | None]]:
        return [(self.instance_id, None if self._facts is None else self._facts.status.runtime_status)]

    def action_back(self) -> None:
        self.app.pop_screen()

    def action_follow(self) -> None:
        """The parent; else who holds the lock it waits for."""
        waits = () if self._facts is None else self._facts.waits
        holder = next((wait.holder for wait in waits if wait.holder), None)
        other = self._parent_id or holder
        if other is None:
            host(self).tell("it has no parent, and waits for nobody's lock")
        else:
            host(self).open_instance(other)
