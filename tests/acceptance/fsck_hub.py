"""A hub with something of everything in it, at rest, for tests that damage it by hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import durastream as ds
from durastream.core.ids import partition_of
from durastream.store.keys import HubKeys, PartitionKeys
from tests.acceptance.serving import serving, until_status
from tests.servers.looking import connect
from tests.support import eventually

PARTITIONS = 16
LATER = datetime(2099, 1, 1, tzinfo=UTC)

app = ds.App()


@app.activity
def double(n: int) -> int:
    return 2 * n


@app.activity(queue="nobody")
def never(n: int) -> int:
    return n


@app.orchestrator
async def plain(ctx: ds.OrchestrationContext, n: int) -> int:
    return await ctx.call_activity(double, n)


@app.orchestrator
async def failing(ctx: ds.OrchestrationContext) -> None:
    await ctx.call_activity(double, 1)
    raise ValueError("it must fail")


@app.orchestrator
async def waiting(ctx: ds.OrchestrationContext) -> Any:
    return await ctx.wait_for_external_event("go")


@app.orchestrator
async def sleeping(ctx: ds.OrchestrationContext) -> None:
    await ctx.create_timer(LATER)


@app.orchestrator
async def queued(ctx: ds.OrchestrationContext) -> int:
    return await ctx.call_activity(never, 1)


@app.orchestrator
async def parent(ctx: ds.OrchestrationContext) -> Any:
    return await ctx.call_sub_orchestrator(waiting, instance_id="child")


@app.entity
class Counter:
    value: int = 0

    def add(self, n: int) -> int:
        self.value += n
        return self.value


LOCKED = ds.EntityId("Counter", "locked")
FREE = ds.EntityId("Counter", "free")
LATE = ds.EntityId("Counter", "late")


@app.orchestrator
async def locking(ctx: ds.OrchestrationContext) -> None:
    async with ctx.lock_entities(LOCKED):
        await ctx.wait_for_external_event("go")


@app.orchestrator
async def calling(ctx: ds.OrchestrationContext) -> int:
    return await ctx.call_entity(LOCKED, "add", 5, return_type=int)


@dataclass(frozen=True)
class Keep:
    """What a hub held, to be put back as often as it takes."""

    dumps: tuple[tuple[bytes, bytes], ...]

    def restore(self, connection: Any) -> None:
        connection.flushall()
        for key, dump in self.dumps:
            connection.restore(key, 0, dump)


async def grow(url: str) -> Keep:
    """Let a worker make the hub, and stop it."""
    async with serving(app, url, queues=["default"]) as client:
        assert await (await client.start(plain, 3, instance_id="done", tags={"kind": "plain"})).result(10) == 6
        await until_status(await client.start(failing, instance_id="failed"), "Failed")
        running = [
            await client.start(one, instance_id=one.__name__) for one in (waiting, sleeping, queued, parent, locking)
        ]
        for handle in running:
            await until_status(handle, "Running")
        await eventually(lambda: _locked(url), what="the lock is held")
        await until_status(await client.start(calling, instance_id="calling"), "Running")
        suspended = await client.start(waiting, instance_id="suspended")
        await suspended.suspend("tea")
        await client.start(plain, 1, instance_id="scheduled", start_at=LATER)
        await client.start("unknown", 1, instance_id="parked")
        await client.signal_entity(FREE, "add", 1)
        await client.signal_entity(LATE, "add", 2, at=LATER)
        await client.signal_entity(ds.EntityId("Unknown", "x"), "add", 2)
        await eventually(lambda: _settled(url), 20, what="all is at rest")
    return keep(url)


def _locked(url: str) -> bool:
    with grown(url) as hub:
        return bool(hub.redis.hexists(hub.names(str(LOCKED)).entity(str(LOCKED)), "lock"))


def _settled(url: str) -> bool:
    with grown(url) as hub:
        redis_ = hub.redis
        told = hub.names("parked")
        return bool(
            redis_.hexists(told.parked, "parked")
            and redis_.hexists(hub.names("@Unknown@x").stalled, "@Unknown@x")
            and redis_.hlen(hub.names(str(LOCKED)).queue_of(str(LOCKED))) == 1
            and redis_.hlen(hub.names(str(LATE)).queue_of(str(LATE))) == 1
            and redis_.exists(hub.names(str(FREE)).entity(str(FREE)))
            and redis_.hget(hub.names("child").instance("child"), "status") == b"Running"
            and redis_.hget(hub.names("suspended").instance("suspended"), "status") == b"Suspended"
            and all(not redis_.xlen(names.outbox) for names in hub.keys.partitions)
        )


@dataclass(frozen=True)
class Grown:
    """A plain connection to such a hub."""

    redis: Any
    keys: HubKeys

    def names(self, of: str) -> PartitionKeys:
        """The partition in which an instance or entity lives."""
        return self.keys.partitions[partition_of(of, PARTITIONS)]

    def record(self, instance_id: str) -> str:
        return self.names(instance_id).instance(instance_id)

    def history(self, instance_id: str) -> str:
        return self.names(instance_id).history(instance_id)

    def members(self, of: str) -> list[bytes]:
        """Timers of an instance or entity."""
        found: list[bytes] = self.redis.zrange(self.names(of).timers, 0, -1)
        return [member for member in found if member.endswith(b"\n" + of.encode())]


@contextmanager
def grown(url: str) -> Iterator[Grown]:
    with connect(url) as connection:
        yield Grown(connection, HubKeys("default", PARTITIONS))


def keep(url: str) -> Keep:
    with connect(url) as connection:
        server: Any = connection
        return Keep(tuple((key, server.dump(key)) for key in server.scan_iter(count=1_000)))
