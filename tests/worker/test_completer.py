"""Outcomes on their way to the store."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from durastream.errors import StoreUnavailable
from durastream.store.protocol import Outcome
from durastream.worker import backoff, completer
from durastream.worker.completer import Completer

pytestmark = pytest.mark.anyio


class Store:
    def __init__(self) -> None:
        self.batches: list[tuple[int, int]] = []
        self.got: list[str] = []
        self.away = 0
        self.busy: set[int] = set()

    async def complete(self, partition: int, worker_id: str, outcomes: Sequence[Outcome]) -> int:
        assert partition not in self.busy, "one batch at a time for each partition"
        self.busy.add(partition)
        await asyncio.sleep(0)
        self.busy.remove(partition)
        if self.away:
            self.away -= 1
            raise StoreUnavailable("away")
        self.batches.append((partition, len(outcomes)))
        self.got += [one.entry_id for one in outcomes]
        return len(outcomes)


def completer_of(store: Any) -> Completer:
    return Completer(store, "me")


async def test_what_comes_meanwhile_goes_with_the_next_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completer, "_BATCH", 30)
    store = Store()
    it = completer_of(store)
    for n in range(100):
        it.add(n % 2, Outcome("q", str(n), b""))
    await it.drain()
    assert sorted(map(int, store.got)) == list(range(100))
    assert sorted(store.batches) == sorted([(p, size) for p in (0, 1) for size in (30, 20)])


async def test_an_outage_delays_but_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "_FIRST_S", 0.0001)
    store = Store()
    store.away = 4
    it = completer_of(store)
    it.add(0, Outcome("q", "1", b""))
    await it.drain()
    assert store.got == ["1"]


async def test_draining_nothing_returns() -> None:
    await completer_of(Store()).drain()
