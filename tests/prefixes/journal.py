"""What clients had been told, and by when: the log itself says how much of it, by a counter among the units."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import redis

COUNTER = "prefixes:acked"
"""Counts acknowledgements. It is written after the client was told: a prefix in which it says n knows of the first n."""

Kind = Literal[
    "start", "scheduled start", "replace", "ingress start", "ingress event", "event", "suspend", "resume", "terminate",
    "rewind", "restart", "purge", "signal", "signal for later", "ended", "expired",
]  # fmt: skip


class Outcome(NamedTuple):
    """How an instance may end. `output` None: whatever it is. `unless_event`: only while no event to it was acknowledged: then it
    may take the one of the harness, which lets everything come to its end."""

    status: str
    output: Any = None
    unless_event: bool = False


class Ack(NamedTuple):
    """The client knows that this was done. `ended`: and how."""

    kind: Kind
    of: str  # instance id, or label of a note in a ledger
    status: str = ""


@dataclass
class Journal:
    """Of one recording. `changing`: instances whose end is not final, because they are rewound, restarted or replaced.
    `vanishing`: those that are purged, or expire. `labels`: notes that finished instances have made."""

    acks: list[Ack] = field(default_factory=list)
    outcomes: dict[str, tuple[Outcome, ...]] = field(default_factory=dict)
    labels: dict[str, tuple[str, ...]] = field(default_factory=dict)
    changing: set[str] = field(default_factory=set)
    vanishing: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)

    def expect(self, instance_id: str, *outcomes: Outcome, labels: Iterable[str] = ()) -> None:
        self.outcomes[instance_id] = outcomes
        self.labels[instance_id] = tuple(labels)

    def ack(self, server: Any, kind: Kind, of: str, status: str = "") -> None:
        self.acks.append(Ack(kind, of, status))
        server.incr(COUNTER)


class Known:
    """What is acknowledged in a prefix, brought forward as the counter moves."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._count = 0
        self.present: set[str] = set()  # instances that must be there
        self.gone: set[str] = set()  # instances that must not be there
        self.ended: dict[str, str] = {}  # instance → status that must not change any more
        self.signals: set[str] = set()
        self.events: set[str] = set()  # instances to which one was raised

    def advance(self, count: int) -> None:
        """A counter that goes back would be a harness that is broken, not a hub."""
        assert self._count <= count <= len(self._journal.acks)
        for ack in self._journal.acks[self._count : count]:
            self._learn(ack)
        self._count = count

    def _learn(self, ack: Ack) -> None:
        journal = self._journal
        if ack.kind in ("start", "scheduled start", "replace") and ack.of not in journal.vanishing:
            self.present.add(ack.of)
        elif ack.kind in ("purge", "expired"):
            self.gone.add(ack.of)
        elif ack.kind == "ended" and ack.of not in journal.changing | journal.vanishing:
            self.ended[ack.of] = ack.status
        elif ack.kind in ("signal", "signal for later"):
            self.signals.add(ack.of)
        elif ack.kind in ("event", "ingress event"):
            self.events.add(ack.of)


def connected(url: str) -> Any:  # redis.Redis: its replies are typed for every protocol at once
    return redis.Redis.from_url(url, protocol=2)
