"""The whole fault campaign by one command, and one table of what its layers say: `./scripts/prove --help`.

Each layer is a command of its own (docs/testing.md), run one after the other. Two sizes: `quick` takes a few minutes, `nightly`
less than an hour. Exit code 0 only if every layer is green; one that lacks a fault or an operation is not.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.evidence.report import EXIT, commit, ranges

ROOT: Final = Path(__file__).parents[2]
SIZES: Final = ("quick", "nightly")
DEPLOYMENTS: Final = {
    "single": (20, 120),
    "always": (20, 60),
    "sentinel": (20, 60),
    "strict": (20, 60),
    "cluster": (20, 60),
    "shards": (20, 60),
    "shards-strict": (20, 60),
    "wiped": (15, 60),
}
"""Deployment of the chaos layer → seconds of faults in each size."""


@dataclass(frozen=True, slots=True)
class Layer:
    """`module` with the arguments of each size; `reports`: whether it can write its report as JSON."""

    name: str
    module: str
    quick: str
    nightly: str
    reports: bool = True
    environment: tuple[tuple[str, str], ...] = ()

    def command(self, size: str) -> list[str]:
        return ["python", "-m", self.module, *shlex.split(self.nightly if size == "nightly" else self.quick)]


LAYERS: Final = (
    Layer("simulation", "tests.sim.run", "--seed 1 --seeds 200 --jobs 2", "--seed 1 --seeds 3000 --jobs 2"),
    Layer("simulation-mutants", "tests.sim.run", "--mutants --seeds 300 --jobs 2", "--mutants --seeds 300 --jobs 2"),
    Layer(
        "differential", "tests.differential.run",
        "--seed 1 --seeds 60", "--seed 1 --seeds 1000", reports=False,
    ),
    Layer("differential-mutants", "tests.differential.run", "--mutants", "--mutants", reports=False),
    Layer(
        "prefixes", "tests.prefixes.run",
        "--seed 1 --prefixes 1000 --recover 10 --cuts 10",
        "--seed 1 --prefixes 5000 --recover 200 --cuts 100 --ahead 20",
    ),
    Layer(
        "prefixes-mutants", "tests.prefixes.run",
        "--seed 1 --prefixes 1 --recover 0 --cuts 0 --ahead 0 --mutants",
        "--seed 1 --prefixes 1 --recover 0 --cuts 0 --ahead 0 --mutants",
    ),
    *(
        Layer(f"chaos-{name}", "tests.chaos", f"--deployment {name} --seed 1 --seconds {quick}",
              f"--deployment {name} --seed 1 --seconds {nightly}")
        for name, (quick, nightly) in DEPLOYMENTS.items()
    ),
    Layer("chaos-mutants", "tests.chaos", "--mutants --seed 1", "--mutants --seed 1"),
    Layer("fuzz", "tests.fuzz.run", "--seed 1 --seconds 1", "--seed 1 --seconds 6"),
    Layer("hostile", "tests.hostile.run", "--seed 1 --entries 1000", "--seed 1 --entries 10000"),
    Layer(
        "stateful", "pytest", "-q tests/stateful", "-q tests/stateful",
        reports=False, environment=(("DURASTREAM_STATEFUL", "500"),),
    ),
)  # fmt: skip


@dataclass(slots=True)
class Said:
    """What came of a layer."""

    layer: Layer
    size: str
    exit_code: int
    took_s: float
    report: dict[str, Any]

    @property
    def state(self) -> str:
        known = {code: state for state, code in EXIT.items()}
        return known.get(self.exit_code, "red") if self.layer.reports else ("red" if self.exit_code else "green")

    def row(self) -> tuple[str, ...]:
        """Layer, result, how much, faults, operations, violations, mutants, repeat with."""
        report, command = self.report, " ".join(self.layer.command(self.size))
        return (
            self.layer.name,
            self.state,
            self._much(),
            _total(report.get("faults", {})),
            _total({kind: sum(each.values()) for kind, each in report.get("ops", {}).items()}),
            str(len(report["violations"])) if report else "–",
            _found(report.get("mutants", {})),
            f"`{command}`",
        )

    def _much(self) -> str:
        report = self.report
        parts = [f"{self.took_s:,.0f} s"]
        if report.get("virtual_s"):
            parts.insert(0, f"{len(report['seeds']):,} seeds, {report['virtual_s'] / 3600:.1f} h simulated")
        elif report.get("seeds"):
            parts.insert(0, f"seed {ranges(report['seeds'])}")
        return ", ".join(parts)


HEAD: Final = ("layer", "result", "how much", "faults", "operations", "violations", "mutants found", "repeat with")


def _total(counts: dict[str, int]) -> str:
    return f"{sum(counts.values()):,} of {len(counts)} kinds" if counts else "–"


def _found(mutants: dict[str, int | None]) -> str:
    return f"{sum(seeds is not None for seeds in mutants.values())} of {len(mutants)}" if mutants else "–"


def table(said: Iterable[Said]) -> str:
    """As Markdown."""
    rows = [HEAD, tuple("---" for _ in HEAD), *(one.row() for one in said)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def run(layer: Layer, size: str, folder: Path) -> Said:
    """Run a layer; what it prints goes to our own output."""
    path = folder / f"{layer.name}.json"
    command = layer.command(size)
    print(f"\n=== {layer.name}: {' '.join(command)}", flush=True)
    command[0] = sys.executable
    if layer.reports:
        command += ["--json", str(path)]
    begun = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **dict(layer.environment)}, check=False)
    report = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return Said(layer, size, done.returncode, time.monotonic() - begun, report)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="scripts/prove", description=__doc__)
    parser.add_argument("size", choices=SIZES, nargs="?", default="quick")
    names = [layer.name for layer in LAYERS]
    parser.add_argument("--layer", action="append", choices=names, help="only this one; may be given again")
    parser.add_argument("--reports", type=Path, help="keep the reports as JSON in this folder")
    given = parser.parse_args(arguments)
    chosen = [layer for layer in LAYERS if not given.layer or layer.name in given.layer]
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.reports or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        said = [run(layer, given.size, folder) for layer in chosen]
    print(f"\ncommit {commit()}, {given.size}\n\n{table(said)}")
    for one in said:
        for violation in one.report.get("violations", []):
            print(f"VIOLATION {one.layer.name}: {violation}")
    return 0 if all(one.state == "green" for one in said) else 1


if __name__ == "__main__":
    sys.exit(main())
