"""Entities and what somebody with write access puts beside them: malformed and forged messages, spoilt records, keys of
another type. One spoilt entity stops no other, and nothing stops a worker."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

import pytest

import durastream as ds
from durastream import wire
from durastream.core.events import Failure, Parent
from durastream.core.ids import partition_of
from durastream.core.messages import (
    EntityOperation,
    EntityResult,
    LockEntities,
    LockGranted,
    Message,
    UnlockEntities,
)
from durastream.errors import Refused, StoreError, WireError
from tests.acceptance.bad_input_app import keeps, locks, waits
from tests.acceptance.planting import PARTITIONS, RUBBISH, mutations, shapes
from tests.acceptance.processes import seeded
from tests.acceptance.serving import until, until_status
from tests.acceptance.test_bad_input_streams import Scene, scene
from tests.acceptance.test_bad_input_types import impatient, put
from tests.support import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.real_server]

__all__ = ["impatient"]  # a fixture

HOME = 5
AFRESH = Refused("a test has it read afresh")
HOLDER = Parent("never made", "0123456789abcdef.0", 3)


def keys_in(partition: int, number: int, name: str = "Keeper") -> list[str]:
    """Keys of entities that live in a partition."""
    found = (f"k{k}" for k in count())
    return [key for key in (next(found) for _ in range(200 * number)) if _home(name, key) == partition][:number]


def _home(name: str, key: str) -> int:
    return partition_of(f"@{name}@{key}", PARTITIONS)


def keeper(key: str) -> ds.EntityId:
    return ds.EntityId("Keeper", key)


class Attack:
    """Entities of one partition: one is spoilt, the others must go on."""

    def __init__(self, at: Scene) -> None:
        self.at = at
        self.names = at.plants.keys.partitions[HOME]
        self.victim, *self.others = keys_in(HOME, 4)

    async def made(self, times: int = 1) -> None:
        """All of them have state."""
        for key in (self.victim, *self.others):
            for n in range(times):
                assert await self.keep(key) == n + 1

    async def keep(self, key: str) -> Any:
        handle = await self.at.client.start(keeps, key)
        return await handle.result(timeout=10)

    async def others_go_on(self, value: int) -> None:
        handles = await self.at.client.start_many(keeps, self.others)
        assert await self.at.client.wait_all(handles, timeout=10) == [value] * len(self.others)

    def forget(self) -> None:
        """What is in memory, as a takeover would."""
        self.at.worker.host.owned[HOME]._failed(AFRESH)


# ---------------------------------------------------------------- messages


OPERATION = EntityOperation("@Keeper@x", "keep", b"1", HOLDER, "somebody", None)
SET = ("@Keeper@a", "@Keeper@b", "@Keeper@x")
VALID: list[Message] = [
    OPERATION,
    OPERATION._replace(caller=None, due=10**12),
    LockEntities("@Keeper@x", SET, HOLDER),
    UnlockEntities("@Keeper@a", SET[1:], HOLDER),
    LockGranted("never made", "0123456789abcdef.0", 3, SET),
    EntityResult("never made", "0123456789abcdef.0", 3, None, Failure("Boom", "text")),
]
FIELDS = {wire.pack_message(message)[1]: len(message) for message in VALID}


def _malformed(blob: bytes) -> bool:
    try:
        wire.unpack_message(blob)
    except WireError:
        return True
    return False


async def test_malformed_messages_for_entities(server_url: str) -> None:
    blobs = [one for code, fields in FIELDS.items() for one in shapes(code, fields) if _malformed(one)]
    assert len(blobs) > 50
    async with scene(server_url) as at:
        for number, blob in enumerate(blobs):
            at.plants.add(at.plants.keys.partitions[number % PARTITIONS].inbox, {"m": blob})
        await at.neighbours_go_on()
        await at.all_gone()
        letters = await at.dead(len(blobs))
        assert sorted(blob for _, blob in letters) == sorted(blobs)


BAD: list[Message] = [
    OPERATION._replace(entity="@Keeper"),
    OPERATION._replace(entity="@@x"),
    OPERATION._replace(entity="@Keeper@"),
    OPERATION._replace(entity="@Keeper@a\nb"),
    OPERATION._replace(entity="@Keeper@" + "x" * 300),
    OPERATION._replace(operation="a\nb"),
    OPERATION._replace(caller=HOLDER._replace(execution_id="garbage")),
    OPERATION._replace(caller=HOLDER._replace(instance_id="a\nb")),
    LockEntities("@Keeper@x", ("@Keeper@a",), HOLDER),
    LockEntities("@Keeper@x", ("@Keeper@x", "@Keeper@a"), HOLDER),
    LockEntities("@Keeper@x", ("@Keeper@x", "@Keeper@x"), HOLDER),
    LockEntities("@Keeper@x", ("@Keeper@x", "@nonsense"), HOLDER),
    LockEntities("@Keeper@x", ("@Keeper@x",), HOLDER._replace(execution_id="garbage")),
    UnlockEntities("@Keeper@x", ("@Keeper@a",), HOLDER),
    UnlockEntities("@Keeper@x", (), HOLDER._replace(instance_id="a\nb")),
    LockGranted("never made", "0123456789abcdef.0", 3, ("@Keeper@b", "@Keeper@a")),
]


async def test_messages_that_break_the_rules_of_entities(server_url: str) -> None:
    async with scene(server_url) as at:
        for message in BAD:
            at.plants.inbox(message[0], wire.pack_message(message))
        elsewhere = at.plants.keys.partitions[(_home("Keeper", "x") + 1) % PARTITIONS].inbox
        for message in VALID[:4]:
            at.plants.add(elsewhere, {"m": wire.pack_message(message)})
        await at.neighbours_go_on()
        await at.all_gone()
        await at.dead(len(BAD) + 4)
        assert [one async for one in at.client.list_entities()] == []


async def test_forged_messages_for_entities_and_about_them(server_url: str) -> None:
    """Locks for nobody open by themselves; releases by others open nothing; answers that nobody waits for are dropped."""
    async with scene(server_url) as at:
        holder = await at.client.start(locks, ["a", "x"], instance_id="holder")
        waiting = await at.client.start(waits, 1, instance_id="waiting")
        await until_status(holder, "Running", custom_status="inside")
        await until_status(waiting, "Running")
        held, other = [(await one.status()).execution_id for one in (holder, waiting)]
        forged: Sequence[Message] = [
            *VALID,
            UnlockEntities("@Keeper@x", (), HOLDER),
            UnlockEntities("@Keeper@x", (), Parent("holder", "0123456789abcdef.0", 1)),
            UnlockEntities("@Keeper@x", (), Parent("waiting", other, 1)),
            LockEntities("@Keeper@b", ("@Keeper@b",), HOLDER),
            LockGranted("waiting", other, 77, ("@Keeper@d",)),
            EntityResult("waiting", other, 77, b"1", None),
            EntityResult("waiting", other, 0, b"1", None),
            EntityResult("waiting", "0123456789abcdef.0", 1, b"1", None),
            EntityResult("holder", held, 1, b"1", None),
        ]
        for message in forged:
            at.plants.inbox(message[0], wire.pack_message(message))
        await at.neighbours_go_on()
        assert [one.locked_by async for one in at.client.list_entities(locked=True)].count("holder") == 2
        await holder.raise_event("go", "on")
        assert await holder.result(timeout=5) == "on"
        handles = await at.client.start_many(locks, [["a", "b", "c", "d", "x"]] * 3)
        for handle in handles:
            await handle.raise_event("go", "too")
        assert await at.client.wait_all(handles, timeout=10) == ["too"] * 3
        await waiting.raise_event("go", "on")
        assert await waiting.result(timeout=5) == "on"
        await at.all_gone()
        await eventually(lambda: _no_locks(at), 5)


async def test_a_lock_forged_for_somebody_who_runs_and_never_asked_can_be_cleaned_once_he_has_ended(
    server_url: str,
) -> None:
    async with scene(server_url) as at:
        waiting = await at.client.start(waits, 1)
        status = await until_status(waiting, "Running")
        forged = LockEntities("@Keeper@c", ("@Keeper@c",), Parent(waiting.id, status.execution_id, 0))
        at.plants.inbox("@Keeper@c", wire.pack_message(forged))
        await until(lambda: _locked(at, "c"))
        await waiting.raise_event("go", "on")
        await waiting.result(timeout=5)
        await at.client.clean_entities()
        await until(lambda: _no_locks(at))


async def _locked(at: Scene, key: str) -> bool:
    return key in [one.id.key async for one in at.client.list_entities(locked=True)]


async def _no_locks(at: Scene) -> bool:
    return not [one async for one in at.client.list_entities(locked=True)]


async def test_generated_rubbish_for_entities(server_url: str) -> None:
    """Valid messages with a few bytes changed: the worker lives, and whatever was locked can be opened."""
    rng = seeded()
    async with scene(server_url) as at:
        pipe = at.plants.redis.pipeline(transaction=False)
        for message in VALID:
            home = at.plants.keys.partitions[partition_of(message[0], PARTITIONS)]
            for made in mutations(rng, wire.pack_message(message), 200):
                pipe.xadd(home.inbox, {"m": made})
        pipe.execute()
        await at.neighbours_go_on()
        assert at.worker.host.failure is None
        assert len(at.plants.dead()) > 100


# ---------------------------------------------------------------- queue and timers


async def test_rubbish_in_the_queue_of_an_entity(server_url: str) -> None:
    """It becomes a dead letter when the entity is loaded; what is sound there is applied."""
    async with scene(server_url) as at:
        attack = Attack(at)
        await attack.made()
        holder = await at.client.start(locks, [attack.victim])
        await until_status(holder, "Running", custom_status="inside")
        await at.client.signal_entity(keeper(attack.victim), "keep", 10)
        await until(lambda: at.client.entity_queue(keeper(attack.victim)))
        queue = attack.names.queue_of(str(keeper(attack.victim)))
        for number, blob in enumerate(RUBBISH[:40], start=5):
            at.plants.redis.hset(queue, str(number), blob)
        kinds = {one.kind for one in await at.client.entity_queue(keeper(attack.victim))}
        assert kinds == {"signal", "unreadable"}
        attack.forget()
        await attack.others_go_on(2)
        await holder.raise_event("go", "on")
        assert await holder.result(timeout=5) == "on"
        assert await attack.keep(attack.victim) == 12
        await at.dead(40)
        await until(lambda: not at.plants.redis.exists(queue))


@pytest.mark.parametrize("place", ["x", "", "1.5", "\xb2"])
async def test_a_queue_whose_places_are_no_numbers(server_url: str, place: str) -> None:
    async with scene(server_url) as at:
        attack = Attack(at)
        await attack.made()
        queue = attack.names.queue_of(str(keeper(attack.victim)))
        at.plants.redis.hset(queue, place, wire.pack_message(OPERATION))
        attack.forget()
        await attack.others_go_on(2)
        kind, message = await attack.keep(attack.victim)
        assert kind == "Refused" and "queue" in message
        at.plants.redis.delete(queue)
        assert await attack.keep(attack.victim) == 2


@pytest.mark.parametrize("place", ["-1", "007", "9" * 15, "9" * 30])
async def test_a_queue_with_a_place_that_no_worker_gives(server_url: str, place: str) -> None:
    """Whether what stands there is refused or applied: signals for later still come to pass, and nothing waits for ever."""
    async with scene(server_url) as at:
        attack = Attack(at)
        await attack.made()
        entity = keeper(attack.victim)
        queue = attack.names.queue_of(str(entity))
        planted = EntityOperation(str(entity), "keep", b"100", None, None, None)
        at.plants.redis.hset(queue, place, wire.pack_message(planted))
        attack.forget()
        if isinstance(await attack.keep(attack.victim), list):
            at.plants.redis.delete(queue)
        before = (await at.client.read_entity(entity))["kept"]
        await at.client.signal_entity(entity, "keep", 1_000, at=0.1)
        await until(lambda: _kept(at, entity, before + 1_000))
        await until(lambda: not at.plants.redis.exists(queue))


async def _kept(at: Scene, entity: ds.EntityId, wanted: int) -> bool:
    return bool(await at.client.read_entity(entity) == {"kept": wanted})


MEMBERS = [
    b"D",
    b"D\n1",
    b"D\n1\n5",
    b"D\nx\n5\n@Keeper@x",
    b"D\n1\n5\nKeeper",
    b"D\n1\n5\n@Keeper@",
    b"D\n-1\n5\n@Keeper@x",
]
FOR_NOBODY = [b"D\n1\n5\n@Keeper@x", b"D\n1\nsoon\n@Keeper@x", b"D\n99999\n5\n@Nobody@x", b"D\n1\n5\n@Keeper@a@b"]


async def test_planted_timers_of_entities(server_url: str) -> None:
    async with scene(server_url) as at:
        timers = at.plants.keys.partitions[HOME].timers
        victim = str(keeper(keys_in(HOME, 1)[0])).encode()
        at.plants.redis.zadd(timers, dict.fromkeys([*MEMBERS, *FOR_NOBODY, b"D\n0\n5\n" + victim], 1.0))
        at.worker.host.owned[HOME].expect_timer(0)
        await at.neighbours_go_on()
        letters = await at.dead(len(MEMBERS))
        assert sorted(blob for _, blob in letters) == sorted(MEMBERS)
        await at.client.signal_entity(keeper(keys_in(HOME, 1)[0]), "keep", 1, at=0.1)
        await until(lambda: at.client.read_entity(keeper(keys_in(HOME, 1)[0])))


# ---------------------------------------------------------------- records


@pytest.mark.parametrize("loaded", [False, True])
@pytest.mark.parametrize("part", ["record", "queue"])
@pytest.mark.parametrize("kind", ["string", "list", "zset", "stream"])
async def test_a_key_of_an_entity_of_another_type(server_url: str, kind: str, part: str, loaded: bool) -> None:
    async with scene(server_url) as at:
        attack = Attack(at)
        await attack.made()
        text = str(keeper(attack.victim))
        key = attack.names.entity(text) if part == "record" else attack.names.queue_of(text)
        put(at.plants, key, kind)
        if not loaded:
            attack.forget()
        answer = await attack.keep(attack.victim)
        if part == "record" or not loaded:  # else nothing needs the queue
            assert answer[0] == "Refused", answer
        await attack.others_go_on(2)
        ids = {one.id.key async for one in at.client.list_entities("Keeper")}
        assert ids >= set(attack.others)
        at.plants.redis.delete(key)
        attack.forget()
        assert await attack.keep(attack.victim) in (1, 2, 3)
        await attack.others_go_on(3)


async def test_a_signal_to_a_spoilt_entity_becomes_a_dead_letter(server_url: str) -> None:
    async with scene(server_url) as at:
        attack = Attack(at)
        await attack.made()
        put(at.plants, attack.names.entity(str(keeper(attack.victim))), "string")
        attack.forget()
        await at.client.signal_entity(keeper(attack.victim), "keep", 1)
        await attack.others_go_on(2)
        ((reason, blob),) = await at.dead(1)
        assert "WRONGTYPE" in reason or "is a string" in reason, reason
        assert wire.unpack_message(blob) == EntityOperation(str(keeper(attack.victim)), "keep", b"1", None, None, None)


SPOILT_FIELDS = {
    "revision": "x",
    "created_at": "\xff",
    "lock": "nobody",
    "state": "{",
    "locked_at": "long ago",
}


@pytest.mark.parametrize("field", SPOILT_FIELDS)
async def test_a_record_with_a_spoilt_field(server_url: str, field: str) -> None:
    async with scene(server_url) as at:
        attack = Attack(at)
        await attack.made()
        at.plants.redis.hset(attack.names.entity(str(keeper(attack.victim))), field, SPOILT_FIELDS[field])
        attack.forget()
        answer = await attack.keep(attack.victim)
        assert answer[0] in ("Refused", "PayloadError") if isinstance(answer, list) else field == "locked_at", answer
        await attack.others_go_on(2)


@pytest.mark.parametrize("part", ["entities", "locks", "stalled"])
async def test_an_index_of_entities_of_another_type(server_url: str, part: str) -> None:
    """Nothing is half done; other partitions do not notice; it goes on when the key is gone."""
    async with scene(server_url) as at:
        attack = Attack(at)
        await attack.made()
        fresh = keys_in(HOME, 6)[-1]
        key = getattr(attack.names, part)
        kept = at.plants.redis.dump(key)
        put(at.plants, key, "string")
        answer = await attack.keep(fresh)
        exists = at.plants.redis.exists(attack.names.entity(str(keeper(fresh))))
        assert bool(exists) == (answer == 1), answer
        elsewhere = [keys_in(partition, 1)[0] for partition in range(PARTITIONS) if partition != HOME]
        handles = await at.client.start_many(keeps, elsewhere)
        assert await at.client.wait_all(handles, timeout=10) == [1] * len(elsewhere)
        holder = await at.client.start(locks, [attack.victim])
        if kept is None:
            at.plants.redis.delete(key)
        else:  # in one step: the worker is at work
            at.plants.redis.restore(key, 0, kept, replace=True)
        await attack.others_go_on(2)
        assert await attack.keep(fresh) in (1, 2)
        await holder.terminate(check=False)
        await holder.wait(timeout=10)
        assert await attack.keep(attack.victim) == 2


async def test_a_record_that_is_gone_while_messages_wait(server_url: str) -> None:
    async with scene(server_url) as at:
        attack = Attack(at)
        await attack.made()
        await at.client.signal_entity(keeper(attack.victim), "keep", 10, at=3_600)
        await until(lambda: at.client.entity_queue(keeper(attack.victim)))
        at.plants.redis.delete(attack.names.entity(str(keeper(attack.victim))))
        attack.forget()
        kind, message = await attack.keep(attack.victim)
        assert kind == "Refused" and "queue" in message
        await attack.others_go_on(2)


async def test_a_store_that_cannot_list_one_entity_lists_the_others(server_url: str) -> None:
    async with scene(server_url) as at:
        attack = Attack(at)
        await attack.made()
        put(at.plants, attack.names.entity(str(keeper(attack.victim))), "list")
        at.plants.redis.zadd(attack.names.entities, {b"\xff\xfe": 0, b"no entity": 0, b"@Keeper@gone": 0})
        assert {one.id.key async for one in at.client.list_entities("Keeper")} == set(attack.others)
        with pytest.raises(StoreError, match="WRONGTYPE"):
            await at.client.read_entity(keeper(attack.victim))
