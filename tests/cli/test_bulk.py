from __future__ import annotations

import asyncio
import io

import pytest
from rich.console import Console

from durastream import errors
from durastream.cli.bulk import apply, bar, fate
from durastream.cli.output import Format, Printer

pytestmark = pytest.mark.anyio


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Printer:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    printer = Printer(Format.TEXT)
    printer.stderr = Console(file=Terminal(), width=80, highlight=False)
    return printer


def shown(printer: Printer) -> str:
    text: str = printer.stderr.file.getvalue()  # type: ignore[attr-defined]
    return text


async def test_only_so_many_at_once(terminal: Printer) -> None:
    now = most = 0

    async def change(instance_id: str) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0)
        now -= 1

    assert await apply(terminal, [str(number) for number in range(500)], change=change, done="purged") == 0
    assert 1 < most <= 64
    assert "purged: 500 of 500" in shown(terminal)


def test_a_bar_on_a_terminal_only(terminal: Printer, monkeypatch: pytest.MonkeyPatch) -> None:
    with bar(terminal, "purged", 100) as advance:
        advance()
    assert "1/100" in shown(terminal)
    before = shown(terminal)
    monkeypatch.setenv("NO_COLOR", "1")
    with bar(terminal, "purged", 100) as advance:
        advance()
    assert shown(terminal) == before


def test_no_bar_for_a_few(terminal: Printer) -> None:
    with bar(terminal, "purged", 3) as advance:
        advance()
    assert shown(terminal) == ""


def test_the_count_is_shown_while_looking(terminal: Printer) -> None:
    with terminal.looking("looking for instances") as tell:
        tell(1_234)
    assert "looking for instances … 1,234 found" in shown(terminal)


async def test_what_was_done_is_told_when_stopped(terminal: Printer) -> None:
    begun = asyncio.Event()

    async def change(instance_id: str) -> None:
        if instance_id != "first":
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(apply(terminal, ["first", "second"], change=change, done="purged"))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert "purged: 1 of 2; not tried: 1" in shown(terminal)


def test_fates() -> None:
    assert fate(errors.Conflict("x")) == "refused"
    assert fate(errors.InstanceNotFound("x")) == "missing"
    assert fate(errors.TimeoutError("x")) == "timed out"
    assert fate(errors.InvalidId("x")) == "failed"
