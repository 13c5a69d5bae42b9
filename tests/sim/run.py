"""Runs simulations from the command line: `python -m tests.sim.run --help`.

`--seeds 200` runs 200 seeds; `--seed N` begins with N, and alone runs that one and tells everything about it; `--shrink` makes
a failing one smaller, and prints it in the form of a stored regression; `--mutants` shows that deliberate bugs are found. Exit
codes: 0 green, 1 violations (or mutants that got away), 2 incomplete (a kind of fault or operation did not come up).
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tests.evidence.report import finish
from tests.sim import regressions
from tests.sim.campaign import campaign, mutants
from tests.sim.mutants import MUTANTS, RARE, mutated
from tests.sim.run_one import simulate
from tests.sim.shrink import shrunk
from tests.sim.world import Case, Outcome


def main() -> int:
    flags = _flags()
    if flags.mutants:
        names = [flags.mutant] if flags.mutant else list(MUTANTS)
        return finish(mutants(jobs=flags.jobs, most=flags.seeds or 300, names=names, say=_now), json_to=flags.json)
    if flags.replay is not None or flags.seeds is None:
        case = regressions.load(flags.replay).case if flags.replay is not None else Case(flags.seed or 1)
        with mutated(flags.mutant):
            return _one(case, shrink=flags.shrink, mutant=flags.mutant)
    first = time.time_ns() % 10**9 if flags.seed is None else flags.seed
    report = campaign([Case(seed) for seed in range(first, first + flags.seeds)], jobs=flags.jobs)
    return finish(report, json_to=flags.json)


def _now(text: str) -> None:
    print(text, flush=True)


def _one(case: Case, *, shrink: bool, mutant: str | None) -> int:
    outcome = simulate(case)
    _tell(outcome)
    if outcome.violations and shrink:
        smaller = shrunk(case, say=print)
        _tell(smaller)
        print(regressions.text(regressions.Kept(smaller.case, smaller.violations[0], mutant)))
    return 1 if outcome.violations else 0


def _tell(outcome: Outcome) -> None:
    print(
        f"seed {outcome.case.seed}: {outcome.virtual_s:.1f} s simulated, {outcome.commands:,} commands, trace {outcome.trace}"
    )
    print(f"  scenarios {', '.join(outcome.kinds)}")
    print(f"  {len(outcome.fired)} faults: {', '.join(outcome.fired)}")
    for violation in outcome.violations:
        print(f"  VIOLATION {violation}")


def _flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.sim.run", description="Deterministic simulation with faults."
    )
    parser.add_argument("--seeds", type=int, help="how many; with --mutants, how many at most for each")
    parser.add_argument("--seed", type=int, help="the first; the time of day if left out")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--shrink", action="store_true", help="make a failing one smaller")
    parser.add_argument("--replay", type=Path, help="a file of tests/sim/regressions")
    parser.add_argument("--mutants", action="store_true", help="hunt deliberate bugs")
    parser.add_argument("--mutant", choices=sorted(MUTANTS | RARE), help="this one")
    parser.add_argument("--json", type=Path, help="write the report there, too")
    flags = parser.parse_args()
    if flags.mutant and flags.seeds and not flags.mutants:
        parser.error("--mutant with --seeds hunts for it: give --mutants, too; to see one seed, leave --seeds out")
    return flags


if __name__ == "__main__":
    sys.exit(main())
