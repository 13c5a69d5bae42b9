from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from durastream.cli.serving import WorkerFlags, _arguments
from durastream.cli.session import Session

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "durastream.cli"]


@pytest.fixture
def environment(server_url: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "DURASTREAM_REDIS_URL": server_url}


@pytest.fixture
def started(
    environment: dict[str, str], tmp_path: Path
) -> Iterator[Callable[..., tuple[subprocess.Popen[bytes], Path]]]:
    """Start a command in the background, with a file of what it writes; it is killed at the end of the test."""
    running: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str, cwd: Path = ROOT) -> tuple[subprocess.Popen[bytes], Path]:
        log = tmp_path / f"log-{len(running)}"
        with log.open("wb") as output:
            process = subprocess.Popen([*COMMAND, *arguments], cwd=cwd, env=environment, stdout=output, stderr=output)
        running.append(process)
        return process, log

    yield start
    for process in running:
        process.kill()
        process.wait()


def run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "condition not met in time"
        time.sleep(0.05)


def workers(environment: dict[str, str]) -> list[int]:
    found = run(environment, "workers", "-o", "jsonl").stdout
    return [int(pid) for pid in re.findall(r'"pid":(\d+)', found)]


def test_arguments_of_a_child() -> None:
    flags = WorkerFlags("shop:app", queues="a,b", concurrency=5, name="w", until_idle=True, processes=3)
    assert _arguments(Session("redis://h", "hub-1"), flags, 2) == [
        "shop:app",
        "--redis=redis://h",
        "--hub=hub-1",
        "--queues=a,b",
        "--concurrency=5",
        "--log-level=info",
        "--log-format=text",
        "--name=w-2",
        "--until-idle",
    ]


def test_worker_runs_what_is_started_and_stops_cleanly(
    environment: dict[str, str], started: Callable[..., tuple[subprocess.Popen[bytes], Path]]
) -> None:
    worker, _ = started("worker", "workers.quickstart:app")
    result = run(environment, "start", "hello", "--input", '"world"', "--wait", "--timeout", "30")
    assert (result.returncode, result.stdout) == (0, '"Hello, world!"\n')
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30) == 0


def test_until_idle_ends_when_all_is_done(environment: dict[str, str]) -> None:
    for number in range(5):
        run(environment, "start", "hello", "--input", f'"{number}"')
    assert run(environment, "worker", "workers.quickstart:app", "--until-idle").returncode == 0
    counts = run(environment, "hub", "show", "default", "-o", "json").stdout
    assert '"Completed": 5' in counts


def test_a_killed_process_is_replaced(
    environment: dict[str, str], started: Callable[..., tuple[subprocess.Popen[bytes], Path]]
) -> None:
    parent, log = started("worker", "workers.quickstart:app", "--processes", "2", "--lease", "1")
    until(lambda: len(workers(environment)) == 2)
    before = set(workers(environment))
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    until(lambda: len(set(workers(environment)) - {victim}) == 2)
    assert "ended with SIGKILL; starting another" in log.read_text()
    parent.send_signal(signal.SIGTERM)
    assert parent.wait(30) == 0
    until(lambda: set(workers(environment)) <= {victim})  # it could not say goodbye


def test_reload_after_a_change(
    environment: dict[str, str], started: Callable[..., tuple[subprocess.Popen[bytes], Path]], tmp_path: Path
) -> None:
    source = tmp_path / "reloaded_app.py"
    code = "import durastream as ds\napp = ds.App()\n@app.orchestrator\nasync def answer(ctx): return VALUE\n"
    source.write_text("VALUE = 1\n" + code)
    parent, _ = started("worker", "reloaded_app:app", "--reload", cwd=tmp_path)
    answer = ("start", "answer", "--wait", "--timeout", "30")
    assert run(environment, *answer).stdout == "1\n"
    source.write_text("VALUE = 22\n" + code)
    until(lambda: run(environment, *answer).stdout == "22\n")
    parent.send_signal(signal.SIGINT)
    assert parent.wait(30) == 0


def test_dev_prints_commands_that_work(started: Callable[..., tuple[subprocess.Popen[bytes], Path]]) -> None:
    process, log = started("dev", "workers.quickstart:app")
    until(lambda: "Ctrl-C stops everything" in log.read_text())
    (line,) = re.findall(r"^  (.* start .*)$", log.read_text(), re.MULTILINE)
    result = subprocess.run(line, shell=True, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert result.stdout == '"Hello, world!"\n', result.stderr
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
