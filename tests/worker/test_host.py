"""Ownership: what a worker takes, lets go, and loses."""

from __future__ import annotations

from typing import Any

import pytest

import durastream as ds
from durastream.errors import Fenced
from durastream.store.memory import MemoryServer
from durastream.worker.host import Host, Options
from tests.support import eventually
from tests.worker.rigs import memory_server

pytestmark = pytest.mark.anyio


def host_of(server: MemoryServer, name: str = "me", lease_s: float = 1.0) -> Host:
    return Host(ds.App(), server.store(partitions=8), Options(name, lease_s=lease_s, grace_s=0.1))


async def owners(server: MemoryServer) -> list[str | None]:
    return [lease.owner for lease in await server.store().leases()]


async def test_a_lone_worker_takes_everything_and_gives_it_back() -> None:
    server = memory_server()
    host = host_of(server)
    await host.start()
    await eventually(lambda: len(host.owned) == 8)
    assert await owners(server) == ["me"] * 8
    await host.stop()
    assert await owners(server) == [None] * 8
    assert await server.store().workers() == []


async def test_two_workers_share_and_the_one_that_stays_takes_over() -> None:
    server = memory_server()
    first, second = host_of(server, "a"), host_of(server, "b")
    await first.start()
    await eventually(lambda: len(first.owned) == 8)
    await second.start()
    await eventually(lambda: sorted((len(first.owned), len(second.owned))) in ([4, 4], [3, 5]))  # and the ingress
    assert first.owned.keys().isdisjoint(second.owned)
    await first.stop()
    await eventually(lambda: len(second.owned) == 8)
    await second.stop()


async def test_a_partition_that_was_lost_is_taken_again_with_a_new_epoch() -> None:
    server = memory_server()
    host = host_of(server)
    await host.start()
    await eventually(lambda: len(host.owned) == 8)
    lost = host.owned[3].lease
    await host.store.release(lost)
    host._lost(lost, Fenced("somebody said so"))
    await eventually(lambda: 3 in host.owned)
    assert host.owned[3].lease.epoch > lost.epoch
    host._lost(lost, Fenced("told again, too late"))
    assert 3 in host.owned
    await host.stop()


async def test_being_fenced_while_taking_over_does_not_end_the_worker() -> None:
    server = memory_server()
    host = host_of(server)
    refusals = [Fenced("taken meanwhile")] * 3
    store: Any = host.store
    original = store.outbox

    async def outbox(*arguments: Any) -> Any:
        if refusals:
            raise refusals.pop()
        return await original(*arguments)

    store.outbox = outbox
    await host.start()
    await eventually(lambda: len(host.owned) == 8)
    assert host.failure is None
    await host.stop()


async def test_a_role_that_fails_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    host = host_of(memory_server())

    async def broken() -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(host, "_look_after", broken)
    await host.start()
    failure = await host.wait_failed()
    assert str(failure) == "a bug"
    await host.stop()
