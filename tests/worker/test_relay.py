"""The outbox on its way: in order for each target, special targets, and what the last owner left."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import msgpack
import pytest

from durastream.errors import Fenced, StoreUnavailable
from durastream.store.protocol import HubInfo, Lease, Outbound, Parcel
from durastream.worker import backoff
from durastream.worker import relay as relay_module
from durastream.worker.committer import Committer
from durastream.worker.courier import Courier
from durastream.worker.relay import Relay

pytestmark = pytest.mark.anyio
LEASE = Lease(3, 9, "n")


class Store:
    hub = HubInfo("default", 16, 1, 1, 0, 1)

    def __init__(self, left: Sequence[Outbound] = ()) -> None:
        self.left = list(left)
        self.got: defaultdict[int, list[tuple[tuple[int, int], bytes]]] = defaultdict(list)
        self.forgotten: list[tuple[int, int]] = []
        self.dead: list[Any] = []
        self.replies: list[Any] = []
        self.away = 0
        self.fenced = False

    async def outbox(self, lease: Lease, after: tuple[int, int], count: int) -> list[Outbound]:
        return [one for one in self.left if one.number > after][:count]

    async def deliver_all(self, target: int, parcels: Sequence[Parcel]) -> None:
        if self.away:
            self.away -= 1
            raise StoreUnavailable("away")
        for source, incarnation, batch in parcels:
            assert source == "p3"
            self.got[target] += [((incarnation[0], sequence), blob) for sequence, blob in batch]

    async def forget(self, lease: Lease, numbers: Sequence[tuple[int, int]]) -> None:
        if self.fenced:
            raise Fenced("another owner")
        self.forgotten += numbers

    async def dead_letter(self, batch: Sequence[Any]) -> None:
        self.dead += batch

    async def reply(self, batch: Sequence[Any]) -> None:
        self.replies += batch


def relay_of(store: Store) -> Relay:
    any_store: Any = store
    committer = Committer(any_store, LEASE, done=lambda *_: None, failed=lambda _: None)
    return Relay(any_store, LEASE, Courier(any_store), committer)


async def test_each_target_gets_its_own_in_order() -> None:
    store = Store()
    relay = relay_of(store)
    for first in range(1, 2_000, 100):
        relay.add([Outbound((9, n), n % 3, str(n).encode()) for n in range(first, first + 100)])
        await asyncio.sleep(0)
    await relay.drain()
    for target in range(3):
        numbers = [number for number, _ in store.got[target]]
        assert numbers == sorted(numbers) == [(9, n) for n in range(1, 2_001) if n % 3 == target]
    assert sorted(store.forgotten) == [(9, n) for n in range(1, 2_001)]


async def test_what_the_last_owner_left_goes_first_under_its_own_numbers() -> None:
    store = Store([Outbound((4, n), 1, b"old") for n in range(1, 1_203)])
    relay = relay_of(store)
    await relay.take_over()
    relay.add([Outbound((9, 1), 1, b"new")])
    await relay.drain()
    assert [number for number, _ in store.got[1]] == [*((4, n) for n in range(1, 1_203)), (9, 1)]


async def test_dead_letters_and_replies_go_where_they_belong() -> None:
    store = Store()
    relay = relay_of(store)
    relay.add([
        Outbound((9, 1), "dead", msgpack.packb(["why", b"blob"])),
        Outbound((9, 2), "reply", msgpack.packb(["list", b"{}"])),
        Outbound((9, 3), 0, b"x"),
    ])  # fmt: skip
    await relay.drain()
    assert store.dead == [("why", b"blob")]
    assert store.replies == [("list", b"{}")]
    assert len(store.forgotten) == 3


async def test_an_outage_delays_but_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "_FIRST_S", 0.0001)
    store = Store()
    store.away = 3
    relay = relay_of(store)
    relay.add([Outbound((9, 1), 0, b"x")])
    await relay.drain()
    assert store.got[0] == [((9, 1), b"x")]


async def test_a_fenced_relay_stops() -> None:
    store = Store()
    store.fenced = True
    relay = relay_of(store)
    relay.add([Outbound((9, n), 0, b"x") for n in range(1, 1_000)])
    await relay.drain()
    assert store.forgotten == []
    relay.close()


async def test_who_has_lost_its_lease_leaves_nothing_out_of_what_it_still_carries(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It reads the outbox page by page while its successor writes there. A later entry must not overtake the earlier ones: their
    target would take those for repetitions."""
    monkeypatch.setattr(relay_module, "_BATCH", 2)
    store = Store([Outbound((12, n), 1, b"of the successor") for n in range(1, 8)])
    store.fenced = True
    reading = store.outbox

    async def slowly(*args: Any) -> list[Outbound]:
        for _ in range(10):
            await asyncio.sleep(0)
        return await reading(*args)

    monkeypatch.setattr(store, "outbox", slowly)
    relay = relay_of(store)
    await relay.take_over()
    await relay.drain()
    carried = [number for number, _ in store.got[1]]
    assert carried == [(12, n) for n in range(1, len(carried) + 1)]
    assert len(carried) < 7, "it heard of it in the middle"
    relay.add([Outbound((12, 8), 1, b"later")])
    await relay.drain()
    assert len(store.got[1]) == len(carried)
