"""One call for each target at a time, with what all senders have for it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from durastream.errors import StoreError, StoreUnavailable
from durastream.store.protocol import Parcel
from durastream.worker.courier import Courier

pytestmark = pytest.mark.anyio


class Store:
    def __init__(self) -> None:
        self.calls: list[tuple[int, list[str]]] = []
        self.go = asyncio.Event()
        self.failures: list[Exception] = []

    async def deliver_all(self, target: int, parcels: Sequence[Parcel]) -> None:
        await self.go.wait()
        if self.failures:
            raise self.failures.pop(0)
        self.calls.append((target, [parcel.source for parcel in parcels]))


def courier_of(store: Store) -> Courier:
    any_store: Any = store
    return Courier(any_store)


def parcel(source: str) -> Parcel:
    return Parcel(source, (1, ""), [(1, b"message")])


async def test_what_comes_while_a_call_is_under_way_goes_together() -> None:
    store = Store()
    courier = courier_of(store)
    first = courier.deliver(5, parcel("a"))
    await asyncio.sleep(0)  # the call begins
    others = [courier.deliver(5, parcel("b")), courier.deliver(5, parcel("c")), courier.deliver(6, parcel("b"))]
    store.go.set()
    await asyncio.gather(first, *others)
    assert sorted(store.calls) == [(5, ["a"]), (5, ["b", "c"]), (6, ["b"])]


async def test_a_store_that_is_away_is_asked_again() -> None:
    store = Store()
    store.go.set()
    store.failures = [StoreUnavailable("away")]
    await courier_of(store).deliver(5, parcel("a"))
    assert store.calls == [(5, ["a"])]


async def test_a_target_that_takes_nothing_fails_its_senders_and_no_later_ones() -> None:
    store = Store()
    store.go.set()
    store.failures = [StoreError("its ids are used up"), ValueError("a bug")]
    courier = courier_of(store)
    with pytest.raises(StoreError, match="used up"):
        await courier.deliver(5, parcel("a"))
    with pytest.raises(StoreError, match="not delivered: ValueError: a bug"):
        await courier.deliver(5, parcel("a"))
    await courier.deliver(5, parcel("a"))
    assert store.calls == [(5, ["a"])]


async def test_a_sender_that_gave_up_stops_nobody() -> None:
    store = Store()
    courier = courier_of(store)
    first, second = courier.deliver(5, parcel("a")), courier.deliver(5, parcel("b"))
    first.cancel()
    store.go.set()
    await second
    assert store.calls == [(5, ["b"])]  # the first may have been given up because the store has forgotten it
