"""The store on Redis or Valkey: each verb of `store.protocol` is one script or one command per partition."""

from __future__ import annotations

from durastream.store.place import Place
from durastream.store.protocol import HubInfo, Lease
from durastream.store.redis.activities import ActivityVerbs
from durastream.store.redis.clients import ClientVerbs
from durastream.store.redis.entities import EntityVerbs
from durastream.store.redis.hubs import ServerReport, open_hub, server_report, warn_of_settings, worst
from durastream.store.redis.ingress import IngressVerbs
from durastream.store.redis.inspection import InspectionVerbs
from durastream.store.redis.owners import OwnerVerbs


class RedisStore(ClientVerbs, InspectionVerbs, EntityVerbs, OwnerVerbs, ActivityVerbs, IngressVerbs):
    """A handle on one hub. Open it with `RedisStore.open`; close it with `close`."""

    def __init__(self, place: Place, hub: HubInfo) -> None:
        super().__init__(place, hub)
        self._tidy_cursors: dict[Lease, bytes] = {}

    @classmethod
    async def open(
        cls,
        url: str,
        hub: str = "default",
        *,
        partitions: int | None = None,
        retention_ms: int | None = None,
        role: str = "client",
    ) -> RedisStore:
        """Connect to a hub; one that does not exist is created with these settings or the defaults.

        `role`: whose rights must be there (`store.rights`). Raises HubMismatch when the hub exists with other settings than the
        ones given, StoreUnavailable, ServerUnsuitable, AccessDenied.
        """
        place = Place.parse(url)
        info = await open_hub(place, hub, partitions=partitions, retention_ms=retention_ms, role=role)
        return cls(place, info)

    async def warn_of_settings(self) -> None:
        """Log loudly what makes this server unfit to keep promises: eviction, no append-only file."""
        warn_of_settings(await self.report())

    async def report(self) -> ServerReport:
        """What the server tells of its configuration; of several that can be reached, the worst."""
        return worst([await server_report(connection) for connection in await self._commands.reachable()])


__all__ = ["RedisStore"]
