from __future__ import annotations

import io

from rich.console import Console

from durastream.cli.following import Steps, _show, _under_way
from durastream.cli.output import Format, Printer
from durastream.core import events as ev
from durastream.core.events import Failure
from durastream.inspect.rows import history_rows

AT = 1_935_403_200_000


def steps_of(history: list[ev.Event]) -> Steps:
    steps = Steps()
    steps.begin_anew("e.0")
    steps.take(history_rows(history))
    return steps


def lines(steps: Steps) -> list[str]:
    return [" ".join(line.plain.split()) for line in steps.lines]


def test_what_begins_and_what_is_over() -> None:
    steps = steps_of(
        [
            ev.ExecutionStarted(AT, "flow", None, b"1", None, 0),
            ev.TaskScheduled(AT, "charge", None, "default", None, 1),
            ev.EventRaised(AT + 10, "approved", b"true"),
            ev.TaskFailed(AT + 1_500, 1, Failure("T", "no")),
            ev.EntityOperationCalled(AT + 1_500, "@Counter@a", "add", b"1"),
            ev.TaskCompleted(AT + 1_600, 99, None),
        ]
    )
    assert lines(steps) == [
        "● started flow 1",
        "· charge",
        "● event approved true",
        "✘ charge 1.5 s T: no",
        "· entity add → @Counter@a",
    ]
    assert list(steps.open) == [4]
    assert steps.seen == 6


def test_another_execution_begins_anew() -> None:
    steps = steps_of([ev.TaskScheduled(AT, "charge", None, "default", None, 1)])
    steps.begin_anew("e.1")
    assert (steps.seen, steps.open) == (0, {})
    assert lines(steps)[-1] == "● continued as new"


def test_a_fan_out_is_counted() -> None:
    steps = steps_of([ev.TaskScheduled(AT, "measure", None, "default", None, 1)] * 5_000)
    printer = Printer(Format.TEXT)
    printer.stderr = Console(file=io.StringIO(), width=200)
    _show(printer, steps)
    shown = printer.stderr.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(shown) == 61
    assert shown[-1].strip() == "… and 4,940 more"
    assert steps.lines == []


def test_what_is_under_way_is_bounded() -> None:
    many = _under_way(steps_of([ev.TaskScheduled(AT, "measure", None, "default", None, 1)] * 20), "⠋")
    assert len(many.renderables) == 9
    assert len(_under_way(Steps(), "⠋").renderables) == 1
