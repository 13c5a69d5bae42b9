"""`?replicas=1`: a call is acknowledged once a replica has it. On a primary and its replica, of each kind of server."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
import redis

from durastream.client.client import Client
from durastream.core.ids import partition_of
from durastream.errors import AccessDenied, ServerUnsuitable, StoreUnavailable
from durastream.store.connect import BadUrl
from durastream.store.embedded import EmbeddedServer
from durastream.store.place import Place
from durastream.store.redis import RedisStore
from durastream.store.rights import rules
from tests.conftest import FAKE_SERVER, NO_SERVER, REAL_SERVERS, Servers
from tests.store.conformance.values import new
from tests.store.redis.replicating import Pair, ask, cut, instances, mend, pair, replicas_of
from tests.support import eventually

SOON = "?replicas=1&replicas_timeout=0.2"
HUB = "default"
PARTITIONS = 16


@pytest.fixture(params=[pytest.param(path, id=name) for name, path in REAL_SERVERS.items()] or [NO_SERVER])
def both(request: pytest.FixtureRequest) -> Iterator[Pair]:
    with pair(request.param) as found:
        yield found


@asynccontextmanager
async def opened(*urls: str, **more: Any) -> AsyncIterator[Any]:
    """A store for each URL, in this order; bounded, since a reply that is held back for ever would hang."""
    stores = [await RedisStore.open(url, HUB, partitions=PARTITIONS, **more) for url in urls]
    try:
        async with asyncio.timeout(60):
            yield stores if len(stores) > 1 else stores[0]
    finally:
        for store in stores:
            await store.close()


def there(server: Any) -> dict[str, int]:
    with redis.Redis.from_url(server.url, protocol=2) as client:
        return instances(client, HUB, PARTITIONS)


@contextmanager
def stopped(server: EmbeddedServer) -> Iterator[None]:
    """By SIGSTOP."""
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


def waits(server: Any) -> int:
    """How many WAIT it was sent so far."""
    with redis.Redis.from_url(server.url, protocol=2) as client:
        found: Any = client.info("commandstats")
    return int(found.get("cmdstat_wait", {"calls": 0})["calls"])


# ---------------------------------------------------------------- URLs


@pytest.mark.parametrize("start", ["redis://h", "unix:///s", "redis+cluster://a,b", "redis+sentinel://a,b/main"])
def test_every_kind_of_place_may_ask_for_replicas(start: str) -> None:
    place = Place.parse(f"{start}?replicas=2&replicas_timeout=0.5")
    assert (place.server.replicas, place.server.replicas_timeout_s) == (2, 0.5)
    assert place.server.at("other", 7).replicas == 2
    bare = Place.parse(start).server
    assert (bare.replicas, bare.replicas_timeout_s) == (0, 1.0)
    assert "secret" not in str(Place.parse("redis://me:secret@h?replicas=1"))


@pytest.mark.parametrize(
    "start", ["redis://me:secret@h", "redis+cluster://me:secret@a", "redis+sentinel://me:secret@a/m"]
)
@pytest.mark.parametrize(
    ("options", "why"),
    [
        ("replicas=-1", "replicas in the server URL must be a number from 0 to 100"),
        ("replicas=", "a number from 0 to 100"),
        ("replicas=two", "a number from 0 to 100"),
        ("replicas=1.5", "a number from 0 to 100"),
        ("replicas=101", "a number from 0 to 100"),
        ("replicas=" + "9" * 5_000, "a number from 0 to 100"),
        ("replicas=1&replicas_timeout=0", "replicas_timeout in the server URL must be seconds over 0"),
        ("replicas=1&replicas_timeout=-1", "seconds over 0"),
        ("replicas=1&replicas_timeout=nan", "seconds over 0"),
        ("replicas=1&replicas_timeout=1e9", "seconds over 0"),
        ("replicas_timeout=1", "say for how many"),
    ],
)
def test_replicas_that_cannot_be_are_refused(start: str, options: str, why: str) -> None:
    with pytest.raises(BadUrl) as raised:
        Place.parse(f"{start}?{options}")
    assert why in str(raised.value)
    assert "secret" not in str(raised.value)


# ---------------------------------------------------------------- what is acknowledged


@pytest.mark.anyio
@pytest.mark.real_server
async def test_a_call_counts_once_a_replica_has_it(both: Pair) -> None:
    """And once only: over the connection that wrote it, and over a new one on which repeating it writes nothing."""
    where = partition_of("b", PARTITIONS)
    url = both.primary.url + SOON
    async with opened(url, url) as (one, other):
        assert [found.created for found in await one.start(where, [new("a")])] == [True]
        await one.deliver(where, "c:me", (0, "n"), [(1, b"first")])
        with stopped(both.replica):
            for store in (one, one, other):
                with pytest.raises(StoreUnavailable, match="0 of the 1 replicas"):
                    await store.start(where, [new("b")])
                with pytest.raises(StoreUnavailable, match="0 of the 1 replicas"):
                    await store.deliver(where, "c:me", (0, "n"), [(2, b"second")])
            assert await one.records(["b"]) != [None], "reading does not wait for replicas"
        for store in (other, one):
            assert [found.created for found in await store.start(where, [new("b")])] == [True]
            await store.deliver(where, "c:me", (0, "n"), [(2, b"second")])
        kept = [fields[b"m"] for _, fields in _entries(both.replica, one.keys.partitions[where].inbox)]
        assert kept == [b"start a", b"first", b"start b", b"second"]


def _entries(server: Any, key: str) -> list[Any]:
    with redis.Redis.from_url(server.url, protocol=2) as client:
        found: list[Any] = client.xrange(key)
        return found


@pytest.mark.anyio
@pytest.mark.real_server
@pytest.mark.parametrize("options", [SOON, ""], ids=["strict", "plain"])
async def test_what_was_acknowledged_is_there_after_a_failover(
    both: Pair, options: str, caplog: pytest.LogCaptureFixture
) -> None:
    """200 calls with the replica, 200 without it, then the primary dies. Without the option the latter were acknowledged too."""
    client = Client(both.primary.url + options, hub=HUB, retry_for_s=60)
    calls: list[asyncio.Task[Any]] = []
    try:
        async with client:
            first = [asyncio.create_task(client.start("x", instance_id=f"id-{k:03}-")) for k in range(200)]
            calls += first
            await asyncio.wait_for(asyncio.gather(*first), 30)
            if not options:
                await eventually(lambda: len(there(both.replica)) == 200, what="the replica has caught up")
            cut(both.primary)
            later = [asyncio.create_task(client.start("x", instance_id=f"id-{k:03}-")) for k in range(200, 400)]
            calls += later
            await eventually(lambda: len(there(both.primary)) == 400, 30, what="the primary has all of them")
            if options:
                await eventually(lambda: "not acknowledged" in caplog.text, 30, what="it was waited for in vain")
            else:
                await asyncio.wait_for(asyncio.gather(*later), 30)
            both.primary.kill()
            acknowledged = {f"id-{k:03}-" for k, one in enumerate(calls) if one.done()}
            for one in later:
                one.cancel()
            await asyncio.wait(later)
    finally:
        for one in calls:
            one.cancel()
    both.promote()
    kept = there(both.replica)
    assert set(kept.values()) == {1}, "each once"
    assert len(acknowledged) == (200 if options else 400)
    assert len(acknowledged - set(kept)) == (0 if options else 200)


@pytest.mark.anyio
@pytest.mark.real_server
async def test_a_link_that_comes_and_goes_delays_calls_and_doubles_none(
    both: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    async with Client(both.primary.url + SOON, hub=HUB, retry_for_s=60) as client:
        calls: list[asyncio.Task[Any]] = []
        for round_ in range(3):
            caplog.clear()
            cut(both.primary)
            some = [asyncio.create_task(client.start("x", instance_id=f"id-{round_}-{k:03}-")) for k in range(100)]
            calls += some
            await eventually(lambda: len(there(both.primary)) == len(calls), 30, what="all are written")  # noqa: B023
            await eventually(lambda: "not acknowledged" in caplog.text, 30, what="it was waited for in vain")
            assert not any(one.done() for one in some)
            mend(both.primary)
            await asyncio.wait_for(asyncio.gather(*some), 30)
            assert there(both.replica) == {f"id-{n}-{k:03}-": 1 for n in range(round_ + 1) for k in range(100)}


@pytest.mark.anyio
@pytest.mark.real_server
async def test_a_primary_that_is_made_a_replica_meanwhile_acknowledges_nothing(both: Pair) -> None:
    async with opened(both.primary.url + "?replicas=1&replicas_timeout=60") as store:
        await store.start(0, [new("a")])
        with stopped(both.replica):
            call = asyncio.create_task(store.start(0, [new("b")]))
            await eventually(lambda: b"blocked_clients:1" in ask(both.primary, "INFO", "clients"), what="it waits")
            assert "b" in there(both.primary)
            ask(both.primary, "REPLICAOF", "127.0.0.1", both.replica.port)
            with pytest.raises(StoreUnavailable):
                await call


@pytest.mark.anyio
@pytest.mark.real_server
async def test_what_workers_do_waits_for_no_replica_of_one_server(both: Pair) -> None:
    async with opened(both.primary.url + SOON, role="worker") as store:
        with stopped(both.replica):
            lease = await store.acquire_ingress("w", "nonce", 60_000)
            assert await store.route(0, lease, [("1-1", b"first")], []) == [None]
        assert waits(both.primary) == 0


@pytest.mark.anyio
@pytest.mark.real_server
async def test_calls_at_the_same_time_share_a_wait(both: Pair) -> None:
    async with opened(both.primary.url + "?replicas=1") as store:
        await store.start(0, [new("first")])
        before = waits(both.primary)
        await asyncio.gather(*(store.start(k % PARTITIONS, [new(f"id-{k}")]) for k in range(400)))
        assert 1 <= waits(both.primary) - before <= 100


@pytest.mark.anyio
@pytest.mark.real_server
async def test_who_asks_for_no_replicas_sends_nothing_more(both: Pair) -> None:
    async with opened(both.primary.url + "?replicas=0") as store:
        await store.start(0, [new("a")])
        await store.deliver(0, "c:me", (0, "n"), [(1, b"first")])
        assert waits(both.primary) == 0
        with redis.Redis.from_url(both.primary.url, protocol=2) as client:
            assert sum(store.handle_id in one["name"] for one in client.client_list()) == 1
            assert client.hkeys(store.keys.partitions[0].marks) == [b"c:me"]


# ---------------------------------------------------------------- servers that cannot


@pytest.mark.anyio
@pytest.mark.real_server
@pytest.mark.parametrize("binary", [*REAL_SERVERS.values()][:1] or [NO_SERVER], ids=["server"])
async def test_a_server_without_replicas_is_told_of_and_waited_for(
    binary: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pair(binary, following=False) as alone:
        async with Client(alone.primary.url + SOON, hub=HUB, retry_for_s=0.5) as client:
            with pytest.raises(StoreUnavailable, match=r"fate is unknown.*0 of the 1 replicas.*leave `replicas` out"):
                await client.start("x", instance_id="early")
        assert replicas_of(alone.primary) == 0
        caplog.clear()
        with caplog.at_level(logging.WARNING, "durastream.store"):
            async with Client(alone.primary.url + SOON, hub=HUB, retry_for_s=60) as client:
                call = asyncio.create_task(client.start("x", instance_id="late"))
                await eventually(lambda: "not acknowledged" in caplog.text, what="the log says why")
                alone.follow()
                await asyncio.wait_for(call, 30)
        assert caplog.text.count("not acknowledged") == 1, "said once, not at each attempt"
        assert there(alone.replica) == {"early": 1, "late": 1}


@pytest.mark.anyio
async def test_a_server_that_knows_no_wait_is_refused(servers: Servers) -> None:
    async with opened(servers.url(FAKE_SERVER) + "?replicas=1") as store:
        with pytest.raises(ServerUnsuitable, match="it knows no WAIT"):
            await store.start(0, [new("a")])
        assert await store.records(["a"]) == [None]


@pytest.mark.anyio
@pytest.mark.real_server
@pytest.mark.parametrize("role", ["client", "worker", "operator"])
async def test_who_may_not_wait_learns_it_before_anything_is_written(both: Pair, role: str) -> None:
    setting = ("ACL", "SETUSER", "me", *rules(role, HUB), "on", ">secret")
    ask(both.primary, *setting, "-wait")
    url = both.primary.url.replace("://", "://me:secret@")
    async with opened(url, url + SOON, role=role) as (plain, strict):
        await plain.start(0, [new("a")])
        with pytest.raises(AccessDenied, match=r"needs \+wait.*durastream acl"):
            await strict.start(0, [new("b")])
        assert [*there(both.primary)] == ["a"]
        ask(both.primary, *setting)
        await strict.start(0, [new("b")])
        assert [*there(both.replica)] == ["a", "b"]
