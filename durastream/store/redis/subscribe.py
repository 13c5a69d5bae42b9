"""Notifications of one channel, on a connection of their own, healed after every loss.

In a Cluster every node hears what is published on any: if this one is lost, another will do. Sentinels are asked for the primary.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from durastream import environment
from durastream.errors import StoreUnavailable
from durastream.store import topology
from durastream.store.connect import dial
from durastream.store.connection import Commands
from durastream.store.place import Place
from redis.exceptions import RedisError

_PAUSE_S_MIN = 0.05
_PAUSE_S_MAX = 1.0
_IDLE_S = 30.0  # how long to wait for a message before looking whether the connection still lives
_SILENCES_MAX = 2  # the second one: not even the look was answered


async def subscribed(place: Place, commands: Commands, channel: str) -> AsyncIterator[bytes | None]:
    """Yield None once subscribed (again), then each published blob."""
    pause = _PAUSE_S_MIN
    while True:
        connection: Any = None
        try:
            endpoint = await topology.somewhere(place, commands)
            connection = await dial(endpoint, client_name="durastream-notifications")
            await connection.send_command("SUBSCRIBE", channel)
            silences = 0
            while silences < _SILENCES_MAX:
                kind, *rest = await connection.read_response(timeout=_IDLE_S) or (b"",)
                silences = 0 if kind else silences + 1
                if kind == b"subscribe":
                    pause = _PAUSE_S_MIN
                    yield None
                elif kind == b"message":
                    yield rest[-1]
                elif not kind:
                    await connection.send_command("PING")
        except (RedisError, OSError, StoreUnavailable):
            await asyncio.sleep(pause * (0.5 + environment.jitter()))
            pause = min(pause * 2, _PAUSE_S_MAX)
        finally:
            if connection is not None:
                await connection.disconnect(nowait=True)
