"""Fuzz from the command line: `python -m tests.fuzz.run --help`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.evidence.report import Report, counted, finish
from tests.fuzz.engine import Finding, Fuzzer, Result
from tests.fuzz.lines import Line
from tests.fuzz.targets import TARGETS, covered


def fuzz(names: Sequence[str], seed: int, *, execs: int | None = None, seconds: float | None = None) -> list[Result]:
    """Each of these targets for so many executions, or so many seconds."""
    results = []
    for name in names:
        fuzzer = Fuzzer(TARGETS[name], seed)
        fuzzer.replay()
        results.append(fuzzer.spend(execs=execs, seconds=seconds))
    return results


def findings(results: Sequence[Result]) -> list[Finding]:
    return [finding for result in results for finding in result.findings.values()]


def table(results: Sequence[Result]) -> str:
    """A line for each target: executions, what was accepted and refused, lines reached and when the last new one was."""
    rows = [("target", "execs", "accepted", "lines", "last new at", "findings", "refused")]
    rows += [
        (
            one.target,
            f"{one.execs:,}",
            f"{one.accepted:,}",
            str(len(one.lines)),
            f"{one.last_new_exec:,}",
            str(len(one.findings)),
            counted(one.rejected),
        )
        for one in results
    ]
    widths = [max(len(row[k]) for row in rows) for k in range(6)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:6], widths[1:]), row[6]]) for row in rows
    )


def report_of(results: Sequence[Result], command: str, *, whole: bool) -> Report:
    """`whole`: all targets were run, so that enough of each decoder must have been."""
    seen: set[Line] = set().union(*(result.lines for result in results))
    files = covered(seen) if whole else []
    wanted = tuple(f"{one.file} over 90 %" for one in files)
    report = Report("fuzzing of decoders", command, wanted_ops=wanted)
    for one in files:
        report.op(f"{one.file} over 90 %", "ok" if one.enough else "fail")
        report.notes.append(f"{one.file}: {one.seen} of {one.all} lines ({one.seen / one.all:.0%}); not {one.missing}")
    report.cmds = sum(result.execs for result in results)
    report.violations = [f"S28 {finding}" for finding in findings(results)]
    return report


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.run", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10, help="for each target")
    parser.add_argument("--target", action="append", choices=sorted(TARGETS), help="only this one; may be given again")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the report there too")
    options = parser.parse_args()
    began = time.monotonic()
    names = options.target or list(TARGETS)
    results = fuzz(names, options.seed, seconds=options.seconds)
    print(table(results))
    command = f"python -m tests.fuzz.run --seconds {options.seconds:g} --seed {options.seed}"
    report = report_of(results, command, whole=options.target is None)
    report.seeds, report.wall_s = [options.seed], time.monotonic() - began
    return finish(report, json_to=options.json)


if __name__ == "__main__":
    sys.exit(main())
