"""`durastream top` as a command."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from durastream.cli import build
from durastream.cli.exits import USAGE
from durastream.tui.launch import place
from tests.acceptance.processes import ROOT


def test_without_textual_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("textual", "durastream.tui"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "textual", None)
    result = CliRunner().invoke(build(), ["top"])
    assert result.exit_code == USAGE
    assert "pip install 'durastream[tui]'" in result.stderr


def test_without_a_terminal_it_says_what_to_use() -> None:
    result = CliRunner().invoke(build(), ["top"])
    assert result.exit_code == USAGE
    assert "needs a terminal" in result.stderr


def test_no_other_command_needs_textual() -> None:
    program = "import sys, durastream.cli; durastream.cli.build(); sys.exit('textual' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://user:secret@host:7000/0", "host:7000"),
        ("redis://localhost", "localhost:6379"),
        ("rediss://[::1]:6380", "[::1]:6380"),
        ("redis+cluster://user:secret@a:7001,b", "a:7001,b:6379"),
        ("redis+sentinel://:secret@a/main", "a:26379"),
    ],
)
def test_the_header_shows_no_password(url: str, shown: str) -> None:
    assert place(url) == shown
