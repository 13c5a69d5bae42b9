"""Throughput, from what workers count and tell with each heartbeat."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

from durastream.inspect.hub import WorkerRow

KEPT: Final = 120


class Counters(NamedTuple):
    """What one worker had done when it was last heard of."""

    at: float  # seconds since the epoch, server clock
    turns: int
    operations: int
    activities: int


Sample: TypeAlias = Mapping[str, Counters]
"""Worker id → its counters."""


class Throughput(NamedTuple):
    """Per second, over all workers."""

    turns: float = 0.0
    operations: float = 0.0
    activities: float = 0.0


def sample(workers: Iterable[WorkerRow]) -> Sample:
    """The counters of those alive."""
    return {
        row.id: Counters(row.seen_at.timestamp(), row.turns, row.operations, row.activities_done)
        for row in workers
        if row.alive
    }


def throughput(before: Sample, after: Sample) -> Throughput:
    """From two samples. A worker counts from its second heartbeat on.

    Counters of turns belong to partitions: one that hands a partition over counts less than before, which shows as 0.
    """
    rates = (_rate(before[one], after[one]) for one in after if one in before)
    return Throughput(*map(sum, zip(*rates, strict=True))) if before.keys() & after.keys() else Throughput()


def _rate(before: Counters, after: Counters) -> Throughput:
    seconds = after.at - before.at
    if seconds <= 0:
        return Throughput()
    return Throughput(*(max(now - then, 0) / seconds for then, now in zip(before[1:], after[1:], strict=True)))


@dataclass(slots=True)
class Meter:
    """Throughput as it goes, for a display that looks more often than workers speak.

    `series`: one value for each look, newest last, at most 120.
    """

    series: deque[Throughput] = field(default_factory=lambda: deque(maxlen=KEPT))
    _before: dict[str, Counters] = field(default_factory=dict)
    _latest: dict[str, Counters] = field(default_factory=dict)

    def observe(self, workers: Iterable[WorkerRow]) -> Throughput:
        """Take in what workers tell now. Between two heartbeats of a worker its rate stays what it was."""
        now = sample(workers)
        for one, counters in now.items():
            latest = self._latest.get(one)
            if latest is not None and counters.at > latest.at:
                self._before[one] = latest
            self._latest[one] = counters
        for gone in self._latest.keys() - now.keys():
            del self._latest[gone]
            self._before.pop(gone, None)
        self.series.append(throughput(self._before, self._latest))
        return self.series[-1]
