"""Opening and leaving a client."""

from __future__ import annotations

import os
import random
from types import TracebackType
from typing import Self

from durastream import environment
from durastream.client.retry import PATIENCE_S
from durastream.client.session import Session
from durastream.errors import DurastreamError
from durastream.payload import Payloads
from durastream.store.protocol import ClientStore, HubInfo

_DEFAULT_URL = "redis://localhost:6379"


class Base:
    """`async with` opens it: connects, and begins to listen in the background."""

    def __init__(
        self,
        url_or_store: str | ClientStore | None = None,
        hub: str = "default",
        *,
        payload_bytes_max: int | None = None,
        retry_for_s: float = PATIENCE_S,
        rng: random.Random | None = None,
    ) -> None:
        """
        url_or_store: `redis://…`, by default DURASTREAM_REDIS_URL or redis://localhost:6379; or an open store, which
            has its hub and is not closed with the client.
        payload_bytes_max: largest payload that is accepted, in bytes of JSON; by default the hub's limit.
        retry_for_s: how long each call goes on while the server cannot be reached, in seconds.
        rng: source of ids, tokens and jitter; for simulations that must repeat themselves.
        """
        self._where = url_or_store or os.environ.get("DURASTREAM_REDIS_URL") or _DEFAULT_URL
        self._hub_name = hub
        self._payload_bytes_max = payload_bytes_max
        self._retry_for_s = retry_for_s
        self._rng = rng
        self._opened: Session | None = None

    async def __aenter__(self) -> Self:
        """Raises StoreUnavailable naming host and port, HubMismatch, ServerUnsuitable."""
        if self._opened is not None:
            raise DurastreamError("this client is open already")
        store = await _open_store(self._where, self._hub_name)
        payloads = Payloads(self._payload_bytes_max or store.hub.payload_bytes_max)
        rng = self._rng or environment.seeded()
        self._opened = Session(store, payloads=payloads, patience_s=self._retry_for_s, rng=rng)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        session, self._opened = self._session, None
        await session.close()
        if session.store is not self._where:
            await session.store.close()

    @property
    def hub(self) -> HubInfo:
        """Settings of the hub."""
        return self._session.store.hub

    @property
    def _session(self) -> Session:
        if self._opened is None:
            raise DurastreamError("this client is not open: use it inside `async with Client(...) as client:`")
        return self._opened


async def _open_store(where: str | ClientStore, hub: str) -> ClientStore:
    if not isinstance(where, str):
        return where
    from durastream.store.redis import RedisStore  # only who connects needs it

    return await RedisStore.open(where, hub=hub)
