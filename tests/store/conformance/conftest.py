"""Every test of this folder runs on every store.

rig     the server (see rigs.Rig), empty: new handles, snapshots, time
store   a handle on hub "default" with 4 partitions
owner   the owner of partition 0 (see values.Owner)
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from durastream.store.protocol import WorkerStore
from tests.conftest import CLUSTER, FAKE_SERVER, REAL_SERVERS, Servers
from tests.store.conformance.rigs import MemoryRig, RedisRig, Rig
from tests.store.conformance.values import Owner, own

MEMORY = "memory"


@pytest.fixture(params=[MEMORY, FAKE_SERVER, *REAL_SERVERS, *([CLUSTER] if REAL_SERVERS else [])])
async def rig(request: pytest.FixtureRequest, servers: Servers) -> AsyncIterator[Rig]:
    if request.param == FAKE_SERVER and request.node.get_closest_marker("wakes"):
        pytest.skip("fakeredis wakes a blocked group read with an empty answer; callers ask again")
    made = MemoryRig() if request.param == MEMORY else RedisRig(servers.url(request.param))
    yield made
    await made.close()


@pytest.fixture
async def store(rig: Rig) -> WorkerStore:
    return await rig.open()


@pytest.fixture
async def owner(store: WorkerStore) -> Owner:
    return await own(store, 0)
