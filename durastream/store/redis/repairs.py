"""Repairs of `fsck`: each is one script that first compares what the repair is based on, or a message to the owner.

A verb answers True when it was done, and False when something has changed meanwhile and nothing was written.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from durastream import environment, wire
from durastream.core.events import Parent
from durastream.core.messages import Continue, UnlockEntities
from durastream.core.status import ALL
from durastream.store.keys import GROUP, HUBS, PartitionKeys
from durastream.store.redis.fsck import RawHub
from durastream.store.redis.ingress import IngressVerbs
from durastream.store.redis.owners import OwnerVerbs

_LEASE_MS: Final = 5_000  # taken for one repair that only an owner may do
_NOBODY: Final = Parent("fsck", "fsck.0", 0)  # holds no lock: execution ids are made of random tokens


class Guarded:
    """One repair: what must still hold, and what is done then."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self._guards: list[Any] = []
        self._count = 0
        self._operations: list[Any] = []

    def _key(self, name: str) -> int:
        if name not in self.keys:
            self.keys.append(name)
        return self.keys.index(name) + 1

    def when(self, wanted: object, command: str, key: str, *arguments: Any) -> Guarded:
        """Only if this command answers so; None: nothing."""
        self._guards += (command, self._key(key), len(arguments), *arguments, "" if wanted is None else wanted)
        self._count += 1
        return self

    def do(self, command: str, key: str, *arguments: Any) -> Guarded:
        self._operations += (command, self._key(key), len(arguments), *arguments)
        return self

    @property
    def arguments(self) -> list[Any]:
        return [self._count, *self._guards, *self._operations]


class Repairs(RawHub, OwnerVerbs, IngressVerbs):
    """A hub that can be repaired."""

    async def repair(self, verb: str, arguments: tuple[Any, ...]) -> bool:
        """Carry out the repair of this name."""
        return await _VERBS[verb](self, *arguments)

    async def _guarded(self, repair: Guarded) -> bool:
        return bool(await self._run("repair", repair.keys, repair.arguments) == 1)

    def _names(self, partition: int) -> PartitionKeys:
        return self.keys.partitions[partition]

    def _partition_of(self, key: str) -> PartitionKeys:
        return next(names for names in self.keys.partitions if key.startswith(names.tag))

    # -- instances

    async def drop_history(self, partition: int, instance_id: str, length: int) -> bool:
        names = self._names(partition)
        history = names.history(instance_id)
        absent = Guarded().when(0, "EXISTS", names.instance(instance_id)).when(length, "HLEN", history)
        return await self._guarded(absent.do("UNLINK", history))

    async def set_events(self, partition: int, instance_id: str, told: int, there: int) -> bool:
        names = self._names(partition)
        record = names.instance(instance_id)
        same = Guarded().when(told, "HGET", record, "events").when(there, "HLEN", names.history(instance_id))
        return await self._guarded(same.do("HSET", record, "events", there))

    async def index_instance(
        self, partition: int, instance_id: str, revision: bytes | None, status: bytes | None, created: int | None
    ) -> bool:
        names = self._names(partition)
        record = names.instance(instance_id)
        repair = Guarded().when(revision, "HGET", record, "revision").when(status, "HGET", record, "status")
        for word in ALL:
            if status is not None and created is not None and word.encode() == status:
                repair.do("ZADD", names.status[word], created, instance_id)
            else:
                repair.do("ZREM", names.status[word], instance_id)
        return await self._guarded(repair)

    async def set_parked(self, partition: int, instance_id: str, problem: bytes | None, parked: bytes | None) -> bool:
        names = self._names(partition)
        repair = Guarded().when(problem, "HGET", names.instance(instance_id), "problem")
        return await self._guarded(_told(repair, names.parked, instance_id, (parked, problem)))

    async def unwatch(self, partition: int, instance_id: str, status: bytes | None) -> bool:
        names = self._names(partition)
        same = Guarded().when(status, "HGET", names.instance(instance_id), "status")
        return await self._guarded(same.do("HDEL", names.watch, instance_id))

    async def set_timer(self, partition: int, instance_id: str, revision: bytes | None, member: str, due: int) -> bool:
        names = self._names(partition)
        same = Guarded().when(revision, "HGET", names.instance(instance_id), "revision")
        return await self._guarded(_timer(same, names, member, due))

    async def continue_turn(self, partition: int, instance_id: str, revision: bytes | None, execution: str) -> bool:
        names = self._names(partition)
        same = Guarded().when(revision, "HGET", names.instance(instance_id), "revision")
        blob = wire.pack_message(Continue(instance_id, execution))
        return await self._guarded(same.do("XADD", names.inbox, "*", "m", blob))

    # -- entities

    async def set_signal_timer(
        self, partition: int, entity: str, number: int, blob: bytes, member: str, due: int
    ) -> bool:
        names = self._names(partition)
        same = Guarded().when(blob, "HGET", names.queue_of(entity), number)
        return await self._guarded(_timer(same, names, member, due))

    async def index_entity(self, partition: int, entity: str, revision: bytes | None) -> bool:
        names = self._names(partition)
        record = names.entity(entity)
        if revision is None:
            repair = Guarded().when(0, "EXISTS", record).do("ZREM", names.entities, entity)
        else:
            repair = Guarded().when(revision, "HGET", record, "revision").do("ZADD", names.entities, 0, entity)
        return await self._guarded(repair)

    async def index_lock(self, partition: int, entity: str, lock: bytes | None, locked: bytes | None) -> bool:
        names = self._names(partition)
        repair = Guarded().when(lock, "HGET", names.entity(entity), "lock")
        return await self._guarded(_told(repair, names.locks, entity, (locked, lock)))

    async def unlock(self, partition: int, entity: str, lock: bytes) -> bool:
        names = self._names(partition)
        instance_id, execution_id, task = lock.decode().split("\n")
        blob = wire.pack_message(UnlockEntities(entity, (), Parent(instance_id, execution_id, int(task))))
        same = Guarded().when(lock, "HGET", names.entity(entity), "lock")
        return await self._guarded(same.do("XADD", names.inbox, "*", "m", blob))

    async def wake(self, partition: int, entity: str, revision: bytes | None) -> bool:
        names = self._names(partition)
        same = Guarded().when(revision, "HGET", names.entity(entity), "revision")
        blob = wire.pack_message(UnlockEntities(entity, (), _NOBODY))
        return await self._guarded(same.do("XADD", names.inbox, "*", "m", blob))

    async def unstall(self, partition: int, entity: str, reason: bytes) -> bool:
        names = self._names(partition)
        return await self._guarded(_told(Guarded(), names.stalled, entity, (reason, None)))

    # -- timers

    async def drop_timer(self, partition: int, raw: bytes, about: str | None, guard: bytes | None) -> bool:
        names, repair = self._names(partition), Guarded()
        kind, _, rest = raw.partition(b"\n")
        if about is not None and kind == b"D":
            repair.when(guard, "HGET", names.queue_of(about), rest.partition(b"\n")[0])
        elif about is not None:
            repair.when(guard, "HGET", names.instance(about), "revision")
        return await self._guarded(repair.do("ZREM", names.timers, raw))

    async def reset_timer(self, partition: int, raw: bytes, score: float, due: int) -> bool:
        names = self._names(partition)
        return await self._guarded(_timer(Guarded().when(score, "ZSCORE", names.timers, raw), names, raw, due))

    # -- streams

    async def mend_streams(self, key: str) -> bool:
        """As the owner of the partition, if it has none: a live one does it by itself."""
        number = self.keys.partitions.index(self._partition_of(key))
        lease = await self.acquire(number, "fsck", environment.token(16), _LEASE_MS)
        if lease is None:
            return False
        _, foreign = await self.mend(lease)
        await self.dead_letter([(f"foreign entry in outbox of partition {number}", blob) for blob in foreign])
        await self.release(lease)
        return True

    async def restart_stream(self, key: str) -> bool:
        """One that is empty. The ingress only while nobody routes it: who does remembers where it was."""
        if key != self.keys.ingress:
            return await self._guarded(Guarded().when(0, "XLEN", key).do("UNLINK", key))
        lease = await self.acquire_ingress("fsck", environment.token(16), _LEASE_MS)
        if lease is None:
            return False
        done = await self._guarded(Guarded().when(0, "XLEN", key).do("UNLINK", key))
        await self.release(lease)
        return done

    async def list_queue(self, key: str, queue: str) -> bool:
        names = self._partition_of(key)
        return await self._guarded(Guarded().when(1, "EXISTS", key).do("SADD", names.queues, queue))

    async def drop_claim(self, key: str, entry_id: str) -> bool:
        gone = Guarded().when(0, "XRANGE", key, entry_id, entry_id)
        return await self._guarded(gone.do("XACK", key, GROUP, entry_id))

    # -- the rest

    async def drop_mark(self, key: str, source: bytes, mark: bytes) -> bool:
        return await self._guarded(Guarded().when(mark, "HGET", key, source).do("HDEL", key, source))

    async def drop_member(self, key: str, kind: str, raw: bytes) -> bool:
        return await self._guarded(Guarded().do("ZREM" if kind == "zset" else "HDEL", key, raw))

    async def persist(self, key: str) -> bool:
        return await self._guarded(Guarded().do("PERSIST", key))

    async def list_hub(self) -> bool:
        await self._call("SADD", HUBS, self.hub.name)
        return True

    async def forget_worker(self, worker_id: str) -> bool:
        unseen = Guarded().when(None, "ZSCORE", self.keys.workers, worker_id)
        return await self._guarded(unseen.do("HDEL", self.keys.about, worker_id))


def _timer(repair: Guarded, names: PartitionKeys, member: str | bytes, due: int) -> Guarded:
    """The owner looks at its timers when the next one that it knows of is due: this one it has to be told."""
    return repair.do("XADD", names.inbox, "*", "m", "", "t", due).do("ZADD", names.timers, due, member)


def _told(repair: Guarded, key: str, field: str, values: tuple[bytes | None, bytes | None]) -> Guarded:
    """Let a hash say the second of the values in place of the first."""
    before, after = values
    repair.when(before, "HGET", key, field)
    return repair.do("HDEL", key, field) if after is None else repair.do("HSET", key, field, after)


_VERBS: Final[dict[str, Callable[..., Awaitable[bool]]]] = {
    verb.__name__: verb
    for verb in (
        Repairs.drop_claim,
        Repairs.drop_history,
        Repairs.drop_mark,
        Repairs.drop_member,
        Repairs.drop_timer,
        Repairs.forget_worker,
        Repairs.index_entity,
        Repairs.index_instance,
        Repairs.index_lock,
        Repairs.list_hub,
        Repairs.list_queue,
        Repairs.mend_streams,
        Repairs.persist,
        Repairs.reset_timer,
        Repairs.restart_stream,
        Repairs.set_events,
        Repairs.set_parked,
        Repairs.set_signal_timer,
        Repairs.set_timer,
        Repairs.unlock,
        Repairs.unstall,
        Repairs.unwatch,
        Repairs.wake,
        Repairs.continue_turn,
    )
}
