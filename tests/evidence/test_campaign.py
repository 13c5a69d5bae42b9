from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.evidence import campaign
from tests.evidence.campaign import LAYERS, SIZES, Layer, Said, table


def said(exit_code: int, *, reports: bool = True, **report: Any) -> Said:
    layer = Layer("some", "tests.some", "--seed 1", "--seed 1 --much", reports=reports)
    return Said(layer, "quick", exit_code, 12.3, {"violations": [], **report})


def test_a_layer_is_green_only_by_its_own_word() -> None:
    assert [said(code).state for code in (0, 1, 2, -9)] == ["green", "red", "incomplete", "red"]
    assert [said(code, reports=False).state for code in (0, 1, 2)] == ["green", "red", "red"]


def test_the_table_says_what_was_done() -> None:
    one = said(
        0,
        seeds=[1, 2, 3],
        virtual_s=7200.0,
        faults={"kill": 4, "cut": 2},
        ops={"start": {"ok": 5, "info": 1}},
        mutants={"a": 3, "b": None},
    )
    row = table([one]).splitlines()[-1]
    assert "3 seeds, 2.0 h simulated, 12 s" in row
    assert "| 6 of 2 kinds | 6 of 1 kinds | 0 | 1 of 2 | `python -m tests.some --seed 1` |" in row


@cache
def shown_by(module: str) -> str:
    command = [sys.executable, "-m", module, "--help"]
    return subprocess.run(command, capture_output=True, text=True, cwd=campaign.ROOT, check=True).stdout


def test_every_layer_is_a_command_that_takes_its_arguments() -> None:
    for layer in LAYERS:
        options = {word for size in SIZES for word in layer.command(size) if word.startswith("--")}
        assert not {option for option in options if option not in shown_by(layer.module)}, layer.name


def test_one_layer_from_end_to_end(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    small = Layer("simulation", "tests.sim.run", "--seed 1 --seeds 2", "")
    done = campaign.run(small, "quick", tmp_path)
    assert done.state == "incomplete"  # two seeds cannot have every kind of fault
    assert json.loads((tmp_path / "simulation.json").read_text())["seeds"] == [1, 2]
    assert "=== simulation: python -m tests.sim.run --seed 1 --seeds 2" in capfd.readouterr().out
