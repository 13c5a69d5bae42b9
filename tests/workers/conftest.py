from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

import durastream as ds

Running = Callable[[ds.App], AbstractAsyncContextManager[ds.Client]]


@pytest.fixture
def running(server_url: str) -> Running:
    """A client of a server on which a worker runs the given app."""

    @asynccontextmanager
    async def run(app: ds.App) -> AsyncIterator[ds.Client]:
        async with ds.Worker(app, server_url, lease=5), ds.Client(server_url) as client:
            yield client

    return run
