"""Keys of entities that were spoilt by hand: no partial commit, a named refusal, and lists that leave out only that one."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import redis

from durastream.errors import Refused, StoreError
from durastream.store.keys import HubKeys, PartitionKeys
from durastream.store.protocol import EntityChange
from durastream.store.redis import RedisStore
from durastream.store.redis.hubs import delete_hub
from tests.conftest import FAKE_SERVER, REAL_SERVERS, Servers
from tests.store.conformance.rigs import PARTITIONS
from tests.store.conformance.values import Owner, birth, entities_in, own, step

pytestmark = pytest.mark.anyio

E1, E2, E3 = entities_in(0, 3)
NAMES = HubKeys("default", PARTITIONS).partitions[0]


@pytest.fixture(params=[FAKE_SERVER, *REAL_SERVERS])
def url(request: pytest.FixtureRequest, servers: Servers) -> str:
    return servers.url(request.param)


@pytest.fixture
def raw(url: str) -> Iterator[Any]:
    with redis.Redis.from_url(url, protocol=2) as connected:
        yield connected


@pytest.fixture
async def owner(url: str) -> AsyncIterator[Owner]:
    store = await RedisStore.open(url, partitions=PARTITIONS)
    yield await own(store, 0)
    await store.close()


def put(raw: Any, key: str, kind: str) -> None:
    """Replace a key by one of this type."""
    raw.delete(key)
    {"string": lambda: raw.set(key, "x"), "list": lambda: raw.rpush(key, "x")}[kind]()


def dump(raw: Any) -> dict[bytes, bytes]:
    return {key: raw.dump(key) for key in raw.keys("*")}


async def two(owner: Owner) -> None:
    await owner.commit(
        entities=[birth(one, fields={"state": b"1", "lock": "i\ne\n1"}, queue_add={1: b"a"}) for one in (E1, E2)]
    )


# ---------------------------------------------------------------- another type

SPOILT: dict[str, str] = {
    "record": NAMES.entity(E1),
    "queue": NAMES.queue_of(E1),
    "index": NAMES.entities,
    "locks": NAMES.locks,
    "stalled": NAMES.stalled,
}


@pytest.mark.parametrize("key", SPOILT.values(), ids=SPOILT)
@pytest.mark.parametrize("kind", ["string", "list"])
@pytest.mark.parametrize("gone", [False, True])
async def test_a_key_of_another_type_refuses_the_whole_commit(
    raw: Any, owner: Owner, key: str, kind: str, gone: bool
) -> None:
    await two(owner)
    one, other = await owner.entity(E1), await owner.entity(E2)
    put(raw, key, kind)
    before = dump(raw)
    with pytest.raises(Refused, match=r"REFUSED|WRONGTYPE"):
        await owner.commit(
            entities=[
                step(other, fields={"state": b"2"}, queue_add={2: b"b"}),
                step(one, fields={"lock": None}, queue_remove=[1], gone=gone),
                birth(E3),
            ],
            stalled={E2: b"{}"},
            inbox=[b"m"],
        )
    assert dump(raw) == before


@pytest.mark.parametrize("key", [NAMES.entity(E1), NAMES.queue_of(E1)])
async def test_a_key_of_another_type_is_read_as_such(
    raw: Any, owner: Owner, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    await two(owner)
    put(raw, key, "string")
    with pytest.raises(StoreError, match="WRONGTYPE"):
        await owner.store.entities([E2, E1])
    with pytest.raises(Refused, match="WRONGTYPE"):
        await owner.store.load_entities(owner.lease, [E1])
    caplog.set_level(logging.ERROR)
    page = await owner.store.entity_page("", cursor=None, limit=10)
    assert [one.entity for one in page.records] == [E2]
    assert [record.message for record in caplog.records if f"entity {E1} cannot be read" in record.message]


# ---------------------------------------------------------------- other content

SPOILT_FIELDS = {"revision": "x", "created_at": "soon", "lock": b"\xff", "locked_at": "\xff"}


@pytest.mark.parametrize("field", SPOILT_FIELDS)
async def test_a_record_that_was_spoilt_is_refused(raw: Any, owner: Owner, field: str) -> None:
    await two(owner)
    raw.hset(NAMES.entity(E1), field, SPOILT_FIELDS[field])
    with pytest.raises(Refused, match="record of entity"):
        await owner.store.entities([E1])
    with pytest.raises(Refused, match="record of entity"):
        await owner.store.load_entities(owner.lease, [E1])
    assert [one.entity for one in (await owner.store.entity_page("", cursor=None, limit=10)).records] == [E2]


async def test_a_queue_that_was_spoilt_is_refused(raw: Any, owner: Owner) -> None:
    await two(owner)
    raw.hset(NAMES.queue_of(E1), "first", b"x")
    with pytest.raises(Refused, match="queue of entity"):
        await owner.store.load_entities(owner.lease, [E1])
    with pytest.raises(Refused, match="queue of entity"):
        await owner.store.entity_queue(E1, 10)


async def test_a_queue_without_a_record_is_refused(raw: Any, owner: Owner) -> None:
    """Taken for an entity that is not there, it would be written to, and refused, for ever."""
    await two(owner)
    raw.delete(NAMES.entity(E1))
    with pytest.raises(Refused, match=r"record of entity .* is gone, but 1 messages"):
        await owner.store.load_entities(owner.lease, [E1])
    assert await owner.store.entities([E1]) == [None]


async def test_index_entries_of_nothing_are_skipped(raw: Any, owner: Owner) -> None:
    await two(owner)
    raw.zadd(NAMES.entities, {"@Counter@": 0, b"@Counter@\xff": 0, b"\xff": 0, "~": 0, f"{E1}.": 0})
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = await owner.store.entity_page("@", cursor=cursor, limit=1)
        found += [one.entity for one in page.records]
        cursor = page.cursor
        if cursor is None:
            break
    assert found == [E1, E2]
    assert [one.entity for one in (await owner.store.entity_page("", cursor=None, limit=10)).records] == [E1, E2]


# ---------------------------------------------------------------- what is stored


def test_all_keys_of_an_entity_lie_in_its_partition() -> None:
    names = PartitionKeys("hub", 3)
    keys = (names.entity(E1), names.queue_of(E1), names.entities, names.locks, names.stalled)
    assert all(key.startswith("ds:{hub:3}:") for key in keys)
    assert len(set(keys)) == len(keys)


async def test_only_what_is_needed_is_stored(raw: Any, owner: Owner) -> None:
    await two(owner)
    await owner.commit(entities=[EntityChange(E1, 0, 1, {"state": b"2", "lock": None}, queue_remove=[1])])
    assert raw.hgetall(NAMES.entity(E1)) == {b"revision": b"1", b"state": b"2"}
    assert not raw.exists(NAMES.queue_of(E1))
    assert raw.zrange(NAMES.entities, 0, -1, withscores=True) == [(E1.encode(), 0.0), (E2.encode(), 0.0)]
    assert raw.hgetall(NAMES.locks) == {E2.encode(): b"i\ne\n1"}


async def test_a_deleted_hub_leaves_no_entities(raw: Any, url: str, owner: Owner) -> None:
    await two(owner)
    await owner.commit(stalled={E1: b"{}"})
    await delete_hub(url, "default")
    assert raw.keys("ds:*") == []
