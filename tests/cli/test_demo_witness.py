from __future__ import annotations

import json
from pathlib import Path

from durastream.cli.demo_witness import Run, Verdict, judge, read_runs

STEPS = ("charge", "ship")


def runs(*extra: Run) -> list[Run]:
    return [Run("o1", "charge", "w1", 1.0, 2.0), *extra]


def verdict(*extra: Run, recorded: tuple[str, ...] = STEPS, killed: str | None = "w1") -> Verdict:
    return judge(runs(*extra), {"o1": recorded}, orders=["o1"], steps=STEPS, killed=killed)


def test_all_went_well() -> None:
    result = verdict(Run("o1", "ship", "w1", 2.0, 3.0))
    assert (result.wrong, result.run_again, result.cut_off, result.recorded) == ([], 0, 0, 2)


def test_a_step_cut_off_by_the_kill_runs_again() -> None:
    result = verdict(Run("o1", "ship", "w1", 2.0), Run("o1", "ship", "w2", 5.0, 6.0))
    assert (result.wrong, result.run_again, result.cut_off) == ([], 1, 1)


def test_a_finished_step_that_ran_again_is_a_fault() -> None:
    result = verdict(Run("o1", "ship", "w1", 2.0, 3.0), Run("o1", "charge", "w2", 5.0, 6.0))
    (fault,) = result.wrong
    assert fault == (
        "charge of o1 was finished 2 times: on w1 00:00:01.000 to 00:00:02.000, then on w2 00:00:05.000 to 00:00:06.000"
    )


def test_a_lost_step_is_a_fault() -> None:
    assert verdict(recorded=("charge",)).wrong == ["ship of o1 was never finished", "ship of o1 is recorded 0 times"]


def test_a_step_recorded_twice_is_a_fault() -> None:
    result = verdict(Run("o1", "ship", "w1", 2.0, 3.0), recorded=("charge", "ship", "ship"))
    assert result.wrong == ["ship of o1 is recorded 2 times"]


def test_only_the_killed_worker_may_leave_a_step_unfinished() -> None:
    result = verdict(Run("o1", "ship", "w2", 2.0), Run("o1", "ship", "w1", 5.0, 6.0))
    assert result.wrong == ["ship of o1 was cut off on w2, which nobody killed"]


def test_read_runs_pairs_begun_and_done_and_skips_a_half_line(tmp_path: Path) -> None:
    def line(what: str, worker: str, at: float) -> str:
        return json.dumps({"what": what, "order": "o1", "step": "ship", "worker": worker, "at": at}) + "\n"

    path = tmp_path / "witness"
    assert read_runs(path) == []
    path.write_text(line("begun", "w1", 1) + line("begun", "w2", 2) + line("done", "w2", 3) + '{"what": "do')
    assert read_runs(path) == [Run("o1", "ship", "w1", 1), Run("o1", "ship", "w2", 2, 3)]
