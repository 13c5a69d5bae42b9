"""Everything of `keys`, one after the other, into a hub with a worker that must outlive it all."""

from __future__ import annotations

import pytest

from durastream.store.redis import spoilt
from tests.acceptance.planting import garden
from tests.conftest import REAL_SERVERS, Servers
from tests.hostile.ground import Ground, scene
from tests.hostile.keys import PLANTS

pytestmark = [pytest.mark.anyio, pytest.mark.real_server, pytest.mark.skipif(not REAL_SERVERS, reason="no server")]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spoilt, "_AGAIN_S", 0.3)


@pytest.fixture
def url(servers: Servers) -> str:
    """One kind of server is enough: tests/acceptance/test_bad_input_*.py go through both."""
    return servers.url(next(iter(REAL_SERVERS)))


def test_there_are_many() -> None:
    names = [plant.name for plants in PLANTS.values() for plant in plants]
    assert len(names) == len(set(names)) >= 150


@pytest.mark.parametrize("group", PLANTS)
async def test_a_worker_outlives_it(url: str, group: str) -> None:
    async with scene(url) as at:
        for plant in PLANTS[group]:
            await at.endure(plant)


async def test_a_new_worker_over_all_of_it(url: str) -> None:
    """Fields and members that were planted before anybody looked."""
    async with scene(url):
        pass
    with garden(url) as plants:
        ground = Ground(plants)
        for plant in (*PLANTS["fields"], *PLANTS["members"]):
            if plant.stops == "nothing":
                plant.plant(ground)
    async with scene(url) as at:
        await at.seen_by_all()
        assert at.worker.host.failure is None
