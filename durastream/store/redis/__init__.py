"""The store on Redis or Valkey: each verb of `store.protocol` is one script or one command per partition."""

from __future__ import annotations

from durastream.store.connect import Endpoint
from durastream.store.protocol import HubInfo, Lease
from durastream.store.redis.activities import ActivityVerbs
from durastream.store.redis.clients import ClientVerbs
from durastream.store.redis.entities import EntityVerbs
from durastream.store.redis.hubs import ServerReport, open_hub, server_report, warn_of_settings
from durastream.store.redis.ingress import IngressVerbs
from durastream.store.redis.inspection import InspectionVerbs
from durastream.store.redis.owners import OwnerVerbs


class RedisStore(ClientVerbs, InspectionVerbs, EntityVerbs, OwnerVerbs, ActivityVerbs, IngressVerbs):
    """A handle on one hub. Open it with `RedisStore.open`; close it with `close`."""

    def __init__(self, endpoint: Endpoint, hub: HubInfo) -> None:
        super().__init__(endpoint, hub)
        self._tidy_cursors: dict[Lease, bytes] = {}

    @classmethod
    async def open(
        cls, url: str, hub: str = "default", *, partitions: int | None = None, retention_ms: int | None = None
    ) -> RedisStore:
        """Connect to a hub; one that does not exist is created with these settings or the defaults.

        Raises HubMismatch when it exists with other settings than the ones given, StoreUnavailable, ServerUnsuitable.
        """
        endpoint = Endpoint.parse(url)
        return cls(endpoint, await open_hub(endpoint, hub, partitions=partitions, retention_ms=retention_ms))

    async def warn_of_settings(self) -> None:
        """Log loudly what makes this server unfit to keep promises: eviction, no append-only file."""
        warn_of_settings(await self.report())

    async def report(self) -> ServerReport:
        """What the server tells of its configuration."""
        return await server_report(await self._commands.get())


__all__ = ["RedisStore"]
