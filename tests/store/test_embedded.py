"""Embedded servers: they answer, keep their data over a crash, and never outlive their owner."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from durastream.errors import StoreUnavailable
from durastream.store.embedded import EmbeddedServer, available_servers, free_port

SERVERS = available_servers()
real_servers = pytest.mark.parametrize("binary", [path for _, path in SERVERS], ids=[name for name, _ in SERVERS])


def until(condition: Callable[[], bool], what: str, timeout_s: float = 10) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"timed out: {what}"
        time.sleep(0.01)


def runs(pid: int) -> bool:
    """Whether the process lives: a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def client(server: EmbeddedServer) -> redis.Redis:
    return redis.Redis(port=server.port, protocol=2, decode_responses=True)


@real_servers
def test_it_has_the_settings_that_the_engine_needs(binary: str) -> None:
    with EmbeddedServer.start(binary, appendfsync="always") as server:
        with client(server) as connected:
            assert connected.config_get("appendonly")["appendonly"] == "yes"
            assert connected.config_get("appendfsync")["appendfsync"] == "always"
            assert connected.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
            assert connected.config_get("bind")["bind"] == "127.0.0.1"
        assert server.url == f"redis://127.0.0.1:{server.port}"
        assert f"{server.kind}-{server.version}" in dict(SERVERS)
        assert "disk" in server.durability
        pid = server.pid
    assert not runs(pid)


@real_servers
def test_data_outlives_a_kill_and_a_restart(binary: str, tmp_path: Path) -> None:
    with EmbeddedServer.start(binary, tmp_path) as server:
        port, first = server.port, server.pid
        with client(server) as connected:
            connected.set("k", "v")
        server.kill()
        assert server.pid == 0
        server.restart()
        assert server.port == port
        assert server.pid != first
        with client(server) as connected:
            assert connected.get("k") == "v"
        server.restart()  # while it runs
        with client(server) as connected:
            assert connected.get("k") == "v"
    assert any(tmp_path.iterdir())  # a directory that was given is left alone


def test_the_temporary_directory_goes_with_stop() -> None:
    server = EmbeddedServer.start()
    with client(server) as connected:
        directory = Path(str(connected.config_get("dir")["dir"]))
    assert directory.is_dir()
    server.stop()
    server.stop()
    assert not directory.exists()


def test_stop_ends_a_server_that_does_not_react() -> None:
    server = EmbeddedServer.start()
    pid = server.pid
    os.kill(pid, signal.SIGSTOP)
    server.stop()
    assert not runs(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is of Linux")
@pytest.mark.parametrize("binary", [*(path for _, path in SERVERS), "fakeredis"])
def test_it_dies_with_its_owner(binary: str) -> None:
    code = (
        "import sys, time; from durastream.store.embedded import EmbeddedServer\n"
        f"server = EmbeddedServer.start({binary!r}); print(server.pid, flush=True); sys.stdin.read()"
    )
    owner = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert owner.stdout is not None
    assert owner.stdin is not None
    pid = int(owner.stdout.readline())
    assert runs(pid)
    owner.kill()
    owner.wait()
    owner.stdout.close()
    owner.stdin.close()
    until(lambda: not runs(pid), "server still runs")


def test_fakeredis_is_the_last_resort_and_says_what_that_means(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("durastream.store.embedded.available_servers", list)
    with EmbeddedServer.start() as server:
        assert server.kind == "fakeredis"
        assert "lost" in server.durability
        with client(server) as connected:
            connected.set("k", "v")
            assert connected.get("k") == "v"
        pid = server.pid
    assert not runs(pid)


def test_a_port_that_is_taken_is_said_so() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(StoreUnavailable, match="taken by another server"),
    ):
        EmbeddedServer.start(port=taken.getsockname()[1])
    with EmbeddedServer.start() as first, pytest.raises(StoreUnavailable, match="taken by another server"):
        EmbeddedServer.start(port=first.port)


def test_binaries_that_are_no_server_are_refused() -> None:
    with pytest.raises(StoreUnavailable, match="does not run"):
        EmbeddedServer.start("/nonexistent/redis-server")
    with pytest.raises(StoreUnavailable, match="no Redis or Valkey server"):
        EmbeddedServer.start(shutil.which("echo") or "/bin/echo")


def test_bad_options_show_the_end_of_the_log() -> None:
    with pytest.raises(StoreUnavailable, match=r"its log ends: [\s\S]*nonsense"):
        EmbeddedServer.start(extra_args=["--nonsense", "1"], port=free_port())
