"""Somebody destroys the consumer groups of activities, more than once: workers make them again and lose nothing."""

from __future__ import annotations

import asyncio

import pytest
import redis

from durastream.errors import StoreUnavailable
from durastream.store.redis import RedisStore
from tests.support import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.real_server]

_KEY = "ds:{default:0}:a:default"


def _destroy(server: redis.Redis) -> int:
    return int(server.xgroup_destroy(_KEY, "workers"))


async def test_groups_that_go_while_a_read_is_blocked_again_are_made_again(server_url: str) -> None:
    """Found by chaos (deployment single, seed 2114000836): the second NOGROUP within one read ended the worker."""
    store = await RedisStore.open(server_url, partitions=1)
    with redis.Redis.from_url(server_url, protocol=2) as server:
        reading = asyncio.create_task(store.claim_activities("me", ["default"], 10, 10_000))
        # The first time it was because nobody had made them yet.
        await eventually(lambda: server.exists(_KEY) and _blocked(server) and _destroy(server))
        await eventually(lambda: server.exists(_KEY) and server.xinfo_groups(_KEY))
        server.xadd(_KEY, {"m": b"\x90", "d": 0})
        assert [one.blob for one in await reading] == [b"\x90"]
    await store.close()


async def test_groups_that_go_as_fast_as_they_are_made_are_an_outage_and_no_end(
    server_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await RedisStore.open(server_url, partitions=1)

    async def nobody_makes_them(_: str) -> None:
        return

    monkeypatch.setattr(store, "_make_group", nobody_makes_them)
    with pytest.raises(StoreUnavailable, match="consumer groups"):
        await store.claim_activities("me", ["default"], 10, 100)
    await store.close()


def _blocked(server: redis.Redis) -> bool:
    return bool(server.info("clients")["blocked_clients"])
