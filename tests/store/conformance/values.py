"""Values for the suite: ids of a partition, starts, changes, and an owner that numbers its commits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import count, islice
from typing import Any

from durastream.core.ids import partition_of
from durastream.core.status import RUNNING, Status
from durastream.store.protocol import (
    Activity,
    Commit,
    EntityChange,
    EntityRecord,
    InstanceChange,
    Lease,
    NewInstance,
    Record,
    WorkerStore,
)
from tests.store.conformance.rigs import PARTITIONS

LONG_MS = 60_000  # a lease that outlives the test
SHORT_MS = 60
AT = 1_600_000_000_000  # in the past of every clock

STRANGE_IDS = (
    "{}", "a{b}c", "}{", "::", "i:x", "*?[", "[a-z]", "a b", " ", ".", "a.b", "~", "\\", "'\"", "%s",
    "🦊🚀", "ümlaut", "x" * 256,
)  # fmt: skip


def ids_in(partition: int, number: int = 1, *, prefix: str = "i", partitions: int = PARTITIONS) -> list[str]:
    """Ids that belong to a partition."""
    ids = (f"{prefix}{k}" for k in count())
    return list(islice((one for one in ids if partition_of(one, partitions) == partition), number))


def new(instance_id: str, execution_id: str = "token.0", **more: Any) -> NewInstance:
    plain = NewInstance(
        instance_id=instance_id,
        execution_id=execution_id,
        name="order",
        version=None,
        input=b'{"n":1}',
        tags=None,
        start_at=None,
        notify=None,
        reply=None,
        message=b"start " + instance_id.encode(),
    )
    return plain._replace(**more)


def creation(instance_id: str, status: Status = RUNNING, *, at: int = AT, **fields: Any) -> InstanceChange:
    """A record that a commit creates, with one event."""
    written: dict[str, Any] = {
        "execution_id": "token.0",
        "name": "order",
        "status": status,
        "created_at": at,
        "updated_at": at,
        **fields,
    }
    return InstanceChange(instance_id, None, written, (None, status, at), 0, [b"event 0"])


def change(
    record: Record, status: Status | None = None, events: tuple[bytes, ...] = (), **fields: Any
) -> InstanceChange:
    """The next change of an instance as it was read."""
    after = status or record.status
    return InstanceChange(
        record.instance_id,
        record.revision,
        {"status": after, **fields},
        (record.status, after, record.created_at),
        record.events,
        list(events),
    )


def entities_in(partition: int, number: int = 1, *, name: str = "Counter") -> list[str]:
    """Entities of this name, as text, that belong to a partition."""
    return ids_in(partition, number, prefix=f"@{name}@e")


def birth(entity: str, **more: Any) -> EntityChange:
    """An entity that a commit creates; `more` replaces parts of the change."""
    fields: dict[str, Any] = {"state": b"1", "created_at": AT, "updated_at": AT}
    return replace(EntityChange(entity, None, 0, fields), **more)


def step(record: EntityRecord, **more: Any) -> EntityChange:
    """The next change of an entity as it was read; `more` replaces parts of the change."""
    return replace(EntityChange(record.entity, record.revision, record.queued), **more)


@dataclass
class Owner:
    """The owner of a partition; commits are numbered by themselves unless they are refused."""

    store: WorkerStore
    lease: Lease
    sequence: int = 0
    sent: int = 0

    async def commit(self, *changes: InstanceChange, **more: Any) -> None:
        commit = Commit(list(changes), outbox_first=self.sent + 1, **more)
        await self.store.commit(self.lease, self.sequence + 1, commit)
        self.sequence += 1
        self.sent += len(commit.outbox)

    async def record(self, instance_id: str) -> Record:
        (found,) = await self.store.records([instance_id])
        assert found is not None
        return found

    async def entity(self, entity: str) -> EntityRecord:
        (found,) = await self.store.entities([entity])
        assert found is not None
        return found

    async def inbox(self) -> list[bytes]:
        return await inbox(self.store, self.lease.partition)


async def own(store: WorkerStore, partition: int, worker_id: str = "w1", nonce: str = "n1") -> Owner:
    lease = await store.acquire(partition, worker_id, nonce, LONG_MS)
    assert lease is not None
    return Owner(store, lease)


async def inbox(store: WorkerStore, partition: int) -> list[bytes]:
    """The messages that wait in a partition."""
    return [entry.blob for _, entries in await store.read_inboxes({partition: "0"}, 1_000, 0) for entry in entries]


async def claim_all(store: WorkerStore, worker_id: str, *queues: str) -> list[Activity]:
    """Claim until nothing is left: one call may bring fewer than there is room for."""
    found: list[Activity] = []
    while some := await store.claim_activities(worker_id, queues, 100, 0):
        found += some
    return found


def blobs(activities: list[Activity]) -> list[bytes]:
    return [one.blob for one in activities]
