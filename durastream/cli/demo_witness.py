"""The demo's evidence: what really ran (the witness file), what the hub recorded, and whether the two agree."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path


@dataclass(slots=True)
class Run:
    """One execution of one step, as its worker noted it. `done` is None while it runs; for ever if it was cut off."""

    order: str
    step: str
    worker: str
    begun: float  # seconds since the epoch
    done: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The sum of the evidence. Anything in `wrong` makes the demo fail."""

    orders: int
    steps: int  # scheduled by the orchestrations
    recorded: int  # outcomes in the histories
    executions: int  # times a step really began
    cut_off: int  # runs that the kill interrupted
    wrong: list[str] = field(default_factory=list)

    @property
    def run_again(self) -> int:
        return self.executions - self.steps


def read_runs(path: Path) -> list[Run]:
    """Runs in the order they began."""
    runs: list[Run] = []
    if not path.exists():
        return runs
    open_runs: dict[tuple[str, str, str], Run] = {}
    # The last line may still be in the making: only whole lines count.
    for text in path.read_text(encoding="utf-8").split("\n")[:-1]:
        note = json.loads(text)
        key = (note["order"], note["step"], note["worker"])
        if note["what"] == "begun":
            open_runs[key] = Run(*key, note["at"])
            runs.append(open_runs[key])
        else:
            open_runs.pop(key).done = note["at"]
    return runs


def judge(
    runs: Sequence[Run],
    recorded: Mapping[str, Sequence[str]],
    *,
    orders: Sequence[str],
    steps: Sequence[str],
    killed: str | None,
) -> Verdict:
    """Compare. `recorded`: order → steps whose success its history holds. `killed`: the worker that was killed."""
    by_step: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        by_step.setdefault((run.order, run.step), []).append(run)
    wrong: list[str] = []
    for order in orders:
        counts = Counter(recorded.get(order, ()))
        for step in steps:
            wrong += _faults(f"{step} of {order}", by_step.get((order, step), []), counts[step], killed)
    return Verdict(
        orders=len(orders),
        steps=len(orders) * len(steps),
        recorded=sum(len(done) for done in recorded.values()),
        executions=len(runs),
        cut_off=sum(run.done is None for run in runs),
        wrong=wrong,
    )


def _faults(what: str, runs: Sequence[Run], recorded: int, killed: str | None) -> Iterable[str]:
    finished = [run for run in runs if run.done is not None]
    if not finished:
        yield f"{what} was never finished"
    if len(finished) > 1:
        yield f"{what} was finished {len(finished)} times: {', then '.join(map(_told, runs))}"
    if recorded != 1:
        yield f"{what} is recorded {recorded} times"
    for run in runs:
        if run.done is None and run.worker != killed:
            yield f"{what} was cut off on {run.worker}, which nobody killed"


def _told(run: Run) -> str:
    """Who ran it and when, to the millisecond: what one needs to find the fault."""
    done = "" if run.done is None else f" to {_clock(run.done)}"
    return f"on {run.worker} {_clock(run.begun)}{done}"


def _clock(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%H:%M:%S.%f}"[:-3]
