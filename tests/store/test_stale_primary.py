"""An old primary that lives on after a failover: nobody stays with it until the Sentinels get around to telling it."""

from __future__ import annotations

import asyncio

import pytest

from durastream.store import topology
from durastream.store.connection import Link
from durastream.store.place import Place
from tests.conftest import NO_SERVER, REAL_SERVERS
from tests.servers.sentinel import Sentinels
from tests.support import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.real_server]

_TOLD_S = 8.0  # Sentinels make a replica of an old primary no earlier


@pytest.mark.parametrize("binary", [*REAL_SERVERS.values()][:1] or [NO_SERVER])
async def test_connections_leave_an_old_primary_before_it_is_told(binary: str) -> None:
    """Found by chaos (deployment sentinel, seed 5): for ten seconds workers had connections to both, and activities were
    recorded as deadly because their worker's heartbeats went to the old one."""
    sentinels = await asyncio.to_thread(Sentinels.start, binary)
    link = topology.link(Place.parse(sentinels.url), client_name="test")
    assert isinstance(link, Link)
    try:
        old = (await link.get()).endpoint.port
        await asyncio.to_thread(sentinels.failover)
        new = sentinels.primary().port
        assert new != old

        async def moved() -> bool:
            return (await link.get()).endpoint.port == new

        await eventually(moved, _TOLD_S / 2, pause_s=0.1, what="the link leads to the new primary")
    finally:
        await link.close()
        await asyncio.to_thread(sentinels.stop)
