"""How the command line begins the terminal UI: the one thing it knows of it."""

from __future__ import annotations

from durastream.client import Client
from durastream.store.place import Place
from durastream.tui.app import TopApp
from durastream.tui.client_source import RETRY_S, ClientSource


async def run(url: str, hub: str, *, read_only: bool, period_s: float, wanted: str) -> None:
    """Show a hub until the user quits. `wanted`: the filter to begin with. Raises StoreUnavailable when there is no server."""
    async with Client(url, hub=hub, retry_for_s=RETRY_S) as client:
        source = ClientSource(client, place(url), read_only=read_only)
        await TopApp(source, read_only=read_only, period_s=period_s, wanted=wanted).run_async()


def place(url: str) -> str:
    """Host and port, or hosts and ports, without user and password."""
    return ",".join(one.address for one in Place.parse(url).seeds)
