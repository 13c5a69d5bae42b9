"""Hostile entries, by hand and generated, into a hub whose worker must outlive them; and ids that look like something else."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import redis.crc as crc

import durastream as ds
from durastream import wire
from durastream.core.ids import partition_of
from durastream.store.keys import HubKeys
from durastream.store.redis.hubs import create_hub
from tests.acceptance.bad_input_app import app, keeps, neighbour
from tests.acceptance.planting import PARTITIONS, garden
from tests.acceptance.serving import LEASE_S
from tests.conftest import REAL_SERVERS, Servers
from tests.hostile import entries
from tests.hostile.ground import HOME, VICTIM, check_lines, scene
from tests.hostile.storm import storm
from tests.support import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.real_server, pytest.mark.skipif(not REAL_SERVERS, reason="no server")]


@pytest.fixture
def url(servers: Servers) -> str:
    return servers.url(next(iter(REAL_SERVERS)))


async def test_refused_entries_of_the_ingress(url: str) -> None:
    rows = list(entries.refused_entries())
    assert len(rows) >= 130
    async with scene(url) as at:
        for fields in rows:
            at.ground.redis.execute_command("XADD", at.ground.hub.ingress, "*", *fields)
        await at.complete(at.ids(home=True, number=2) + at.ids(home=False, number=2), 10)
        await eventually(lambda: len(at.ground.plants.dead()) >= len(rows), 20, pause_s=0.02)
        letters = at.ground.plants.dead()
        assert len(letters) == len(rows)
        assert all(reason.isprintable() and 10 < len(reason) < 2_000 for reason, _ in letters), letters
        assert VICTIM not in at.ground.plants.instances()
        assert at.worker.host.failure is None
        check_lines("ingress", at.lines)


async def test_refused_messages_of_an_inbox(url: str) -> None:
    async with scene(url) as at:
        for message in (*entries.REFUSED_MESSAGES, *entries.LARGE):
            at.ground.plants.inbox(VICTIM, wire.pack_message(message))
        await at.complete(at.ids(home=True, number=2) + at.ids(home=False, number=2), 10)
        await eventually(lambda: not at.ground.plants.waiting(), 20, pause_s=0.02)
        letters = at.ground.plants.dead()
        assert len(letters) == len(entries.REFUSED_MESSAGES), [reason for reason, _ in letters]
        assert all(reason.isprintable() and 10 < len(reason) < 600 for reason, _ in letters)
        assert VICTIM not in at.ground.plants.instances()
        assert at.worker.host.failure is None


async def test_a_storm_of_generated_entries(url: str) -> None:
    async with scene(url) as at:
        planted = await storm(at, seed=1, count=800)
        assert sum(planted.values()) > 700


async def test_ids_like_other_things_by_every_door(url: str) -> None:
    """Each names itself and nothing else: in its own slot, by client, ingress, list, prefix, find and entities."""
    keys = HubKeys("default", PARTITIONS)
    for one in entries.KEY_LIKE:
        names = keys.partitions[partition_of(one, PARTITIONS)]
        home = crc.key_slot(f"default:{partition_of(one, PARTITIONS)}".encode())
        assert {crc.key_slot(key.encode()) for key in (names.instance(one), names.history(one), names.entity(one))} == {
            home
        }
    async with scene(url) as at:
        client, server = at.client, at.ground.redis
        for number, one in enumerate(entries.KEY_LIKE[::2]):
            await client.start(neighbour, number, instance_id=one)
        for number, one in enumerate(entries.KEY_LIKE[1::2]):
            server.xadd(at.ground.hub.ingress, {"op": "start", "name": "neighbour", "id": one, "input": str(number)})
        for number, one in enumerate(entries.KEY_LIKE):

            async def ended(one: str = one) -> ds.InstanceStatus | None:
                try:
                    status = await client.status(one)
                except ds.InstanceNotFound:
                    return None  # on its way
                return status if status.ended else None

            status = await eventually(ended, 10, what=ascii(one))
            assert (status.id, status.output) == (one, number // 2)
            assert one in {found.id async for found in client.list(prefix=one, limit=100)}
            assert one in {found.id async for found in client.find(one, limit=100)}
        listed = Counter([found.id async for found in client.list(name="neighbour")])
        assert all(listed[one] == 1 for one in entries.KEY_LIKE)
        for one in entries.KEY_LIKE:
            await client.purge(one)
        assert not set(entries.KEY_LIKE) & at.ground.plants.instances()
        assert at.ground.plants.dead() == []
        assert all(key.startswith(b"ds:{default") or key == b"ds:hubs" for key in server.keys("*"))


async def test_keys_of_entities_like_other_things(url: str) -> None:
    async with scene(url) as at:
        for one in entries.KEY_LIKE:
            fields = {"op": "signal", "entity": "Keeper", "key": one, "operation": "keep", "input": "10"}
            at.ground.redis.xadd(at.ground.hub.ingress, fields)
        for one in entries.KEY_LIKE:
            entity = ds.EntityId("Keeper", one)
            await eventually(lambda entity=entity: at.client.read_entity(entity), 10, what=ascii(one))  # type: ignore[misc]
            await at.client.signal_entity(entity, "keep", 1)
            handle = await at.client.start(keeps, one)
            assert await handle.result(timeout=10) == 12, one
            found = [status.id async for status in at.client.list_entities("Keeper", prefix=one)]
            assert entity in found
        shown = [status.id.key async for status in at.client.list_entities("Keeper")]
        assert Counter(shown) == Counter(entries.KEY_LIKE)


@pytest.mark.parametrize("bad", entries.REFUSED, ids=ascii)
async def test_what_one_door_refuses_all_refuse(url: str, bad: str) -> None:
    async with ds.Client(url) as client:
        for call in (
            lambda: client.start("neighbour", 1, instance_id=bad),
            lambda: client.start(bad, 1),
            lambda: client.raise_event("x", bad),
            lambda: client.history(bad),
            lambda: client.signal_entity(ds.EntityId("Keeper", bad), "keep", 1),
            lambda: client.signal_entity(ds.EntityId("Keeper", "x"), bad, 1),
        ):
            with pytest.raises(ds.InvalidId) as raised:
                await call()
            assert str(raised.value).isprintable() and len(str(raised.value)) < 300
    with garden(url) as plants:
        assert plants.instances() == set()
        assert plants.waiting() == {}


@pytest.mark.parametrize("reason", ["x" * 8_193, "é" * 4_097, "\ud800", b"bytes", 5])
async def test_a_reason_over_the_limit(url: str, reason: Any) -> None:
    async with ds.Client(url) as client:
        await client.start("nobody has it", 1, instance_id="x")
        for change in (client.suspend, client.resume, client.terminate, client.rewind):
            with pytest.raises(ds.InvalidId, match=r"reason .* is not valid"):
                await change("x", reason)
        for options in (
            {"version": "x" * 257},
            {"version": "a\nb"},
            {"tags": {"\ud800": "x"}},
            {"tags": {"x": "\ud800"}},
        ):
            with pytest.raises(ds.InvalidId):
                await client.start("nobody has it", 1, instance_id="y", **options)
    with garden(url) as plants:
        assert plants.instances() == {"x"}
        assert sum(plants.waiting().values()) == 1


async def test_hubs_with_names_that_look_alike(url: str) -> None:
    """The same ids in each: what happens in one is not seen in the others."""
    names = ("a", "A", "a1", "a-1", "a_1", "default", "x" * 64)
    for number, name in enumerate(names):
        await create_hub(url, name, partitions=4)
        async with ds.Worker(app, url, hub=name, lease=LEASE_S, grace=0.2), ds.Client(url, hub=name) as client:
            handle = await client.start(neighbour, number, instance_id="the same")
            assert await handle.result(timeout=10) == number
    for number, name in enumerate(names):
        async with ds.Client(url, hub=name) as client:
            assert (await client.status("the same")).output == number
            assert [status.id async for status in client.list()] == ["the same"]
    assert HOME < PARTITIONS


@pytest.mark.parametrize("bad", ["a*", "a:b", "{a}", "", "a b", "ä", "x" * 65, "a\n", "../a", "a\0", "A?"])
async def test_names_of_hubs_that_are_refused(url: str, bad: str) -> None:
    for opened in (lambda: ds.Client(url, hub=bad), lambda: ds.Worker(app, url, hub=bad)):
        with pytest.raises(ds.InvalidId, match="hub name"):
            async with opened():
                raise AssertionError("it was opened")
    with garden(url) as plants:
        assert plants.redis.keys("*") == []
