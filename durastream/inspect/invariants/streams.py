"""Invariants of streams: their ids, their entries, and what workers have claimed of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from durastream.inspect.invariants.snapshots import ClaimSnapshot, EntrySnapshot, StreamSnapshot
from durastream.inspect.invariants.values import AHEAD_MS
from durastream.inspect.invariants.violation import Check, Found, Repair, invariant

IDLE_MS: Final = 60_000
"""A claim of a worker that is gone is put back within a lease and a round of its owner: seconds. So long is too long."""

_MENDED: Final = ("inbox", "outbox")


@invariant("L5")
def ids_follow_the_clock(one: StreamSnapshot) -> Iterator[Found]:
    """The last id of a stream is not ahead of the clock (of the owner's epoch, in an outbox): else it takes no entry of ours."""
    last = _ms(one.last_id)
    if last <= max(one.now, one.epoch) + AHEAD_MS:
        return
    repair: Repair | None = None
    if one.role in _MENDED:
        repair = Repair("mend_streams", (one.key,), "mend the ids of the partition's inbox and outbox, as an owner would",
                        "foreign entries of the outbox, which become dead letters")  # fmt: skip
    elif one.length == 0:
        repair = Repair("restart_stream", (one.key,), "delete the empty stream, so that its ids begin anew")
    yield Found(f"its last id is {one.last_id}, far ahead of the clock: it takes no entry of ours", repair)


@invariant("S24")
def queues_are_listed(one: StreamSnapshot) -> Iterator[Found]:
    """An activity queue in which something stands is in the set of queues: else nobody puts back what dead workers claimed."""
    if one.role == "activities" and one.length and not one.listed:
        yield Found(
            f"{one.length} activities are in queue {one.queue}, which is not in the set of queues",
            Repair("list_queue", (one.key, one.queue), f"put {one.queue} into the set of queues"),
        )


@invariant("S23")
def entries_can_be_read(one: EntrySnapshot) -> Iterator[Found]:
    """Each entry of a stream is what belongs there; an owner makes a dead letter of anything else as soon as it reads it."""
    yield Found(f"entry {one.entry_id}: {one.problem}")


@invariant("L2")
def claims_are_of_live_workers(one: ClaimSnapshot) -> Iterator[Found]:
    """What a worker had claimed is put back soon after it is gone."""
    if not one.worker_alive and one.owned and one.there and one.idle_ms > IDLE_MS:
        yield Found(f"entry {one.entry_id} is claimed by {one.consumer}, which is gone, and was not put back")


@invariant("H1")
def claims_have_entries(one: ClaimSnapshot) -> Iterator[Found]:
    """What is claimed is there."""
    if not one.there and not one.worker_alive:
        yield Found(
            f"{one.consumer}, which is gone, has claimed entry {one.entry_id}, which is gone too",
            Repair(
                "drop_claim", (one.key, one.entry_id), f"acknowledge entry {one.entry_id}, so that the claim goes away"
            ),
        )


def _ms(entry_id: str) -> int:
    return int(entry_id.partition("-")[0])


STREAM: Final[tuple[Check[StreamSnapshot], ...]] = (ids_follow_the_clock, queues_are_listed)
ENTRY: Final[tuple[Check[EntrySnapshot], ...]] = (entries_can_be_read,)
CLAIM: Final[tuple[Check[ClaimSnapshot], ...]] = (claims_are_of_live_workers, claims_have_entries)
