"""scripts/enqueue.sh, with the test in the place of the hub."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import redis

SCRIPT = Path(__file__).parent.parent.parent / "scripts" / "enqueue.sh"
INGRESS = "ds:{default}:in"

pytestmark = [
    pytest.mark.real_server,
    pytest.mark.skipif(shutil.which("redis-cli") is None, reason="no redis-cli on this machine"),
]


def enqueue(url: str, *words: str, wait: str = "10") -> subprocess.Popen[str]:
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "DURASTREAM_REDIS_URL": url, "DURASTREAM_WAIT": wait}
    return subprocess.Popen(
        ["bash", str(SCRIPT), *words], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def next_entry(server: redis.Redis) -> dict[str, str]:
    """Fields of the first entry, as soon as there is one."""
    reply: Any = server.xread({INGRESS: "0"}, count=1, block=5_000)
    fields: dict[str, str] = reply[0][1][0][1]
    return fields


@pytest.fixture
def server(server_url: str) -> redis.Redis:
    return redis.Redis.from_url(server_url, protocol=2, decode_responses=True)


@pytest.mark.parametrize(("status", "code"), [("Completed", 0), ("Failed", 1)])
def test_it_prints_the_answer(server_url: str, server: redis.Redis, status: str, code: int) -> None:
    running = enqueue(server_url, "hello", '{"who": "the \\"world\\" * $HOME"}', "greeting {7}")
    fields = next_entry(server)
    reply = fields.pop("reply")
    assert fields == {
        "op": "start",
        "name": "hello",
        "input": '{"who": "the \\"world\\" * $HOME"}',
        "id": "greeting {7}",
    }
    assert not reply.startswith("ds:"), "a hub refuses reply lists among its own keys"
    answer = f'{{"id":"greeting {{7}}","status":"{status}","output":"Hello, \\"world\\""}}'
    server.rpush(reply, answer)
    out, err = running.communicate(timeout=20)
    assert (out, err, running.returncode) == (answer + "\n", "", code)


def test_input_and_id_may_be_left_out(server_url: str, server: redis.Redis) -> None:
    running = enqueue(server_url, "hello", wait="0")
    out, err = running.communicate(timeout=20)
    assert (err, running.returncode) == ("", 0)
    assert server.xrange(INGRESS) == [(out.strip(), {"op": "start", "name": "hello"})]


def test_no_answer_in_time(server_url: str) -> None:
    running = enqueue(server_url, "hello", wait="1")
    out, err = running.communicate(timeout=20)
    assert (out, running.returncode) == ("", 6)
    assert "durastream workers" in err


def test_usage() -> None:
    running = enqueue("redis://127.0.0.1:1")
    out, err = running.communicate(timeout=20)
    assert (out, running.returncode) == ("", 2)
    assert "usage: scripts/enqueue.sh NAME" in err


def test_no_server() -> None:
    running = enqueue("redis://127.0.0.1:1", "hello")
    out, err = running.communicate(timeout=20)
    assert out == ""
    assert running.returncode not in (0, 6)
    assert "127.0.0.1:1" in err
