"""`fsck` on real servers: a hub at work is clean, every damage is found and named, what can be repaired is."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

import durastream as ds
from durastream import wire
from durastream.core import events as ev
from durastream.core.ids import partition_of
from durastream.core.messages import Resume
from durastream.errors import HubNotFound
from durastream.inspect.fsck import Patience, Report, fsck
from durastream.inspect.fsck.residue import Residue
from durastream.store.keys import HubKeys
from durastream.store.redis.hubs import create_hub
from durastream.store.redis.repairs import Repairs
from tests.acceptance import fsck_busy_app, fsck_hub
from tests.acceptance.damages import DAMAGES, Damage
from tests.acceptance.foreign import foreign
from tests.acceptance.fsck_hub import FREE, LOCKED, Grown, Keep, grow, grown
from tests.acceptance.processes import ROOT, fleet, seeded
from tests.acceptance.serving import serving
from tests.support import eventually

LONG = pytest.mark.skipif("DURASTREAM_LONG" not in os.environ, reason="takes minutes: set DURASTREAM_LONG=1 to run it")

pytestmark = [pytest.mark.anyio, pytest.mark.real_server]

AT_ONCE = Patience(1, 0)
"""For hubs on which nobody works."""


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Repairs]:
    hub = await Repairs.open(url, "default")
    try:
        yield hub
    finally:
        await hub.close()


async def examined(url: str, patience: Patience = AT_ONCE) -> Report:
    async with opened(url) as hub:
        return await fsck(hub, patience=patience)


async def repaired(url: str, report: Report) -> None:
    """Carry out everything that can be repaired."""
    async with opened(url) as hub:
        for violation in report.violations:
            if violation.repair is not None:
                assert await hub.repair(violation.repair.verb, violation.repair.arguments), violation


def told(report: Report) -> str:
    return "\n".join(f"{one.invariant} {one.key}: {one.text}" for one in report.violations[:20])


_KEPT: dict[str, Keep] = {}


@pytest.fixture
async def hub_url(server_url: str) -> AsyncIterator[str]:
    """A server with the hub of `fsck_hub`, as its worker left it."""
    if server_url not in _KEPT:
        _KEPT[server_url] = await grow(server_url)
    with grown(server_url) as hub:
        _KEPT[server_url].restore(hub.redis)
        yield server_url
        hub.redis.config_set("maxmemory-policy", "noeviction")


async def test_a_sound_hub_is_clean(hub_url: str) -> None:
    report = await examined(hub_url)
    assert report.clean, told(report)
    assert report.looked_at["instances"] == 12
    assert report.looked_at["entities"] == 3


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.name)
async def test_every_damage_is_found_and_named(hub_url: str, damage: Damage) -> None:
    with grown(hub_url) as hub:
        damage.do(hub)
    report = await examined(hub_url)
    named = [one for one in report.violations if one.invariant == damage.invariant and damage.key in one.key]
    assert named, f"not found: {damage.name}; found:\n{told(report)}"
    await repaired(hub_url, report)
    again = await examined(hub_url)
    if damage.mends:
        assert again.clean, f"not repaired: {told(again)}"


async def test_what_cannot_be_told_is_a_doubt(hub_url: str) -> None:
    """A timer that the code may have cancelled: it is no violation that it is not set."""
    with grown(hub_url) as hub:
        record, history = hub.record("waiting"), hub.history("waiting")
        at = int(hub.redis.hget(record, "updated_at"))
        hub.redis.hset(history, 1, wire.pack_event(ev.EventRaised(at, "other", None)))
        hub.redis.hset(history, 2, wire.pack_event(ev.TimerCreated(at, at + 5)))
        hub.redis.hset(record, "events", 3)
    report = await examined(hub_url)
    assert report.clean, told(report)
    (doubt,) = report.doubts
    assert doubt.invariant == "S10"
    assert "event 2" in doubt.text


async def test_a_hub_at_work_is_clean(server_url: str) -> None:
    """What is under way is no finding, however much of it there is, and however often it moves."""
    async with (
        ds.Worker(fsck_busy_app.app, server_url, lease=1.0, grace=0.2),
        serving(fsck_busy_app.app, server_url) as client,
    ):
        stop = asyncio.Event()
        feeding = asyncio.create_task(_feed(client, stop))
        try:
            for _ in range(3):
                report = await examined(server_url, Patience(3, 0.25))
                assert report.clean, told(report)
                assert not report.doubts
        finally:
            stop.set()
        assert await feeding > 50
        assert report.looked_at["instances"] > 50
        failed = [one.name async for one in client.list(status="Failed")]
        assert set(failed) <= {"breaks"}, failed


async def _feed(client: ds.Client, stop: asyncio.Event) -> int:
    """Start instances of every kind, a few at a time so that the server has time for both; how many."""
    count = 0
    while not stop.is_set():
        for number, orchestrator in enumerate(fsck_busy_app.ORCHESTRATORS):
            handle: ds.Handle[Any] = await client.start(orchestrator, (count + number) % 7)
            if orchestrator is fsck_busy_app.patient:
                await handle.raise_event("go", "on")
            if orchestrator is fsck_busy_app.tree and count % 4 == 0:
                await handle.suspend(check=False)
                await handle.resume(check=False)
            if orchestrator is fsck_busy_app.locks and count % 5 == 0:
                await handle.terminate("enough", check=False)
            count += 1
        await asyncio.sleep(0.02)  # time must pass: the worker has to keep up
    return count


async def test_whatever_a_killed_worker_leaves_is_clean(server_url: str) -> None:
    """Between any two commits everything that is open is carried by something (S10), and is found where it stands."""
    random = seeded()
    with fleet(server_url, "tests.acceptance.fsck_busy_app:app", 2) as workers:
        async with ds.Client(server_url) as client:
            for _ in range(3):
                for worker in workers:
                    await worker.until_serving()
                for number in range(random.randint(5, 25)):
                    await asyncio.gather(*(client.start(one, number % 7) for one in fsck_busy_app.ORCHESTRATORS))
                for worker in workers:
                    worker.kill()
                report = await examined(server_url)
                assert report.clean, told(report)
                for worker in workers:
                    worker.start()


async def test_a_release_by_repair_is_carried_out_by_the_owner(hub_url: str) -> None:
    """An orphaned lock is let go by a message, and what waited for it goes on."""
    with grown(hub_url) as hub:
        next(one for one in DAMAGES if one.name == "holder ended").do(hub)
        report = await examined(hub_url)
        assert {one.invariant for one in report.violations} >= {"S15"}
        async with serving(fsck_hub.app, hub_url) as client:
            await repaired(hub_url, report)
            assert await client.handle("calling").result(10) == 5
            await eventually(lambda: not hub.redis.hexists(hub.names(str(LOCKED)).entity(str(LOCKED)), "lock"))
        again = await examined(hub_url)
        assert again.clean, told(again)


async def test_a_timer_set_by_repair_is_fired_by_the_owner(hub_url: str) -> None:
    with grown(hub_url) as hub:
        at = int(hub.redis.hget(hub.record("sleeping"), "updated_at"))
        (member,) = hub.members("sleeping")
        hub.redis.hset(hub.history("sleeping"), 1, wire.pack_event(ev.TimerCreated(at, at + 1)))
        hub.redis.zrem(hub.names("sleeping").timers, member)
    async with serving(fsck_hub.app, hub_url) as client:
        report = await examined(hub_url)
        assert [one.invariant for one in report.violations] == ["S10"], told(report)
        await repaired(hub_url, report)
        status = await eventually(lambda: _problem_or_end(client), what="the timer fires")
        assert status in ("Completed", "Suspended")  # its code does not fit the history that was changed by hand


async def _problem_or_end(client: ds.Client) -> str | None:
    status = await client.status("sleeping")
    return status.runtime_status if status.events > 2 or status.problem else None


async def test_a_repair_of_what_has_changed_is_not_done(hub_url: str) -> None:
    with grown(hub_url) as hub:
        index = hub.names("waiting").status["Running"]
        hub.redis.zrem(index, "waiting")
        report = await examined(hub_url)
        (violation,) = report.violations
        hub.redis.hincrby(hub.record("waiting"), "revision", 1)
        assert violation.repair is not None
        async with opened(hub_url) as repairs:
            assert not await repairs.repair(violation.repair.verb, violation.repair.arguments)
        assert hub.redis.zscore(index, "waiting") is None


async def test_streams_of_a_live_owner_are_left_to_it(hub_url: str) -> None:
    with grown(hub_url) as hub:
        key = hub.keys.partitions[5].inbox
        hub.redis.hset(hub.keys.partitions[5].lease, mapping={"until": int(time.time() * 1_000) + 60_000, "owner": "w"})
        hub.redis.xadd(key, {"m": b"x"}, id=f"{9 * 10**14}-1")
        hub.redis.xdel(key, f"{9 * 10**14}-1")
        async with opened(hub_url) as repairs:
            assert not await repairs.repair("mend_streams", (key,))
        assert hub.redis.exists(key)


async def test_a_hub_that_is_not_there(server_url: str) -> None:
    with pytest.raises(HubNotFound):
        await Repairs.open(server_url, "nowhere")


# ---------------------------------------------------------------- what was purged (F7), and what belongs to others (F8)


RESIDUES: list[tuple[str, bool, Callable[[Grown], object]]] = [
    ("i:gone", True, lambda hub: hub.redis.hset(hub.record("gone"), "status", "Failed")),
    ("s:Failed", True, lambda hub: hub.redis.zadd(hub.names("gone").status["Failed"], {"gone": 1})),
    ("timers", True, lambda hub: hub.redis.zadd(hub.names("gone").timers, {"T\n1\nt.0\ngone": 9e14})),
    ("watch", True, lambda hub: hub.redis.hset(hub.names("gone").watch, "gone", "c")),
    ("inbox", True, lambda hub: hub.redis.xadd(hub.names("x").inbox, {"m": wire.pack_message(Resume("gone", None))})),
    ("h:waiting", False, lambda hub: hub.redis.hset(hub.history("waiting"), 0, b'\x93\x01\xc4\x06"gone"')),
    ("i:done", False, lambda hub: hub.redis.hset(hub.record("done"), "input", '{"next": "gone"}')),
    ("dead", False, lambda hub: hub.redis.xadd(hub.keys.dead, {"reason": "instance gone is gone"})),
]


@pytest.mark.parametrize(("key", "certain", "leave"), RESIDUES, ids=[key for key, *_ in RESIDUES])
async def test_what_is_left_of_a_purged_id_is_found(
    hub_url: str, key: str, certain: bool, leave: Callable[[Grown], object]
) -> None:
    with grown(hub_url) as hub:
        leave(hub)
    async with opened(hub_url) as raw:
        found = await Residue(raw, ["gone", "unheard of"]).run()
    assert [(one.invariant, key in one.key, one.certain, "'gone'" in one.text) for one in found] == [
        ("S19", True, certain, True)
    ]


async def test_nothing_is_left_of_what_was_purged(server_url: str) -> None:
    """Also of one whose name is the beginning of another's, which stays."""
    async with serving(fsck_hub.app, server_url) as client:
        for name in ("order-7", "order-70", "x-order-7"):
            assert await (await client.start(fsck_hub.plain, 3, instance_id=name)).result(10) == 6
        await client.purge("order-7")
    async with opened(server_url) as raw:
        report = await fsck(raw, patience=AT_ONCE, purged=["order-7"])
        assert report.clean and not report.doubts, told(report)
        assert {one.key[-8:] for one in await Residue(raw, ["order-70"]).run()} >= {"order-70"}


async def test_keys_of_others_are_neither_written_nor_touched(server_url: str) -> None:
    """S20: hubs with like names, and what is not ours at all, are the same to the byte after work, fsck and repairs."""
    names = ("default2", "defaul", "default-1", "d*")
    with grown(server_url) as hub:
        for name in names:
            hub.redis.hset(f"ds:{{{name}}}:hub", "partitions", 16)
            hub.redis.xadd(f"ds:{{{name}:0}}:inbox", {"m": b"x"})
        hub.redis.set("somebody:else", b"1")
        hub.redis.zadd("ds:default", {"a": 1})
        before = foreign(hub.redis, hub.keys)
        assert len(before) == 2 * len(names) + 2
        await grow(server_url)
        hub.redis.zrem(hub.names("done").status["Completed"], "done")
        report = await examined(server_url)
        await repaired(server_url, report)
        assert not report.clean
        assert foreign(hub.redis, hub.keys) == before


# ---------------------------------------------------------------- the command


def _command(url: str, *arguments: str) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "durastream.cli", "--redis", url, "fsck", *arguments]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr


async def test_the_command_names_repairs_and_is_clean_then(hub_url: str) -> None:
    with grown(hub_url) as hub:
        hub.redis.zrem(hub.names("done").status["Completed"], "done")
    code, out, err = await asyncio.to_thread(_command, hub_url, "-o", "json")
    shown = json.loads(out)
    assert code == 1
    assert not shown["clean"]
    assert [(one["invariant"], one["repaired"]) for one in shown["violations"]] == [("S24", False)]
    code, out, err = await asyncio.to_thread(_command, hub_url, "--repair", "--yes")
    assert (code, "repaired" in out) == (0, True), err
    assert "done: put done into the index" in err
    code, out, err = await asyncio.to_thread(_command, hub_url)
    assert (code, out) == (0, "")
    assert "everything that can be seen holds" in err


async def test_the_command_searches_for_what_was_purged(hub_url: str) -> None:
    with grown(hub_url) as hub:
        hub.redis.hset(hub.names("gone").watch, "gone", "c")
        hub.redis.hset(hub.record("done"), "input", '{"next": "gone"}')
    code, out, _ = await asyncio.to_thread(_command, hub_url, "--purged", "gone", "-o", "json")
    shown = json.loads(out)
    assert code == 1
    assert "S19" in {one["invariant"] for one in shown["violations"]}
    assert [one["invariant"] for one in shown["doubts"]] == ["S19"]


async def test_a_check_that_is_broken_off_is_no_result(hub_url: str) -> None:
    """Not 0, nor 1: nothing was found out."""
    with grown(hub_url) as hub:
        hub.redis.execute_command("ACL", "SETUSER", "half", "on", ">secret", "~*", "&*", "+@all", "-zscan")
        try:
            code, _, err = await asyncio.to_thread(_command, hub_url.replace("://", "://half:secret@"))
        finally:
            hub.redis.execute_command("ACL", "DELUSER", "half")
    assert code not in (0, 1), err


async def test_the_command_repairs_nothing_unasked(hub_url: str) -> None:
    with grown(hub_url) as hub:
        hub.redis.zrem(hub.names(str(FREE)).entities, str(FREE))
    code, _, err = await asyncio.to_thread(_command, hub_url, "--repair")
    assert code == 2
    assert "--yes" in err
    code, out, _ = await asyncio.to_thread(_command, hub_url)
    assert code == 1
    assert "index of entities" in out


# ---------------------------------------------------------------- size


def _fill(url: str, begin: int, count: int) -> None:
    """So many instances that have ended, written as commits would leave them."""
    keys, now = HubKeys("default", 16), int(time.time() * 1_000)
    events: list[ev.Event] = [
        ev.ExecutionStarted(now, "f", None, b"1", None, 0),
        ev.TaskScheduled(now, "a", b"1", "default", None, 1),
        ev.TaskCompleted(now, 1, b"2"),
        ev.ExecutionCompleted(now, b"2"),
    ]
    history = {number: wire.pack_event(event) for number, event in enumerate(events)}
    times = {"created_at": now, "updated_at": now, "completed_at": now}
    record = {"execution_id": "t.0", "name": "f", "status": "Completed", "revision": 2, "events": 4, **times}
    with grown(url) as hub:
        for first in range(begin, begin + count, 1_000):
            pipe = hub.redis.pipeline(transaction=False)
            for one in (f"instance {number}" for number in range(first, min(first + 1_000, begin + count))):
                names = keys.partitions[partition_of(one, 16)]
                pipe.hset(names.instance(one), mapping=record)
                pipe.hset(names.history(one), mapping=history)
                pipe.zadd(names.status["Completed"], {one: now})
                pipe.zadd(names.timers, {f"X\n{now}\nt.0\n{one}": now + 10**8})
            pipe.execute()


async def _peak(url: str) -> int:
    """Bytes of Python objects at the most while a hub is read."""
    tracemalloc.start()
    try:
        report = await examined(url)
        assert report.clean, told(report)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("count", [4_000, pytest.param(100_000, marks=LONG)])
async def test_memory_does_not_grow_with_the_hub(server_url: str, count: int) -> None:
    await create_hub(server_url, "default")
    _fill(server_url, 0, 1_000)
    before = await _peak(server_url)
    _fill(server_url, 1_000, count)
    assert await _peak(server_url) < before + (1 << 20)
