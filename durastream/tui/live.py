"""What a screen or pane gives, so that the application keeps it up to date."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from durastream.inspect.facts import HubFacts


@runtime_checkable
class Live(Protocol):
    async def load(self, hub: HubFacts) -> None:
        """Ask for what is shown now, a bounded amount of it, and show it."""
        ...
