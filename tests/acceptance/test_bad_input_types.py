"""Keys replaced by ones of another type, and records spoilt by hand: no partial commit, a loud failure of that item, and the
others go on."""

from __future__ import annotations

import logging
from typing import Any

import pytest

import durastream as ds
from durastream.core.messages import RaiseEvent
from durastream.core.status import ALL
from durastream.errors import Refused, StoreError
from durastream.store.redis import spoilt
from tests.acceptance.bad_input_app import neighbour, waits
from tests.acceptance.planting import PARTITIONS, Garden, ids_in
from tests.acceptance.serving import until_status
from tests.acceptance.test_bad_input_streams import Scene, scene
from tests.support import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.real_server]

HOME = 5
AFRESH = Refused("a test has it read afresh")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spoilt, "_AGAIN_S", 0.3)


def put(plants: Garden, key: str, kind: str) -> None:
    """Replace a key by one of this type."""
    plants.redis.delete(key)
    makers: dict[str, Any] = {
        "string": lambda: plants.redis.set(key, "x"),
        "list": lambda: plants.redis.rpush(key, "x"),
        "hash": lambda: plants.redis.hset(key, "x", "y"),
        "zset": lambda: plants.redis.zadd(key, {"x": 1}),
        "stream": lambda: plants.redis.xadd(key, {"x": "y"}),
    }
    makers[kind]()


async def begun(at: Scene, count: int = 3) -> list[ds.Handle[Any]]:
    """Instances of one partition that wait for an event."""
    handles = [await at.client.start(waits, 1, instance_id=one) for one in ids_in(HOME, count)]
    for handle in handles:
        await until_status(handle, "Running")
    return handles


async def finish(handles: list[ds.Handle[Any]]) -> None:
    for handle in handles:
        await handle.raise_event("go", "on")
        assert await handle.result(timeout=5) == "on"


@pytest.mark.parametrize("kind", ["string", "list", "zset", "stream"])
async def test_an_instance_of_another_type(server_url: str, kind: str) -> None:
    async with scene(server_url) as at:
        victim, *others = await begun(at)
        put(at.plants, at.plants.home(victim.id).instance(victim.id), kind)
        at.worker.host.owned[HOME]._failed(AFRESH)  # forget what is in memory, as a takeover would
        await at.client._session.post(RaiseEvent(victim.id, "go", b"1"))
        await finish(others)
        letters = await at.dead(1)
        assert "WRONGTYPE" in letters[0][0]
        with pytest.raises(ds.InstanceExists, match="of another type"):
            await at.client.start(neighbour, 1, instance_id=victim.id)
        with pytest.raises(StoreError, match="WRONGTYPE"):
            await victim.status()
        assert {status.id async for status in at.client.list(limit=10)} >= {other.id for other in others}


@pytest.mark.parametrize("kind", ["string", "zset"])
@pytest.mark.parametrize("loaded", [False, True])
async def test_a_history_of_another_type(server_url: str, kind: str, loaded: bool) -> None:
    """It cannot go on, and is parked where everybody sees it; terminate still works."""
    async with scene(server_url) as at:
        victim, *others = await begun(at)
        put(at.plants, at.plants.home(victim.id).history(victim.id), kind)
        if not loaded:
            at.worker.host.owned[HOME]._failed(AFRESH)
        await victim.raise_event("go", "lost?")
        await finish(others)
        status = await until_status(victim, "Suspended")
        assert status.problem is not None
        assert "history" in status.problem["message"]
        await victim.terminate("it is broken")
        await until_status(victim, "Terminated")
        await at.all_gone()


SPOILT_FIELDS = {
    "revision": "x",
    "events": "many",
    "created_at": "\xff",
    "status": "Weird",
    "parent": "no parent",
    "name": b"\xff",
}


@pytest.mark.parametrize("field", SPOILT_FIELDS)
async def test_a_record_with_a_spoilt_field(server_url: str, field: str) -> None:
    async with scene(server_url) as at:
        victim, *others = await begun(at)
        at.plants.redis.hset(at.plants.home(victim.id).instance(victim.id), field, SPOILT_FIELDS[field])
        at.worker.host.owned[HOME]._failed(AFRESH)
        await at.client._session.post(RaiseEvent(victim.id, "go", b"1"))
        await finish(others)
        await at.dead(1)


@pytest.mark.parametrize("kind", ["string", "hash"])
async def test_an_activity_stream_of_another_type(server_url: str, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """What needs it waits, parked; the rest of the hub goes on; once it is mended, `resume` goes on."""
    async with scene(server_url) as at:
        (name,) = ids_in(HOME, 1, prefix="needs")
        stream = at.plants.keys.partitions[HOME].activities("default")
        put(at.plants, stream, kind)
        stuck = await at.client.start(neighbour, 4, instance_id=name)
        elsewhere = [ids_in(p, 1, prefix="free")[0] for p in range(PARTITIONS) if p != HOME]
        handles = [await at.client.start(neighbour, 3, instance_id=one) for one in elsewhere]
        assert await at.client.wait_all(handles, timeout=5) == [3] * len(handles)
        status = await until_status(stuck, "Suspended")
        assert status.problem is not None and stream in status.problem["message"]
        assert at.plants.dead() == []
        await eventually(lambda: [one for one in caplog.records if "is no stream" in one.message], 10)
        assert len([one for one in caplog.records if "is no stream" in one.message]) == 1
        at.plants.redis.delete(stream)
        await stuck.resume("mended")
        assert await stuck.result(timeout=15) == 4


@pytest.mark.parametrize("part", ["timers", "parked", "queues", "watch", "stats", *(f"s:{word}" for word in ALL)])
async def test_other_keys_of_another_type(server_url: str, part: str) -> None:
    """Nothing is half done: what cannot be written whole is refused before anything is, and kept."""
    async with scene(server_url) as at:
        (name,) = ids_in(HOME, 1, prefix="half")
        names = at.plants.keys.partitions[HOME]
        key = names.tag + part
        kept = at.plants.redis.dump(key)
        put(at.plants, key, "string")
        try:
            await at.client.start(neighbour, 4, instance_id=name)
        except StoreError:
            assert name not in at.plants.instances()
        elsewhere = [ids_in(p, 1, prefix="free")[0] for p in range(PARTITIONS) if p != HOME]
        handles = [await at.client.start(neighbour, 3, instance_id=one) for one in elsewhere]
        assert await at.client.wait_all(handles, timeout=5) == [3] * len(handles)
        assert at.worker.host.failure is None
        if kept is None:
            at.plants.redis.delete(key)
        else:  # in one step: the worker is at work
            at.plants.redis.restore(key, 0, kept, replace=True)
        handle = at.client.handle(name)
        if name not in at.plants.instances():
            handle = await at.client.start(neighbour, 4, instance_id=name)

        async def done() -> bool:
            # While not even parking it could be written, its message was kept as a dead letter that names the key.
            if any(key in reason and name.encode() in blob for reason, blob in at.plants.dead()):
                return True
            status = await handle.status()
            if status.runtime_status == "Suspended":
                await handle.resume("mended")
            return status.runtime_status == "Completed"

        await eventually(done, 10, pause_s=0.1)


@pytest.mark.parametrize("kind", ["string"])
async def test_an_inbox_of_another_type(server_url: str, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """Its partition stands still, the others do not, and it goes on by itself when the key is gone."""
    caplog.set_level(logging.ERROR)
    async with scene(server_url) as at:
        (name,) = ids_in(HOME, 1, prefix="needs")
        inbox = at.plants.keys.partitions[HOME].inbox
        put(at.plants, inbox, kind)
        with pytest.raises(StoreError, match=r"REFUSED|WRONGTYPE"):
            await at.client.start(neighbour, 4, instance_id=name)
        elsewhere = [ids_in(p, 1, prefix="free")[0] for p in range(PARTITIONS) if p != HOME]
        handles = [await at.client.start(neighbour, 3, instance_id=one) for one in elsewhere]
        assert await at.client.wait_all(handles, timeout=5) == [3] * len(handles)
        at.plants.redis.delete(inbox)
        again = await at.client.start(neighbour, 4, instance_id=name)
        assert await again.result(timeout=15) == 4
