"""Invariants of the hub: its settings, its server, its keys; of leases, and of the marks that make transfer exactly-once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from durastream.inspect.invariants.snapshots import (
    HubSnapshot,
    KeySnapshot,
    LeaseSnapshot,
    MarkSnapshot,
    MemberSnapshot,
    RouterSnapshot,
)
from durastream.inspect.invariants.values import AHEAD_MS, natural, quoted, text
from durastream.inspect.invariants.violation import Check, Found, Repair, invariant

_SETTINGS: Final = ("partitions", "retention_ms", "payload_bytes_max", "created_at", "schema")
_LEASE: Final = ("epoch", "until", "seq")
_MARK: Final = re.compile(rb"([0-9]{1,15}):([^:]*):([0-9]{1,15}):([0-9]{1,15})")
_PARTITION: Final = re.compile(r"p(0|[1-9][0-9]{0,3})")


# ---------------------------------------------------------------- the hub


@invariant("F0")
def settings_are_complete(one: HubSnapshot) -> Iterator[Found]:
    """The hub's settings are numbers, all of them there, of the schema that this release reads."""
    for name in _SETTINGS:
        if natural(one.settings.get(name)) is None:
            yield Found(
                f"setting {name} is {quoted(one.settings.get(name, b''))}, which is no number: no process can open the hub"
            )
    schema = natural(one.settings.get("schema"))
    if schema is not None and schema != one.schema:
        yield Found(f"it was written with schema {schema}; this release reads {one.schema}")
    if natural(one.settings.get("partitions")) == 0:
        yield Found("it has no partitions")


@invariant("H3")
def hub_is_listed(one: HubSnapshot) -> Iterator[Found]:
    """The server's list of hubs has it."""
    if not one.listed:
        yield Found(
            "the server's list of hubs has it not", Repair("list_hub", (), "put the hub into the server's list of hubs")
        )


@invariant("H7")
def server_keeps_everything(one: HubSnapshot) -> Iterator[Found]:
    """The server evicts nothing, and can write its log."""
    if one.server.policy not in (None, "noeviction"):
        yield Found(
            f"maxmemory-policy is {one.server.policy}: the server deletes orchestrations when memory runs short;"
            " CONFIG SET maxmemory-policy noeviction"
        )
    if one.server.aof_failing:
        yield Found("the server could not write its append-only file the last time it tried")


@invariant("F0")
def server_survives_a_restart(one: HubSnapshot) -> Iterator[Found]:
    """The append-only file is on."""
    if one.server.aof is False:
        yield Found("the append-only file is off: a restart loses what came since the last snapshot", certain=False)


@invariant("H3")
def workers_are_told_of(one: HubSnapshot) -> Iterator[Found]:
    """What is told of workers is of workers that have been seen."""
    for worker in sorted(one.about - one.seen.keys()):
        yield Found(
            f"{quoted(worker)} is told of, but was never seen",
            Repair("forget_worker", (worker,), f"forget what {quoted(worker)} told of itself"),
            key=one.about_key,
        )


@invariant("S27")
def workers_were_seen_before_now(one: HubSnapshot) -> Iterator[Found]:
    """No worker was seen ahead of the clock: it would count as alive until then."""
    for worker, seen in one.seen.items():
        if not seen <= one.now + AHEAD_MS:
            yield Found(
                f"{quoted(worker)} was seen at {seen:.0f}, more than a day ahead of the clock", key=one.workers_key
            )


# ---------------------------------------------------------------- keys


@invariant("H3")
def keys_are_known(one: KeySnapshot) -> Iterator[Found]:
    """Each key under the hub's prefix is one of those that `store.keys` tells of, and has the type it should have."""
    if one.wanted is None:
        yield Found(one.singular or "no such key is known: it was not written by durastream, or by another release")
    elif one.kind != one.wanted:
        yield Found(f"it is a {one.kind}, not a {one.wanted}")


@invariant("H3")
def live_data_does_not_expire(one: KeySnapshot) -> Iterator[Found]:
    """No key of a hub has a time to live."""
    if one.ttl_ms is not None and one.wanted is not None:
        yield Found("the server will delete it: it has a time to live",
                    Repair("persist", (one.key,), "take its time to live away"))  # fmt: skip


@invariant("S24")
def members_name_something(one: MemberSnapshot) -> Iterator[Found]:
    """What an index or a hash of the partition holds are ids of instances or entities."""
    yield Found(
        f"{quoted(one.raw)} is no id",
        Repair("drop_member", (one.key, one.kind, one.raw), f"take {quoted(one.raw)} out of it", "that text"),
    )


# ---------------------------------------------------------------- ownership and transfer


@invariant("S21")
def leases_can_be_read(one: LeaseSnapshot) -> Iterator[Found]:
    """Epoch, end and sequence of a lease are numbers, and neither epoch nor end is ahead of the clock."""
    if not one.fields:
        return
    for name in _LEASE:
        if natural(one.fields.get(name)) is None:
            yield Found(f"{name} is {quoted(one.fields.get(name, b''))}, which is no number of ours")
    for name in ("epoch", "until"):
        value = natural(one.fields.get(name))
        if value is not None and value > one.now + AHEAD_MS:
            yield Found(f"{name} is {value}, more than a day ahead of the clock: nobody can take the lease before")


@invariant("S21")
def routers_are_of_this_time(one: RouterSnapshot) -> Iterator[Found]:
    """The highest router's epoch that a partition has seen is not ahead of the clock: it would refuse all others."""
    epoch = natural(one.epoch)
    if one.epoch is not None and (epoch is None or epoch > one.now + AHEAD_MS):
        yield Found(f"epoch is {quoted(one.epoch)}: the partition refuses every router of the ingress")


@invariant("S26b")
def marks_can_be_read(one: MarkSnapshot) -> Iterator[Found]:
    """A mark is epoch:nonce:sequence:time, of a client or of a partition of this hub."""
    if _MARK.fullmatch(one.mark) is None:
        yield Found(
            f"the mark of {quoted(one.source)} is {quoted(one.mark)}, which counts as none",
            Repair("drop_mark", (one.key, one.source, one.mark), "delete it: it counts as none"),
        )
    source = text(one.source) or ""
    partition = _PARTITION.fullmatch(source)
    if not source.startswith("c:") and (partition is None or int(partition[1]) >= one.partitions):
        yield Found(f"there is a mark for {quoted(one.source)}, which is neither a client nor a partition of this hub")


@invariant("S26b")
def marks_are_not_above_their_source(one: MarkSnapshot) -> Iterator[Found]:
    """No partition has taken more than the source has ever sent: what it sends next would be taken for repeats."""
    read = _MARK.fullmatch(one.mark)
    if read is None or not _PARTITION.fullmatch(text(one.source) or ""):
        return
    taken = (int(read[1]), int(read[3]))
    if one.last_id is None:
        if taken[0] > one.epoch:
            yield Found(f"{quoted(one.source)} is marked up to epoch {taken[0]}, but its epoch is {one.epoch}")
        return
    epoch, _, sequence = one.last_id.partition("-")
    if taken > (int(epoch), int(sequence)):
        yield Found(
            f"{quoted(one.source)} is marked up to {taken[0]}-{taken[1]}, but has never sent more than {one.last_id}:"
            " what it sends next is taken for repeats until its epoch is higher"
        )


HUB: Final[tuple[Check[HubSnapshot], ...]] = (
    settings_are_complete,
    hub_is_listed,
    server_keeps_everything,
    server_survives_a_restart,
    workers_are_told_of,
    workers_were_seen_before_now,
)
KEY: Final[tuple[Check[KeySnapshot], ...]] = (keys_are_known, live_data_does_not_expire)
MEMBER: Final[tuple[Check[MemberSnapshot], ...]] = (members_name_something,)
LEASE: Final[tuple[Check[LeaseSnapshot], ...]] = (leases_can_be_read,)
ROUTER: Final[tuple[Check[RouterSnapshot], ...]] = (routers_are_of_this_time,)
MARK: Final[tuple[Check[MarkSnapshot], ...]] = (marks_can_be_read, marks_are_not_above_their_source)
