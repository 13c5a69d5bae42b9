"""Invariants of single members of a partition's timer set."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Final

from durastream import wire
from durastream.core.events import TimerCreated
from durastream.core.messages import EntityOperation
from durastream.core.status import PENDING, TERMINAL
from durastream.errors import WireError
from durastream.inspect.invariants.members import Member, member
from durastream.inspect.invariants.snapshots import TimerSnapshot, Unreadable
from durastream.inspect.invariants.values import natural, quoted, text
from durastream.inspect.invariants.violation import Check, Found, Repair, invariant


@invariant("S16")
def timers_can_be_read(one: TimerSnapshot) -> Iterator[Found]:
    """A member names what it is about, in the partition where that lives, and is due at a time that comes."""
    read = member(one.raw)
    if read is None:
        yield Found(
            f"{quoted(one.raw)} is no timer",
            Repair("drop_timer", (one.partition, one.raw, None, None), f"take {quoted(one.raw)} out of the timer set",
                   "that text, of which nobody knows what it was to do"),
        )  # fmt: skip
        return
    if one.home is not None and one.home != one.partition:
        yield Found(
            f"{_shown(read)} is in partition {one.partition}, but belongs to {one.home}: nobody will find it there"
        )
    if not math.isfinite(one.score):
        yield Found(f"{_shown(read)} is due at {one.score}, which never comes")


@invariant("S16")
def timers_belong_to_something(one: TimerSnapshot) -> Iterator[Found]:
    """Whoever set it still waits for it: a timer of what is over or gone is rubbish."""
    read = member(one.raw)
    if read is None or one.home != one.partition:
        return
    why = _WHY[read.kind](one, read)
    if why:
        yield Found(
            f"{_shown(read)} is set, but {why}",
            Repair("drop_timer", (one.partition, one.raw, *_guard(one, read)),
                   f"take it out of the timer set: {why}, so that it would do nothing when it fires"),
        )  # fmt: skip


@invariant("S16")
def timers_are_due_when_they_should(one: TimerSnapshot) -> Iterator[Found]:
    """The due time in the set is the one that was recorded."""
    read = member(one.raw)
    if read is None or one.home != one.partition or _WHY[read.kind](one, read):
        return
    due = _recorded_due(one, read)
    if due is not None and due != one.score:
        yield Found(
            f"{_shown(read)} is set for {one.score:.0f}, but was recorded for {due}",
            Repair("reset_timer", (one.partition, one.raw, one.score, due), f"set it for {due}, as was recorded"),
        )


def _shown(read: Member) -> str:
    return f"timer {read.kind} {read.number} of {read.about}"


def _guard(one: TimerSnapshot, read: Member) -> tuple[object, object]:
    """What must not have changed for the repair: the instance and its revision; for a signal what stands in the queue."""
    return read.about, one.queued if read.kind == "D" else one.fields.get("revision")


def _recorded_due(one: TimerSnapshot, read: Member) -> int | None:
    if read.kind == "T":
        return one.event.due if isinstance(one.event, TimerCreated) else None
    if read.kind == "D":
        return natural(read.of.encode())
    return natural(one.fields.get("start_at")) if read.kind == "S" else None


def _of_this_execution(one: TimerSnapshot, read: Member) -> str:
    if not one.fields:
        return "there is no such instance"
    return "" if text(one.fields.get("execution_id")) == read.of else "the instance has another execution now"


def _timer(one: TimerSnapshot, read: Member) -> str:
    why = _of_this_execution(one, read)
    status = text(one.fields.get("status"))
    if why or status in TERMINAL:
        return why or f"the instance is {status}"
    if isinstance(one.event, Unreadable | TimerCreated):
        return ""
    return f"event {read.number} of it is no timer"


def _start(one: TimerSnapshot, read: Member) -> str:
    status = text(one.fields.get("status"))
    return _of_this_execution(one, read) or ("" if status == PENDING else f"the instance is {status}")


def _expiry(one: TimerSnapshot, read: Member) -> str:
    ended = natural(one.fields.get("completed_at"))
    return _of_this_execution(one, read) or ("" if ended == read.number else "it has not ended at that time")


def _signal(one: TimerSnapshot, read: Member) -> str:
    if one.queued is None:
        return f"nothing stands at {read.number} in the queue"
    try:
        queued = wire.unpack_message(one.queued)
    except WireError:
        return ""
    return "" if isinstance(queued, EntityOperation) and str(queued.due) == read.of else "another message stands there"


_WHY: Final[dict[str, Callable[[TimerSnapshot, Member], str]]] = {"T": _timer, "S": _start, "X": _expiry, "D": _signal}
"""Why nobody waits for it; "" where somebody does."""

TIMERS: Final[tuple[Check[TimerSnapshot], ...]] = (
    timers_can_be_read,
    timers_belong_to_something,
    timers_are_due_when_they_should,
)
