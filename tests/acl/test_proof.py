"""Each process proves its rights before it writes anything: what lacks is named, all of it, and nothing is half done."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis

import durastream as ds
from durastream.errors import AccessDenied, HubNotFound
from durastream.store.connect import Endpoint
from durastream.store.connection import Connection
from durastream.store.embedded import EmbeddedServer
from durastream.store.redis import RedisStore
from durastream.store.redis.hubs import delete_hub, lacking_rights, list_hubs
from durastream.store.redis.repairs import Repairs
from durastream.store.rights import OPTIONAL, ROLES, Right, missing_rights, rights_of, rules
from durastream.store.uses import WRITES
from tests.acl.users import add_user, denied, url_of

pytestmark = pytest.mark.anyio

HUB = "orders"
PROVED = [role for role in ROLES if role != "producer"]


@pytest.fixture
def server(ruled_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(ruled_url, protocol=2, decode_responses=True) as connected:
        yield connected


def token(right: Right) -> str:
    return "+" + right.command.lower().replace(" ", "|")


def grant(server: Any, url: str, found: list[str]) -> str:
    server.execute_command("ACL", "SETUSER", "u", "on", ">canary-u", *found)
    return url_of(url, "u")


async def lacking(url: str, role: str) -> list[Right]:
    connection = await Connection.open(Endpoint.parse(url), client_name="proof")
    try:
        return await missing_rights(connection, role, HUB)
    finally:
        await connection.close()


# ---------------------------------------------------------------- the rules and the proof agree


@pytest.mark.parametrize("role", PROVED)
async def test_the_rules_are_enough(each_url: str, role: str) -> None:
    assert await lacking_rights(add_user(each_url, role, HUB), HUB, role) == []
    assert await lacking_rights(each_url, HUB, role) == [], "the default user may do everything"


@pytest.mark.parametrize("role", PROVED)
async def test_without_any_one_of_them_the_proof_names_it(ruled_url: str, server: redis.Redis, role: str) -> None:
    for right in rights_of(role):
        if right.command in OPTIONAL or right.about == "REPLIES":
            continue
        found = list(rules(role, HUB))
        if right.about == "HUBS":
            (place,) = (k for k, one in enumerate(found) if one.startswith("("))
            found[place] = found[place].replace(token(right) + " ", "")
            found = [one for one in found if not one.startswith("(%") and not one.startswith("(~")]
        else:
            found.remove(token(right))
        url = grant(server, ruled_url, found)
        if right.command == "CLIENT SETNAME":
            with pytest.raises(ds.ServerUnsuitable, match=r"client.setname"):
                await lacking(url, role)
        elif right.command == "EVALSHA_RO":
            with pytest.raises(AccessDenied, match="evalsha_ro"):
                await lacking(url, role)
        else:
            assert await lacking(url, role) == [right]


@pytest.mark.parametrize("pattern", ["ds:{orders}:*", "ds:{orders:*"])
async def test_both_patterns_are_needed(ruled_url: str, server: redis.Redis, pattern: str) -> None:
    found = [one for one in rules("worker", HUB) if not one.endswith(f"~{pattern}")]
    lack = await lacking(grant(server, ruled_url, found), "worker")
    assert {one for one in rights_of("worker") if one.about == "KEY"} == set(lack)


async def test_channels_are_proved(ruled_url: str, server: redis.Redis) -> None:
    found = [one for one in rules("worker", HUB) if not one.startswith("&")]
    assert await lacking(grant(server, ruled_url, [*found, "&ds:{orders-x}:c:*"]), "worker") == [
        Right("PUBLISH", "CHANNEL"),
        Right("SUBSCRIBE", "CHANNEL"),
    ]


def test_roles_contain_each_other() -> None:
    def of(role: str) -> set[Right]:
        return set(rights_of(role))

    assert of("readonly") <= of("client") <= of("worker")
    assert of("client") | of("fsck") <= of("operator")


# ---------------------------------------------------------------- before anything is written


async def test_a_worker_that_lacks_something_does_not_begin(ruled_url: str, server: redis.Redis) -> None:
    url = add_user(ruled_url, "worker", HUB, "-zadd", "-xinfo|groups")
    with pytest.raises(AccessDenied) as caught:
        async with ds.Worker(ds.App(), url, hub=HUB):
            raise AssertionError("it began")
    assert "+xinfo|groups on keys of the hub; +zadd on keys of the hub" in str(caught.value)
    assert "durastream acl --role worker --hub orders" in str(caught.value)
    assert "canary" not in str(caught.value)
    assert server.keys() == []


async def test_a_client_that_lacks_half_of_its_rights_does_not_open(ruled_url: str, server: redis.Redis) -> None:
    with pytest.raises(AccessDenied, match=r"lacks rights of a client of hub 'orders': \+zadd on keys"):
        async with ds.Client(add_user(ruled_url, "client", HUB, "-zadd"), HUB):
            raise AssertionError("it opened")
    assert server.keys() == []


async def test_who_may_not_even_be_asked_is_told_the_same(ruled_url: str, server: redis.Redis) -> None:
    for command in ("-evalsha_ro", "-eval_ro"):
        with pytest.raises(AccessDenied, match="by its access rules: NOPERM"):
            async with ds.Client(add_user(ruled_url, "client", HUB, command), HUB):
                raise AssertionError("it opened")
        server.script_flush()
    assert server.keys() == []


async def test_a_reader_opens_a_hub_and_creates_none(ruled_url: str, server: redis.Redis) -> None:
    reader = add_user(ruled_url, "readonly", HUB)
    with pytest.raises(HubNotFound):
        async with ds.Client(reader, HUB):
            raise AssertionError("it opened")
    assert server.keys() == []
    async with ds.Client(add_user(ruled_url, "client", HUB), HUB) as client:
        await client.start("any", instance_id="one")
    before = {key: server.type(key) for key in server.scan_iter()}
    async with ds.Client(reader, HUB) as client:
        assert [one.id async for one in client.list()] == ["one"]
        assert (await client.status("one")).name == "any"
        assert denied(ruled_url) == []
        with pytest.raises(AccessDenied, match="evalsha"):
            await client.start("any", instance_id="two")
        with pytest.raises(ds.DurastreamError, match="access rules"):
            await client.handle("one").wait(timeout=5)
    assert {key: server.type(key) for key in server.scan_iter()} == before


async def test_fsck_reads_and_repairs_are_the_operators(ruled_url: str) -> None:
    async with ds.Client(ruled_url, HUB):
        pass
    hub = await Repairs.open(add_user(ruled_url, "fsck", HUB), HUB)
    with pytest.raises(AccessDenied, match="lacks rights of a operator"):
        await hub.prove("operator")
    await hub.close()
    hub = await Repairs.open(add_user(ruled_url, "operator", HUB), HUB)
    await hub.prove("operator")
    await hub.close()
    with pytest.raises(AccessDenied, match="lacks rights of a fsck"):
        await Repairs.open(add_user(ruled_url, "worker", HUB), HUB)


async def test_only_the_operator_deletes_and_lists_hubs(ruled_url: str, server: redis.Redis) -> None:
    async with ds.Client(ruled_url, HUB):
        pass
    for role in ("worker", "client", "readonly"):
        user = add_user(ruled_url, role, HUB)
        with pytest.raises(AccessDenied):
            await list_hubs(user)
        with pytest.raises(AccessDenied):
            await delete_hub(user, HUB)
    operator = add_user(ruled_url, "operator", HUB)
    assert await list_hubs(operator) == [HUB]
    assert await delete_hub(operator, HUB) == 1
    assert server.keys() == []


async def test_a_server_that_cannot_be_asked_is_not() -> None:
    with EmbeddedServer.start("fakeredis") as server:
        store = await RedisStore.open(server.url, HUB, role="worker")
        assert [one.partition for one in await store.loads()] == list(range(16))
        await store.close()


def test_what_a_client_writes_is_proved() -> None:
    assert {one.command for one in rights_of("client")} & WRITES == {"HSET", "SADD", "XADD", "ZADD"}
