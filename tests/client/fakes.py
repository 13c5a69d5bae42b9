"""What the client's tests work with: a store that fails on demand, and a worker that ends whatever is started."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import orjson

from durastream import wire
from durastream.core import events as ev
from durastream.core import messages as ms
from durastream.core.events import Failure
from durastream.core.ids import partition_of
from durastream.core.status import COMPLETED, FAILED, RUNNING, TERMINAL, TERMINATED, Status
from durastream.errors import StoreUnavailable
from durastream.notices import failure_to_json, pack_ack, pack_end
from durastream.store.memory import MemoryStore
from durastream.store.protocol import Commit, EntityChange, InboxEntry, InstanceChange, Lease, Record

Fault = str  # "before": not sent; "after": carried out, but the answer is lost


class FaultyStore:
    """A store whose verbs raise StoreUnavailable as `choose(verb)` says, and whose notifications can be lost."""

    def __init__(self, store: MemoryStore, choose: Callable[[str], Fault | None] = lambda verb: None) -> None:
        self._store = store
        self.choose = choose
        self.calls: list[str] = []
        self.deaf = False  # True: notifications are lost without a trace
        self._heard: asyncio.Queue[bytes | StoreUnavailable | None] = asyncio.Queue()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        return self._wrapped(name, found) if asyncio.iscoroutinefunction(found) else found

    def _wrapped(self, name: str, verb: Callable[..., Any]) -> Callable[..., Any]:
        async def call(*args: Any, **kwargs: Any) -> Any:
            self.calls.append(name)
            fault = self.choose(name)
            await asyncio.sleep(0)
            if fault == "before":
                raise StoreUnavailable(f"{name} not sent")
            answer = await verb(*args, **kwargs)
            if fault == "after":
                raise StoreUnavailable(f"answer to {name} lost")
            return answer

        return call

    async def notifications(self, channel: str) -> AsyncIterator[bytes | None]:
        pump = asyncio.create_task(self._pump(channel))
        try:
            while True:
                heard = await self._heard.get()
                if isinstance(heard, StoreUnavailable):
                    raise heard
                yield heard
        finally:
            pump.cancel()
            with suppress(asyncio.CancelledError):
                await pump

    async def _pump(self, channel: str) -> None:
        async for blob in self._store.notifications(channel):
            if blob is None or not self.deaf:
                self._heard.put_nowait(blob)

    def reconnect(self) -> None:
        """The connection was lost and is back."""
        self._heard.put_nowait(None)

    def break_subscription(self) -> None:
        """The subscription ends with an error."""
        self._heard.put_nowait(StoreUnavailable("connection lost"))


def at_random(seed: int, rate: float) -> Callable[[str], Fault | None]:
    """Faults in every verb at this rate, half of them of each kind."""
    rng = random.Random(seed)
    return lambda verb: rng.choice(("before", "after")) if rng.random() < rate else None


Behaviour = Callable[[Record], tuple[Status, Any]]
"""Status and output, or failure, that an instance ends with; a status that is not final lets it run on."""


def echo(record: Record) -> tuple[Status, Any]:
    """Complete with the input."""
    return COMPLETED, None if record.input is None else orjson.loads(record.input)


class FakeWorker:
    """Owns all partitions of a memory store and carries out what is in the inboxes, without any user code."""

    def __init__(self, store: MemoryStore, behaviour: Behaviour = echo) -> None:
        self._store = store
        self.behaviour = behaviour
        self.seen: list[ms.Message] = []
        self.acknowledges = True
        self._leases: dict[int, Lease] = {}
        self._sequences: dict[int, int] = {}
        self._cursors: dict[int, str] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[FakeWorker]:
        task = asyncio.create_task(self._run())
        try:
            yield self
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _run(self) -> None:
        for partition in range(self._store.hub.partitions):
            lease = await self._store.acquire(partition, "fake", "nonce", 3_600_000)
            assert lease is not None
            self._leases[partition], self._sequences[partition], self._cursors[partition] = lease, 0, "0"
        while True:
            for partition, entries in await self._store.read_inboxes(self._cursors, 100, 50):
                for entry in entries:
                    if entry.blob:  # else word of a scheduled start
                        await self._carry_out(partition, entry)
                self._cursors[partition] = entries[-1].entry_id

    async def _carry_out(self, partition: int, entry: InboxEntry) -> None:
        message = wire.unpack_message(entry.blob)
        self.seen.append(message)
        (record,) = await self._store.records([message[0]])
        commit = Commit(consumed=[entry.entry_id])
        carry_out: Handler = _HANDLERS.get(type(message), _ignore)
        carry_out(self, commit, record, message)
        self._sequences[partition] += 1
        await self._store.commit(self._leases[partition], self._sequences[partition], commit)

    def _end(self, commit: Commit, record: Record, *, replaces: bool = False) -> None:
        status, value = self.behaviour(record)
        self._write(commit, record, status, value, replaces=replaces)

    def _write(self, commit: Commit, record: Record, status: Status, value: Any, *, replaces: bool = False) -> None:
        output = orjson.dumps(value) if status in (COMPLETED, TERMINATED) and value is not None else None
        failure = failure_to_json(Failure(*value)) if status == FAILED else None
        fields: dict[str, bytes | str | int | None] = {
            "execution_id": record.execution_id,
            "status": status,
            "output": output,
            "failure": failure,
            "updated_at": record.created_at + 5,
            "completed_at": record.created_at + 5 if status in TERMINAL else None,
        }
        if replaces:
            fields |= {"name": record.name, "input": record.input, "notify": record.notify}
        before = record.status
        started = ev.ExecutionStarted(record.created_at, record.name, record.version, record.input, None, 0)
        events = [wire.pack_event(started)] if replaces or record.events == 0 else []
        commit.changes.append(
            InstanceChange(
                record.instance_id,
                record.revision,
                fields,
                (before, status, record.created_at),
                0 if replaces else record.events,
                events,
                replace_history=replaces,
            )
        )
        if status in TERMINAL:
            blob = pack_end(record.instance_id, record.execution_id, status, output, failure)
            commit.notices.append((record.instance_id, record.notify, blob))

    def _ack(self, commit: Commit, ack: str | None, ok: bool, text: str = "") -> None:
        if ack is not None and self.acknowledges:
            channel, _, request_id = ack.rpartition(" ")
            commit.notices.append(("", channel, pack_ack(request_id, ok, text)))


def _ignore(worker: FakeWorker, commit: Commit, record: Record | None, message: Any) -> None:
    pass


def _start(worker: FakeWorker, commit: Commit, record: Record | None, message: ms.Start) -> None:
    assert record is not None
    if message.created:
        worker._end(commit, record)
        return
    assert message.if_exists == "replace"
    anew = record._replace(
        execution_id=message.execution_id, name=message.name, input=message.input, notify=message.notify
    )
    worker._end(commit, anew, replaces=True)


def _terminate(worker: FakeWorker, commit: Commit, record: Record | None, message: ms.Terminate) -> None:
    if record is not None and record.status not in TERMINAL:
        worker._write(commit, record, TERMINATED, message.reason)


def _rewind(worker: FakeWorker, commit: Commit, record: Record | None, message: ms.Rewind) -> None:
    if record is None or record.status != FAILED:
        worker._ack(commit, message.ack, False, "only a failed one is rewound")
        return
    worker._write(commit, record, RUNNING, None)
    worker._ack(commit, message.ack, True)


def _restart(worker: FakeWorker, commit: Commit, record: Record | None, message: ms.Restart) -> None:
    assert record is not None
    worker._ack(commit, message.ack, True)
    worker._end(commit, record._replace(execution_id=message.execution_id), replaces=True)


def _purge(worker: FakeWorker, commit: Commit, record: Record | None, message: ms.Purge) -> None:
    assert record is not None
    commit.purged.append((record.instance_id, record.status))
    worker._ack(commit, message.ack, True)


def _event(worker: FakeWorker, commit: Commit, record: Record | None, message: ms.RaiseEvent) -> None:
    if record is not None and message.name == "finish" and record.status not in TERMINAL:
        worker._write(commit, record, COMPLETED, None if message.data is None else orjson.loads(message.data))


Handler = Callable[[FakeWorker, Commit, Any, Any], None]

_HANDLERS: dict[type, Handler] = {
    ms.Start: _start,
    ms.RaiseEvent: _event,
    ms.Terminate: _terminate,
    ms.Rewind: _rewind,
    ms.Restart: _restart,
    ms.Purge: _purge,
}


class EntityWriter:
    """Owns all partitions of a memory store and writes entities into it, without running any."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._leases: dict[int, Lease] = {}
        self._sequences: dict[int, int] = {}

    async def write(self, text: str, queue: Sequence[bytes] = (), **values: bytes | str | int | None) -> None:
        """A new entity with these fields."""
        waiting = dict(enumerate(queue, 1))
        fields = {"created_at": 1_700_000_000_000, "updated_at": 1_700_000_001_000} | values
        change = EntityChange(text, None, 0, fields, waiting)
        await self._commit(partition_of(text, self._store.hub.partitions), Commit(entities=[change]))

    async def stall(self, text: str, reason: bytes) -> None:
        await self._commit(partition_of(text, self._store.hub.partitions), Commit(stalled={text: reason}))

    async def end(self, instance_id: str) -> None:
        """Complete an instance that was started."""
        (record,) = await self._store.records([instance_id])
        assert record is not None
        move = (record.status, COMPLETED, record.created_at)
        change = InstanceChange(instance_id, record.revision, {"status": COMPLETED}, move, 0, [])
        await self._commit(partition_of(instance_id, self._store.hub.partitions), Commit(changes=[change]))

    async def messages(self) -> list[ms.Message]:
        """All that waits in the inboxes, partition by partition."""
        cursors = dict.fromkeys(range(self._store.hub.partitions), "0")
        found = await self._store.read_inboxes(cursors, 100_000, 0)
        return [wire.unpack_message(entry.blob) for _, entries in sorted(found) for entry in entries]

    async def _commit(self, partition: int, commit: Commit) -> None:
        if partition not in self._leases:
            lease = await self._store.acquire(partition, "writer", "nonce", 3_600_000)
            assert lease is not None
            self._leases[partition], self._sequences[partition] = lease, 0
        self._sequences[partition] += 1
        await self._store.commit(self._leases[partition], self._sequences[partition], commit)


async def until(condition: Callable[[], bool], *, deadline_s: float = 5.0) -> None:
    """Poll until it holds; fail at the deadline."""
    async with asyncio.timeout(deadline_s):
        while not condition():
            await asyncio.sleep(0.001)


async def until_completed(memory: MemoryStore, count: int, *, deadline_s: float = 5.0) -> None:
    async with asyncio.timeout(deadline_s):
        while (await memory.counts())[COMPLETED] < count:
            await asyncio.sleep(0.001)


def runs_on(record: Record) -> tuple[Status, Any]:
    """Never ends by itself."""
    return RUNNING, None


def messages_of(worker: FakeWorker, kind: type) -> Sequence[Any]:
    return [message for message in worker.seen if type(message) is kind]
