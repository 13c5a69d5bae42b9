"""What a seed chooses besides faults: sizes of the hub and of its limits, so that rare paths become common ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from durastream.client import sender
from durastream.worker import committer, completer, fetcher, host, ingress, lifeline, recovery, relay, timers
from tests.sim.chance import Chance

_LIMITS: Final[tuple[tuple[Any, str, tuple[int, ...]], ...]] = (
    (fetcher, "COUNT", (1, 2, 5)),
    (committer, "_WEIGHT_MAX", (2, 4, 10)),
    (completer, "_BATCH", (1, 2)),
    (relay, "_BATCH", (1, 2, 3)),
    (timers, "_LIMIT", (1, 2)),
    (lifeline, "_LIMIT", (1, 2)),
    (ingress, "_COUNT", (1, 2)),
    (recovery, "_PAGE", (1, 2)),
    (sender, "_BATCH_MAX", (1, 2)),
    (host, "LIVE_MIN", (1, 2, 3)),
)
"""Limits of the engine, and small values for them."""


@dataclass(frozen=True, slots=True)
class Knobs:
    partitions: int
    workers: int
    clients: int
    scenarios: int
    lease_s: float
    latency_s: float  # about one way
    in_order: bool  # whether commands of a process stay in order on their way
    same_names: bool  # whether a worker that comes back has its old name
    concurrency: int
    patience_s: float  # of clients
    storm_s: float
    rollbacks: bool
    retention_s: float
    limits: tuple[tuple[str, int], ...]
    check_every: int  # commands between two runs of fsck


def drawn(chance: Chance) -> Knobs:
    limits = tuple(
        (f"{module.__name__}.{name}", chance.pick(f"limit {name}", small))
        for module, name, small in _LIMITS
        if chance.number(f"small {name}") < 0.3
    )
    return Knobs(
        partitions=chance.whole("partitions", 1, 4),
        workers=chance.whole("workers", 1, 3),
        clients=chance.whole("clients", 1, 2),
        scenarios=chance.whole("scenarios", 3, 9),
        lease_s=chance.pick("lease", (0.5, 1.0, 2.0, 5.0)),
        latency_s=chance.pick("latency", (0.0005, 0.002, 0.02)),
        in_order=chance.number("in order") < 0.6,
        same_names=chance.number("same names") < 0.3,
        concurrency=chance.pick("concurrency", (1, 2, 8, 64)),
        patience_s=chance.pick("patience", (1.0, 5.0, 30.0)),
        storm_s=chance.between("storm", 6.0, 25.0),
        rollbacks=chance.number("rollbacks") < 0.08,
        retention_s=86_400.0,
        limits=limits,
        check_every=chance.pick("check every", (100, 200, 400)),
    )


@contextmanager
def applied(knobs: Knobs) -> Iterator[None]:
    """The engine's limits are these inside."""
    before = [(module, name, getattr(module, name)) for module, name, _ in _LIMITS]
    chosen = dict(knobs.limits)
    try:
        for module, name, _ in before:
            if f"{module.__name__}.{name}" in chosen:
                setattr(module, name, chosen[f"{module.__name__}.{name}"])
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)
