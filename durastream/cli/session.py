"""What every command is given: where the hub is, and where to print."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from durastream.cli.output import Format, Printer

if TYPE_CHECKING:
    from durastream.client import Client

DEFAULT_URL = "redis://localhost:6379"
DEFAULT_HUB = "default"


@dataclass(frozen=True)
class Session:
    """Global settings. `redis` is None when nobody named a server: then the default URL counts."""

    redis: str | None = None
    hub: str = DEFAULT_HUB
    format: Format = Format.TEXT
    printer: Printer = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "printer", Printer(self.format))

    @property
    def url(self) -> str:
        return self.redis or DEFAULT_URL

    @property
    def where(self) -> str:
        """The URL as it may be shown: without its password. Raises BadUrl."""
        from durastream.store.place import Place

        return str(Place.parse(self.url))

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        """A connected client of the session's hub."""
        async with open_client(self.url, self.hub) as client:
            yield client


def open_client(url: str, hub: str) -> Client:
    """Imported here, so that help and completion never wait for it."""
    from durastream.client import Client

    return Client(url, hub=hub)
