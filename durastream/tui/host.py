"""What screens ask of the application. A protocol of its own, since the application imports the screens."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol, TypeVar, cast

from textual.widget import Widget

from durastream.inspect.diagnose import Finding
from durastream.inspect.throughput import Meter
from durastream.tui.source import Source

T = TypeVar("T")


class Host(Protocol):
    """See `app.TopApp`."""

    source: Source
    read_only: bool
    meter: Meter

    def tell(self, message: str, *, bad: bool = False) -> None: ...

    async def attempt(self, asked: Awaitable[T]) -> T | None: ...

    async def succeeded(self, asked: Awaitable[object]) -> bool: ...

    def open_instance(self, instance_id: str) -> None: ...

    def open_entity(self, entity: str) -> None: ...

    def look_now(self) -> None: ...

    def findings(self) -> list[Finding]: ...

    def said(self) -> tuple[str, bool]: ...


def host(widget: Widget) -> Host:
    """The application that a widget is in."""
    return cast(Host, widget.app)


def copy(widget: Widget, text: str) -> None:
    """To the clipboard, through the terminal: as base64, whatever is in it."""
    widget.app.copy_to_clipboard(text.encode("utf-8", "replace").decode())
