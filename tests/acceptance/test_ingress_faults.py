"""The hub's ingress when things go wrong: routers that die, entries delivered again, rubbish in bulk, answers nobody can take."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from typing import Any

import pytest

import durastream as ds
from durastream.payload import Payloads
from durastream.store.redis import RedisStore
from durastream.worker.entries import parse_entry
from tests.acceptance.ingress_app import app, collect
from tests.acceptance.planting import garden, ids_in
from tests.acceptance.processes import ROOT, WorkerProcess, fleet, seeded
from tests.acceptance.serving import serving
from tests.servers.looking import connect
from tests.support import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.real_server]

IN = "ds:{default}:in"
TARGET = "tests.acceptance.ingress_app:app"


@pytest.fixture
def server(server_url: str) -> Any:  # redis.Redis: its replies are typed for every protocol at once
    return connect(server_url)


async def kill_the_router(server: Any, workers: list[WorkerProcess]) -> None:
    """kill -9 of the process that routes the ingress now, and a new one in its place."""
    owner = await eventually(lambda: server.hget("ds:{default}:lease", "owner"), 10)
    pid = int(owner.decode().split("-")[-2])
    for worker in workers:
        if worker.process.pid == pid:
            worker.kill()
            worker.start()


@pytest.mark.slow
async def test_routers_die(server_url: str, server: Any) -> None:
    """Each entry has one effect: every start makes one instance, events come once and in the order of their sender."""
    rng, starts, events = seeded(), 300, 150
    with fleet(server_url, TARGET, 3, lease_s=0.5) as workers:
        async with ds.Client(server_url) as client:
            for worker in workers:
                await worker.until_serving()
            collected = await client.start(collect, events, instance_id="collector")
            kills = asyncio.create_task(_kill_routers(server, workers, 4))
            for number in range(max(starts, events)):
                server.xadd(IN, {"op": "start", "name": "greet", "input": str(number), "reply": "answers"})
                if number < events:
                    server.xadd(IN, {"op": "event", "id": "collector", "name": "n", "data": str(number)})
                await asyncio.sleep(rng.uniform(0, 0.02))  # time must pass: entries come while routers die
            await kills
            assert await collected.result(timeout=30) == list(range(events))
            await eventually(lambda: _answered(server) >= starts, 30, pause_s=0.05, what="all are answered")
            outputs = [json.loads(answer)["output"] for answer in server.lrange("answers", 0, -1)]
            assert sorted(set(outputs)) == list(range(starts))
            counts = await client.counts()
            assert counts["Completed"] == starts + 1 == sum(counts.values())
            await eventually(lambda: server.xlen(IN) == 0, 10)


def _answered(server: Any) -> int:
    return len({json.loads(answer)["id"] for answer in server.lrange("answers", 0, -1)})


async def _kill_routers(server: Any, workers: list[WorkerProcess], times: int) -> None:
    for _ in range(times):
        await asyncio.sleep(0.6)  # time must pass: entries are routed in between
        await kill_the_router(server, workers)


async def test_entries_are_delivered_again(server_url: str, server: Any) -> None:
    """A router took them into the partitions and died before it removed them."""
    store = await RedisStore.open(server_url)
    one, two = ids_in(3, 2)
    for fields in (
        {"op": "start", "name": "collect", "id": one, "input": "2"},
        {"op": "event", "id": one, "name": "n", "data": "1"},
        {"op": "start", "name": "greet", "id": two, "input": "7", "reply": "answers"},
    ):
        server.xadd(IN, fields)
    lease = await store.acquire_ingress("dead", "n", 50)
    assert lease is not None
    entries = await store.read_ingress("0", 10, 0)
    batch = [(entry_id, parse_entry(entry_id, fields, Payloads()).what) for entry_id, fields in entries]
    await store.route(3, lease, batch, [])
    await store.close()
    async with serving(app, server_url) as client:
        await eventually(lambda: server.xlen(IN) == 0, 10)
        assert await client.handle(two).result(timeout=5) == 7
        assert (await client.status(one)).runtime_status == "Running", "an event that came twice would have ended it"
        server.xadd(IN, {"op": "event", "id": one, "name": "n", "data": "2"})
        assert await client.handle(one).result(timeout=5) == [1, 2]
        await eventually(lambda: server.llen("answers") == 1, 5)
        with garden(server_url) as plants:
            assert plants.dead() == []


RUBBISH: list[dict[bytes, bytes]] = [
    {b"\xff": b"\xff"},
    {b"op": b"\xff"},
    {b"op": b""},
    {b"op": b"start"},
    {b"op": b"start", b"name": b""},
    {b"op": b"start", b"name": b"\xff"},
    {b"op": b"start", b"name": b"x" * 257},
    {b"op": b"start", b"name": b"a\nb"},
    {b"op": b"start", b"name": b"greet", b"id": b"\xed\xa0\x80"},
    {b"op": b"start", b"name": b"greet", b"id": b"x" * 257},
    {b"op": b"start", b"name": b"greet", b"id": b"nul\0"},
    {b"op": b"start", b"name": b"greet", b"input": b""},
    {b"op": b"start", b"name": b"greet", b"input": b"\xff"},
    {b"op": b"start", b"name": b"greet", b"input": b'"\\ud800"'},
    {b"op": b"start", b"name": b"greet", b"input": b"1 2"},
    {b"op": b"start", b"name": b"greet", b"input": b"Infinity"},
    {b"op": b"start", b"name": b"greet", b"input": b"1e999"},
    {b"op": b"start", b"name": b"greet", b"input": b"9223372036854775808"},
    {b"op": b"start", b"name": b"greet", b"input": b"'single'"},
    {b"op": b"start", b"name": b"greet", b"input": b'{"a":{"b":1,"b":2}}'},
    {b"op": b"start", b"name": b"greet", b"input": b"[" * 100_000},
    {b"op": b"start", b"name": b"greet", b"input": b"[" + b"1," * 100_001 + b"1]"},
    {b"op": b"start", b"name": b"greet", b"tags": b"no json"},
    {b"op": b"start", b"name": b"greet", b"tags": b"[1]"},
    {b"op": b"start", b"name": b"greet", b"tags": b'{"a":1}'},
    {b"op": b"start", b"name": b"greet", b"tags": b'{"a":"' + b"x" * 5_000 + b'"}'},
    {b"op": b"start", b"name": b"greet", b"version": b"\xff"},
    {b"op": b"start", b"name": b"greet", b"reply": b""},
    {b"op": b"start", b"name": b"greet", b"reply": b"x" * 513},
    {b"op": b"start", b"name": b"greet", b"reply": b"\xff"},
    {b"op": b"event", b"name": b"n"},
    {b"op": b"event", b"id": b"x"},
    {b"op": b"event", b"id": b"x", b"name": b"n", b"data": b"nope"},
    {b"op": b"event", b"id": b"x", b"name": b"\x07"},
    {b"op": b"terminate"},
    {b"op": b"terminate", b"id": b"x", b"reason": b"\xff"},
    {b"op": b"suspend", b"id": b""},
    {b"op": b"resume", b"id": b"a\tb"},
    {b"op": b"START", b"name": b"greet"},
    {b"op": b"purge", b"id": b"x"},
]


async def test_rubbish_in_bulk(server_url: str, server: Any) -> None:
    """Dead letters with a reason, nothing made of them, and what is good among them is done at once."""
    async with serving(app, server_url) as client:
        for fields in RUBBISH:
            server.xadd(IN, fields)
            server.xadd(IN, {"op": "start", "name": "greet", "input": "1"})
        await eventually(lambda: server.xlen(IN) == 0, 10)

        async def all_done() -> bool:
            return (await client.counts())["Completed"] == len(RUBBISH)

        await eventually(all_done, 10, pause_s=0.02)
        with garden(server_url) as plants:
            letters = plants.dead()
            assert len(letters) == len(RUBBISH), [reason for reason, _ in letters]
            assert all(reason.isprintable() and 10 < len(reason) < 600 for reason, _ in letters), letters
            assert len(plants.instances()) == len(RUBBISH)


async def test_for_instances_that_are_not_there(server_url: str, server: Any) -> None:
    async with serving(app, server_url):
        for op in ("event", "terminate", "suspend", "resume"):
            server.xadd(IN, {"op": op, "id": "nobody", "name": "n", "reason": "why"})
        await eventually(lambda: server.xlen(IN) == 0, 10)
        with garden(server_url) as plants:
            await eventually(lambda: plants.waiting() == {}, 5)
            assert plants.instances() == set()


async def test_an_answer_that_nobody_can_take(server_url: str, server: Any) -> None:
    """The reply list holds something else: the answer is kept as a dead letter, and other answers are not held up."""
    async with serving(app, server_url):
        server.set("mine", "something of my own")
        server.xadd(IN, {"op": "start", "name": "greet", "id": "a", "input": "1", "reply": "mine"})
        server.xadd(IN, {"op": "nonsense", "reply": "mine"})
        server.xadd(IN, {"op": "start", "name": "greet", "id": "a2", "input": "2", "reply": "good"})
        await eventually(lambda: server.llen("good") == 1, 10)
        with garden(server_url) as plants:
            await eventually(lambda: len(plants.dead()) == 2, 5)
            assert [reason for reason, _ in plants.dead() if "mine" in reason]
        assert server.get("mine") == b"something of my own"


async def test_what_a_partition_does_not_take(server_url: str, server: Any) -> None:
    """Its key is of another type: those entries are refused with an answer, the stream goes on for the others."""
    async with serving(app, server_url):
        bad, good = ids_in(3, 1)[0], ids_in(4, 1)[0]
        server.set("ds:{default:3}:timers", "something else")
        for one in (bad, good):
            server.xadd(IN, {"op": "start", "name": "greet", "id": one, "input": "1", "reply": f"to:{one}"})
        await eventually(lambda: server.llen(f"to:{good}") == 1, 10)
        await eventually(lambda: server.llen(f"to:{bad}") == 1, 10)
        told = json.loads(server.lindex(f"to:{bad}", 0))
        assert told["status"] == "Rejected" and "timers" in told["error"]
        server.delete("ds:{default:3}:timers")
        server.xadd(IN, {"op": "start", "name": "greet", "id": bad, "input": "1", "reply": "again"})
        await eventually(lambda: server.llen("again") == 1, 10)


@pytest.mark.skipif(shutil.which("redis-cli") is None, reason="no redis-cli on this machine")
@pytest.mark.parametrize(
    ("words", "code", "shown"),
    [
        (["greet", '{"who":"the \\"world\\" {} * $HOME"}'], 0, '"output":{"who":"the \\"world\\" {} * $HOME"}'),
        (["greet"], 0, '"output":null'),
        (["greet", "5", "a{b}c: *?[ \u05d0\U0001f98a"], 0, "a{b}c: *?["),
        (["collect", '"no number"'], 1, '"status":"Failed"'),
        (["greet", "{no json"], 1, "Rejected"),
    ],
)
async def test_enqueue(server_url: str, words: list[str], code: int, shown: str) -> None:
    """scripts/enqueue.sh: a shell and redis-cli are enough."""
    environment = {**os.environ, "DURASTREAM_REDIS_URL": server_url, "DURASTREAM_WAIT": "10"}
    async with serving(app, server_url):
        script = await asyncio.create_subprocess_exec(
            "bash", str(ROOT / "scripts" / "enqueue.sh"), *words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )  # fmt: skip
        out, err = await asyncio.wait_for(script.communicate(), 20)
    assert (script.returncode, err) == (code, b""), (out, err)
    assert shown in out.decode()
