"""Commits: in order, one in flight, none lost and none spread."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from durastream.errors import Fenced, Refused, StoreUnavailable
from durastream.store.protocol import Commit, Lease
from durastream.worker import backoff, committer
from durastream.worker.committer import Committer

pytestmark = pytest.mark.anyio
LEASE = Lease(0, 1, "n")


class Store:
    """Takes commits when told to, or answers with an error."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, list[str]]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.errors: list[Exception] = []

    async def commit(self, lease: Lease, sequence: int, commit: Commit) -> None:
        assert lease is LEASE
        self.sent.append((sequence, list(commit.consumed)))
        await self.gate.wait()
        if self.errors:
            raise self.errors.pop(0)


class Listener:
    def __init__(self, store: Store) -> None:
        self.done: list[tuple[list[str], bool]] = []
        self.failures: list[Exception] = []
        store_: Any = store
        self.committer = Committer(store_, LEASE, done=self._done, failed=self.failures.append)

    def _done(self, commit: Commit, wanted: bool) -> None:
        self.done.append((commit.consumed, wanted))

    def put(self, entry: str, weight: int = 1) -> None:
        self.committer.open.consumed.append(entry)
        self.committer.weigh(weight, 0)


async def test_an_idle_one_commits_at_once_and_a_busy_one_what_has_queued_up() -> None:
    store = Store()
    listener = Listener(store)
    store.gate.clear()
    listener.put("a")
    listener.committer.flush()
    await asyncio.sleep(0)
    for entry in "bcd":
        listener.put(entry)
        listener.committer.flush()
    assert not listener.committer.idle
    store.gate.set()
    await listener.committer.drain()
    assert store.sent == [(1, ["a"]), (2, ["b", "c", "d"])]
    assert listener.done == [(["a"], True), (["b", "c", "d"], True)]
    assert listener.committer.idle


async def test_nothing_is_sealed_before_its_owner_says_so() -> None:
    store = Store()
    listener = Listener(store)
    listener.put("half of a turn", committer._WEIGHT_MAX * 2)
    assert listener.committer.full
    listener.put("other half")
    await listener.committer.drain()
    assert store.sent == [(1, ["half of a turn", "other half"])]


async def test_it_is_crowded_while_more_than_a_commit_waits() -> None:
    listener = Listener(Store())
    assert not listener.committer.crowded
    listener.put("a", committer._WEIGHT_MAX)
    assert listener.committer.crowded
    await listener.committer.drain()
    assert not listener.committer.crowded


async def test_the_same_number_is_sent_again_until_the_store_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "_FIRST_S", 0.0001)
    store = Store()
    store.errors = [StoreUnavailable("away"), StoreUnavailable("away")]
    listener = Listener(store)
    listener.put("a")
    await listener.committer.drain()
    assert store.sent == [(1, ["a"])] * 3
    assert listener.done == [(["a"], True)]


@pytest.mark.parametrize("error", [Fenced("gone"), Refused("differs")])
async def test_a_refusal_is_told_once_and_ends_the_order(error: Fenced | Refused) -> None:
    store = Store()
    store.errors = [error]
    listener = Listener(store)
    listener.put("a")
    await listener.committer.drain()
    assert (listener.failures, listener.done) == ([error], [])
    listener.committer.discard()
    assert listener.committer.idle
    listener.put("b")
    await listener.committer.drain()
    assert store.sent[-1] == (1, ["b"])


async def test_what_is_discarded_while_in_flight_is_told_of_as_unwanted() -> None:
    store = Store()
    listener = Listener(store)
    store.gate.clear()
    listener.put("a")
    listener.committer.flush()
    await asyncio.sleep(0)
    listener.put("b")
    listener.committer.discard()
    listener.put("c")
    store.gate.set()
    await listener.committer.drain()
    assert listener.done == [(["a"], False), (["c"], True)]
    assert store.sent == [(1, ["a"]), (2, ["c"])]


async def test_outbox_numbers_count_up_over_commits() -> None:
    listener = Listener(Store())
    firsts = []
    for count in (2, 3, 1):
        open_commit = listener.committer.open
        open_commit.outbox += [(1, b"")] * count
        listener.committer.weigh(count, 0)
        await listener.committer.drain()
        firsts.append(open_commit.outbox_first)
    assert firsts == [1, 3, 6]
