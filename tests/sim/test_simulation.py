"""Two hundred seeds of the simulation, every case that once broke something, and deliberate bugs that must be found."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sim import regressions
from tests.sim.campaign import campaign, seeds_to_kill
from tests.sim.mutants import MUTANTS, mutated
from tests.sim.run_one import simulate
from tests.sim.shrink import shrunk
from tests.sim.world import Case

ROOT = Path(__file__).parents[2]
CHUNK = 25
FIRST_MUTANTS = ("no-fence", "no-mark", "read-is-taken", "outbox-forgotten", "outcome-unclaimed", "inbox-unread")
MOST = 40
"""Seeds that one of these mutants may take; most take one or two."""


@pytest.mark.parametrize("first", range(1, 201, CHUNK))
def test_seeds(first: int) -> None:
    report = campaign([Case(seed) for seed in range(first, first + CHUNK)])
    assert not report.violations, report.render()
    assert report.cmds > 500 * CHUNK and sum(report.faults.values()) > 10 * CHUNK, report.render()


@pytest.mark.parametrize("path", regressions.stored(), ids=lambda path: path.stem)
def test_what_once_broke(path: Path) -> None:
    """It holds today; and it still would not if the bug were there again, or the case had come to mean something else."""
    kept = regressions.load(path)
    assert not simulate(kept.case).violations, kept.was
    with mutated(kept.mutant):
        assert kept.mutant is None or simulate(kept.case).violations, f"{path.name} says nothing any more: make it anew"


@pytest.mark.parametrize("first", [1, 11])
def test_a_seed_repeats_itself(first: int) -> None:
    seeds = range(first, first + 10)
    assert [simulate(Case(seed)).trace for seed in seeds] == [simulate(Case(seed)).trace for seed in seeds]


def test_a_seed_repeats_itself_in_another_process() -> None:
    """Nor does anything depend on how this Python happens to hash its texts."""
    code = "from tests.sim.run_one import simulate; from tests.sim.world import Case; print(simulate(Case(7)).trace)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "77"}
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert run.stdout.strip() == simulate(Case(7)).trace, run.stderr


@pytest.mark.parametrize("name", FIRST_MUTANTS)
def test_a_deliberate_bug_is_found(name: str) -> None:
    _, count, _ = seeds_to_kill(name, most=MOST)
    assert count is not None, f"{name} got away with {MOST} seeds: {MUTANTS[name].__doc__}"


def test_a_failing_case_is_made_smaller() -> None:
    with mutated("no-mark"):
        found = next(outcome for outcome in map(simulate, map(Case, range(1, MOST))) if outcome.violations)
        smaller = shrunk(found.case, tries=40)
        again = simulate(smaller.case)
    assert again.violations == smaller.violations and again.trace == smaller.trace
    assert len(smaller.fired) < max(2, len(found.fired)), f"{len(found.fired)} faults became {len(smaller.fired)}"
    assert not simulate(smaller.case).violations, "without the bug it is sound"
