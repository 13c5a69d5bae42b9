"""`durastream top` in a real terminal: keys go in through tmux, and what can be read there is all that counts."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import durastream as ds
from tests.acceptance.processes import ROOT, WorkerProcess
from tests.support import eventually

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="no tmux on this machine"),
]

COLUMNS, LINES = 80, 24


class Terminal:
    """A tmux server of its own, with one pane."""

    def __init__(self, socket: Path) -> None:
        self._tmux = ["tmux", "-S", str(socket), "-f", os.devnull]

    def run(self, command: list[str]) -> None:
        size = ["-x", str(COLUMNS), "-y", str(LINES)]
        environment = ["-e", f"PYTHONPATH={ROOT}", "-e", "COLORTERM=truecolor"]
        self._call(
            "new-session", "-d", *size, *environment, "-c", str(ROOT), f"{shlex.join(command)}; echo exit code $?; cat"
        )

    def press(self, *keys: str) -> None:
        self._call("send-keys", *keys)

    def write(self, text: str) -> None:
        self._call("send-keys", "-l", text)

    def text(self) -> str:
        return self._call("capture-pane", "-p")

    def tell(self, what: str) -> str:
        """A format of tmux, such as `#{pane_title}`."""
        return self._call("display-message", "-p", what).strip()

    async def shows(self, *wanted: str) -> str:
        """Wait until all of these can be read, maybe over the end of a line."""
        try:
            await eventually(lambda: all(one in self._flowing() for one in wanted), 20, pause_s=0.1)
        except AssertionError:
            raise AssertionError(f"{wanted} cannot be read on\n{self.text()}") from None
        return self.text()

    def _flowing(self) -> str:
        return " ".join(self.text().split())

    def close(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], capture_output=True, check=False)

    def _call(self, *arguments: str) -> str:
        return subprocess.run([*self._tmux, *arguments], capture_output=True, text=True, check=True, timeout=10).stdout


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    opened = Terminal(tmp_path / "tmux")
    yield opened
    opened.close()


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cause of failures is gone when this file is there."""
    file = tmp_path / "card"
    monkeypatch.setenv("CARD_FILE", str(file))
    return file


@pytest.fixture
def worker(server_url: str, card: Path) -> Iterator[WorkerProcess]:
    process = WorkerProcess(server_url, "tests.acceptance.top_app:app").start()
    yield process
    process.stop()


def top(url: str, *flags: str) -> list[str]:
    return [sys.executable, "-m", "durastream.cli", "--redis", url, "top", *flags]


async def test_find_what_failed_read_why_and_rewind_it(
    server_url: str, worker: WorkerProcess, terminal: Terminal, card: Path
) -> None:
    await worker.until_serving()
    async with ds.Client(server_url) as client:
        await client.start_many("approval", range(40))
        failed = await client.start("order", 20, instance_id="order-7")
        with pytest.raises(ds.OrchestrationFailed):
            await failed.result(timeout=20)
        terminal.run(top(server_url))
        await terminal.shows("● 40", "✘ 1", "order-7")
        terminal.press("f")
        await terminal.shows("filter status:failed 1 in all", "NonRetryableError: card")
        terminal.press("Enter")
        await terminal.shows("order-7 ✘ Failed", "card declined", "activity charge", "✘ failed:")
        terminal.press("Tab", "Tab")
        await terminal.shows("caused by", "in charge")
        card.touch()
        terminal.press("W")
        await terminal.shows("Rewind this instance?", "order-7")
        terminal.press("y")
        await terminal.shows("order-7 ✔ Completed", "rewound: order-7")
        assert await failed.result(timeout=10) == 20
        terminal.press("Escape")
        await terminal.shows("1 instances", "✔ 1", "✘ 0", "0 in all")
        terminal.press("q")
        await terminal.shows("exit code 0")


async def test_a_hundred_are_suspended_and_resumed_by_a_filter(
    server_url: str, worker: WorkerProcess, terminal: Terminal
) -> None:
    await worker.until_serving()
    async with ds.Client(server_url) as client:
        await client.start_many("approval", range(100), instance_ids=[f"leave-{number:03}" for number in range(100)])
        await client.start_many("approval", range(20))
        terminal.run(top(server_url))
        await terminal.shows("● 120")
        terminal.press("/")
        await terminal.shows("status: name: id:")
        terminal.write("id:leave-")
        terminal.press("Enter")
        await terminal.shows("filter id:leave- 100")
        terminal.press("a")
        await terminal.shows("■ 100 marked")
        terminal.press("P")
        await terminal.shows("Suspend 100 instances?", "… and 95 more")
        terminal.press("y")
        await terminal.shows("suspended: 100 of 100", "‖ 100", "● 20")
        assert (await client.counts())["Suspended"] == 100
        terminal.press("a")
        await terminal.shows("■ 100 marked")
        terminal.press("U")
        await terminal.shows("Resume 100 instances?")
        terminal.press("y")
        await terminal.shows("● 120", "‖ 0")
        assert (await client.counts())["Running"] == 120


async def test_hostile_ids_reach_the_terminal_escaped(server_url: str, terminal: Terminal) -> None:
    """No worker: what is there stays as it is, and the header says why nothing moves."""
    async with ds.Client(server_url) as client:
        await client.start(
            "approval", "\x1b]0;owned\x07\x1b[2J[@click=app.quit]x[/]", instance_id="id\u202e[@click=app.quit]x[/]"
        )
        terminal.run(top(server_url, "--read-only"))
        await terminal.shows("\\u202e[@click", "no live worker", "read-only")
        terminal.press("Enter")
        await terminal.shows("○ Pending")
        terminal.press("Tab", "Tab")
        text = await terminal.shows("\\u001b]0;owned")
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text)
        assert "owned" not in terminal.tell("#{pane_title}")
