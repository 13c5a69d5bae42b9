"""A commit: everything that can refuse is checked before anything is written."""

from __future__ import annotations

from durastream.errors import Fenced, Refused
from durastream.store.memory.state import Entity, Instance, LeaseState, Partition, Queued
from durastream.store.protocol import Commit, EntityChange, InstanceChange, Lease, Outbound


def apply(partition: Partition, lease: Lease, sequence: int, commit: Commit) -> dict[str, bytes]:
    """Apply it whole, once; returns what to publish: channel → blobs, one after the other. Raises Fenced, Refused."""
    held = partition.lease
    held.check(lease)
    if sequence <= held.sequence:
        return {}
    _check_numbers(held, sequence, commit)
    for change in commit.changes:
        _check(partition, change)
    for one in commit.entities:
        _check_entity(partition, one)
    held.sequence = sequence
    for change in commit.changes:
        _write(partition, change)
    for one in commit.entities:
        _write_entity(partition, one)
    _move(partition, lease, commit)
    return _notices(partition, commit)


# ---------------------------------------------------------------- what can refuse


def _check_numbers(held: LeaseState, sequence: int, commit: Commit) -> None:
    if sequence != held.sequence + 1:
        raise Fenced(f"commit {sequence} follows {held.sequence}: the store has forgotten what came between")
    if commit.outbox and commit.outbox_first <= held.sent:
        raise Refused(f"outbox entry {commit.outbox_first} follows entry {held.sent} of this lease: numbers only rise")


def _check(partition: Partition, change: InstanceChange) -> None:
    held = partition.instances.get(change.instance_id)
    revision, length = (None, 0) if held is None else (held.revision, len(held.history))
    where = f"instance {change.instance_id!r} in partition {partition.number}"
    if revision != change.revision:
        raise Refused(f"{where} has revision {revision}, not {change.revision}: load it afresh")
    touched = (change.events or change.overwrite) and not change.replace_history
    if touched and length != change.first_event:
        raise Refused(f"{where} has a history of {length} events, not {change.first_event}: load it afresh")


def _check_entity(partition: Partition, change: EntityChange) -> None:
    held = partition.entities.get(change.entity)
    revision, length = (None, 0) if held is None else (held.revision, len(held.queue))
    where = f"entity {change.entity!r} in partition {partition.number}"
    if revision != change.revision:
        raise Refused(f"{where} has revision {revision}, not {change.revision}: load it afresh")
    touched = change.gone or change.queue_add or change.queue_remove
    if touched and length != change.queue_length:
        raise Refused(f"{where} has a queue of {length} messages, not {change.queue_length}: load it afresh")


# ---------------------------------------------------------------- what is written


def _write(partition: Partition, change: InstanceChange) -> None:
    held = partition.instances.setdefault(change.instance_id, Instance({}))
    held.revision = 0 if change.revision is None else change.revision + 1
    kept = {} if change.replace_history else held.history
    held.history = kept | dict(enumerate(change.events, change.first_event)) | change.overwrite
    fields = held.fields | change.fields
    held.fields = {name: value for name, value in fields.items() if value is not None}
    before, after, created_at = change.status
    if before != after:
        if before is not None:
            partition.index[before].pop(change.instance_id, None)
        partition.index[after][change.instance_id] = created_at


def _write_entity(partition: Partition, change: EntityChange) -> None:
    if change.gone:
        partition.entities.pop(change.entity, None)
        return
    held = partition.entities.setdefault(change.entity, Entity())
    held.revision = 0 if change.revision is None else change.revision + 1
    fields = held.fields | change.fields
    held.fields = {name: value for name, value in fields.items() if value is not None}
    kept = {number: blob for number, blob in held.queue.items() if number not in change.queue_remove}
    held.queue = kept | change.queue_add


def _move(partition: Partition, lease: Lease, commit: Commit) -> None:
    for number, (target, blob) in enumerate(commit.outbox, commit.outbox_first):
        partition.outbox[lease.epoch, number] = Outbound((lease.epoch, number), target, blob)
        partition.lease.sent = number
    for blob in commit.inbox:
        partition.inbox.append((blob, 0))
    for queue, blob in commit.activities:
        partition.queue(queue).append(Queued(blob))
    partition.timers |= {member: due for due, member in commit.timers_add}
    for member in commit.timers_remove:
        partition.timers.pop(member, None)
    for place in commit.forgotten:
        partition.outbox.pop(place, None)
    for entry_id in commit.consumed:
        partition.inbox.remove(entry_id)
    partition.parked = _reasons(partition.parked, commit.parked)
    partition.stalled = _reasons(partition.stalled, commit.stalled)
    for instance_id, status in commit.purged:
        partition.instances.pop(instance_id, None)
        partition.index[status].pop(instance_id, None)
        partition.watch.pop(instance_id, None)


def _reasons(held: dict[str, bytes], changed: dict[str, bytes | None]) -> dict[str, bytes]:
    return {name: reason for name, reason in (held | changed).items() if reason is not None}


def _notices(partition: Partition, commit: Commit) -> dict[str, bytes]:
    """One message per channel and commit. Who watched an instance hears of it once, and is then forgotten."""
    told: dict[str, bytes] = {}
    for instance_id, channel, blob in commit.notices:
        channels = [channel] if channel else []
        channels += partition.watch.pop(instance_id, [])
        for one in dict.fromkeys(channels):
            told[one] = told.get(one, b"") + blob
    return told
