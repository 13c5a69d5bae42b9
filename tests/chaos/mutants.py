"""Proof that the oracles can fail: runs on a damaged engine, each in a process of its own, must end red."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Final

from tests.acceptance.processes import ROOT
from tests.chaos.broken import MUTANTS
from tests.evidence.report import EXIT, Report

SEEDS_MAX: Final = 3
"""Runs within which each must be found."""

_SECONDS: Final = "5"
_STALL_S: Final = "10"  # what is lost stays lost


def prove(name: str, seed: int) -> subprocess.CompletedProcess[str]:
    """One run with that damage."""
    mutant = MUTANTS[name]
    command = [sys.executable, "-m", "tests.chaos", "--mutant", name, "--seed", str(seed), "--seconds", _SECONDS]
    command += ["--deployment", "single", "--workers", "2", "--stall", _STALL_S]
    command += ["--nemeses", ",".join(mutant.nemeses), "--workloads", ",".join(mutant.workloads)]
    return bounded(command, 300)


def bounded(command: Sequence[str], limit_s: float) -> subprocess.CompletedProcess[str]:
    """A run in a process of its own, which is ended with all its workers when it takes too long. Servers end with it."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, text=True, start_new_session=True, stdout=pipe, stderr=pipe) as process:
        try:
            out, errors = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, errors = process.communicate()
            errors += f"\nended after {limit_s} s"
    return subprocess.CompletedProcess(command, process.returncode, out, errors)


def found_within(name: str, seed: int) -> tuple[int | None, str]:
    """The number of runs it took (None: too many), and what the last of them printed."""
    for attempt in range(1, SEEDS_MAX + 1):
        ended = prove(name, seed + attempt - 1)
        if ended.returncode == EXIT["red"] and "VIOLATION" in ended.stdout:
            return attempt, ended.stdout
    return None, ended.stdout + ended.stderr


def prove_all(seed: int) -> Report:
    report = Report("chaos on damaged engines", f"python -m tests.chaos --mutants --seed {seed}", seeds=[seed])
    began = time.monotonic()
    for name, mutant in MUTANTS.items():
        report.mutants[name], output = found_within(name, seed)
        first = next((line.strip() for line in output.splitlines() if "VIOLATION" in line), "nothing was found")
        print(f"{name} ({mutant.what}): {first[:160]}", flush=True)
    report.wall_s = time.monotonic() - began
    return report
