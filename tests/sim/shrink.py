"""Makes a failing case smaller: fewer scenarios, fewer workers, fewer faults, as long as it still breaks the same invariant.

Faults are left out by delta debugging (Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002): halves,
then quarters, down to single ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from tests.sim.chance import Chance
from tests.sim.knobs import drawn as drawn_knobs
from tests.sim.run_one import simulate
from tests.sim.world import Case, Outcome

T = TypeVar("T")


def shrunk(case: Case, *, tries: int = 400, say: Callable[[str], object] = lambda _: None) -> Outcome:
    """The smallest case that was found, with its outcome. Raises ValueError where the case breaks nothing."""
    return _Shrinking(case, tries, say).run()


class _Shrinking:
    def __init__(self, case: Case, tries: int, say: Callable[[str], object]) -> None:
        self._tries = tries
        self._say = say
        self._best = simulate(case)
        if not self._best.violations:
            raise ValueError(f"{case} breaks nothing")
        self._wanted = _invariant(self._best)

    def run(self) -> Outcome:
        self._best = self._pinned()
        self._fewer_faults()
        self._fewer_scenarios()
        self._fewer_workers()
        self._fewer_faults()
        return self._best

    def _pinned(self) -> Outcome:
        """The same with the faults that happened by name: what is left out from now on stays out."""
        case = replace(self._best.case, only=tuple(self._best.fired))
        again = simulate(case)
        return again if _invariant(again) == self._wanted else self._best

    def _still(self, case: Case) -> bool:
        """Try a smaller one; keep it when it fails in the same way."""
        if self._tries <= 0:
            return False
        self._tries -= 1
        outcome = simulate(case)
        if _invariant(outcome) != self._wanted:
            return False
        self._best = outcome
        self._say(f"{len(outcome.fired)} faults, {outcome.commands} commands: {outcome.violations[0][:120]}")
        return True

    def _fewer_faults(self) -> None:
        left = list(self._best.fired)
        size = max(1, len(left) // 2)
        while left and self._tries > 0:
            for part in _parts(left, size):
                kept = [one for one in left if one not in part]
                if self._still(replace(self._best.case, only=tuple(kept))):
                    left = [one for one in self._best.fired if one in kept]
                    break
            else:
                if size == 1:
                    return
                size = max(1, size // 2)

    def _fewer_scenarios(self) -> None:
        chosen = self._best.case.scenarios
        left = list(range(drawn_knobs(Chance(self._best.case.seed)).scenarios)) if chosen is None else list(chosen)
        for one in list(left):
            kept = [other for other in left if other != one]
            if kept and self._still(replace(self._best.case, scenarios=tuple(kept))):
                left = kept

    def _fewer_workers(self) -> None:
        case = self._best.case
        count = case.workers or drawn_knobs(Chance(case.seed)).workers
        while count > 1 and self._still(replace(self._best.case, workers=count - 1)):
            count -= 1


def _parts(items: Sequence[T], size: int) -> list[Sequence[T]]:
    return [items[at : at + size] for at in range(0, len(items), size)]


def _invariant(outcome: Outcome) -> str:
    """What it breaks first."""
    return outcome.violations[0].partition(" ")[0].rstrip(":") if outcome.violations else ""
