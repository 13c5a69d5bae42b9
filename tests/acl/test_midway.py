"""Rules that change, and passwords, while a worker runs: it stops and says why, nothing is written by half, and the next one
goes on."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import redis

import durastream as ds
from durastream.errors import AccessDenied, ServerUnsuitable
from durastream.inspect.fsck import Patience, fsck
from durastream.store import scripts
from durastream.store.connect import Endpoint
from durastream.store.connection import Connection
from durastream.store.redis.repairs import Repairs
from durastream.store.uses import WRITES, commands_of
from tests.acl.users import add_user, secret
from tests.support import eventually

pytestmark = pytest.mark.anyio

WRITERS = [
    name
    for name in ("attempt", "commit", "complete", "deliver", "heartbeat", "mend", "put_back", "reclaim", "release")
    if len(commands_of(name, scripts.source(name)) & WRITES) > 1
] + ["repair", "route", "start"]

ROUNDS = 12

app = ds.App()


@app.activity
def add(numbers: list[int]) -> int:
    return sum(numbers)


@app.orchestrator
async def chain(ctx: ds.OrchestrationContext, rounds: int) -> int:
    total = 0
    for k in range(rounds):
        total = await ctx.call_activity(add, [total, k])
        await ctx.call_sub_orchestrator(leaf, k)
    return total


@app.orchestrator
async def leaf(ctx: ds.OrchestrationContext, k: int) -> int:
    return k


@pytest.fixture
def server(ruled_url: str) -> Iterator[Any]:
    with redis.Redis.from_url(ruled_url, protocol=2) as connected:
        yield connected


async def on(url: str) -> Connection:
    return await Connection.open(Endpoint.parse(url), client_name="midway")


def state(server: Any) -> dict[bytes, bytes]:
    return {key: server.dump(key) for key in server.scan_iter()}


# ---------------------------------------------------------------- one script


@pytest.mark.parametrize("name", WRITERS)
async def test_a_script_that_may_not_do_all_does_nothing(ruled_url: str, server: Any, name: str) -> None:
    """Whichever of its writes lacks; before it looks at its arguments, so that any will do."""
    for command in sorted(commands_of(name, scripts.source(name)) & WRITES):
        token = "-" + command.lower().replace(" ", "|")
        extra = ("+persist", "+exists", "+hlen") if name == "repair" else ()
        connection = await on(add_user(ruled_url, "worker", "h", *extra, token))
        with pytest.raises(AccessDenied, match=f"may not do all that {name}.lua does"):
            await scripts.run(connection, name, [f"ds:{{h:0}}:{k}" for k in range(6)], ["1"] * 12)
        await connection.close()
        assert state(server) == {}


START: tuple[list[str], list[Any]] = (
    ["ds:{h:0}:inbox", "ds:{h:0}:timers", "ds:{h:0}:s:Pending", "ds:{h:0}:i:a"],
    ["a", "t.0", "t", "", "m", 2, "name", "n"],
)


async def test_without_the_question_it_would_be_done_by_half(ruled_url: str, server: Any) -> None:
    """What the question at the head of each script is there for."""
    connection = await on(add_user(ruled_url, "worker", "h", "-hset"))
    keys, args = START
    with pytest.raises(AccessDenied):
        await connection.call("EVAL", scripts.source("start"), len(keys), *keys, *args)
    assert list(state(server)) == [b"ds:{h:0}:inbox"]
    await connection.close()


async def test_the_question_lets_who_may_do_all_pass(ruled_url: str, server: Any) -> None:
    connection = await on(add_user(ruled_url, "worker", "h"))
    assert await scripts.run(connection, "start", *START) == [[1, b"t.0", b"Pending"]]
    await connection.close()


# ---------------------------------------------------------------- a worker


@contextlib.asynccontextmanager
async def running(url: str) -> AsyncIterator[asyncio.Task[None]]:
    """A worker as `durastream worker` runs it, and twenty chains."""
    worker = ds.Worker(app, url, lease=1.0, grace=0.2)
    task = asyncio.create_task(worker.run())
    try:
        yield task
    finally:
        worker.shut_down()
        with contextlib.suppress(ServerUnsuitable):
            await task


async def begin(client: ds.Client, server: Any) -> list[ds.Handle[int]]:
    handles = [await client.start(chain, ROUNDS) for _ in range(20)]
    await eventually(lambda: any(server.zcard(f"ds:{{default:{p}}}:s:Running") for p in range(16)))
    return handles


async def finish(url: str, user: str, handles: list[ds.Handle[int]]) -> None:
    """A worker with the right rules ends everything, and nothing is out of order."""
    async with running(user):
        assert [await one.result(timeout=60) for one in handles] == [sum(range(ROUNDS))] * len(handles)
    hub = await Repairs.open(url, "default")
    report = await fsck(hub, patience=Patience(looks=3, pause_s=0.4))
    await hub.close()
    assert report.violations == []
    with redis.Redis.from_url(url, protocol=2) as server:
        assert server.exists("ds:{default}:dead") == 0, "no message is to blame for the rules"


@pytest.mark.slow
@pytest.mark.parametrize("token", ["-zadd", "-xdel", "-xack", "resetkeys"])
async def test_a_rule_is_taken_away(ruled_url: str, server: Any, token: str) -> None:
    user = add_user(ruled_url, "worker")
    async with ds.Client(ruled_url) as client:
        async with running(user) as worker:
            handles = await begin(client, server)
            server.execute_command("ACL", "SETUSER", "default-worker", token)
            await asyncio.wait([worker], timeout=30)
            assert worker.done() and isinstance(worker.exception(), AccessDenied), worker
        with pytest.raises(AccessDenied, match=r"lacks rights of a worker|by its access rules"):
            await ds.Worker(app, user).run()
        await finish(ruled_url, add_user(ruled_url, "worker"), handles)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["password", "deleted", "off"])
async def test_the_user_is_taken_away(ruled_url: str, server: Any, how: str) -> None:
    user = add_user(ruled_url, "worker")
    changes = {"password": ["resetpass", ">other"], "off": ["off"]}
    async with ds.Client(ruled_url) as client:
        async with running(user) as worker:
            handles = await begin(client, server)
            if how == "deleted":
                server.acl_deluser("default-worker")
            else:
                server.execute_command("ACL", "SETUSER", "default-worker", *changes[how])
                server.execute_command("CLIENT", "KILL", "USER", "default-worker")
            await asyncio.wait([worker], timeout=30)
            assert worker.done() and isinstance(worker.exception(), ServerUnsuitable), worker
            assert secret("default-worker") not in str(worker.exception())
        await finish(ruled_url, add_user(ruled_url, "worker"), handles)


@pytest.mark.slow
async def test_a_client_is_told_at_once_and_others_lists_stop_nobody(ruled_url: str, server: Any) -> None:
    client_url = add_user(ruled_url, "client")
    async with running(add_user(ruled_url, "worker", replies=("my:*",))) as worker, ds.Client(client_url) as client:
        server.xadd("ds:{default}:in", {"op": "start", "name": "leaf", "id": "a", "input": "1", "reply": "not:mine"})
        server.xadd("ds:{default}:in", {"op": "start", "name": "leaf", "id": "b", "input": "1", "reply": "my:own"})
        assert await eventually(lambda: server.lpop("my:own"))
        letter = await eventually(lambda: server.xrange("ds:{default}:dead"))
        assert b"--replies" in letter[0][1][b"reason"]
        server.hset("ds:{default:0}:watch", "c", "another:channel")
        assert not worker.done()
        server.execute_command("ACL", "SETUSER", "default-client", "-xadd")
        with pytest.raises(AccessDenied):
            await client.start(leaf, 1)
        server.execute_command("ACL", "SETUSER", "default-client", "+xadd")
        assert await (await client.start(leaf, 1)).result(timeout=20) == 1


@pytest.mark.slow
async def test_a_producer_starts_something_and_hears_of_it(ruled_url: str) -> None:
    async with running(add_user(ruled_url, "worker")):
        with redis.Redis.from_url(add_user(ruled_url, "producer"), protocol=2, driver_info=None) as producer:
            producer.xadd(
                "ds:{default}:in", {"op": "start", "name": "leaf", "id": "p", "input": "7", "reply": "my:own"}
            )
            _, answer = await asyncio.to_thread(producer.blpop, ["my:own"], 20)
            assert json.loads(answer)["output"] == 7
