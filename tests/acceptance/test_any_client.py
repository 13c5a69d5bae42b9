"""The hub's ingress from end to end: plain Redis commands in, answers and dead letters out."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import durastream as ds
from tests.acceptance.processes import ROOT
from tests.acceptance.serving import serving, until
from tests.servers.looking import connect
from tests.support import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.real_server]

IN, DEAD = "ds:{default}:in", "ds:{default}:dead"
app = ds.App()


@app.orchestrator
async def echo(ctx: ds.OrchestrationContext, value: Any) -> Any:
    return value


@app.orchestrator
async def approve(ctx: ds.OrchestrationContext, value: Any) -> list[Any]:
    return [value, await ctx.wait_for_external_event("approved")]


@app.orchestrator
async def fails(ctx: ds.OrchestrationContext) -> None:
    raise ValueError("no")


@app.entity
class Seen:
    """Keeps what it is told, in the order it is told."""

    def __init__(self) -> None:
        self.values: list[Any] = []

    def note(self, value: Any) -> None:
        self.values.append(value)


@pytest.fixture
async def client(server_url: str) -> AsyncIterator[ds.Client]:
    async with serving(app, server_url) as opened:
        yield opened


@pytest.fixture
def server(server_url: str) -> Any:  # redis.Redis: its replies are typed for every protocol at once
    return connect(server_url, decode_responses=True)


def add(server: Any, **fields: str) -> str:
    return str(server.xadd(IN, fields))


async def answer(server: Any, key: str) -> Any:
    found: list[str] = []

    def arrived() -> bool:
        found.extend(server.lpop(key, 1) or [])
        return bool(found)

    await eventually(arrived, deadline_s=10)
    return json.loads(found[0])


async def test_start_and_answer(client: ds.Client, server: Any) -> None:
    add(server, op="start", name="echo", id="order-7", input='{"sku": 1}', reply="my:answers")
    assert await answer(server, "my:answers") == {
        "id": "order-7",
        "name": "echo",
        "status": "Completed",
        "output": {"sku": 1},
    }
    assert (await client.status("order-7")).input == {"sku": 1}
    await eventually(lambda: server.xlen(IN) == 0)


async def test_the_id_follows_from_the_entry(client: ds.Client, server: Any) -> None:
    entry = add(server, op="start", name="echo", reply="my:answers")
    told = await answer(server, "my:answers")
    assert entry in told["id"] and told["output"] is None


async def test_answers_of_failed_and_terminated_ones(client: ds.Client, server: Any) -> None:
    add(server, op="start", name="fails", id="f", reply="f:answers")
    told = await answer(server, "f:answers")
    assert (told["status"], told["failure"]["type"], told["failure"]["message"]) == ("Failed", "ValueError", "no")
    add(server, op="start", name="approve", id="t", input="1", reply="t:answers")
    add(server, op="terminate", id="t", reason="no stock")
    assert (await answer(server, "t:answers"))["reason"] == "no stock"


async def test_events_suspend_and_resume_in_order(client: ds.Client, server: Any) -> None:
    add(server, op="start", name="approve", id="a", input="1", reply="my:answers")
    add(server, op="suspend", id="a")
    add(server, op="event", id="a", name="APPROVED", data="true")
    handle = client.handle("a")
    await eventually(lambda: server.xlen(IN) == 0)

    async def suspended() -> bool:
        return (await handle.status()).runtime_status == "Suspended"

    await until(suspended)
    assert server.llen("my:answers") == 0
    add(server, op="resume", id="a")
    assert (await answer(server, "my:answers"))["output"] == [1, True]


async def values(client: ds.Client, key: str) -> list[Any]:
    state = await client.read_entity(ds.EntityId("Seen", key), Seen)
    return [] if state is None else state.values


@pytest.mark.parametrize("key", ["a", "{x}:*?", "@b@c d", "日本語"])
async def test_signals_are_applied_once_and_in_order(client: ds.Client, server: Any, key: str) -> None:
    for n in range(50):
        add(server, op="signal", entity="Seen", key=key, operation="note", input=str(n))

    async def all_there() -> bool:
        return len(await values(client, key)) >= 50

    await until(all_there)
    assert await values(client, key) == list(range(50))
    assert [one.id.key async for one in client.list_entities("Seen")] == [key]
    await eventually(lambda: server.xlen(IN) == 0)


async def test_a_signal_for_later_is_applied_then(client: ds.Client, server: Any) -> None:
    seconds, micros = server.time()
    due = seconds * 1_000 + micros // 1_000 + 700
    add(server, op="signal", entity="Seen", key="later", operation="note", input="2", at=str(due))
    add(server, op="signal", entity="Seen", key="later", operation="note", input="1")
    add(server, op="signal", entity="Seen", key="later", operation="note", input="3", at="2131-05-01T12:00:00Z")

    async def both() -> bool:
        return len(await values(client, "later")) >= 2

    await until(both)
    assert time.time() * 1_000 >= due - 50  # the server is on this host
    assert await values(client, "later") == [1, 2]
    (waiting,) = await client.entity_queue(ds.EntityId("Seen", "later"))
    assert (waiting.kind, waiting.input, waiting.due and waiting.due.year) == ("signal", 3, 2131)


BAD = {
    "unknown op": {"op": "stop", "id": "x"},
    "missing": {"op": "start", "id": "x"},
    "not": {"op": "start", "name": "echo", "input": "{oops"},
    "twice": {"op": "start", "name": "echo", "input": '{"a": 1, "a": 2}'},
    "deep": {"op": "start", "name": "echo", "input": "[" * 101 + "]" * 101},
    "large": {"op": "start", "name": "echo", "input": '"' + "x" * 1_100_000 + '"'},
    "finite": {"op": "start", "name": "echo", "input": "NaN"},
    "control": {"op": "start", "name": "echo", "id": "a\nb"},
    "entity": {"op": "signal", "entity": "Se@en", "key": "a", "operation": "note"},
    "key": {"op": "signal", "entity": "Seen", "operation": "note"},
    "offset": {"op": "signal", "entity": "Seen", "key": "a", "operation": "note", "at": "2031-05-01T12:00:00"},
    "reply": {"op": "start", "name": "echo", "id": "r", "reply": "ds:{default}:in"},
}


@pytest.mark.parametrize("fields", BAD.values(), ids=BAD)
async def test_bad_entries_become_dead_letters(client: ds.Client, server: Any, fields: dict[str, str]) -> None:
    add(server, **{"reply": "bad:answers", **fields})
    add(server, op="start", name="echo", id="next", reply="good:answers")
    assert (await answer(server, "good:answers"))["status"] == "Completed"  # the stream goes on
    ((_, letter),) = server.xrange(DEAD)
    assert letter["reason"]
    if "reply" not in fields:
        told = await answer(server, "bad:answers")
        assert told["status"] == "Rejected" and told["error"] == letter["reason"]
    assert [one.id async for one in client.list()] == ["next"]
    assert [one.id async for one in client.list_entities()] == []


async def test_a_taken_id_is_refused(client: ds.Client, server: Any) -> None:
    await client.start(approve, 1, instance_id="taken")
    add(server, op="start", name="echo", id="taken", reply="my:answers")
    assert "exists already" in (await answer(server, "my:answers"))["error"]
    assert server.xlen(DEAD) == 1


@pytest.mark.slow
@pytest.mark.single_server  # its client of Clusters is another
@pytest.mark.skipif(shutil.which("npm") is None, reason="no Node.js here")
async def test_from_node(client: ds.Client, server: Any, server_url: str, tmp_path: Path) -> None:
    shutil.copy(ROOT / "tests" / "acceptance" / "any_client.mjs", tmp_path)
    install = ["npm", "install", "--no-audit", "--no-fund", "--silent", "redis@5"]
    installed = subprocess.run(install, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    if installed.returncode:
        pytest.skip(f"npm cannot install the redis package here: {installed.stderr[-200:]}")
    node = subprocess.Popen(["node", "any_client.mjs", server_url], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    await eventually(lambda: node.poll() is not None, deadline_s=30)
    assert node.stdout is not None
    told = json.loads(node.stdout.read())
    assert (node.returncode, told["status"], told["output"]) == (0, "Completed", [{"n": 1}, "by node"])

    async def signalled() -> bool:
        return await values(client, "from-node") == [{"by": "node"}]

    await until(signalled)
