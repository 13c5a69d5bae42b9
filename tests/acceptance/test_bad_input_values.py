"""Strange ids, names and values through the whole stack, and values over the limits: what is accepted can be stored and shown,
what is not is refused with what it is, where, and how large."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

import durastream as ds
from durastream.store.redis.hubs import create_hub
from tests.acceptance.planting import garden
from tests.acceptance.serving import serving, until_status
from tests.servers.looking import connect
from tests.support import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.real_server]

LIMIT = 10_000  # bytes of a payload, in the hub of these tests
STRANGE = [
    "{}", "a{b}c", "}{", "{default:3}", "::", "i:x", "*?[", "[a-z]", "^$", "../..", "%00", "%s%n", "\\", "'\"`",
    "a b", " ", ".", "-", "--help", "ds:{default}:hub", "\U0001f98a\U0001f680", "\u05d0\u05d1\u200f\u202e",
    "\u00e4\u0308", "\ufb01", "\u200b", "null", "0", "x" * 256, "\U0001f98a" * 64,
]  # fmt: skip
BAD_IDS = ["", "a\nb", "\0", "\x7f", "\x1b[2J", "x" * 257, "\U0001f98a" * 65, "\ud800", "tab\t"]
VALUES: list[Any] = [
    None, True, False, 0, -1, 2**63 - 1, -(2**63) + 1, 0.1, 1e308, 5e-324, "", " ", "null", "\u0000", "\u2028",
    "\U0001f98a", "\\", '"', [], [[]], {}, {"": ""}, {"a.b": [1, {"c": None}]}, ["x"] * 1_000,
    {"\U0001f98a": "\u05d0"},
]  # fmt: skip

app = ds.App()


@app.activity
async def echo(value: Any) -> Any:
    return value


@app.activity
async def large(size: int) -> str:
    return "x" * size


@app.orchestrator
async def everywhere(ctx: ds.OrchestrationContext, value: Any) -> Any:
    """The value by every way there is."""
    ctx.set_custom_status(value)
    event = await ctx.wait_for_external_event("it")
    assert event == value or value is None
    again = await ctx.call_activity(echo, value)
    return await ctx.call_sub_orchestrator(inner, again)


@app.orchestrator
async def inner(ctx: ds.OrchestrationContext, value: Any) -> Any:
    return value


@app.orchestrator
async def too_large(ctx: ds.OrchestrationContext, where: str) -> Any:
    text = "x" * LIMIT
    if where == "activity result":
        await ctx.call_activity(large, LIMIT)
    elif where == "activity input":
        await ctx.call_activity(echo, text)
    elif where == "sub-orchestration input":
        await ctx.call_sub_orchestrator(inner, {"deep": [text]})
    elif where == "custom status":
        ctx.set_custom_status(text)
    elif where == "event":
        ctx.send_event("somebody", "it", text)
    elif where == "continue as new":
        ctx.continue_as_new(text)
    return text if where == "result" else "done"


@pytest.fixture
async def client(server_url: str) -> AsyncIterator[ds.Client]:
    await create_hub(server_url, "default", payload_bytes_max=LIMIT)
    async with serving(app, server_url) as opened:
        yield opened


async def test_strange_instance_ids(client: ds.Client, server_url: str) -> None:
    handles = [await client.start(everywhere, number, instance_id=one) for number, one in enumerate(STRANGE)]
    for number, handle in enumerate(handles):
        await handle.raise_event("it", number)
        assert await handle.result(timeout=5) == number, handle.id
    listed = [status async for status in client.list(name="everywhere")]
    assert {status.id for status in listed} == set(STRANGE)
    for one in STRANGE:
        assert [status.id async for status in client.list(prefix=one, name="everywhere") if status.id == one] == [one]
        assert len(await client.history(one)) > 5
        await client.purge(one)
    with garden(server_url) as plants:
        await eventually(lambda: not plants.instances() & set(STRANGE), 5)
        assert plants.dead() == []
        assert all(key.startswith(b"ds:{default") or key == b"ds:hubs" for key in plants.redis.keys("*"))


async def test_strange_names(server_url: str) -> None:
    """Of orchestrators, activities, events and tags."""
    strange = ds.App()
    for number, name in enumerate(STRANGE):

        @strange.activity(name=name, queue=f"q{number % 3}")
        async def twice(value: int) -> int:
            return 2 * value

        @strange.orchestrator(name=name)
        async def flow(ctx: ds.OrchestrationContext, name: str = name) -> int:
            got: int = await ctx.wait_for_external_event(name)
            return await ctx.call_activity(name, got)  # type: ignore[no-any-return]

    async with serving(strange, server_url, queues=("q0", "q1", "q2")) as client:
        for name in STRANGE:
            handle = await client.start(name, name, tags={name: name})
            await handle.raise_event(name, 21)
            assert await handle.result(timeout=5) == 42, name
            status = await handle.status()
            assert (status.name, status.tags) == (name, {name: name})


@pytest.mark.parametrize("bad", BAD_IDS, ids=ascii)
async def test_ids_that_are_refused(client: ds.Client, bad: str) -> None:
    for call in (
        lambda: client.start(everywhere, 1, instance_id=bad),
        lambda: client.status(bad),
        lambda: client.raise_event(bad, "it"),
        lambda: client.raise_event("x", bad),
        lambda: client.terminate(bad),
        lambda: client.purge(bad),
        lambda: client.start(bad, 1),
    ):
        with pytest.raises(ds.InvalidId, match="is not valid") as raised:
            await call()
        assert str(raised.value).isprintable() and len(str(raised.value)) < 300


async def test_values_by_every_way(client: ds.Client) -> None:
    handles = [await client.start(everywhere, value) for value in VALUES]
    for value, handle in zip(VALUES, handles, strict=True):
        await handle.raise_event("it", value)
        assert await handle.result(timeout=5) == value
        status = await handle.status()
        assert (status.input, status.output, status.custom_status) == (value, value, value)
    assert len([status async for status in client.list(name="everywhere")]) == len(VALUES)


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


AT_THE_LIMIT = ["x" * (LIMIT - 2), nested(100), "\U0001f98a" * ((LIMIT - 2) // 4)]
OVER: dict[str, tuple[Any, str]] = {
    "size": ({"items": ["x" * LIMIT]}, r"10,014 bytes.*10,000"),
    "one byte": ("x" * (LIMIT - 1), r"10,001 bytes.*10,000"),
    "depth": (nested(101), r"deeper than 100"),
    "integer": ({"n": [2**63]}, r"\.n\[0\]"),
    "nan": ([0, float("nan")], r"\[1\]"),
    "key": ({"a": {1: 2}}, r"\.a.*keys must be strings"),
    "object": ({"a": [object()]}, r"\.a\[0\]"),
    "surrogate": (["\ud800"], r"\[0\]"),
}


@pytest.mark.parametrize("value", AT_THE_LIMIT, ids=["ascii", "depth", "utf-8"])
async def test_values_at_the_limit(client: ds.Client, value: Any) -> None:
    handle = await client.start(everywhere, value)
    await handle.raise_event("it", value)
    assert await handle.result(timeout=5) == value
    assert (await handle.status()).input == value


@pytest.mark.parametrize("what", OVER)
async def test_values_over_the_limit(client: ds.Client, server_url: str, what: str) -> None:
    value, message = OVER[what]
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "input": lambda: client.start(everywhere, value, instance_id="x"),
        "data": lambda: client.raise_event("x", "it", value),
    }
    for name, call in calls.items():
        with pytest.raises(ds.PayloadError, match=f"(?s){name}.*{message}|{message}"):
            await call()
    with garden(server_url) as plants:
        assert plants.instances() == set()
        assert plants.waiting() == {}


@pytest.mark.parametrize(
    "where",
    [
        "activity result",
        "activity input",
        "sub-orchestration input",
        "custom status",
        "event",
        "continue as new",
        "result",
    ],
)
async def test_values_over_the_limit_inside(client: ds.Client, where: str) -> None:
    """They fail where they arise, with the size and what it was; the instance says so."""
    handle = await client.start(too_large, where)
    with pytest.raises(ds.OrchestrationFailed, match=r"10,0\d\d bytes as JSON, over the limit of 10,000") as raised:
        await handle.result(timeout=5)
    failure = raised.value.failure
    while failure.causes:
        (failure, *_) = failure.causes
    assert failure.type == "PayloadTooLarge"
    assert (await handle.status()).failure is not None


async def test_the_ingress_holds_the_same_limits(client: ds.Client, server_url: str) -> None:
    with connect(server_url) as server:
        for text in ('"' + "x" * (LIMIT - 2) + '"', json.dumps(nested(100))):
            server.xadd("ds:{default}:in", {"op": "start", "name": "inner", "input": text, "reply": "good"})
        for text in ('"' + "x" * (LIMIT - 1) + '"', json.dumps(nested(101)), "[9223372036854775808]"):
            server.xadd("ds:{default}:in", {"op": "start", "name": "inner", "input": text, "reply": "bad"})
        await eventually(lambda: server.llen("good") == 2 and server.llen("bad") == 3, 10)


async def test_activity_failures_with_strange_texts(server_url: str) -> None:
    """Whatever user code raises: the outcome is recorded and can be shown."""
    texts = ["", "\ud800", "\0", "\x1b[2J", "x" * 100_000, "\u202e", "{}%s"]
    raising = ds.App()

    @raising.activity
    async def fail(number: int) -> None:
        raise type("Odd\ud800" if number == 1 else "Odd", (Exception,), {})(texts[number])

    @raising.orchestrator
    async def run(ctx: ds.OrchestrationContext, number: int) -> None:
        await ctx.call_activity(fail, number)

    async with serving(raising, server_url) as client:
        for number in range(len(texts)):
            handle = await client.start(run, number)
            status = await until_status(handle, "Failed")
            assert status.failure is not None
            str(status.failure).encode()


async def test_a_worker_with_a_strange_name(server_url: str) -> None:
    with pytest.raises(ds.InvalidId, match="worker name"):
        ds.Worker(app, server_url, name="two\nlines")
    async with serving(app, server_url, name="w {} \U0001f98a *") as client:
        handle = await client.start(inner, 1)
        assert await handle.result(timeout=5) == 1
        (worker,) = await client.workers()
        assert worker.worker_id.startswith("w {} \U0001f98a *-")
