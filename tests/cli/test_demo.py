from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def demo(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it from a directory without the sample programs, as after a plain installation."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DURASTREAM_")}
    return subprocess.run(
        [sys.executable, "-m", "durastream.cli", "demo", *arguments],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=90,
    )


@pytest.mark.slow
def test_nothing_finished_runs_again_after_a_kill(tmp_path: Path) -> None:
    result = demo(tmp_path, "--seconds", "0.3", "-o", "json")
    assert result.returncode == 0, result.stderr
    verdict = json.loads(result.stdout)
    assert verdict["wrong"] == []
    assert verdict["recorded"] == verdict["steps"] == 60
    assert verdict["killed"].startswith("shop-")
    assert verdict["run_again"] == verdict["cut_off"] > 0
    assert "kill -9" in result.stderr


@pytest.mark.slow
def test_without_a_kill_nothing_runs_twice(tmp_path: Path) -> None:
    result = demo(tmp_path, "--seconds", "0.1", "--no-kill", "--instances", "6", "--workers", "2")
    assert result.returncode == 0, result.stderr
    assert "30 of 30 steps recorded" in result.stdout
    assert "30 steps + 0 run again" in result.stdout
    assert "dev" in result.stdout.split("Next", 1)[1]
