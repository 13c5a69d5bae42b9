"""What must not type-check, does not: `calls.py` under mypy."""

from __future__ import annotations

import sys
from pathlib import Path
from subprocess import run

PROGRAM = Path(__file__).with_name("calls.py")


def test_right_calls_type_check_and_wrong_ones_do_not() -> None:
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", str(PROGRAM)]
    checked = run(command, capture_output=True, text=True, check=False, cwd=PROGRAM.parents[2])
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert PROGRAM.read_text().count("# type: ignore[") == 15
