"""Holding numbers that somebody heard against those that were sent to him."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from tests.chaos.log import Log, Op


def compare(who: str, heard: Sequence[int], sent: Iterable[Op], log: Log, *, invariant: str) -> list[str]:
    """`sent` in order, each op's `value` being a number that rises. All that was acknowledged must have been heard, once
    and in order; of what is unknown each at most once, in its place."""
    found = []
    ops = {op.value: op for op in sent}
    counts = Counter(heard)
    found += [f"{invariant} {who} heard {n} {times} times" for n, times in counts.items() if times > 1]
    found += [f"{invariant} {who} heard {n}, which nobody sent" for n in counts if n not in ops]
    found += [
        f"{invariant} {who} never heard {n}, which was acknowledged"
        for n, op in ops.items()
        if n not in counts and log.absent(op)
    ]
    if list(heard) != sorted(heard):
        found.append(f"{invariant} {who} heard its sender in another order: {list(heard)}")
    return found
