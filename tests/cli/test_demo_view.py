from __future__ import annotations

import io

from rich.console import Console

from durastream.cli.demo_view import Picture, View, orders_table, summary, verdict_lines
from durastream.cli.demo_witness import Run, Verdict

PICTURE = Picture(
    orders=["o1", "o2", "o3"],
    steps=["charge", "ship"],
    statuses={"o1": "Completed", "o2": "Running", "o3": "Running"},
    runs=[
        Run("o1", "charge", "w1", 1, 2),
        Run("o1", "ship", "w1", 2, 3),
        Run("o2", "charge", "w2", 3),
        Run("o3", "charge", "w1", 3),
    ],
    killed="w1",
)


def test_summary_counts() -> None:
    assert summary(PICTURE) == "1 of 3 orders completed, 2 of 6 steps done"


def test_table_shows_who_runs_what_and_what_was_cut_off() -> None:
    out = io.StringIO()
    Console(file=out, width=100).print(orders_table(PICTURE))
    _, first, second, third = out.getvalue().splitlines()
    assert first.split() == ["o1", "✔", "Completed", "●●"]
    assert second.split() == ["o2", "●", "Running", "○○", "charge", "on", "w2"]
    assert third.split() == ["o3", "●", "Running", "○○", "charge", "was", "cut", "off", "with", "w1"]


def test_a_step_that_runs_again_elsewhere_is_no_longer_cut_off() -> None:
    again = Picture(["o3"], ["charge"], runs=[Run("o3", "charge", "w1", 3), Run("o3", "charge", "w2", 5)], killed="w1")
    out = io.StringIO()
    Console(file=out, width=100).print(orders_table(again))
    assert "charge on w2" in out.getvalue()


def test_plain_lines_off_a_terminal() -> None:
    out = io.StringIO()
    with View(Console(file=out, width=200)) as view:
        view.say("started")
        view.show(PICTURE)
        view.show(PICTURE)
    text = out.getvalue()
    assert "\x1b" not in text
    assert text.count("steps done") == 1  # one a second
    assert "started" in text


def test_verdict_in_words() -> None:
    text = "\n".join(verdict_lines(Verdict(orders=3, steps=6, recorded=6, executions=8, cut_off=2), "w1"))
    assert "6 of 6 steps recorded" in text
    assert "8 executions = 6 steps + 2 run again" in text
    assert "2 steps were running on w1" in text
