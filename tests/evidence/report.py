"""The report of a run of the fault campaign.

A run that lacks a kind of fault or of operation it set out to make is *incomplete*: it proves nothing about what it lacks, so it
is not green, however few violations it found. Operations are counted as Jepsen does: `ok` is known to have been applied, `fail`
is known not to, `info` is unknown (the reply was lost).
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Outcome = Literal["ok", "fail", "info"]
State = Literal["green", "incomplete", "red"]

EXIT = {"green": 0, "red": 1, "incomplete": 2}


@dataclass
class Report:
    """Fill it in while the run goes on; `render` and `as_json` show it."""

    name: str
    command: str  # that repeats the run
    seeds: list[int] = field(default_factory=list)
    virtual_s: float = 0.0  # simulated time
    wall_s: float = 0.0
    cmds: int = 0  # store calls or Redis commands
    wanted_faults: tuple[str, ...] = ()  # kinds that the run must have made
    wanted_ops: tuple[str, ...] = ()
    faults: Counter[str] = field(default_factory=Counter)
    ops: dict[str, Counter[str]] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)  # each begins with the id of the invariant
    mutants: dict[str, int | None] = field(default_factory=dict)  # seeds it took to find it; None = it got away
    recovery_s: list[float] = field(default_factory=list)  # from the end of a fault until work went on
    duplicates: Counter[str] = field(default_factory=Counter)  # activity → runs beyond the first
    redis: dict[str, str] = field(default_factory=dict)  # version, aof, fsync
    notes: list[str] = field(default_factory=list)

    def op(self, kind: str, outcome: Outcome, count: int = 1) -> None:
        self.ops.setdefault(kind, Counter())[outcome] += count

    def merge(self, other: Report) -> None:
        """Take in the counts and findings of another run of the same name."""
        self.seeds += other.seeds
        self.virtual_s += other.virtual_s
        self.cmds += other.cmds
        self.faults.update(other.faults)
        for kind, counts in other.ops.items():
            self.ops.setdefault(kind, Counter()).update(counts)
        self.violations += other.violations
        self.mutants |= other.mutants
        self.recovery_s += other.recovery_s
        self.duplicates.update(other.duplicates)
        self.notes += other.notes

    @property
    def lacking(self) -> list[str]:
        """Kinds that the run set out to make and did not."""
        faults = [f"fault {kind}" for kind in self.wanted_faults if not self.faults[kind]]
        ops = [f"operation {kind}" for kind in self.wanted_ops if not self.ops.get(kind, Counter())["ok"]]
        return faults + ops

    @property
    def state(self) -> State:
        if self.violations or None in self.mutants.values():
            return "red"
        return "incomplete" if self.lacking else "green"

    @property
    def exit_code(self) -> int:
        return EXIT[self.state]

    def as_json(self) -> str:
        values = vars(self) | {
            "state": self.state,
            "lacking": self.lacking,
            "commit": commit(),
            "python": platform.python_version(),
            "coverage": {"op": sorted(self.ops), "fault": sorted(self.faults)},
            "recovery_s": percentiles(self.recovery_s),
        }
        return json.dumps(values, default=str, sort_keys=True)

    def rows(self) -> list[tuple[str, str]]:
        """What a person wants to see, empty rows left out."""
        rows = [
            ("result", self.state.upper() + (f": lacks {', '.join(self.lacking)}" if self.lacking else "")),
            ("repeat with", self.command),
            ("commit", commit()),
            ("seeds", ranges(self.seeds)),
            ("time", f"{self.wall_s:.1f} s" + (f", {self.virtual_s / 3600:.2f} h simulated" if self.virtual_s else "")),
            ("store commands", f"{self.cmds:,}" if self.cmds else ""),
            ("server", ", ".join(f"{key} {value}" for key, value in self.redis.items())),
            ("faults", counted(self.faults)),
            ("operations", ", ".join(f"{kind} {outcomes(each)}" for kind, each in sorted(self.ops.items()))),
            ("recovery", " ".join(f"{key} {value:.2f} s" for key, value in percentiles(self.recovery_s).items())),
            ("repeated activities", counted(self.duplicates)),
            ("mutants", killed(self.mutants)),
            ("violations", str(len(self.violations))),
            *(("note", note) for note in self.notes),
        ]
        return [(name, text) for name, text in rows if text]

    def render(self) -> str:
        """As text; violations last, so that they stand at the end of a log."""
        width = max(len(name) for name, _ in self.rows())
        lines = [f"{self.name}", *(f"  {name:<{width}}  {text}" for name, text in self.rows())]
        return "\n".join([*lines, *(f"  VIOLATION {one}" for one in self.violations)])


def outcomes(counts: Counter[str]) -> str:
    """`12`, or `12/1/3` (ok, fail, info) where not all went well."""
    if not counts["fail"] and not counts["info"]:
        return f"{counts['ok']:,}"
    return "/".join(f"{counts[kind]:,}" for kind in ("ok", "fail", "info"))


def counted(counts: Counter[str]) -> str:
    total = sum(counts.values())
    return f"{total:,} ({', '.join(f'{kind} {n:,}' for kind, n in sorted(counts.items()))})" if total else ""


def killed(mutants: dict[str, int | None]) -> str:
    if not mutants:
        return ""
    alive = sorted(name for name, seeds in mutants.items() if seeds is None)
    found = len(mutants) - len(alive)
    return f"{found} of {len(mutants)} found" + (f"; not found: {', '.join(alive)}" if alive else "")


def percentiles(values: list[float]) -> dict[str, float]:
    if not values:
        return {}
    ordered = sorted(values)
    return {
        "p50": ordered[len(ordered) // 2],
        "p99": ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)],
        "max": ordered[-1],
    }


def ranges(seeds: Iterable[int]) -> str:
    """`1–200`, or `7, 12–14`."""
    spans: list[list[int]] = []
    for seed in sorted(set(seeds)):
        if spans and seed == spans[-1][1] + 1:
            spans[-1][1] = seed
        else:
            spans.append([seed, seed])
    return ", ".join(str(first) if first == last else f"{first}–{last}" for first, last in spans)


def commit() -> str:
    """The commit that was tested, with a + where files differ from it."""
    root = Path(__file__).parent
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty=+"], cwd=root, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.strip()


def finish(report: Report, *, json_to: Path | None = None) -> int:
    """Print the report, write it as JSON where asked to, and give the exit code: 0 green, 1 red, 2 incomplete."""
    print(report.render())
    if json_to is not None:
        json_to.write_text(report.as_json() + "\n", "utf-8")
    sys.stdout.flush()
    return report.exit_code


def values(report: Report) -> dict[str, Any]:
    """The JSON form as a dict, for tests and for tables in the documentation."""
    loaded: dict[str, Any] = json.loads(report.as_json())
    return loaded
