"""What is looked at as one, and looked at again when something seems to be wrong with it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from durastream.inspect.invariants.needs import Need
from durastream.inspect.invariants.violation import Violation


@dataclass(frozen=True, slots=True)
class InstanceAt:
    partition: int
    instance_id: str


@dataclass(frozen=True, slots=True)
class EntityAt:
    partition: int
    entity: str


@dataclass(frozen=True, slots=True)
class TimerAt:
    partition: int
    raw: bytes


@dataclass(frozen=True, slots=True)
class EntryAt:
    """An entry of a stream. `role`: inbox, outbox or activities."""

    partition: int
    key: str
    role: str
    entry_id: str


@dataclass(frozen=True, slots=True)
class ClaimsOf:
    """What is claimed of an activity stream."""

    partition: int
    key: str


@dataclass(frozen=True, slots=True)
class StreamAt:
    """`partition` is -1 for streams of the hub; `queue`: of activities."""

    partition: int
    key: str
    role: str
    queue: str = ""


@dataclass(frozen=True, slots=True)
class MarksOf:
    partition: int


@dataclass(frozen=True, slots=True)
class LeaseAt:
    """-1: of the ingress. With what a partition remembers of routers of the ingress."""

    partition: int


@dataclass(frozen=True, slots=True)
class KeyAt:
    name: bytes


@dataclass(frozen=True, slots=True)
class Hub:
    """The hub and its server."""


Subject: TypeAlias = InstanceAt | EntityAt | TimerAt | EntryAt | ClaimsOf | StreamAt | MarksOf | LeaseAt | KeyAt | Hub


@dataclass(slots=True)
class Look:
    """What was seen of a subject. `needs`: what must be under way for it, and the entities in whose queues it may wait;
    `version`: changes with each change of it."""

    violations: Sequence[Violation] = ()
    needs: Mapping[Need, tuple[str, ...]] = field(default_factory=dict)
    version: Hashable = None
