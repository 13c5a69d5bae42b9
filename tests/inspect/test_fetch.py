"""Gathering facts: over a hub in memory, and once over each real server."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis

from durastream import wire
from durastream.client import Client
from durastream.core import events as ev
from durastream.core.ids import partition_of
from durastream.core.status import ALL, RUNNING, Status
from durastream.errors import InstanceNotFound
from durastream.inspect.diagnose import diagnose_hub
from durastream.inspect.fetch import fetch_findings, fetch_hub, fetch_instance, fetch_overview, find
from durastream.inspect.filter import parse
from durastream.store.memory import MemoryServer, MemoryStore
from durastream.store.protocol import Commit, EntityChange, InstanceChange, Lease
from durastream.store.redis import RedisStore
from tests.inspect.made import NOW, NOW_MS, at, begun, scheduled, timer

pytestmark = pytest.mark.anyio

ID = "order-7"


class Writer:
    """Owns all partitions of a hub in memory and writes what a worker would."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self._leases: dict[int, tuple[Lease, int]] = {}

    async def commit(self, place: str, commit: Commit) -> None:
        partition = partition_of(place, self.store.hub.partitions)
        if partition not in self._leases:
            lease = await self.store.acquire(partition, "w1", "n", 60_000)
            assert lease is not None
            self._leases[partition] = lease, 0
        lease, sequence = self._leases[partition]
        self._leases[partition] = lease, sequence + 1
        await self.store.commit(lease, sequence + 1, commit)

    async def instance(
        self,
        instance_id: str,
        history: list[ev.Event],
        *,
        state: Status = RUNNING,
        timers: tuple[int, ...] = (),
        **fields: Any,
    ) -> None:
        written: dict[str, Any] = {
            "execution_id": "t.0",
            "name": "place_order",
            "status": state,
            "created_at": NOW_MS,
            "updated_at": NOW_MS,
        }
        events = [wire.pack_event(event) for event in history]
        change = InstanceChange(instance_id, None, written | fields, (None, state, NOW_MS), 0, events)
        members = [(NOW_MS, f"T\n{task}\nt.0\n{instance_id}") for task in timers]
        await self.commit(instance_id, Commit([change], timers_add=members))

    async def locked(self, entity: str, holder: str) -> None:
        fields: dict[str, Any] = {
            "created_at": NOW_MS,
            "updated_at": NOW_MS,
            "lock": f"{holder}\nt.0\n1",
            "locked_at": NOW_MS,
        }
        await self.commit(entity, Commit(entities=[EntityChange(entity, None, 0, fields)]))


@pytest.fixture
def server() -> MemoryServer:
    return MemoryServer(clock=lambda: NOW_MS)


@pytest.fixture
def writer(server: MemoryServer) -> Writer:
    return Writer(server.store("default", partitions=4))


@pytest.fixture
async def client(server: MemoryServer, writer: Writer) -> AsyncIterator[Client]:
    async with Client(server.store("default"), rng=random.Random(7)) as opened:
        yield opened


async def test_an_instance_with_all_that_is_known_of_it(client: Client, writer: Writer) -> None:
    history: list[ev.Event] = [
        begun(),
        timer(60, -60),
        timer(50, -60),
        scheduled(40),
        ev.EntityLockRequested(at(30), ("@a@1", "@b@1")),
    ]
    await writer.instance(ID, history, timers=(2,))
    await writer.locked("@a@1", ID)
    await writer.locked("@b@1", "other-1")
    facts = await fetch_instance(client, ID)
    assert (facts.status.id, list(facts.history), facts.first, facts.unreadable) == (ID, history, 0, None)
    assert [(wait.kind, wait.task) for wait in facts.waits] == [("timer", 2), ("activity", 3), ("lock", 4)]
    assert (facts.waits[2].entity, facts.waits[2].holder) == ("@b@1", "other-1")
    assert facts.hub.overview.now == NOW


async def test_of_a_long_history_the_end_is_read(client: Client, writer: Writer) -> None:
    await writer.instance(ID, [begun(), *(scheduled(60, f"a{k}") for k in range(500))])
    facts = await fetch_instance(client, ID, history=100)
    assert (facts.first, len(facts.history), facts.status.events) == (401, 100, 501)
    assert [wait.task for wait in facts.waits] == list(range(401, 501))


async def test_what_the_hub_knows_is_asked_for_once(client: Client, writer: Writer) -> None:
    await writer.instance(ID, [begun()])
    hub = await fetch_hub(client)
    assert (await fetch_instance(client, ID, hub=hub)).hub is hub


async def test_a_history_that_cannot_be_read_is_a_finding(client: Client, writer: Writer, server: MemoryServer) -> None:
    await writer.instance(ID, [begun(), scheduled(60)])
    home = server.hubs["default"].partitions[partition_of(ID, 4)]
    home.instances[ID].history[1] = b"\xc1"
    facts = await fetch_instance(client, ID)
    assert facts.unreadable is not None and facts.history == []
    assert "unreadable-history" in [finding.rule for finding in await fetch_findings(client, ID)]


async def test_entities_written_by_hand_do_no_harm(client: Client, writer: Writer) -> None:
    await writer.instance(ID, [begun(), ev.EntityOperationCalled(at(60), "@no entity", "add", None)])
    (wait,) = (await fetch_instance(client, ID)).waits
    assert (wait.entity, wait.holder) == ("@no entity", None)


async def test_nobody(client: Client) -> None:
    with pytest.raises(InstanceNotFound):
        await fetch_instance(client, "nobody")


async def test_an_overview(client: Client, writer: Writer) -> None:
    await writer.instance(ID, [begun()])
    await writer.commit(ID, Commit(activities=[("default", b"x")], parked={ID: b"{}"}))
    await writer.store.heartbeat("w1", {"queues": ["default"], "turns": 7}, 10_000)
    view = await fetch_overview(client)
    assert (view.hub, view.now, view.counts[RUNNING]) == ("default", NOW, 1)
    assert [(row.id, row.turns, row.alive) for row in view.workers] == [("w1", 7, True)]
    assert [(row.queue, row.waiting, row.workers) for row in view.queues] == [("default", 1, 1)]
    assert sum(row.parked for row in view.partitions) == 1
    assert len(view.unowned) == 3


# ---------------------------------------------------------------- find


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 24),
        ("status:failed", 4),
        ("id:order-1", 11),
        ("id:order-1 status:active", 7),
        ("id:=order-3,=nobody,=order-4", 2),
        ("id:=order-3 status:completed", 0),
        ("er-2", 5),
        ("status:failed status:running", 0),
        ("-id:order-1 name:place*", 13),
        ("name:other", 0),
    ],
)
async def test_find_gives_what_fits_each_once(client: Client, writer: Writer, text: str, expected: int) -> None:
    for k in range(24):
        await writer.instance(f"order-{k}", [begun()], state=ALL[k % 6], input=b"1")
    wanted = parse(text, NOW)
    found = [one async for one in find(client, wanted)]
    assert len({one.id for one in found}) == len(found) == expected
    assert all(wanted.matches(one) and one.input == 1 for one in found)
    some = [one async for one in find(client, wanted, limit=3, payloads=False)]
    assert len(some) == min(3, expected)
    assert {one.input for one in some} <= ({1} if wanted.ids else {None})
    assert [one async for one in find(client, wanted, limit=0)] == []


# ---------------------------------------------------------------- real servers


async def test_the_facts_of_a_real_server(server_url: str) -> None:
    store = await RedisStore.open(server_url, "default", partitions=4)
    async with Client(store) as client:
        await client.start("place_order", {"n": 1}, instance_id=ID)
        hub = await fetch_hub(client)
        info = hub.server
        assert info is not None
        assert info.kind in ("redis", "valkey") and info.version is not None and info.version[0].isdigit()
        assert (info.role, info.scripts, info.policy) == ("master", True, "noeviction")
        assert info.used_memory and info.clients and info.uptime_s is not None and info.maxmemory is not None
        assert info.aof is not None and info.aof_failing is False and info.appendfsync
        assert hub.skew_ms is not None and abs(hub.skew_ms) < 500
        assert hub.latency_ms is not None and 0 < hub.latency_ms < 1_000
        assert sum(row.backlog for row in hub.overview.partitions) == 1
        assert any(row.oldest is not None for row in hub.overview.partitions)
        assert (
            {"no-worker"}
            <= {finding.rule for finding in diagnose_hub(hub)}
            <= {"no-worker", "aof-off", "unmended-server"}
        )
        facts = await fetch_instance(client, ID)
        assert [wait.kind for wait in facts.waits] == ["worker"]
        assert [finding.rule for finding in await fetch_findings(client, ID)] == ["unowned-partition"]
    await store.close()


async def test_keys_of_another_type_hide_nothing_else(server_url: str) -> None:
    store = await RedisStore.open(server_url, "default", partitions=4)
    async with Client(store) as client:
        for k in range(5):
            await client.start("place_order", instance_id=f"order-{k}")
        spoilt = store.keys.partitions[partition_of("order-3", 4)].instance("order-3")
        with redis.Redis.from_url(server_url, protocol=2) as by_hand:
            by_hand.delete(spoilt)
            by_hand.set(spoilt, "x")
        for text in ("id:order-", "status:pending", "order"):
            found = {one.id async for one in find(client, parse(text, NOW), payloads=False)}
            assert found == {f"order-{k}" for k in (0, 1, 2, 4)}, text
    await store.close()
