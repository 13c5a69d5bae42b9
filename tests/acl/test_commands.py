"""The command line as users of the roles: who looks, who acts, who checks. Nothing that a command needs is refused."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
import redis

import durastream as ds
from tests.acl.users import add_user, denied

pytestmark = pytest.mark.slow

ASKED_IN_VAIN = ("config|get", "eval")
"""`doctor` asks for settings of the server, and does without them."""

COMMANDS = {
    "readonly": [
        "list", "show one", "history one", "workers", "partitions", "doctor", "hub show orders", "entity list",
        "list stuck:any", "export one", "top --read-only --filter status:nonsense",
    ],
    "client": [
        "start leaf --input 1 --id two --wait", "event three go --data 1", "wait one --timeout 20", "suspend three",
        "resume three", "terminate three --yes", "restart one --yes", "purge --status terminated --yes", "list",
    ],
    "fsck": ["fsck"],
    "operator": ["fsck --repair --yes", "hub list", "hub create other", "terminate four --yes", "doctor"],
}  # fmt: skip
FAILS = {"top --read-only --filter status:nonsense"}

app = ds.App()


@app.orchestrator
async def leaf(ctx: ds.OrchestrationContext, number: int) -> int:
    return number


@app.orchestrator
async def waits(ctx: ds.OrchestrationContext) -> None:
    await ctx.wait_for_external_event("never")


@pytest.fixture
def hub(ruled_url: str) -> Iterator[str]:
    """One ended instance, two that wait, and a worker in a thread that serves them."""
    told: list[object] = []
    ready, done = threading.Event(), threading.Event()

    async def work() -> None:
        async with (
            ds.Worker(app, add_user(ruled_url, "worker", "orders"), hub="orders", grace=0.1),
            ds.Client(add_user(ruled_url, "client", "orders"), "orders") as client,
        ):
            await (await client.start(leaf, 1, instance_id="one")).result(timeout=30)
            for name in ("three", "four"):
                await client.start(waits, instance_id=name)
            ready.set()
            await asyncio.to_thread(done.wait)

    def run() -> None:
        try:
            asyncio.run(work())
        except BaseException as error:
            told.append(error)
            raise
        finally:
            ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    ready.wait(60)
    assert not told, told
    yield ruled_url
    done.set()
    thread.join(30)
    assert not told, told


@pytest.mark.parametrize("role", COMMANDS)
def test_commands_of_a_role(hub: str, role: str) -> None:
    environment = os.environ | {
        "DURASTREAM_REDIS_URL": add_user(hub, role, "orders"),
        "DURASTREAM_HUB": "orders",
    }
    denied(hub)
    if role == "operator":
        add_user(hub, role, "other")
    for command in COMMANDS[role]:
        if command == "hub create other":
            environment["DURASTREAM_REDIS_URL"] = add_user(hub, role, "other")
        done = subprocess.run(
            [sys.executable, "-m", "durastream.cli", *command.split()],
            env=environment, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        refused = [one for one in denied(hub) if one["object"] not in ASKED_IN_VAIN]
        assert refused == [], (command, refused)
        assert (done.returncode == 0) is (command not in FAILS), (command, done.stdout, done.stderr)
        if command == "hub create other":
            environment["DURASTREAM_REDIS_URL"] = add_user(hub, role, "orders")


def test_hubs_are_deleted_by_their_operator_alone(ruled_url: str) -> None:
    with redis.Redis.from_url(ruled_url, protocol=2) as server:
        for name in ("h1", "h10", "h1-x"):
            asyncio.run(opened(ruled_url, name))
        before = {
            key: server.dump(key) for key in server.keys("ds:{h1*") if not key.startswith((b"ds:{h1}", b"ds:{h1:"))
        }
        environment = os.environ | {"DURASTREAM_REDIS_URL": add_user(ruled_url, "operator", "h1")}
        command = [sys.executable, "-m", "durastream.cli", "hub", "delete"]
        for name, code in (("h10", 5), ("h1", 0)):
            done = subprocess.run(
                [*command, name, "--yes"], env=environment, capture_output=True, timeout=60, check=False
            )
            assert done.returncode == code, done.stderr
        assert {key: server.dump(key) for key in server.keys("ds:{*")} == before
        assert server.smembers("ds:hubs") == {b"h10", b"h1-x"}


async def opened(url: str, hub: str) -> None:
    async with ds.Client(url, hub) as client:
        await client.start("leaf", 1)
