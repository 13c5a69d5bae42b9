"""The application under test: driven by keys, read as a screen of characters."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from textual.pilot import Pilot
from textual.screen import Screen

from durastream.tui.app import TopApp
from durastream.tui.source import Source
from durastream.tui.table import Table
from tests.support import eventually

SMALL = (80, 24)
LARGE = (200, 60)


class Driven:
    """`app` on a screen of its own. Keys go in with `press`, characters come out with `text`."""

    def __init__(self, app: TopApp, pilot: Pilot[None]) -> None:
        self.app = app
        self.pilot = pilot

    @property
    def screen(self) -> Screen[Any]:
        return self.app.screen

    @property
    def table(self) -> Table[Any]:
        """The one that has the cursor."""
        focused = self.app.focused
        assert isinstance(focused, Table), focused
        return focused

    def lines(self) -> list[str]:
        """What the terminal would show, line by line."""
        strips = self.screen._compositor.render_strips()
        return ["".join(segment.text for segment in strip) for strip in strips]

    def text(self) -> str:
        return "\n".join(self.lines())

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)

    async def write(self, text: str) -> None:
        """Into the line that has the focus."""
        names = {" ": "space", ":": "colon", "-": "minus", "*": "asterisk", "/": "slash", '"': "quotation_mark"}
        await self.pilot.press(*(names.get(char, char) for char in text))

    async def fill(self, *lines: str) -> None:
        """The lines of a form, or the one of a filter, from the one that has the focus on."""
        for line in lines:
            await self.write(line)
            await self.press("enter")

    async def shows(self, *wanted: str) -> str:
        """Wait until all of these can be read, maybe over the end of a line; the whole screen."""
        try:
            await eventually(lambda: all(one in self.text() or one in self._flowing() for one in wanted), 10)
        except AssertionError:
            raise AssertionError(f"{wanted} cannot be read on\n{self.text()}") from None
        return self.text()

    def _flowing(self) -> str:
        return " ".join(self.text().split())

    async def hides(self, *unwanted: str) -> None:
        """Wait until none of these can be read."""
        await eventually(lambda: not any(one in self.text() for one in unwanted), 10, what=f"no {unwanted}")

    async def settled(self) -> None:
        """Wait for a refresh that began after this call."""
        target = self.app.rounds + 2
        self.app.look_now()

        def done() -> bool:
            self.app.look_now()
            return self.app.rounds >= target

        await eventually(done)
        await self.pilot.pause()


@asynccontextmanager
async def driven(source: Source, size: tuple[int, int] = SMALL, **options: Any) -> AsyncIterator[Driven]:
    """The application, after its first refresh. It refreshes when told to, and every 50 ms."""
    app = TopApp(source, **{"period_s": 0.05, **options})
    async with app.run_test(size=size, notifications=True) as pilot:
        driving = Driven(app, pilot)
        await eventually(lambda: app.rounds > 0)
        await pilot.pause()
        yield driving
        if app.fault is not None:
            raise app.fault
