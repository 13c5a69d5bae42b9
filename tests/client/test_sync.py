"""The blocking twin: same signatures, and it works from several threads."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from durastream import errors
from durastream.client import Client, Handle
from durastream.core.entity_id import EntityId
from durastream.store.memory import MemoryServer
from durastream.sync import SyncClient, SyncHandle

from .fakes import FakeWorker

NOW = 1_700_000_000_000


def public(cls: type) -> dict[str, Any]:
    return {
        name: member
        for name in dir(cls)
        if not name.startswith("_")
        and (inspect.isfunction(member := getattr(cls, name)) or isinstance(member, property))
    }


@pytest.mark.parametrize(("twin", "original"), [(SyncClient, Client), (SyncHandle, Handle)])
def test_same_names_and_parameters(twin: type, original: type) -> None:
    ours, theirs = public(twin), public(original)
    assert ours.keys() == theirs.keys()
    for name, member in theirs.items():
        if isinstance(member, property):
            assert isinstance(ours[name], property)
            continue
        assert _parameters(ours[name]) == _parameters(member), name


def test_same_constructor() -> None:
    assert _parameters(SyncClient.__init__) == _parameters(Client.__init__)


def _parameters(function: Any) -> list[tuple[str, Any, Any, str]]:
    parameters = inspect.signature(function).parameters.values()
    return [(p.name, p.kind, p.default, str(p.annotation).replace("SyncHandle", "Handle")) for p in parameters]


@pytest.fixture
def client() -> Iterator[SyncClient]:
    """With a worker in the client's own loop: a memory store lives in one loop."""
    server = MemoryServer(clock=lambda: NOW)
    memory = server.store(hub="default", partitions=4)
    with SyncClient(server.store(hub="default", partitions=4)) as opened:
        stop = threading.Event()

        async def work() -> None:
            async with FakeWorker(memory).running():
                while not stop.is_set():
                    await asyncio.sleep(0.005)

        assert opened._portal is not None
        working = opened._portal.start_task_soon(work)
        yield opened
        stop.set()
        working.result(timeout=5)


def test_start_and_result(client: SyncClient) -> None:
    handle = client.start("o", {"a": 1}, instance_id="x")
    assert handle.result(timeout=5) == {"a": 1}
    assert handle.status().runtime_status == "Completed"
    assert len(handle.history()) == 1
    assert client.handle("x").result(5) == {"a": 1}
    handle.purge(timeout=5)
    with pytest.raises(errors.InstanceNotFound):
        client.status("x")


def test_many_threads(client: SyncClient) -> None:
    def one(k: int) -> Any:
        return client.start("o", k).result(timeout=10)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(one, range(100))) == list(range(100))


def test_list_is_an_iterator(client: SyncClient) -> None:
    client.wait_all(client.start_many("o", range(250)), timeout=10)
    found = client.list(status="Completed")
    assert next(found).runtime_status == "Completed"
    assert len(list(found)) == 249
    assert len(list(client.list(limit=7))) == 7


def test_entities(client: SyncClient) -> None:
    one = EntityId("Counter", "a")
    client.signal_entity(one, "add", 1, at=60)
    client.signal_entities((one, "add", k) for k in range(500))
    assert client.read_entity(one) is None
    assert client.read_entity(one, dict[str, int]) is None
    with pytest.raises(errors.EntityNotFound):
        client.entity(one)
    assert client.entity_queue(one, limit=5) == []
    assert client.entity_problem(one) is None
    assert list(client.list_entities("Counter", prefix="a", limit=3)) == []
    assert client.clean_entities().released == ()


def test_not_open() -> None:
    with pytest.raises(errors.DurastreamError, match="with SyncClient"):
        SyncClient(MemoryServer(clock=lambda: NOW).store(hub="default", partitions=1)).counts()
