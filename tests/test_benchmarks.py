"""The benchmarks run, and what they print is arithmetic that holds."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.harness import Cpu, Measurement, process_cpu_s, table

ROOT = Path(__file__).parent.parent


def test_the_table_has_rates_ratios_and_cpu_per_item() -> None:
    floor = Measurement("floor", "orchestrations", 1_000, 0.5, Cpu(0.02, 0.01, 0.002))
    engine = Measurement("engine", "orchestrations", 3_000, 2.0, Cpu(0.06, 0.09, 0.006), base="floor")
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(table([floor, engine]))
    rows = [
        [cell.strip() for cell in line.split("│")[1:-1]] for line in console.export_text().splitlines() if "│" in line
    ]
    assert rows == [
        ["floor", "1,000 orchestrations", "0.50", "2,000", "", "20.0", "10.0", "2.0"],
        ["engine", "3,000 orchestrations", "2.00", "1,500", "0.75", "20.0", "30.0", "2.0"],
    ]


def test_cpu_time_of_a_process_grows() -> None:
    before = process_cpu_s(os.getpid())
    sum(range(3_000_000))
    assert before != before or process_cpu_s(os.getpid()) > before  # NaN where there is no /proc


@pytest.mark.slow
@pytest.mark.real_server
def test_floor_and_engine_run() -> None:
    command = [
        sys.executable,
        "-m",
        "benchmarks",
        "--quick",
        "floor",
        "bulk",
        "floor-sequence",
        "sequence",
        "long-sequence",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "4,000 orchestrations" in done.stdout
    assert "5,000 activities" in done.stdout
    assert "against the first" in done.stdout
