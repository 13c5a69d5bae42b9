"""Blocked reads in a Cluster: what stays under way between two calls, and what must not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from durastream.store.cluster import Cluster
from durastream.store.place import Place
from durastream.store.redis.readers import ManySlots
from tests.conftest import CLUSTER, NO_SERVER, REAL_SERVERS, Servers
from tests.support import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.real_server]

READ = ("XREAD", "COUNT", 10)
A, B = "{a}stream", "{b}stream"


@pytest.fixture(params=[CLUSTER] if REAL_SERVERS else [NO_SERVER])
def url(request: pytest.FixtureRequest, servers: Servers) -> str:
    return servers.url(request.param)


@asynccontextmanager
async def readers(url: str) -> AsyncIterator[tuple[ManySlots, Cluster]]:
    cluster = Cluster(Place.parse(url), client_name="test")
    many = ManySlots(cluster, "test")
    try:
        await cluster.get()
        yield many, cluster
    finally:
        await many.close()
        await cluster.close()


async def until_blocked(cluster: Cluster, count: int) -> None:
    async def all_are() -> bool:
        lists = [await connection.call("CLIENT", "LIST") for connection in await cluster.masters()]
        return sum(b"flags=b" in line for text in lists for line in text.splitlines()) == count

    await eventually(all_are, 5)


def keys(found: list[Any]) -> list[str]:
    return [key.decode() for key, _ in found]


async def test_a_read_of_many_partitions_brings_what_comes_to_any(url: str) -> None:
    async with readers(url) as (many, cluster):
        for key in (A, B):
            read = asyncio.create_task(many.read("inbox", 9_000, READ, {A: "$", B: "$"}))
            await until_blocked(cluster, 2)
            await cluster.call("XADD", key, "*", "f", "v")
            assert keys(await asyncio.wait_for(read, 5)) == [key]


async def test_what_was_read_while_nobody_asked_is_read_again(url: str) -> None:
    """Its entries may have been dealt with meanwhile: so a partition does when it goes through its inbox with care."""
    async with readers(url) as (many, cluster):
        read = asyncio.create_task(many.read("inbox", 9_000, READ, {A: "0", B: "0"}))
        await until_blocked(cluster, 2)
        await cluster.call("XADD", A, "*", "f", "v")
        assert keys(await asyncio.wait_for(read, 5)) == [A]
        entry = await cluster.call("XADD", B, "*", "f", "v")  # goes to the read that is still under way
        await cluster.call("XDEL", B, entry)
        assert await many.read("inbox", 50, READ, {B: "0"}) == []


async def test_it_can_be_ended_and_begun_again(url: str) -> None:
    async with readers(url) as (many, cluster):
        read = asyncio.create_task(many.read("inbox", 9_000, READ, {A: "0"}))
        await until_blocked(cluster, 1)
        many.interrupt()
        assert await asyncio.wait_for(read, 5) == []
        await cluster.call("XADD", A, "*", "f", "v")
        assert keys(await asyncio.wait_for(many.read("inbox", 9_000, READ, {A: "0"}), 5)) == [A]


async def test_kinds_do_not_disturb_each_other(url: str) -> None:
    async with readers(url) as (many, cluster):
        reads = [asyncio.create_task(many.read(kind, 9_000, READ, {A: "0"})) for kind in ("inbox", "activity")]
        await cluster.call("XADD", A, "*", "f", "v")
        assert [keys(found) for found in await asyncio.wait_for(asyncio.gather(*reads), 5)] == [[A], [A]]
