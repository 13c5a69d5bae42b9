from __future__ import annotations

import io

from rich.console import Console

from durastream.cli import bars
from durastream.core import events as ev
from durastream.core.events import Failure
from durastream.inspect.rows import when
from durastream.inspect.steps import steps

AT = 1_935_403_200_000
NO = Failure("Unavailable", "no answer")


def drawn(history: list[ev.Event], until: int, width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(bars.drawn(steps(history), when(AT + until), width))
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    assert max(map(len, text.splitlines())) <= width
    return text.splitlines()


def test_attempts_and_pauses_are_parts_of_one_bar() -> None:
    lines = drawn(
        [
            ev.ExecutionStarted(AT, "flow", None, None, None, 0),
            ev.TaskScheduled(AT, "charge", None, "default", None, 1),
            ev.TaskFailed(AT + 1_000, 1, NO),
            ev.TimerCreated(AT + 1_000, AT + 3_000),
            ev.TimerFired(AT + 3_000, 3),
            ev.TaskScheduled(AT + 3_000, "charge", None, "default", None, 2),
            ev.TaskCompleted(AT + 4_000, 5, None),
        ],
        4_000,
    )
    assert len(lines) == 2
    header, line = lines
    assert header.split() == ["#", "0", "4.0", "s", "took"]
    assert line.startswith("1  ✔  charge ×2")
    bar = line[line.index("━") : line.rindex("━") + 1]
    first, pause, second = (bar.count(part) for part in ("━", "┄", " "))
    assert pause > 0
    assert abs(first - pause) <= 2
    assert second == 0
    assert line.endswith("4.0 s")


def test_a_failure_is_told_below() -> None:
    _, line, why = drawn(
        [ev.TaskScheduled(AT, "charge", None, "default", None, 1), ev.TaskFailed(AT + 1_000, 0, NO)], 1_000
    )
    assert "✘  charge" in line
    assert why.strip() == "Unavailable: no answer"


def test_what_is_still_awaited_runs_to_the_end() -> None:
    _, line = drawn([ev.TaskScheduled(AT, "ship", None, "default", None, 1)], 5_000)
    assert "…  ship  ╍╍╍╍" in line
    assert line.endswith("5.0 s")


def test_a_lock_is_waited_for_and_held() -> None:
    _, line = drawn(
        [
            ev.EntityLockRequested(AT, ("@Counter@a",)),
            ev.EntityLockGranted(AT + 1_000, 0),
            ev.EntityUnlockSent(AT + 2_000, 0),
        ],
        2_000,
    )
    assert "lock @Counter@a" in line
    assert line.count("╌") > 5
    assert line.count("▬") > 5


def test_it_fits_wherever_it_is_shown() -> None:
    history: list[ev.Event] = [
        ev.TaskScheduled(AT, "名前" * 40, None, "default", None, 1),
        ev.SubOrchestrationCreated(AT, "child", "x" * 200, None, None),
        ev.TaskFailed(AT + 1_000, 0, Failure("T", "\x1b[2J" * 500)),
    ]
    for width in (60, 80, 200):
        lines = drawn(history, 1_000, width)
        assert len(lines) == 4
        assert "\x1b" not in "".join(lines)


def test_a_timer_of_today_tells_the_time_only() -> None:
    history: list[ev.Event] = [ev.TimerCreated(AT, AT + 1_000), ev.TimerCreated(AT, AT + 86_400_000)]
    _, today, tomorrow = drawn(history, 1_000, 200)
    assert "timer until 12:00:01Z" in today
    assert "timer until 2031-05-02 12:00:00Z" in tomorrow


def test_nothing() -> None:
    assert len(drawn([], 0)) == 1
