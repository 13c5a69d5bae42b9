"""The server for `demo` and `dev`: the one that was named, or an embedded one of our own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from durastream.store.embedded import EmbeddedServer


@asynccontextmanager
async def a_server(
    redis: str | None, *, say: Callable[[str], None], port: int | None = None, directory: Path | None = None
) -> AsyncIterator[str]:
    """URL of a server. An embedded one is announced, with what it means for durability, and stopped at the end.

    `directory`: where an embedded one keeps its data; None: nowhere after its end.
    """
    if redis is not None:
        say(f"server: {redis}")
        yield redis
        return
    with EmbeddedServer.start(directory=directory, port=port) as server:
        kept = f"; its data stays in {directory}" if directory else "; its data goes with it"
        say(f"server: {server.kind} {server.version} at {server.url}; {server.durability}{kept}")
        yield server.url
