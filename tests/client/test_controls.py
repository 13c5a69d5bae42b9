"""Rewind, restart, purge: acknowledged by the owner, or seen in the record."""

from __future__ import annotations

import pytest

from durastream import errors
from durastream.client import Client, controls
from durastream.core import messages as ms
from durastream.core.status import FAILED
from durastream.store.memory import MemoryStore

from .fakes import Behaviour, FakeWorker, messages_of

pytestmark = pytest.mark.anyio

fails: Behaviour = lambda record: (FAILED, ("E", "no"))  # noqa: E731


async def test_rewind_runs_a_failed_one_on(client: Client, memory: MemoryStore) -> None:
    async with FakeWorker(memory, fails).running():
        handle = await client.start("o")
        with pytest.raises(errors.OrchestrationFailed):
            await handle.result(timeout=5)
        await handle.rewind("fixed", timeout=5)
        assert (await handle.status()).runtime_status == "Running"
        await handle.raise_event("finish", 1)
        assert await handle.result(timeout=5) == 1


async def test_restart_gives_a_new_execution(client: Client, memory: MemoryStore) -> None:
    async with FakeWorker(memory).running():
        handle = await client.start("o", 5)
        await handle.result(timeout=5)
        first = handle.execution_id
        await handle.restart(timeout=5)
        assert await handle.result(timeout=5) == 5
        assert (await handle.status()).execution_id == handle.execution_id != first


async def test_purge_leaves_nothing(client: Client, memory: MemoryStore) -> None:
    async with FakeWorker(memory).running():
        handle = await client.start("o", 5)
        await handle.result(timeout=5)
        await handle.purge(timeout=5)
        with pytest.raises(errors.InstanceNotFound):
            await handle.status()
        with pytest.raises(errors.InstanceNotFound):
            await handle.result(timeout=5)


async def test_wrong_statuses_are_conflicts(client: Client, memory: MemoryStore) -> None:
    handle = await client.start("o", 5, instance_id="a")
    for change in (handle.rewind(), handle.restart(), handle.purge()):
        with pytest.raises(errors.Conflict, match="instance 'a': it is Pending"):
            await change
    async with FakeWorker(memory).running():
        await handle.result(timeout=5)
        with pytest.raises(errors.Conflict, match="cannot rewind instance 'a': it is Completed, not Failed"):
            await handle.rewind()


async def test_without_a_worker_it_says_that_it_is_queued(client: Client, memory: MemoryStore) -> None:
    async with FakeWorker(memory).running():
        handle = await client.start("o", 5)
        await handle.result(timeout=5)
    with pytest.raises(errors.TimeoutError, match="queued, but no worker"):
        await handle.purge(timeout=0.05)


@pytest.mark.parametrize("verb", ["restart", "purge"])
async def test_a_lost_acknowledgement_is_seen_in_the_record(
    client: Client, memory: MemoryStore, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(controls, "_LOOK_S", 0.01)
    worker = FakeWorker(memory)
    worker.acknowledges = False
    async with worker.running():
        handle = await client.start("o", 5)
        await handle.result(timeout=5)
        await getattr(handle, verb)(timeout=5)


async def test_messages_say_what_was_asked(client: Client, memory: MemoryStore) -> None:
    worker = FakeWorker(memory, lambda record: ("Running", None))
    async with worker.running():
        handle = await client.start("o", instance_id="a")
        await handle.suspend("wait")
        await handle.resume()
        await handle.terminate("why", recursive=False)
        with pytest.raises(errors.OrchestrationTerminated):
            await handle.result(timeout=5)
    assert messages_of(worker, ms.Suspend) == [ms.Suspend("a", "wait")]
    assert messages_of(worker, ms.Resume) == [ms.Resume("a", None)]
    assert messages_of(worker, ms.Terminate) == [ms.Terminate("a", "why", False, None)]
