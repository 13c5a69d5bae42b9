"""Entities seen by a client: what it sends, what it reads, and locks that were left behind."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from durastream import errors
from durastream.app import App
from durastream.client import Client
from durastream.core.entity_id import EntityId
from durastream.core.events import Parent
from durastream.core.messages import EntityOperation, LockEntities, Message, UnlockEntities
from durastream.store.memory import MemoryStore
from durastream.wire import pack_message

from .conftest import NOW
from .fakes import EntityWriter, FaultyStore, at_random

pytestmark = pytest.mark.anyio

A = EntityId("Counter", "a")
HOSTILE = ("{x}:*?", "a b", "@b@c", "\u202e\u200e", "日本語" * 28, "-n", "'\"; FLUSHALL", "%s{}\\", "é́")
app = App()


@app.entity
class Counter:
    value: int = 0

    def add(self, amount: int) -> int:
        self.value += amount
        return self.value


@dataclass
class Point:
    x: int
    y: int


def operation(entity: EntityId, name: str, data: bytes | None = None, due: int | None = None) -> EntityOperation:
    return EntityOperation(str(entity), name, data, None, None, due)


# ---------------------------------------------------------------- signals


async def test_a_signal_is_in_the_inbox_when_it_returns(client: Client, writer: EntityWriter) -> None:
    await client.signal_entity(A, "add", {"amount": 5})
    await client.signal_entity(A, "reset")
    assert await writer.messages() == [operation(A, "add", b'{"amount":5}'), operation(A, "reset")]


@pytest.mark.parametrize(
    ("at", "due"),
    [
        (timedelta(seconds=90), NOW + 90_000),
        (1.5, NOW + 1_500),
        (0, NOW),
        (datetime(2040, 1, 1, tzinfo=UTC), 2_208_988_800_000),
        (datetime(2040, 1, 1), 2_208_988_800_000),  # noqa: DTZ001 - naive counts as UTC
        (datetime(1900, 1, 1, tzinfo=UTC), 0),
    ],
)
async def test_a_signal_for_later(client: Client, writer: EntityWriter, at: Any, due: int) -> None:
    await client.signal_entity(A, "add", 1, at=at)
    assert await writer.messages() == [operation(A, "add", b"1", due)]


@pytest.mark.parametrize(
    ("at", "error"),
    [
        (-1, ValueError),
        (float("nan"), ValueError),
        (datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC), ValueError),
        ("tomorrow", TypeError),
    ],
)
async def test_times_that_are_none(client: Client, writer: EntityWriter, at: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="at"):
        await client.signal_entity(A, "add", 1, at=at)
    assert await writer.messages() == []


@pytest.mark.parametrize("name", [name for name in HOSTILE if "@" not in name])
@pytest.mark.parametrize("key", HOSTILE)
async def test_hostile_names_keys_and_operations_travel_as_they_are(
    client: Client, writer: EntityWriter, name: str, key: str
) -> None:
    entity = EntityId(name, key)
    await client.signal_entity(entity, key, key)
    (message,) = await writer.messages()
    assert isinstance(message, EntityOperation)
    assert EntityId.parse(message.entity) == entity
    assert message.operation == key


async def test_what_cannot_be_signalled_is_refused(client: Client, writer: EntityWriter) -> None:
    with pytest.raises(errors.InvalidId, match="no EntityId"):
        await client.signal_entity("@Counter@a", "add")  # type: ignore[arg-type]
    for bad in ("", "a\nb", "x" * 300):
        with pytest.raises(errors.InvalidId, match="operation name"):
            await client.signal_entity(A, bad)
    with pytest.raises(errors.PayloadError, match="input"):
        await client.signal_entity(A, "add", object())
    with pytest.raises(errors.PayloadTooLarge):
        await client.signal_entity(A, "add", "x" * (1 << 20))
    assert await writer.messages() == []


async def test_very_many_signals_keep_their_order(client: Client, store: FaultyStore, writer: EntityWriter) -> None:
    ids = [EntityId("Counter", f"k{k}") for k in range(7)]
    await client.signal_entities((ids[k % 7], "add", k) for k in range(20_000))
    assert store.calls.count("deliver") <= 250
    seen: dict[str, list[int]] = {}
    for message in await writer.messages():
        assert isinstance(message, EntityOperation)
        seen.setdefault(message.entity, []).append(int(message.input or b""))
    assert seen == {str(entity): list(range(k, 20_000, 7)) for k, entity in enumerate(ids)}


async def test_many_signals_hold_a_bounded_number_of_bytes(
    client: Client, memory: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The generator is asked for more only when what it gave has been stored."""
    monkeypatch.setattr("durastream.client.signals._WINDOW_BYTES", 100_000)
    ahead = 0

    def signals() -> Iterator[tuple[EntityId, str, str]]:
        nonlocal ahead
        for k in range(300):
            stored = sum(lease.backlog for lease in leases())
            ahead = max(ahead, k - stored)
            yield EntityId("Counter", f"k{k}"), "add", "x" * 10_000

    def leases() -> list[Any]:
        return [place.info() for place in memory._state.partitions]

    await client.signal_entities(signals())
    assert ahead <= 20


async def test_a_bad_one_among_many_is_named(client: Client) -> None:
    with pytest.raises(errors.PayloadError, match=r"signals\[1\]"):
        await client.signal_entities([(A, "add", 1), (A, "add", float("nan"))])
    await client.signal_entities([])


async def test_many_signals_give_up_with_the_server(store: FaultyStore) -> None:
    store.choose = lambda verb: "before" if verb == "deliver" else None
    async with Client(store, rng=random.Random(1), retry_for_s=0.05) as client:
        with pytest.raises(errors.StoreUnavailable):
            await client.signal_entities((A, "add", k) for k in range(1_000))


@pytest.mark.parametrize("seed", range(5))
async def test_signals_arrive_once_and_in_order_whatever_is_lost(
    client: Client, store: FaultyStore, writer: EntityWriter, seed: int
) -> None:
    store.choose = at_random(seed, 0.3)
    ids = [EntityId("Counter", f"k{k}") for k in range(3)]

    async def send(entity: EntityId) -> None:
        for k in range(20):
            await client.signal_entity(entity, "add", k, at=None if k % 2 else 1)

    await asyncio.gather(*map(send, ids), client.signal_entities((A, "bulk", k) for k in range(500)))
    store.choose = lambda verb: None
    seen: dict[str, list[int]] = {}
    for message in await writer.messages():
        assert isinstance(message, EntityOperation)
        seen.setdefault(message.entity, []).append(int(message.input or b""))
    assert seen == {str(one): list(range(20)) for one in ids} | {str(A): list(range(500))}, f"seed {seed}"


# ---------------------------------------------------------------- reading


async def test_reading_a_state(client: Client, writer: EntityWriter) -> None:
    assert await client.read_entity(A) is None
    assert await client.read_entity(A, Counter) is None
    await writer.write(str(A), state=b'{"value":3}')
    assert await client.read_entity(A) == {"value": 3}
    counter = await client.read_entity(A, type=Counter)
    assert isinstance(counter, Counter)
    assert counter.value == 3
    assert await client.read_entity(A, dict[str, int]) == {"value": 3}
    with pytest.raises(errors.PayloadError, match="state of entity @Counter@a"):
        await client.read_entity(A, Point)


async def test_one_that_is_only_locked_has_no_state(client: Client, writer: EntityWriter) -> None:
    await writer.write(str(A), lock="order-7\nt.0\n4", locked_at=NOW)
    assert await client.read_entity(A) is None
    status = await client.entity(A)
    assert (status.state, status.locked_by) == (None, "order-7")


async def test_the_status_of_an_entity(client: Client, writer: EntityWriter) -> None:
    waiting = pack_message(operation(A, "add", b"1"))
    await writer.write(str(A), [waiting, waiting], state=b'{"value":3}', lock="i\nt.0\n4", locked_at=NOW + 5)
    status = await client.entity(A)
    assert (status.id, status.state, status.revision, status.queued) == (A, {"value": 3}, 0, 2)
    assert (status.created_at.timestamp(), status.updated_at.timestamp()) == (NOW / 1_000, NOW / 1_000 + 1)
    assert status.locked_by == "i"
    assert status.locked_at is not None and status.locked_at.microsecond == 5_000
    assert hash(status.id) == hash(EntityId("Counter", "a"))


async def test_an_entity_that_is_none(client: Client) -> None:
    with pytest.raises(errors.EntityNotFound, match="'@Counter@a' does not exist in hub 'default'"):
        await client.entity(A)
    with pytest.raises(errors.InvalidId, match="no EntityId"):
        await client.read_entity("a")  # type: ignore[call-overload]


async def test_the_queue_tells_who_waits_and_for_what(client: Client, writer: EntityWriter) -> None:
    caller = Parent("order-7", "t.0", 3)
    messages: list[Message] = [
        EntityOperation(str(A), "add", b'{"n":1}', None, None, NOW + 1_000),
        EntityOperation(str(A), "get", None, caller, "order-7", None),
        EntityOperation(str(A), "add", b"2", None, "@Counter@b", None),
        LockEntities(str(A), (str(A),), caller),
        EntityOperation(str(A), "add", b"{", None, None, None),
    ]
    await writer.write(str(A), [*map(pack_message, messages), b"\xff rubbish", b""])
    queue = await client.entity_queue(A)
    assert [(one.number, one.kind, one.operation, one.input, one.sender) for one in queue] == [
        (1, "signal", "add", {"n": 1}, None),
        (2, "call", "get", None, "order-7"),
        (3, "signal", "add", 2, "@Counter@b"),
        (4, "lock", None, None, "order-7"),
        (5, "unreadable", None, None, None),
        (6, "unreadable", None, None, None),
        (7, "unreadable", None, None, None),
    ]
    assert queue[0].due == datetime.fromtimestamp(NOW / 1_000 + 1, UTC)
    assert len(await client.entity_queue(A, limit=2)) == 2
    assert await client.entity_queue(A, limit=0) == []
    assert await client.entity_queue(EntityId("Counter", "none")) == []


async def test_why_operations_wait(client: Client, writer: EntityWriter) -> None:
    assert await client.entity_problem(A) is None
    await writer.stall(str(A), b'{"kind":"unknown-entity","message":"no Counter here"}')
    assert (await client.entity_problem(A))["message"] == "no Counter here"


# ---------------------------------------------------------------- listing


async def listed(client: Client, *names: str, **filters: Any) -> list[str]:
    return [str(one.id) async for one in client.list_entities(*names, **filters)]


async def test_listing_by_name_prefix_and_limit(client: Client, writer: EntityWriter) -> None:
    for name in ("Counter", "Counter2", "Count"):
        for k in range(150):
            await writer.write(f"@{name}@k{k:03}", state=b"1")
    assert len(await listed(client)) == 450
    assert await listed(client, "Counter") == [f"@Counter@k{k:03}" for k in range(150)]
    assert await listed(client, "Counter", prefix="k14") == [f"@Counter@k{k}" for k in range(140, 150)]
    assert await listed(client, "Counter", prefix="K") == []
    assert await listed(client, "Nothing") == []
    for limit in (0, 1, 99, 100, 101, 250):
        assert len(await listed(client, limit=limit)) == limit
    assert await listed(client, limit=-1) == []


async def test_listing_the_locked_ones_does_not_look_at_the_others(
    client: Client, store: FaultyStore, writer: EntityWriter
) -> None:
    for k in range(120):
        await writer.write(f"@Counter@k{k:03}", state=b"1", lock="i\nt.0\n1" if k % 12 == 0 else None)
    locked = [f"@Counter@k{k:03}" for k in range(0, 120, 12)]
    assert await listed(client, locked=True) == locked
    assert await listed(client, "Counter", prefix="k02", locked=True) == ["@Counter@k024"]
    assert await listed(client, "Count", locked=True) == []
    assert await listed(client, locked=True, limit=3) == locked[:3]
    assert "entity_page" not in store.calls
    assert len(await listed(client, locked=False)) == 110
    assert len(await listed(client, locked=False, limit=105)) == 105


@pytest.mark.parametrize("key", HOSTILE)
async def test_hostile_keys_are_found_again(client: Client, writer: EntityWriter, key: str) -> None:
    entity = EntityId("Counter", key)
    await writer.write(str(entity), state=b'"\\u001b[2J"')
    await writer.write("@Counter@zzz", state=b"1")
    assert [one.id async for one in client.list_entities("Counter", prefix=key)] == [entity]
    assert await client.read_entity(entity) == "\x1b[2J"


async def test_what_is_no_entity_is_not_listed(client: Client, writer: EntityWriter) -> None:
    for text in ("junk", "@Counter", "@@a", "@Counter@", "@Co\nunter@a", "@Counter@b"):
        await writer.write(text, state=b"1", lock="i\nt.0\n1")
    assert await listed(client) == await listed(client, locked=True) == ["@Counter@b"]


async def test_filters_that_cannot_be(client: Client) -> None:
    for arguments, filters in (((), {"prefix": "a"}), (("Co@unter",), {}), (("",), {}), (("C",), {"prefix": "a\n"})):
        with pytest.raises(errors.InvalidId, match=r"prefix|entity"):
            await listed(client, *arguments, **filters)


# ---------------------------------------------------------------- locks left behind


async def test_locks_of_those_who_are_no_more_are_opened(client: Client, writer: EntityWriter) -> None:
    ended = await client.start("o", instance_id="ended")
    await writer.end("ended")
    going = await client.start("o", instance_id="going")
    holders = {
        "@A@gone": "purged\nt.0\n4",
        "@A@ended": f"ended\n{ended.execution_id}\n2",
        "@A@earlier": "going\nanother.0\n7",
        "@A@held": f"going\n{going.execution_id}\n2",
    }
    for text, lock in holders.items():
        await writer.write(text, lock=lock, locked_at=NOW)
    await writer.write("@A@free", state=b"1")
    cleaned = await client.clean_entities()
    assert [str(one) for one in cleaned.released] == ["@A@earlier", "@A@ended", "@A@gone"]
    sent = [one for one in await writer.messages() if isinstance(one, UnlockEntities)]
    assert sorted(sent) == [
        UnlockEntities("@A@earlier", (), Parent("going", "another.0", 7)),
        UnlockEntities("@A@ended", (), Parent("ended", ended.execution_id or "", 2)),
        UnlockEntities("@A@gone", (), Parent("purged", "t.0", 4)),
    ]


async def test_very_many_locks_left_behind(client: Client, store: FaultyStore, writer: EntityWriter) -> None:
    for k in range(1_000):
        await writer.write(f"@A@k{k}", lock=f"purged-{k % 3}\nt.0\n4")
    assert len((await client.clean_entities()).released) == 1_000
    assert len(await writer.messages()) == 1_000
    assert len(store.calls) < 100


@pytest.mark.parametrize(
    "lock",
    ["", "junk", "i\nt.0", "i\nt.0\n", "i\nt.0\n-1", "i\nt.0\n1\n2", "\nt.0\n1", "i\nno\n1", "i\nt.0\n1e3", "i\nt.0\n"
     + "9" * 400, "x" * 300 + "\nt.0\n1"],
)  # fmt: skip
async def test_a_lock_that_no_worker_wrote_is_left_alone(client: Client, writer: EntityWriter, lock: str) -> None:
    await writer.write("@A@a", lock=lock)
    assert (await client.clean_entities()).released == ()
    assert await writer.messages() == []


async def test_a_locked_thing_that_is_no_entity_is_left_alone(client: Client, writer: EntityWriter) -> None:
    await writer.write("junk", lock="i\nt.0\n1")
    assert (await client.clean_entities()).released == ()
