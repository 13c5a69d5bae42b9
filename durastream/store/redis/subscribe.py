"""Notifications of one channel, through redis-py's own publish/subscribe, healed after every loss of the connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import redis.asyncio as redis_asyncio
from durastream import environment
from durastream.store.connect import Endpoint
from redis.exceptions import RedisError

_PAUSE_S_MAX = 1.0
_IDLE_S = 60.0  # how long to wait for a message before looking whether the connection still lives


async def subscribed(endpoint: Endpoint, channel: str) -> AsyncIterator[bytes | None]:
    """Yield None once subscribed (again), then each published blob."""
    pause = 0.05
    while True:
        client = redis_asyncio.Redis.from_url(endpoint.url, retry=None, socket_timeout=None, protocol=2)
        pubsub = client.pubsub()
        try:
            await pubsub.subscribe(channel)
            while True:
                message = await pubsub.get_message(timeout=_IDLE_S)
                if message is None:
                    await pubsub.ping()
                elif message["type"] == "subscribe":
                    pause = 0.05
                    yield None
                elif message["type"] == "message":
                    yield message["data"]
        except (RedisError, OSError):
            await asyncio.sleep(pause * (0.5 + environment.jitter()))
            pause = min(pause * 2, _PAUSE_S_MAX)
        finally:
            await pubsub.aclose()  # type: ignore[no-untyped-call]
            await client.aclose()
