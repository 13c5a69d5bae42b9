"""The benchmarks run, and what they print is arithmetic that holds."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks import entities, planted
from benchmarks.__main__ import BENCHMARKS
from benchmarks.harness import Cpu, Measurement, process_cpu_s, process_memory_bytes, table
from durastream.core.ids import partition_of

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


def test_memory_of_a_process() -> None:
    held = process_memory_bytes(os.getpid())
    assert held != held or held > 2**20  # NaN where there is no /proc


def test_every_benchmark_says_what_it_measures() -> None:
    assert [name for name, function in BENCHMARKS.items() if not function.__doc__] == []


def test_calls_go_to_other_partitions() -> None:
    keys = entities._elsewhere("calls-1", 16)
    assert len(set(keys)) == entities.CALLS
    homes = {partition_of(f"@Counter@{key}", 16) for key in keys}
    assert homes == set(range(16)) - {partition_of("calls-1", 16)}


def test_planted_instances_have_ids_of_their_own_and_few_the_prefix() -> None:
    ids = [planted.KINDS[number % len(planted.KINDS)].id(number) for number in range(100_000)]
    assert len(set(ids)) == len(ids)
    assert sum(one.startswith(planted.FEW_PREFIX) for one in ids) == planted.FEW
    assert Counter(map(planted.status_of, range(100_000)))["Running"] == 1_000


def quickly(*names: str) -> str:
    """What these benchmarks print, with a tenth of the work."""
    command = [sys.executable, "-m", "benchmarks", "--quick", *names]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.real_server
def test_floor_and_engine_run() -> None:
    printed = quickly("floor", "bulk", "floor-sequence", "sequence", "long-sequence")
    assert "4,000 orchestrations" in printed
    assert "5,000 activities" in printed
    assert "against the first" in printed


@pytest.mark.slow
@pytest.mark.real_server
def test_entities_run() -> None:
    """They check by themselves that nothing was lost or done twice."""
    printed = quickly("entity-floor", "entity-hot", "entity-many", "entity-call", "transfers", "entity-memory")
    assert printed.count("20,000 signals") == 4
    assert "1,000 transfers" in printed
    for goal in ("at least 30,000", "at least 15,000", "at most 1.5", "at least 1,000", "bytes"):
        assert goal in printed


@pytest.mark.slow
@pytest.mark.real_server
def test_terminal_runs() -> None:
    printed = quickly("terminal")
    assert "100,000 instances planted" in printed
    assert printed.count("16,000 orchestrations") == 2
    for goal in ("under 1", "never over 50", "at least 0.95"):
        assert goal in printed
