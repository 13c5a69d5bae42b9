"""Many seeds, on several processor cores; what they found as one report."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Final, TypeVar

from tests.evidence.report import Report
from tests.sim.faults import KINDS
from tests.sim.mutants import MUTANTS, mutated
from tests.sim.run_one import simulate
from tests.sim.world import Case, Outcome

A = TypeVar("A")
R = TypeVar("R")

COMMAND: Final = "PYTHONPATH=. python -m tests.sim.run"
OPS: Final = (
    "activity async", "activity retried", "activity sync", "activity timeout", "call entity", "continue as new", "counts",
    "history", "ingress", "list", "lock entities", "lock left behind", "purge", "raise", "read entity", "restart", "result",
    "resume", "rewind", "send event", "signal", "signal later", "start", "start by entity", "start ignored", "start later",
    "start once", "start replaced", "status", "suspend", "terminate", "worker stop",
)  # fmt: skip
"""Kinds of operations that a campaign must have made."""


@contextmanager
def pool(jobs: int) -> Iterator[Callable[[Callable[[A], R], Iterable[A]], Iterator[R]]]:
    """A `map` that gives results as they come, from so many processes."""
    if jobs == 1:
        yield lambda call, items: (call(item) for item in items)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("fork")) as executor:

        def spread(call: Callable[[A], R], items: Iterable[A]) -> Iterator[R]:
            futures: list[Future[R]] = [executor.submit(call, item) for item in items]
            return (future.result() for future in as_completed(futures))

        yield spread


def campaign(cases: list[Case], *, jobs: int = 1) -> Report:
    """Run them all. Every kind of fault and of operation must have come up."""
    report = Report("simulation", f"{COMMAND} --seed {cases[0].seed} --seeds {len(cases)}")
    report.wanted_faults, report.wanted_ops = KINDS, OPS
    begun = time.monotonic()
    with pool(jobs) as spread:
        for outcome in spread(simulate, cases):
            take(report, outcome)
    report.wall_s = time.monotonic() - begun
    return report


def take(report: Report, outcome: Outcome) -> None:
    seed = outcome.case.seed
    report.seeds.append(seed)
    report.virtual_s += outcome.virtual_s
    report.cmds += outcome.commands
    report.faults.update(outcome.counts)
    for kind, counts in outcome.ops.items():
        report.ops.setdefault(kind, Counter()).update(counts)
    report.violations += [f"{one} | repeat with: {COMMAND} --seed {seed}" for one in outcome.violations[:3]]
    if outcome.recovery_s is not None:
        report.recovery_s.append(outcome.recovery_s)
    for what, count in outcome.duplicates.items():
        name = what.partition(" ")[0]
        if name in ("double", "add_one"):  # the others are run more than once on purpose
            report.duplicates[name] += count


def seeds_to_kill(name: str, *, first: int = 1, most: int = 300) -> tuple[str, int | None, str]:
    """How many seeds it took until one found the mutant, and what it said; None if none did."""
    for count, seed in enumerate(range(first, first + most), 1):
        with mutated(name):
            outcome = simulate(Case(seed))
        if outcome.violations:
            return name, count, outcome.violations[0]
    return name, None, ""


def mutants(
    *,
    jobs: int = 1,
    most: int = 300,
    names: Iterable[str] = tuple(MUTANTS),
    say: Callable[[str], object] = lambda _: None,
) -> Report:
    """Every mutant must be found. How many seeds each took is in the report; `say` hears of each as soon as it is known."""
    report = Report("simulation: mutants", f"{COMMAND} --mutants")
    begun = time.monotonic()
    with pool(jobs) as spread:
        for name, count, said in spread(_Hunt(most), list(names)):
            report.mutants[name] = count
            report.notes.append(f"{name}: {'NOT FOUND' if count is None else f'{count} seeds'}  {said[:150]}")
            say(report.notes[-1])
    report.notes.sort()
    report.wall_s = time.monotonic() - begun
    return report


class _Hunt:
    """`seeds_to_kill` as something that can be sent to another process."""

    def __init__(self, most: int) -> None:
        self._most = most

    def __call__(self, name: str) -> tuple[str, int | None, str]:
        return seeds_to_kill(name, most=self._most)
