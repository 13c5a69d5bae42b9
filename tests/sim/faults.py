"""Which faults a seed makes, where, and under which name; so that a failing seed can be replayed with some of them left out.

Swarm testing (Groce and others, "Swarm Testing", 2012): each seed draws its own kinds and rates. About every third has one kind
only, which then shows what hides when something else always comes first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from tests.sim.chance import Chance

CALL_KINDS: Final = (
    "slow",  # the request is long on its way
    "slow-reply",  # the reply is
    "refused",  # never arrives; the caller hears so
    "lost-reply",  # carried out; the caller hears that the store is away
    "late",  # the caller hears that the store is away; it is carried out later all the same
    "twice",  # carried out, and once more a while later
    "cut",  # the connection breaks: everything under way on it fails, some of it carried out
    "crash-before",  # the process is killed before it sends
    "crash-sent",  # it is killed when it has sent: the packet of a dead process is carried out later
    "crash-after",  # it is killed before the reply comes
    "stop-short",  # it is stopped for less than a lease
    "stop-long",  # it is stopped for longer than a lease, and goes on as a zombie
)
"""Faults at a call of the store."""

TIMED_KINDS: Final = (
    "kill",  # of a worker at any moment
    "kill-client",
    "leave",  # a worker is told to stop, another one comes
    "join",  # one more worker for a while
    "isolate",  # a process cannot reach the store, for longer than a lease
    "deaf",  # it can, but hears nothing
    "outage",  # the server is away
    "expire",  # all leases run out at once
    "clock-forward",  # the server's clock jumps
    "clock-back",
    "wall-jump",  # clocks of the other hosts do
    "touch",  # somebody repairs an instance by hand: its revision is another one than its owner knows
    "rollback",  # the server restarts and has lost what came last
)
"""Faults at a time."""

KINDS: Final = CALL_KINDS + TIMED_KINDS

CRASHES: Final = frozenset(("crash-before", "crash-sent", "crash-after"))
CRASHES_MAX: Final = 8
"""Of one seed, by calls. An activity may take down five workers, a message two owners after that: only then is work given up."""

_STOPS: Final = frozenset(("stop-short", "stop-long"))
_STOPS_MAX: Final = 6
_NOT_TWICE: Final = frozenset(("claim_activities",))
"""A duplicate that nobody sent: no verb is sent twice without its sender knowing, and this one gives out work."""


_WEIGHTS: Final = {
    **dict.fromkeys(
        ("route", "drop_ingress", "put_back", "reclaim", "begin", "start", "deliver", "acquire", "release"), 5.0
    ),
    **dict.fromkeys(("commit", "complete", "deliver_all", "forget", "due", "outbox", "load", "load_entities"), 2.0),
    **dict.fromkeys(("heartbeat", "renew", "records", "mend", "tidy", "claimants", "queues"), 0.5),
}
"""How much more often than others a verb meets with a fault: those that are rare, or that matter."""


@dataclass(frozen=True, slots=True)
class Timed:
    """A fault at a time. `share` (0 to 1) is its size, whatever that is for its kind."""

    fault_id: str
    kind: str
    at: float  # virtual seconds
    share: float
    victim: float  # 0 to 1: which one of those there are


@dataclass
class Plan:
    """The faults of one seed. `only`: ids of those that may happen; None = all that are drawn."""

    chance: Chance
    rates: dict[str, float]
    timed: list[Timed]
    only: Collection[str] | None = None
    active: bool = True
    fired: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    _crashes: int = 0
    _stops: int = 0

    def at_call(self, process: str, number: int, verb: str) -> str | None:
        """The kind of fault at call `number` of a process; None for most."""
        if not self.active:
            return None
        place = f"{process}#{number}"
        share = self.chance.number(place) / _WEIGHTS.get(verb, 1.0)
        for kind, rate in self.rates.items():
            if share < rate:
                return self._admit(kind, f"{place}:{kind}", verb)
            share -= rate
        return None

    def _admit(self, kind: str, fault_id: str, verb: str) -> str | None:
        if self.only is not None and fault_id not in self.only:
            return None
        if kind in CRASHES:
            self._crashes += 1
            if self._crashes > CRASHES_MAX:
                return None
        if kind in _STOPS:
            self._stops += 1
            if self._stops > _STOPS_MAX:
                return None
        if kind == "twice" and verb in _NOT_TWICE:
            return None
        self.note(fault_id, kind)
        return kind

    def wants(self, fault: Timed) -> bool:
        return self.active and (self.only is None or fault.fault_id in self.only)

    def note(self, fault_id: str, kind: str) -> None:
        """It has happened."""
        self.fired.append(fault_id)
        self.counts[kind] += 1


def drawn(chance: Chance, *, storm_s: float, rollbacks: bool, only: Collection[str] | None) -> Plan:
    """The plan of a seed. `storm_s`: how long faults go on, in virtual seconds. One that loses writes has little else."""
    calls = [kind for kind in CALL_KINDS if chance.number(f"swarm {kind}") < 0.5]
    times = [kind for kind in TIMED_KINDS if kind != "rollback" and chance.number(f"swarm {kind}") < 0.35]
    style = chance.number("swarm")
    if style < 0.06:
        calls, times = [], []
    elif style < 0.34:
        one = chance.pick("swarm one", [kind for kind in KINDS if kind != "rollback"])
        calls, times = [kind for kind in calls if kind == one] or [one], [one]
    if rollbacks:
        times = [*times[:2], "rollback"]
    rates = {kind: 0.001 * 40 ** chance.number(f"rate {kind}") for kind in calls if kind in CALL_KINDS}
    for kind in CRASHES | _STOPS:
        if kind in rates:
            rates[kind] /= 6
    timed = [one for kind in times if kind in TIMED_KINDS for one in _moments(chance, kind, storm_s)]
    return Plan(chance, rates, sorted(timed, key=lambda one: one.at), only)


def _moments(chance: Chance, kind: str, storm_s: float) -> list[Timed]:
    count = chance.whole(f"count {kind}", 1, 2 if kind in ("rollback", "outage") else 4)
    return [
        Timed(
            f"@{kind}-{k}",
            kind,
            chance.between(f"at {kind} {k}", 0.5, storm_s),
            chance.number(f"share {kind} {k}"),
            chance.number(f"victim {kind} {k}"),
        )
        for k in range(count)
    ]
