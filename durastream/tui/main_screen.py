"""The tabs, with the hub's numbers on top."""

from __future__ import annotations

from typing import ClassVar, Final

from rich.text import Text
from textual.app import ComposeResult
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import ContentSwitcher, Static

from durastream.inspect.facts import HubFacts
from durastream.tui.bars import Banner, KeyBar
from durastream.tui.entities import EntitiesPane
from durastream.tui.header import Header
from durastream.tui.host import host
from durastream.tui.instances import InstancesPane
from durastream.tui.keys import Place
from durastream.tui.live import Live
from durastream.tui.partitions import ListPartition, PartitionsPane
from durastream.tui.table import Table
from durastream.tui.workers import WorkersPane

TABS: Final[tuple[Place, ...]] = ("instances", "entities", "partitions", "workers")


class MainScreen(Screen[None]):
    """One tab at a time is kept up to date."""

    DEFAULT_CSS = """
    MainScreen #tabs { height: 1; background: $panel; padding: 0 1; }
    MainScreen ContentSwitcher { height: 1fr; }
    """
    AUTO_FOCUS: ClassVar[str | None] = "#instances Table"

    def __init__(self, hub: str, where: str, *, read_only: bool, wanted: str = "") -> None:
        super().__init__()
        self.tab: Place = "instances"  # the one that is shown
        self._header = Header(hub, where)
        self._bar = KeyBar("instances", read_only=read_only)
        self._panes: dict[Place, Widget] = {
            "instances": InstancesPane(wanted),
            "entities": EntitiesPane(),
            "partitions": PartitionsPane(),
            "workers": WorkersPane(),
        }

    def compose(self) -> ComposeResult:
        yield self._header
        yield Static(_tabs("instances"), id="tabs", markup=False)
        with ContentSwitcher(initial="instances"):
            yield from self._panes.values()
        yield Banner(host(self).said)
        yield self._bar

    @property
    def instances(self) -> InstancesPane:
        return self.query_one(InstancesPane)

    def show_tab(self, name: str) -> None:
        """Show a tab, with the cursor in its table."""
        self.tab = next(one for one in TABS if one == name)
        self.query_one(ContentSwitcher).current = name
        self.query_one("#tabs", Static).update(_tabs(self.tab))
        self._bar.tell(self.tab)
        self._panes[self.tab].query(Table).first().focus()
        host(self).look_now()

    def on_list_partition(self, event: ListPartition) -> None:
        self.show_tab("instances")
        self.instances.apply(f"partition:{event.partition}")

    async def load(self, hub: HubFacts) -> None:
        """Keep the header and the tab that is shown up to date."""
        self._header.tell(hub.overview, list(host(self).meter.series), host(self).findings())
        pane = self._panes[self.tab]
        if isinstance(pane, Live):
            await pane.load(hub)

    def on_screen_resume(self) -> None:
        host(self).look_now()


def _tabs(active: Place) -> Text:
    parts = [Text(f" {count} {name} ", "bold reverse" if name == active else "") for count, name in enumerate(TABS, 1)]
    return Text(" ").join(parts)
