"""Invariants of one instance: its record, its history, and what refers to it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from durastream.core.events import ExecutionStarted, ExecutionTerminated
from durastream.core.ids import check_instance_id, generation_of
from durastream.core.limits import TAGS_BYTES_MAX
from durastream.core.status import ALL, FAILED, PENDING, RUNNING, SUSPENDED, TERMINAL, Status
from durastream.errors import InvalidId
from durastream.inspect.invariants import history
from durastream.inspect.invariants.snapshots import InstanceSnapshot, Unreadable
from durastream.inspect.invariants.values import AHEAD_MS, is_json, natural, parent, quoted, text
from durastream.inspect.invariants.violation import Check, Found, Repair, invariant

_NUMBERS: Final = ("events", "created_at", "updated_at")
_LATE_MS: Final = 60_000  # a timer's turn takes the time it is due at, which other clocks may reach a little later
_JSON: Final = ("failure", "custom_status", "tags", "problem")


def status_of(one: InstanceSnapshot) -> Status | None:
    word = text(one.fields.get("status"))
    return next((status for status in ALL if status == word), None)


def execution_of(one: InstanceSnapshot) -> str:
    return text(one.fields.get("execution_id")) or ""


def whole(one: InstanceSnapshot) -> bool:
    """Whether the history can be taken at its word."""
    return (
        natural(one.fields.get("events")) == one.history_length == len(one.events)
        and None not in one.events
        and not any(isinstance(event, Unreadable) for event in one.events)
    )


# ---------------------------------------------------------------- the record


@invariant("S28")
def record_can_be_read(one: InstanceSnapshot) -> Iterator[Found]:
    """Status, execution, times and counts of a record are what we write."""
    if not one.fields:
        return
    if status_of(one) is None:
        yield Found(f"status is {quoted(one.fields.get('status', b''))}, which is none")
    for name in _NUMBERS:
        if natural(one.fields.get(name)) is None:
            yield Found(f"{name} is {quoted(one.fields.get(name, b''))}, which is no number of ours")
    if not text(one.fields.get("name")):
        yield Found("it has no orchestrator's name")
    try:
        generation_of(execution_of(one))
    except InvalidId as error:
        yield Found(str(error))
    if "parent" in one.fields and parent(one.fields["parent"]) is None:
        yield Found(f"parent {quoted(one.fields['parent'])} names no execution and event")


@invariant("S28")
def values_are_json(one: InstanceSnapshot) -> Iterator[Found]:
    """Whatever a record holds as JSON can be read as such, tags are an object, and nothing is over the hub's limit."""
    for name in _JSON:
        if name in one.fields and not is_json(one.fields[name]):
            yield Found(f"{name} is no JSON: {quoted(one.fields[name])}")
    for name in one.bad_payloads:
        yield Found(f"{name} is no JSON")
    tags = one.fields.get("tags")
    if tags is not None and is_json(tags) and not (isinstance(json.loads(tags), dict) and len(tags) <= TAGS_BYTES_MAX):
        yield Found(f"tags are no object of at most {TAGS_BYTES_MAX:,} bytes")


@invariant("H4")
def payloads_are_within_limits(one: InstanceSnapshot) -> Iterator[Found]:
    """No payload is larger than the hub allows."""
    for name, size in one.sizes.items():
        if one.payload_bytes_max and size > one.payload_bytes_max:
            yield Found(f"{name} has {size:,} bytes, the hub's limit is {one.payload_bytes_max:,}")


@invariant("S20")
def instance_lives_at_home(one: InstanceSnapshot) -> Iterator[Found]:
    """An instance's keys are in the partition that its id belongs to, and the id is one."""
    if one.partition != one.home:
        yield Found(f"it is in partition {one.partition}, but its id belongs to {one.home}: nobody will find it there")
    try:
        check_instance_id(one.instance_id)
    except InvalidId as error:
        yield Found(str(error))


@invariant("S27")
def times_go_forward(one: InstanceSnapshot) -> Iterator[Found]:
    """Times of events never go back, lie between creation and last change, and are not ahead of the clock."""
    created, updated = natural(one.fields.get("created_at")), natural(one.fields.get("updated_at"))
    completed = natural(one.fields.get("completed_at"))
    if created is not None and updated is not None and updated < created:
        yield Found(f"it was updated at {updated}, before it was created at {created}")
    if completed is not None and updated is not None and completed != updated:
        yield Found(f"it was completed at {completed}, but updated last at {updated}")
    if updated is not None and updated > one.now + AHEAD_MS:
        yield Found(f"it was updated at {updated}, more than a day ahead of the server's clock")
    if not whole(one):
        return
    times = [event.at for event in one.events]  # type: ignore[union-attr]
    back = next((number for number in range(1, len(times)) if times[number] < times[number - 1]), None)
    if back is not None:
        yield Found(f"event {back} is of {times[back]}, earlier than the one before it")
    if times and created is not None and times[0] < created:
        yield Found(f"event 0 is of {times[0]}, before the instance was created at {created}")
    if times and updated is not None and times[-1] > updated + _LATE_MS:
        yield Found(f"the last event is of {times[-1]}, later than the last change at {updated}")


# ---------------------------------------------------------------- the history


@invariant("S1")
def history_has_no_gaps(one: InstanceSnapshot) -> Iterator[Found]:
    """Events are numbered 0 … n-1, all of them there, and n is what the record says."""
    count = natural(one.fields.get("events"))
    if not one.fields:
        if one.history_length:
            yield Found(
                f"a history of {one.history_length} events without a record",
                Repair("drop_history", (one.partition, one.instance_id, one.history_length),
                       f"delete the history of {one.instance_id}, which has no record",
                       f"its {one.history_length} events, which nothing can read"),
            )  # fmt: skip
        return
    missing = [number for number, event in enumerate(one.events) if event is None]
    if missing:
        yield Found(f"event {missing[0]} is missing ({len(missing)} of {len(one.events)} are)")
    if count is not None and count != one.history_length:
        complete = not missing and len(one.events) == one.history_length
        yield Found(
            f"the history has {one.history_length} events, the record says {count}",
            Repair("set_events", (one.partition, one.instance_id, count, one.history_length),
                   f"let the record of {one.instance_id} say {one.history_length} events, as there are")
            if complete and one.history_length > 0 else None,
        )  # fmt: skip


@invariant("S28")
def events_can_be_read(one: InstanceSnapshot) -> Iterator[Found]:
    """Each event can be decoded."""
    for number, event in enumerate(one.events):
        if isinstance(event, Unreadable):
            yield Found(f"event {number} cannot be read: {event.why}")


@invariant("S4")
def outcomes_match_what_was_scheduled(one: InstanceSnapshot) -> Iterator[Found]:
    """Each outcome belongs to something that was scheduled before it, and nothing has two."""
    if whole(one):
        yield from map(Found, history.unmatched(one.events))


@invariant("S12")
def execution_begins_as_it_is_named(one: InstanceSnapshot) -> Iterator[Found]:
    """A history begins with the start of its execution, of the generation that the execution id names, and has only one."""
    if not whole(one) or not one.events:
        return
    first = one.events[0]
    if isinstance(first, ExecutionTerminated) and len(one.events) == 1:
        return  # ended before it began
    if not isinstance(first, ExecutionStarted):
        yield Found(f"the history begins with {type(first).__name__}, not with its start")
        return
    try:
        generation = generation_of(execution_of(one))
    except InvalidId:
        return
    if first.generation != generation:
        yield Found(f"the history is of generation {first.generation}, the record names {execution_of(one)}")
    again = next((n for n, event in enumerate(one.events) if n and isinstance(event, ExecutionStarted)), None)
    if again is not None:
        yield Found(f"event {again} starts the execution a second time")


@invariant("S16")
def timers_fire_when_due(one: InstanceSnapshot) -> Iterator[Found]:
    """No timer fired before it was due."""
    if whole(one):
        yield from map(Found, history.early_timers(one.events))


@invariant("S15")
def sections_do_not_overlap(one: InstanceSnapshot) -> Iterator[Found]:
    """One critical section at a time, its locks asked for in the order of their texts, left once."""
    if whole(one):
        yield from map(Found, history.sections_overlap(one.events))


# ---------------------------------------------------------------- status


@invariant("S8")
def ending_is_told_alike(one: InstanceSnapshot) -> Iterator[Found]:
    """Status, times, outcome and the last event agree on whether and how it ended."""
    status = status_of(one)
    if status is None:
        return
    if status not in TERMINAL:
        for name in ("completed_at", "failure"):
            if name in one.fields:
                yield Found(f"it is {status}, but has {name}")
        if one.sizes.get("output"):
            yield Found(f"it is {status}, but has an output")
    else:
        if natural(one.fields.get("completed_at")) is None:
            yield Found(f"it is {status}, but completed_at is missing")
        if (status == FAILED) != ("failure" in one.fields):
            yield Found(f"it is {status}, but its failure is {'missing' if status == FAILED else 'set'}")
        if status == FAILED and one.sizes.get("output"):
            yield Found("it is Failed, but has an output")
    yield from _last_event(one, status)


def _last_event(one: InstanceSnapshot, status: Status) -> Iterator[Found]:
    if not whole(one):
        return
    endings = [n for n, event in enumerate(one.events) if type(event) in history.ENDINGS.values()]
    if status in TERMINAL:
        wanted = history.ENDINGS[status].__name__
        last = type(one.events[-1]).__name__ if one.events else "nothing"
        if last != wanted:
            yield Found(f"it is {status}, but its history ends with {last}, not {wanted}")
        if len(endings) > 1:
            yield Found(f"event {endings[0]} ended it before event {endings[-1]}")
    elif endings:
        yield Found(f"it is {status}, but event {endings[0]} ended it")


@invariant("S18")
def suspension_is_told_alike(one: InstanceSnapshot) -> Iterator[Found]:
    """It is Suspended if, and only if, its history says so or something keeps it from moving; Pending before its first event."""
    status = status_of(one)
    if not whole(one) or status is None or status in TERMINAL:
        return
    if status == PENDING and one.events:
        yield Found(f"it is Pending, but has {len(one.events)} events")
    if status == RUNNING and not one.events:
        yield Found("it is Running, but has no events")
    stuck = "problem" in one.fields
    suspended = history.is_suspended(one.events)
    if status == SUSPENDED and not suspended and not stuck:
        yield Found("it is Suspended, but its history does not say so, and nothing keeps it from moving")
    if status == RUNNING and suspended and not history.goes_on(one.events):
        yield Found("it is Running, but its history says that it is suspended")


# ---------------------------------------------------------------- what refers to it


@invariant("S24")
def index_has_it_once(one: InstanceSnapshot) -> Iterator[Found]:
    """It stands in the index of its status, under its creation time, and in no other."""
    status, created = status_of(one), natural(one.fields.get("created_at"))
    if one.fields and (status is None or created is None):
        return  # told of elsewhere
    right = {status: float(created)} if one.fields and status is not None and created is not None else {}
    if dict(one.indexed) == right:
        return
    there = ", ".join(f"{word} at {score:.0f}" for word, score in sorted(one.indexed.items())) or "none"
    should = f"{status} at {created}" if right else "none, having no record"
    repair = Repair(
        "index_instance",
        (one.partition, one.instance_id, one.fields.get("revision"), one.fields.get("status"), created),
        f"put {one.instance_id} into the index where it belongs ({should}), and out of the others"
        if right
        else f"take {one.instance_id}, which has no record, out of all indexes",
    )
    yield Found(f"the indexes that have it: {there}; it belongs into {should}", repair)


@invariant("S24")
def parked_is_told_alike(one: InstanceSnapshot) -> Iterator[Found]:
    """The hash of parked instances has it if, and only if, its record has a problem."""
    problem = one.fields.get("problem")
    if (problem is None) == (one.parked is None):
        return
    says = "has no problem" if one.fields else "does not exist"
    repair = Repair(
        "set_parked", (one.partition, one.instance_id, problem, one.parked),
        f"{'take' if problem is None else 'put'} {one.instance_id} {'out of' if problem is None else 'into'}"
        " the hash of parked instances, as its record says",
    )  # fmt: skip
    yield Found(
        f"its record has a problem ({quoted(problem)}), but it is not among the parked"
        if problem is not None
        else f"it is among the parked, but its record {says}",
        repair,
    )


@invariant("H3")
def watched_ones_are_open(one: InstanceSnapshot) -> Iterator[Found]:
    """Only an instance that has not ended is watched: whoever watches one that has would wait in vain."""
    status = status_of(one)
    if one.watched and (not one.fields or status in TERMINAL):
        what = f"it is {status}" if one.fields else "it does not exist"
        yield Found(
            f"clients watch it, but {what}",
            Repair("unwatch", (one.partition, one.instance_id, one.fields.get("status")),
                   f"forget who watches {one.instance_id}: {what}, and nobody will hear of it"),
        )  # fmt: skip


@invariant("S2")
def revision_counts_commits(one: InstanceSnapshot) -> Iterator[Found]:
    """The record counts its commits: the next one is compared with that number."""
    if one.fields and natural(one.fields.get("revision")) is None:
        yield Found(f"revision is {quoted(one.fields.get('revision', b''))}, which is no number of ours")


INSTANCE: Final[tuple[Check[InstanceSnapshot], ...]] = (
    record_can_be_read,
    values_are_json,
    payloads_are_within_limits,
    instance_lives_at_home,
    times_go_forward,
    history_has_no_gaps,
    events_can_be_read,
    outcomes_match_what_was_scheduled,
    execution_begins_as_it_is_named,
    timers_fire_when_due,
    sections_do_not_overlap,
    ending_is_told_alike,
    suspension_is_told_alike,
    index_has_it_once,
    parked_is_told_alike,
    watched_ones_are_open,
    revision_counts_commits,
)
