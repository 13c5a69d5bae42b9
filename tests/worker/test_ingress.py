"""The router of the hub's ingress: each entry once, bad ones out of the way with a reason."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from durastream import wire
from durastream.core.ids import partition_of
from durastream.core.messages import EntityOperation, RaiseEvent
from durastream.payload import Payloads
from durastream.store.memory import MemoryServer, MemoryStore
from durastream.worker.entries import parse_entry
from durastream.worker.ingress import Ingress
from tests.worker.rigs import HOUR_MS, memory_server, until

pytestmark = pytest.mark.anyio


class Rig:
    def __init__(self, server: MemoryServer, store: MemoryStore, router: Ingress) -> None:
        self.server, self.store, self.router = server, store, router

    @classmethod
    async def make(cls, server: MemoryServer | None = None, nonce: str = "n") -> Rig:
        server = server or memory_server()
        store = server.store(partitions=2)
        lease = await store.acquire_ingress("me", nonce, HOUR_MS)
        assert lease is not None
        return cls(server, store, Ingress(store, lease, Payloads()))

    def add(self, **fields: str) -> None:
        self.server.ingress("default", {name.encode(): value.encode() for name, value in fields.items()})

    async def work(self) -> None:
        """Route until the stream is empty."""
        running = asyncio.create_task(self.router.run())

        async def empty() -> bool:
            return not await self.store.read_ingress("0", 10, 0)

        await until(empty)
        self.router.stop()
        await running

    async def messages(self) -> list[Any]:
        found = await self.store.read_inboxes({0: "0", 1: "0"}, 1_000, 0)
        return [wire.unpack_message(entry.blob) for _, entries in found for entry in entries]


async def test_starts_and_messages_reach_their_partitions() -> None:
    rig = await Rig.make()
    for n in range(20):
        rig.add(op="start", name="f", id=f"i{n}", input=str(n))
        rig.add(op="event", id=f"i{n}", name="go", data="true")
    await rig.work()
    records = await rig.store.records([f"i{n}" for n in range(20)])
    assert [record and record.input for record in records] == [str(n).encode() for n in range(20)]
    events = [one for one in await rig.messages() if isinstance(one, RaiseEvent)]
    assert sorted(one.instance_id for one in events) == sorted(f"i{n}" for n in range(20))


async def test_bad_entries_become_dead_letters_and_are_answered() -> None:
    rig = await Rig.make()
    rig.add(op="dance", reply="mine")
    rig.add(op="start", name="f", id="i")
    rig.add(op="start", name="f", id="i", reply="mine")
    rig.add(op="event", id="i", name="go", data="{")
    await rig.work()
    answers = [json.loads(one) for one in rig.server.replies("mine")]
    assert [one["status"] for one in answers] == ["Rejected", "Rejected"]
    assert "unknown op" in answers[0]["error"]
    assert "exists already" in answers[1]["error"]
    assert len(rig.server.hubs["default"].dead) == 3


async def test_signals_reach_the_partition_of_their_entity_in_order() -> None:
    rig = await Rig.make()
    for n in range(20):
        rig.add(op="signal", entity="Counter", key=f"k{n % 4}", operation="add", input=str(n))
    rig.add(op="signal", entity="Counter", key="k0", operation="add", at="soon", reply="mine")
    await rig.work()
    found = await rig.store.read_inboxes({0: "0", 1: "0"}, 1_000, 0)
    seen: dict[str, list[bytes]] = {}
    for partition, entries in found:
        for entry in entries:
            message = wire.unpack_message(entry.blob)
            assert isinstance(message, EntityOperation)
            assert partition_of(message.entity, 2) == partition
            seen.setdefault(message.entity, []).append(message.input or b"")
    assert seen == {f"@Counter@k{k}": [str(n).encode() for n in range(k, 20, 4)] for k in range(4)}
    assert "'at' is no time" in json.loads(rig.server.replies("mine")[0])["error"]


async def test_a_router_that_takes_over_repeats_nothing() -> None:
    first = await Rig.make()
    first.add(op="event", id="i", name="go")
    # It routed the entry, and died before it dropped it from the stream.
    ((entry_id, fields),) = await first.store.read_ingress("0", 10, 0)
    await first.router._take_over()
    routed = parse_entry(entry_id, fields, Payloads())
    home = partition_of(routed.address, 2)
    await first.store.route(home, first.router.lease, [(entry_id, routed.what)], [], turn=9)
    await first.store.release(first.router.lease)
    second = await Rig.make(first.server, "n2")
    await second.work()
    assert len(await second.messages()) == 1


async def test_a_fenced_router_ends() -> None:
    first = await Rig.make()
    await first.store.release(first.router.lease)
    second = await Rig.make(first.server, "n2")
    await second.router._take_over()
    first.add(op="event", id="i", name="go")
    await asyncio.wait_for(first.router.run(), 5)
    assert await second.messages() == []
