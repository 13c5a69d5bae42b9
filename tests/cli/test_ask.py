from __future__ import annotations

import io
import sys

import pytest

from durastream.cli.ask import Declined, confirm
from durastream.cli.exits import UsageError


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_yes_is_not_asked() -> None:
    confirm("Purge all?", yes=True)


def test_without_a_terminal_it_refuses_and_names_the_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    with pytest.raises(UsageError, match=r"Purge all\? .* --yes"):
        confirm("Purge all?", yes=False)


@pytest.mark.parametrize("answer", ["n", ""])
def test_anything_but_yes_declines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answer: str
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(f"{answer}\n"))
    with pytest.raises(Declined):
        confirm("Purge \x1b[2J?", yes=False)
    assert "\x1b" not in capsys.readouterr().err


def test_yes_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    confirm("Purge all?", yes=False)
