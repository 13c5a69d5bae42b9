"""Rubbish written straight into every stream: dead-lettered with a reason, workers alive, neighbours not delayed."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgpack
import pytest

import durastream as ds
from durastream import wire
from durastream.core.events import Failure, Parent
from durastream.core.messages import (
    ActivityItem,
    ChildResult,
    Continue,
    Message,
    Purge,
    RaiseEvent,
    Restart,
    Resume,
    Rewind,
    Start,
    Suspend,
    TaskResult,
    Terminate,
)
from durastream.errors import StoreError, WireError
from tests.acceptance.bad_input_app import app, neighbour, parent, waits
from tests.acceptance.planting import PARTITIONS, RUBBISH, Garden, garden, ids_in, mutations, shapes
from tests.acceptance.processes import seeded
from tests.acceptance.serving import LEASE_S, until_status
from tests.support import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.real_server]

DELAY_S_MAX = 1.0


class Scene:
    """A hub under attack: one worker, one client, and a plain connection."""

    def __init__(self, worker: ds.Worker, client: ds.Client, plants: Garden) -> None:
        self.worker = worker
        self.client = client
        self.plants = plants

    async def neighbours_go_on(self) -> None:
        """New orchestrations in every partition complete within the time a neighbour may be delayed."""
        began = time.monotonic()
        handles = await self.client.start_many(neighbour, list(range(4 * PARTITIONS)))
        assert await self.client.wait_all(handles, timeout=10) == list(range(4 * PARTITIONS))
        assert time.monotonic() - began < DELAY_S_MAX + 1, "neighbours were delayed"  # and a second for their own work
        assert self.worker.host.failure is None

    async def all_gone(self) -> None:
        await eventually(lambda: not self.plants.waiting(), 20, pause_s=0.02, what="the streams are empty")

    async def dead(self, count: int) -> list[tuple[str, bytes]]:
        """Dead letters, once there are so many. Each has a reason that is short and printable."""
        await eventually(lambda: len(self.plants.dead()) >= count, 20, pause_s=0.02, what=f"{count} dead letters")
        letters = self.plants.dead()
        assert len(letters) == count
        assert all(reason.isprintable() and 10 < len(reason) < 600 for reason, _ in letters), letters
        return letters


@asynccontextmanager
async def scene(url: str) -> AsyncIterator[Scene]:
    async with ds.Worker(app, url, lease=LEASE_S, grace=0.2) as worker, ds.Client(url) as client:
        with garden(url) as plants:
            made = Scene(worker, client, plants)
            await made.neighbours_go_on()  # everything is owned, and what they leave behind is known
            yield made
            await made.neighbours_go_on()


def _is_malformed(blob: bytes) -> bool:
    try:
        wire.unpack_message(blob)
    except WireError:
        return True
    return False


SHAPES = [(1, 11), (2, 5), (3, 5), (4, 3), (5, 2), (7, 4), (8, 2), (9, 4), (10, 3), (11, 2)]  # code, number of fields
MALFORMED_MESSAGES = RUBBISH[1:] + [one for code, count in SHAPES for one in shapes(code, count) if _is_malformed(one)]


async def test_malformed_messages(server_url: str) -> None:
    async with scene(server_url) as at:
        known = at.plants.instances()
        for number, blob in enumerate(MALFORMED_MESSAGES):
            at.plants.add(at.plants.keys.partitions[number % PARTITIONS].inbox, {"m": blob})
        await at.neighbours_go_on()
        await at.all_gone()
        letters = await at.dead(len(MALFORMED_MESSAGES))
        assert sorted(blob for _, blob in letters) == sorted(MALFORMED_MESSAGES), "what came is kept"
        assert all("inbox of partition" in reason for reason, _ in letters)
        assert len(at.plants.instances() - known) == 4 * PARTITIONS, "nothing was made of rubbish"


FOREIGN_FIELDS: list[dict[bytes, bytes]] = [
    {b"x": b"1"},
    {b"op": b"start", b"name": b"neighbour"},
    {b"m": b""},
    {b"": b""},
    {b"t": b"12"},
    {b"t": b"\xc2\xb2", b"m": b"x"},
    {b"m": b"x", b"t": b"9" * 5_000},
    {b"m": b"x", b"t": b"-1"},
    {b"m": b"x", b"extra": b"1", b"more": b"2"},
    {b"M": b"upper case"},
    {b"\xff\xfe": b"\xff"},
]


async def test_entries_with_other_fields(server_url: str) -> None:
    async with scene(server_url) as at:
        inbox, activities = at.plants.keys.partitions[3].inbox, at.plants.keys.partitions[4].activities("default")
        at.plants.add(inbox, *FOREIGN_FIELDS)
        at.plants.add(activities, *FOREIGN_FIELDS)
        await at.neighbours_go_on()
        await at.all_gone()
        await at.dead(2 * len(FOREIGN_FIELDS))


async def test_malformed_activities(server_url: str) -> None:
    blobs = RUBBISH + shapes(1, 7) + shapes(1, 6)
    async with scene(server_url) as at:
        known = at.plants.instances()
        for number, blob in enumerate(blobs):
            at.plants.add(at.plants.keys.partitions[number % PARTITIONS].activities("default"), {"m": blob})
        await at.neighbours_go_on()
        await at.all_gone()
        await at.dead(len(blobs))
        assert len(at.plants.instances() - known) == 4 * PARTITIONS


ID, EXECUTION = "never made", "0123456789abcdef.0"
PARENT = Parent("nor this", "fedcba9876543210.0", 3)
FAILURE = Failure("Boom", "text", "stack", (Failure("Cause", "of it"),), True)
START = Start(ID, EXECUTION, "neighbour", None, b"1", None, None, None, None, "error", True)
FOR_NOBODY: list[Message] = [
    START,
    START._replace(parent=PARENT),
    TaskResult(ID, EXECUTION, 1, b"1", None),
    TaskResult(ID, EXECUTION, 10**12, None, FAILURE),
    TaskResult(ID, "", -1, None, FAILURE),
    ChildResult(ID, EXECUTION, 5, b"not json", None),
    RaiseEvent(ID, "go", b"1"),
    RaiseEvent(ID, "", None),
    Suspend(ID, None),
    Resume(ID, "why"),
    Terminate(ID, "x" * 10_000, True, None),
    Terminate(ID, None, False, PARENT),
    Continue(ID, EXECUTION),
    Continue(ID, ""),
    Rewind(ID, None, None, None),
    Rewind(ID, None, "nowhere 1", None),
    Restart(ID, EXECUTION, None),
    Restart(ID, EXECUTION, "x"),
    Purge(ID, None),
    Purge(ID, " "),
]


async def test_messages_for_unknown_instances(server_url: str) -> None:
    """Well formed, but of an instance that never was: dropped, and nothing is created."""
    async with scene(server_url) as at:
        known = at.plants.instances()
        for message in FOR_NOBODY:
            at.plants.inbox(ID, wire.pack_message(message))
        await at.neighbours_go_on()
        await at.all_gone()
        assert ID not in at.plants.instances()
        assert len(at.plants.instances() - known) == 4 * PARTITIONS
        assert not [reason for reason, _ in at.plants.dead() if "refused" in reason], at.plants.dead()


BAD_STARTS = [
    START._replace(created=False, execution_id="garbage"),
    START._replace(created=False, execution_id=""),
    START._replace(created=False, execution_id="a.b"),
    START._replace(created=False, execution_id="x.\u00b2"),
    START._replace(created=False, execution_id="a\nb.0"),
    START._replace(created=False, instance_id="line\nbreak"),
    START._replace(created=False, instance_id="nul\0"),
    START._replace(created=False, name=""),
    START._replace(created=False, name="x" * 300),
    START._replace(created=False, name="a\nb"),
    START._replace(created=False, tags=b"no json"),
    START._replace(created=False, parent=PARENT._replace(instance_id="x\ny")),
    START._replace(created=False, parent=PARENT._replace(execution_id="x\ny.0")),
]


async def test_starts_that_break_the_rules_of_ids(server_url: str) -> None:
    """They would make instances that nobody could name or show."""
    async with scene(server_url) as at:
        for message in BAD_STARTS:
            at.plants.inbox(message.instance_id, wire.pack_message(message))
        at.plants.inbox(ID, wire.pack_message(Restart(ID, "garbage", None)))
        await at.neighbours_go_on()
        await at.all_gone()
        await at.dead(len(BAD_STARTS) + 1)
        assert ID not in at.plants.instances()
        assert not [one for one in at.plants.instances() if not one.isprintable()]


async def test_forged_messages_for_real_instances(server_url: str) -> None:
    """Starts of what exists, outcomes of what was never asked for: no effect on the instance."""
    async with scene(server_url) as at:
        running = await at.client.start(waits, 1, instance_id="running")
        ended = await at.client.start(neighbour, 7, instance_id="ended")
        assert await ended.result(timeout=5) == 7
        before = [await at.client.status(one) for one in ("running", "ended")]
        history = [await at.client.history(one) for one in ("running", "ended")]
        for instance_id, status in zip(("running", "ended"), before, strict=True):
            execution = status.execution_id
            start = START._replace(instance_id=instance_id)
            forged: list[Message] = [
                start,
                start,
                start._replace(execution_id=execution, name="waits"),
                start._replace(created=False),
                start._replace(created=False, if_exists="ignore"),
                start._replace(created=False, if_exists="child") if instance_id == "running" else start,
                TaskResult(instance_id, execution, 77, b"1", None),
                TaskResult(instance_id, execution, 0, b"1", None),
                TaskResult(instance_id, execution, -5, b"1", None),
                TaskResult(instance_id, execution, 10**14, None, FAILURE),
                TaskResult(instance_id, "other.0", 1, b"1", None),
                ChildResult(instance_id, execution, 1, b"1", None),
                Continue(instance_id, execution),
                Continue(instance_id, "other.9"),
                Terminate(instance_id, "not your child", True, PARENT),
                Restart(instance_id, "1.0", None) if instance_id == "running" else start,
                Purge(instance_id, None) if instance_id == "running" else start,
                Rewind(instance_id, None, None, None),
            ]
            for message in forged:
                at.plants.inbox(instance_id, wire.pack_message(message))
        await at.neighbours_go_on()
        await at.all_gone()
        assert [await at.client.status(one) for one in ("running", "ended")] == before
        assert [await at.client.history(one) for one in ("running", "ended")] == history
        await running.raise_event("go", "on")
        assert await running.result(timeout=5) == "on"


MEMBERS: list[bytes] = [
    b"", b"x", b"T", b"T\n", b"T\n1", b"T\n1\n2", b"T\nx\ny.0\nid", b"T\n\xc2\xb2\ny.0\nid", b"T\n-1\ny.0\nid", b"Z\n1\ny.0\nid",
    b"t\n1\ny.0\nid", b"\xff\xfe", b"T\n1\ny.0\n\xff", b"T\n" + b"9" * 5_000 + b"\ny.0\nid", b"T\n1\ny.0\n", b"\n\n\n\n",
    b"T\n1\ny.0\n" + b"x" * 1_000,
    b"S\n\n\n\n", b"X\nx\ny.0\nid",
    b"T\n99999999999999999999\ny.0\nid",
]  # fmt: skip
FOR_NO_INSTANCE = [
    b"T\n1\ny.0\nid",
    b"S\n0\ny.0\nid",
    b"X\n5\ny.0\nid",
    b"T\n1\n\nid",
    b"S\n0\nnodot\nid",
    b"T\n99999999999999999999\ny.0\nid",
]


async def test_planted_timers(server_url: str) -> None:
    async with scene(server_url) as at:
        timers = at.plants.keys.partitions[5].timers
        at.plants.redis.zadd(timers, dict.fromkeys([*MEMBERS, *FOR_NO_INSTANCE], 1.0))
        at.plants.redis.zadd(timers, {b"never": "inf", b"always": "-inf", b"soon": -1.5, b"half": 1e300})
        at.worker.host.owned[5].expect_timer(0)
        await at.neighbours_go_on()
        due = [*MEMBERS, b"always", b"soon"]
        letters = await at.dead(len(due))
        assert all("timer" in reason for reason, _ in letters)
        assert sorted(blob for _, blob in letters) == sorted(due)
        left = at.plants.redis.zrange(timers, 0, -1)
        assert {member for member in left if not member.startswith(b"X\n1")} == {b"never", b"half"}
        sleeper = await at.client.start(neighbour, 1, instance_id="later", start_at=0.1)
        assert await sleeper.result(timeout=5) == 1


OUTBOX: list[dict[bytes, bytes]] = [
    {b"x": b"1"},
    {b"to": b"3"},
    {b"to": b"99999", b"m": b"x"},
    {b"to": b"-1", b"m": b"x"},
    {b"to": b"\xc2\xb2", b"m": b"x"},
    {b"to": b"\xff", b"m": b"x"},
    {b"to": b"9" * 5_000, b"m": b"x"},
    {b"to": b"", b"m": b"x"},
    {b"to": b"somewhere", b"m": b"x"},
    {b"to": b"dead", b"m": b"no msgpack"},
    {b"to": b"dead", b"m": msgpack.packb(["only a reason"])},
    {b"to": b"dead", b"m": msgpack.packb([1, 2])},
    {b"to": b"dead", b"m": msgpack.packb({"a": 1})},
    {b"to": b"dead"},
    {b"to": b"reply", b"m": b"\xc1"},
    {b"to": b"reply", b"m": msgpack.packb([None, b"{}"])},
    {b"to": b"reply", b"m": msgpack.packb(["ds:{default}:hub", b"{}"])},
    {b"to": b"reply", b"m": msgpack.packb([["list"], b"{}", 3])},
    {b"to": b"2", b"m": b"rubbish for another partition"},
]


async def test_planted_outbox_entries(server_url: str) -> None:
    """They are met by the next owner, who reads what the last one left."""
    with garden(server_url) as plants:
        async with scene(server_url) as at:
            await at.all_gone()
        for number, fields in enumerate(OUTBOX):
            plants.redis.xadd(plants.keys.partitions[6].outbox, fields, id=f"7-{number + 1}")
        async with scene(server_url) as at:
            await at.all_gone()
            await eventually(lambda: len(plants.dead()) >= len(OUTBOX), 20, pause_s=0.02)
            assert len(plants.dead()) == len(OUTBOX), plants.dead()
            assert plants.redis.type(plants.keys.settings) == b"hash"


async def test_an_outbox_whose_numbers_were_spoilt(server_url: str) -> None:
    """An entry whose id is above all that owners use: numbers must rise, so it stands in the way of every commit that sends."""
    async with scene(server_url) as at:
        for names in at.plants.keys.partitions:
            at.plants.redis.xadd(names.outbox, {"to": "1", "m": "x"}, id="99999999999999999-1")
        handles = await at.client.start_many(parent, list(range(50)))
        assert await at.client.wait_all(handles, timeout=20) == list(range(50))
        await at.dead(PARTITIONS)


async def test_an_inbox_whose_ids_were_used_up(server_url: str) -> None:
    """Nobody can write to it any more: no start, no outcome, no event. Nothing is half done meanwhile, and it is mended."""
    async with scene(server_url) as at:
        (name,) = ids_in(5, 1)
        waiting = await at.client.start(waits, 1, instance_id=name)
        await until_status(waiting, "Running")
        names = at.plants.home(name)
        at.plants.redis.xadd(names.inbox, {"m": "x"}, id="18446744073709551615-18446744073709551615")
        for one in ids_in(5, 5, prefix="late"):
            with pytest.raises(StoreError, match="exhausted"):
                await at.client.start(neighbour, 1, instance_id=one)
            assert one not in at.plants.instances(), "a start that was refused left something behind"
        await eventually(lambda: names.inbox not in at.plants.waiting(), 5)
        at.worker.host._rescue_at = 0.0  # else within 15 s
        await eventually(lambda: not at.plants.redis.exists(names.inbox), 5, pause_s=0.05, what="the inbox is mended")
        await waiting.raise_event("go", 9)
        assert await waiting.result(timeout=5) == 9
        await at.dead(1)


MARKS = [
    b"",
    b"x",
    b":",
    b":::",
    b"1",
    b"1:2",
    b"a:b:c:d",
    b"1:n:x:1",
    b"-1:n:1:1",
    b"\xff:\xff:\xff:\xff",
    b"1:n:1:",
    b"9" * 400 + b"::1:1",
]


async def test_planted_marks(server_url: str) -> None:
    """The high-water marks of sources: one that cannot be read counts as none."""
    async with scene(server_url) as at:
        for mark in MARKS:
            for target in at.plants.keys.partitions:
                at.plants.redis.hset(target.marks, mapping={f"p{source}": mark for source in range(PARTITIONS)})
            handles = await at.client.start_many(parent, list(range(PARTITIONS)))
            assert await at.client.wait_all(handles, timeout=10) == list(range(PARTITIONS))


async def test_generated_rubbish(server_url: str) -> None:
    """Valid messages with a few bytes changed. Whatever they mean now: the worker lives, and no instance but theirs appears."""
    rng = seeded()
    valid = [wire.pack_message(message) for message in FOR_NOBODY]
    item = wire.pack_activity(ActivityItem(ID, EXECUTION, 1, "echo", b"1", 5_000, 1))
    async with scene(server_url) as at:
        pipe = at.plants.redis.pipeline(transaction=False)
        for blob in valid:
            for made in mutations(rng, blob, 100):
                pipe.xadd(at.plants.home(ID).inbox, {"m": made})
        for made in mutations(rng, item, 500):
            pipe.xadd(at.plants.keys.partitions[2].activities("default"), {"m": made})
        pipe.execute()
        await at.neighbours_go_on()
        await eventually(lambda: at.worker.host.failure is not None or _inboxes_empty(at), 20, pause_s=0.02)
        assert at.worker.host.failure is None
        assert len(at.plants.dead()) > 100


def _inboxes_empty(at: Scene) -> bool:
    """Activities of unknown names wait for a worker that has them: those entries stay."""
    return not [name for name in at.plants.waiting() if not name.rpartition("}:")[2].startswith("a:default/")]
