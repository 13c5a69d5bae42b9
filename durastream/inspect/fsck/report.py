"""What `fsck` found, and how far it has come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from durastream.inspect.invariants.violation import Violation

KEPT_MAX: Final = 10_000
"""Violations that are kept with their texts; of more, only how many there are of each invariant."""

Progress: TypeAlias = Callable[[str, int, int], None]
"""Told what is being looked at, how much of it is done, and how much there is (0: unknown)."""


@dataclass(slots=True)
class Report:
    """`looked_at`: how much of what. `violations` and `doubts`, which may be sound after all, in the order they were found."""

    violations: list[Violation] = field(default_factory=list)
    doubts: list[Violation] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)  # violations by invariant, also those not kept
    looked_at: Counter[str] = field(default_factory=Counter)
    dead_letters: int = 0

    @property
    def clean(self) -> bool:
        return not self.counts

    @property
    def omitted(self) -> int:
        """Violations that were counted, but not kept."""
        return sum(self.counts.values()) - len(self.violations)

    def add(self, found: Iterable[Violation]) -> None:
        for violation in found:
            into = self.violations if violation.certain else self.doubts
            if violation.certain:
                self.counts[violation.invariant] += 1
            if len(into) < KEPT_MAX:
                into.append(violation)
