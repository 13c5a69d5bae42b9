from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from durastream.cli.supervisor import Backoff, Child, Supervisor, describe
from tests.support import eventually

pytestmark = pytest.mark.anyio

FAST = Backoff(first_s=0.01, most_s=0.05)
WAITS = "import signal, time; print('up', flush=True); signal.sigwait([signal.SIGTERM])"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


def child(code: str, log: Path | None = None) -> Child:
    return Child([sys.executable, "-c", code], log=log)


def lines(path: Path) -> int:
    return path.read_text().count("up\n") if path.exists() else 0


async def test_ends_when_all_children_have_ended_well() -> None:
    reports: list[str] = []
    assert await Supervisor([child("pass"), child("pass")], reports.append, backoff=FAST).run() == 0
    assert reports == []


async def test_crashed_child_is_started_again(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    code = f"import os, pathlib; p = pathlib.Path({str(mark)!r}); n = len(p.read_text()) if p.exists() else 0\n"
    code += "p.write_text('x' * (n + 1)); os._exit(0 if n == 3 else 9)"
    reports: list[str] = []
    assert await Supervisor([child(code)], reports.append, backoff=FAST).run() == 0
    assert mark.read_text() == "xxxx"
    assert len(reports) == 3
    assert "exit code 9" in reports[0]


async def test_stop_passes_the_signal_on_and_is_clean(tmp_path: Path) -> None:
    logs = [tmp_path / "one", tmp_path / "other"]  # two children in one file overwrite each other's lines
    supervisor = Supervisor([child(WAITS, log) for log in logs], print, backoff=FAST)
    running = asyncio.create_task(supervisor.run())
    await eventually(lambda: [lines(log) for log in logs] == [1, 1])
    supervisor.stop()
    assert await asyncio.wait_for(running, 20) == 0


async def test_second_stop_kills(tmp_path: Path) -> None:
    log = tmp_path / "log"
    stubborn = child(STUBBORN, log)
    supervisor = Supervisor([stubborn], print, backoff=FAST)
    running = asyncio.create_task(supervisor.run())
    await eventually(lambda: lines(log) == 1)
    supervisor.stop()
    assert stubborn.running
    supervisor.stop()
    assert await asyncio.wait_for(running, 20) == 1


async def test_wrong_usage_is_not_repeated(tmp_path: Path) -> None:
    supervisor = Supervisor([child("import os; os._exit(2)"), child(WAITS, tmp_path / "log")], print, backoff=FAST)
    assert await asyncio.wait_for(supervisor.run(), 20) == 2


async def test_reload_starts_again_at_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    slow = Backoff(first_s=100, most_s=100)
    supervisor = Supervisor([child(WAITS, log)], print, backoff=slow)
    running = asyncio.create_task(supervisor.run())
    await eventually(lambda: lines(log) == 1)
    supervisor.reload()
    await eventually(lambda: lines(log) == 2)
    supervisor.stop()
    assert await asyncio.wait_for(running, 20) == 0


@pytest.mark.parametrize("run", ["import asyncio as loop", "loop = pytest.importorskip('uvloop')"])
async def test_child_stops_when_its_parent_is_gone(tmp_path: Path, run: str) -> None:
    log = tmp_path / "log"
    code = "import os, sys, time; from durastream.cli.supervisor import stop_with_parent; stop_with_parent()\n"
    code += "print('up', flush=True); time.sleep(60)"
    parent = (
        f"import asyncio, sys, pathlib, pytest\n{run}\nfrom durastream.cli.supervisor import Child\n"
        f"async def main():\n    child = Child([sys.executable, '-c', {code!r}], log=pathlib.Path({str(log)!r}))\n"
        "    await child.start(); print(child.pid, flush=True); await asyncio.sleep(60)\nloop.run(main())"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", parent, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    orphan = int(await process.stdout.readline())
    await eventually(lambda: lines(log) == 1)
    process.kill()
    await process.wait()
    await eventually(lambda: not alive(orphan))


def alive(pid: int) -> bool:
    """Also false for a process that has ended and that nobody has waited for."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


def test_backoff_doubles_up_to_its_most() -> None:
    backoff = Backoff(first_s=0.5, most_s=30)
    assert [backoff.pause(crashes) for crashes in (1, 2, 3, 7, 100)] == [0.5, 1, 2, 30, 30]


def test_codes_in_words() -> None:
    assert describe(3) == "exit code 3"
    assert describe(-signal.SIGKILL) == "SIGKILL"
