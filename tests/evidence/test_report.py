from __future__ import annotations

from pathlib import Path

import pytest

from tests.evidence.report import Report, finish, ranges, values


def run(**changes: object) -> Report:
    report = Report("a run", "do it", wanted_faults=("kill",), wanted_ops=("start",))
    report.faults["kill"] = 3
    report.op("start", "ok", 2)
    for name, value in changes.items():
        setattr(report, name, value)
    return report


def test_a_run_is_green_only_with_every_fault_and_operation() -> None:
    assert run().state == "green"
    lacking = run(wanted_faults=("kill", "cut"))
    assert lacking.state == "incomplete"
    assert lacking.lacking == ["fault cut"]
    assert run(wanted_ops=("start", "purge")).exit_code == 2


def test_an_operation_that_never_succeeded_was_not_tested() -> None:
    report = run(wanted_ops=("start", "purge"))
    report.op("purge", "info", 5)
    assert report.lacking == ["operation purge"]


def test_violations_and_surviving_mutants_are_red() -> None:
    assert run(violations=["S1 a gap"]).exit_code == 1
    assert run(mutants={"no fence": None}).state == "red"
    assert run(mutants={"no fence": 7}).state == "green"


def test_reports_are_added_up() -> None:
    one, other = run(seeds=[1]), run(seeds=[2], violations=["S4 twice"])
    other.op("start", "info")
    one.merge(other)
    assert one.seeds == [1, 2]
    assert one.ops["start"] == {"ok": 4, "info": 1}
    assert one.violations == ["S4 twice"]


def test_seeds_are_shown_as_ranges() -> None:
    assert ranges([3, 1, 2, 7]) == "1–3, 7"
    assert ranges([]) == ""


def test_what_is_printed_and_written(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    report = run(violations=["S1 a gap"], recovery_s=[0.5, 2.0])
    assert finish(report, json_to=tmp_path / "report.json") == 1
    shown = capsys.readouterr().out
    assert "RED" in shown and "VIOLATION S1 a gap" in shown and "kill 3" in shown
    assert values(report)["recovery_s"] == {"p50": 2.0, "p99": 2.0, "max": 2.0}
    assert '"state": "red"' in (tmp_path / "report.json").read_text()
