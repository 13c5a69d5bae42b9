"""The application: what is shown where, the loop that keeps it live, and losing the server without falling over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import replace
from typing import Any, ClassVar, Final, TypeVar

from textual.app import App, SystemCommand
from textual.binding import BindingType
from textual.command import CommandPalette
from textual.screen import Screen

from durastream.core.entity_id import EntityId
from durastream.errors import DurastreamError, InvalidId
from durastream.inspect import sanitize
from durastream.inspect.diagnose import Finding, diagnose_hub
from durastream.inspect.facts import HubFacts
from durastream.inspect.hub import Overview
from durastream.inspect.throughput import Meter
from durastream.tui.bars import Banner
from durastream.tui.dialogs import Page
from durastream.tui.entity_screen import EntityScreen
from durastream.tui.help import findings_text, help_text
from durastream.tui.instance_screen import InstanceScreen
from durastream.tui.keys import bindings
from durastream.tui.live import Live
from durastream.tui.main_screen import MainScreen
from durastream.tui.palette import Commands
from durastream.tui.source import Source

T = TypeVar("T")

PERIOD_S: Final = 1.0
READ_S: Final = 4.0
"""A refresh that takes longer counts as a lost server."""

_SERVER_EVERY: Final = 15  # refreshes between two looks at the server itself
_ERRORS: Final = (DurastreamError, OSError, TimeoutError)


class TopApp(App[None]):
    """`source`: the hub. `read_only`: nothing can be changed. `period_s`: between two refreshes, in seconds. `wanted`: the
    filter of instances to begin with."""

    TITLE = "durastream top"
    CSS = "Toast { max-width: 90%; }"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("app")]
    COMMANDS = {Commands}  # noqa: RUF012 - Textual declares it so
    ENABLE_COMMAND_PALETTE = True
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (140, "-wide")]  # noqa: RUF012

    def __init__(
        self, source: Source, *, read_only: bool = False, period_s: float = PERIOD_S, wanted: str = ""
    ) -> None:
        super().__init__()
        self.source = source
        self.read_only = read_only
        self.paused = False
        self.lost = ""  # why the server cannot be reached
        self.overview: Overview | None = None
        self.facts: HubFacts | None = None
        self.meter = Meter()
        self.fault: Exception | None = None  # the last error that nobody thought of
        self.rounds = 0  # refreshes that came to an end, well or not
        self._period_s = period_s
        self._wanted = wanted
        self._wake = asyncio.Event()
        self._forced = True

    # -- life

    async def on_mount(self) -> None:
        self.theme = "textual-dark"
        await self.push_screen(
            MainScreen(self.source.hub, self.source.where, read_only=self.read_only, wanted=self._wanted)
        )
        self.run_worker(self._stay_live(), exit_on_error=False)

    async def _stay_live(self) -> None:
        """One refresh after the other: never two at a time."""
        while True:
            self._wake.clear()
            if self._forced or not self.paused:
                self._forced = False
                await self._round()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._period_s)

    def look_now(self) -> None:
        """Refresh at once, also while paused: something else is to be seen."""
        self._forced = True
        self._wake.set()

    async def _round(self) -> None:
        screen = self.screen
        try:
            await asyncio.wait_for(self._look(screen), READ_S)
            self._found("")
        except _ERRORS as error:
            self._found(_why(error))
        except Exception as error:  # a display that dies of a bad value shows nothing at all
            if screen in self.screen_stack:  # else it was left while it waited for an answer: its widgets are gone
                self.fault = error
                self._found(f"this view cannot be drawn: {error!r}")
        self.rounds += 1

    async def _look(self, screen: Screen[Any]) -> None:
        overview = self.overview = await self.source.overview()
        self.meter.observe(overview.workers)
        if self.rounds % _SERVER_EVERY == 0 or self.facts is None:
            self.facts = await self.source.server()
        self.facts = _with(self.facts, overview)
        if isinstance(screen, Live) and screen.is_mounted:
            await screen.load(self.facts)

    def _found(self, lost: str) -> None:
        if lost != self.lost:
            self.lost = lost
            self.look_at_banners()

    def look_at_banners(self) -> None:
        """What banners say may have changed."""
        for screen in self.screen_stack:
            for banner in screen.query(Banner):
                banner.look()

    def said(self) -> tuple[str, bool]:
        """What the banner says, and whether it is about a lost server."""
        if self.lost:
            return f"no answer, trying again: {self.lost}", True
        return ("paused: p goes on", False) if self.paused else ("", False)

    def findings(self) -> list[Finding]:
        """What is wrong with the hub."""
        return [] if self.facts is None else diagnose_hub(self.facts)

    # -- for screens

    def tell(self, message: str, *, bad: bool = False) -> None:
        """A note that goes away by itself."""
        self.notify(sanitize.line(message, 400), severity="error" if bad else "information", markup=False)

    async def attempt(self, asked: Awaitable[T]) -> T | None:
        """The answer; None after an error, which is told."""
        try:
            return await asked
        except _ERRORS as error:
            self.tell(_why(error), bad=True)
            return None

    async def succeeded(self, asked: Awaitable[object]) -> bool:
        """Whether it came to its end without an error; one is told."""
        try:
            await asked
        except _ERRORS as error:
            self.tell(_why(error), bad=True)
            return False
        return True

    def open_instance(self, instance_id: str) -> None:
        """Show the page of an instance."""
        self.push_screen(InstanceScreen(instance_id, read_only=self.read_only))

    def open_entity(self, entity: str) -> None:
        """Show the page of an entity, given as text."""
        try:
            self.push_screen(EntityScreen(EntityId.parse(entity), read_only=self.read_only))
        except InvalidId as error:
            self.tell(str(error), bad=True)

    # -- keys

    def action_tab(self, name: str) -> None:
        """Back to the tabs, to this one."""
        self.main.show_tab(name)

    @property
    def main(self) -> MainScreen:
        """The screen with the tabs; what lies above it is left."""
        while not isinstance(self.screen, MainScreen):
            self.pop_screen()
        return self.screen

    def action_pause(self) -> None:
        self.paused = not self.paused
        self.look_at_banners()
        self._wake.set()

    def action_help(self) -> None:
        self.push_screen(Page("Keys", help_text(read_only=self.read_only)))

    def action_findings(self) -> None:
        self.push_screen(Page(f"Hub {self.source.hub}", findings_text(self.findings())))

    def get_system_commands(self, screen: Screen[object]) -> list[SystemCommand]:
        """The palette holds what `palette` gives, and nothing about themes and screenshots."""
        return []

    def action_command_palette(self) -> None:
        if not isinstance(self.screen, CommandPalette):
            self.push_screen(CommandPalette(placeholder="what to do, or the id of an instance …"))


def _with(facts: HubFacts | None, overview: Overview) -> HubFacts:
    if facts is None:
        return HubFacts(overview)
    return replace(facts, overview=overview)


def _why(error: BaseException) -> str:
    return str(error) or f"no answer within {READ_S:g} s ({type(error).__name__})"
