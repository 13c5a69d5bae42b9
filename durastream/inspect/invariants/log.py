"""Invariants of single steps: what one unit of the server's log of commits may do to a hub.

They need the log, which `fsck` does not have. Whoever reads one (`tests/prefixes` does) makes a `UnitSnapshot` of each unit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from durastream.core.ids import generation_of
from durastream.core.status import TERMINAL
from durastream.inspect.invariants.values import natural, quoted
from durastream.inspect.invariants.violation import Check, Found, invariant

Role: TypeAlias = Literal["inbox", "outbox", "activities", "ingress"]


@dataclass(frozen=True, slots=True)
class RecordChange:
    """An instance, before and after. `rewound`: whether an event that says so takes the place of another."""

    instance_id: str
    key: str
    before: Mapping[str, bytes]  # fields of the record; empty: there is none
    after: Mapping[str, bytes]
    history_before: Mapping[int, bytes]
    history_after: Mapping[int, bytes]
    revisions: int  # times that the revision was written
    committed: bool  # whether the unit is a commit of this partition's owner
    rewound: bool = False

    @property
    def same_execution(self) -> bool:
        return bool(self.before) and self.before.get("execution_id") == self.after.get("execution_id")


@dataclass(frozen=True, slots=True)
class LeaseChange:
    key: str
    before: Mapping[str, bytes]
    after: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Removed:
    """An entry taken out of a stream. `effect`: whether what it caused is in the log by then, this unit included."""

    key: str
    role: Role
    entry_id: str
    effect: bool


@dataclass(frozen=True, slots=True)
class UnitSnapshot:
    """One unit: a command, or all that a script wrote. `key` names its place in the log."""

    key: str
    records: Sequence[RecordChange] = ()
    leases: Sequence[LeaseChange] = ()
    removed: Sequence[Removed] = ()
    strangers: Sequence[str] = ()  # keys that are none of the hub's


@invariant("S1")
def events_stay(unit: UnitSnapshot) -> Iterator[Found]:
    """While an execution exists, no event of it is changed or taken away, but where a rewind says so."""
    for one in unit.records:
        if not one.same_execution or one.rewound:
            continue
        for number, event in one.history_before.items():
            if one.history_after.get(number) != event:
                what = "is gone" if number not in one.history_after else "was changed"
                yield Found(f"{unit.key}: event {number} {what}", key=one.key)


@invariant("S1")
def executions_begin_with_no_events(unit: UnitSnapshot) -> Iterator[Found]:
    """A new execution has no events of the one before it."""
    for one in unit.records:
        if not one.after or one.same_execution:
            continue
        kept = [number for number, event in one.history_before.items() if one.history_after.get(number) == event]
        if kept and len(one.history_after) > len(kept):
            yield Found(f"{unit.key}: a new execution has kept events {kept[:3]} of the last one", key=one.key)


@invariant("S2")
def revisions_move_by_one(unit: UnitSnapshot) -> Iterator[Found]:
    """A unit that changes a record counts its revision up by one, once."""
    for one in unit.records:
        if not one.after:
            continue
        before, after = natural(one.before.get("revision")), natural(one.after.get("revision"))
        wanted = 0 if before is None else before + 1
        if after != wanted or one.revisions != 1:
            yield Found(
                f"{unit.key}: the revision went from {before} to {after}, written {one.revisions} times", key=one.key
            )


@invariant("S3")
def turns_are_whole(unit: UnitSnapshot) -> Iterator[Found]:
    """A unit that adds events also says how many there are, and is a commit of the partition's owner."""
    for one in unit.records:
        if one.history_before != one.history_after and not one.committed:
            yield Found(f"{unit.key}: its history was changed by what is no commit of an owner", key=one.key)
        said = natural(one.after.get("events")) if one.after else 0
        if said != len(one.history_after):
            yield Found(f"{unit.key}: it has {len(one.history_after)} events, its record says {said}", key=one.key)


@invariant("S8")
def endings_stay(unit: UnitSnapshot) -> Iterator[Found]:
    """What has ended is not written to any more, but by a purge, a rewind, or a new execution in its place."""
    for one in unit.records:
        status = one.before.get("status", b"").decode()
        if status in TERMINAL and one.after and one.same_execution and not one.rewound:
            yield Found(f"{unit.key}: it was {status}, and was written to", key=one.key)


@invariant("S12")
def generations_follow_each_other(unit: UnitSnapshot) -> Iterator[Found]:
    """The next generation of an execution opens in the unit that closes the one before; others begin at 0."""
    for one in unit.records:
        if not one.after or one.same_execution:
            continue
        before, after = one.before.get("execution_id", b"").decode(), one.after.get("execution_id", b"").decode()
        same_token = before.partition(".")[0] == after.partition(".")[0]
        wanted = generation_of(before) + 1 if before and same_token else 0
        if generation_of(after) != wanted:
            yield Found(f"{unit.key}: execution {before or 'none'} was followed by {after}", key=one.key)


@invariant("S20")
def keys_are_our_own(unit: UnitSnapshot) -> Iterator[Found]:
    """No key outside the hub is written."""
    for name in unit.strangers:
        yield Found(f"{unit.key}: {quoted(name.encode())} was written", key=name)


@invariant("S21")
def commits_are_counted(unit: UnitSnapshot) -> Iterator[Found]:
    """Commits of a lease are numbered without gap; a new lease has a higher epoch and begins at 0."""
    for one in unit.leases:
        epochs = natural(one.before.get("epoch")), natural(one.after.get("epoch"))
        numbers = natural(one.before.get("seq")), natural(one.after.get("seq"))
        if epochs[0] == epochs[1]:
            if numbers[0] != numbers[1] and numbers[1] != (numbers[0] or 0) + 1:
                yield Found(f"{unit.key}: commit {numbers[1]} follows commit {numbers[0]}", key=one.key)
        elif (epochs[1] or 0) <= (epochs[0] or 0) or numbers[1] != 0:
            yield Found(f"{unit.key}: epoch {epochs[1]}, commit {numbers[1]}, follows epoch {epochs[0]}", key=one.key)


_AFTER: Final[Mapping[Role, str]] = {
    "inbox": "no commit of the owner says what came of it",
    "outbox": "its target has not taken it",
    "activities": "there is neither an outcome nor another entry in its place",
    "ingress": "no partition has taken it, and it is no dead letter",
}


@invariant("S22")
def input_goes_with_its_effect(unit: UnitSnapshot) -> Iterator[Found]:
    """An entry leaves its stream in the unit that records its effect, or after it."""
    for one in unit.removed:
        if not one.effect:
            yield Found(f"{unit.key}: entry {one.entry_id} was removed, but {_AFTER[one.role]}", key=one.key)


UNIT: Final[tuple[Check[UnitSnapshot], ...]] = (
    events_stay,
    executions_begin_with_no_events,
    revisions_move_by_one,
    turns_are_whole,
    endings_stay,
    generations_follow_each_other,
    keys_are_our_own,
    commits_are_counted,
    input_goes_with_its_effect,
)
