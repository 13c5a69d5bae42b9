"""Invariants of entities, timers, streams, keys and the hub."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from durastream import wire
from durastream.core import events as ev
from durastream.core import timer_member
from durastream.inspect.invariants import check
from durastream.inspect.invariants.entity import ENTITY as OF_ENTITY
from durastream.inspect.invariants.hub import HUB, KEY, LEASE, MARK, MEMBER, ROUTER
from durastream.inspect.invariants.needs import Need
from durastream.inspect.invariants.snapshots import (
    ClaimSnapshot,
    EntrySnapshot,
    KeySnapshot,
    LeaseSnapshot,
    MarkSnapshot,
    MemberSnapshot,
    QueueEntry,
    RouterSnapshot,
    StreamSnapshot,
)
from durastream.inspect.invariants.streams import CLAIM, ENTRY, STREAM
from durastream.inspect.invariants.timers import TIMERS
from durastream.store.protocol import ServerInfo
from tests.inspect.snapshots import ENTITY, EXECUTION, HOLDER, ME, NOW, entity, fields, hub, locked, signal, timer

WAKE = Need("wake", ENTITY)
RELEASE = Need("release", ENTITY, HOLDER)
DUE = NOW + 9
LATER = timer_member.signal(4, DUE, ENTITY).encode()

stream = StreamSnapshot("inbox", "inbox", 2, f"{NOW}-3", NOW)
claim = ClaimSnapshot("a:default", "1-1", "w", 5, True, True, True)
mark = MarkSnapshot("marks", b"p1", b"5::7:9", 16, "5-7", 5)
lease = LeaseSnapshot("lease", {"epoch": b"%d" % NOW, "until": b"%d" % NOW, "seq": b"4"}, NOW)
key = KeySnapshot("inbox", "stream", None, "stream")


@pytest.mark.parametrize(
    ("checks", "sound"),
    [
        (OF_ENTITY, entity()),
        (OF_ENTITY, locked()),
        (OF_ENTITY, locked(holder_believes=False, carried={RELEASE})),
        (OF_ENTITY, locked(holder_believes=None)),
        (OF_ENTITY, entity(waits=2, queue_length=2, carried={WAKE})),
        (OF_ENTITY, entity(stalled=b"{}", carried={WAKE})),
        (OF_ENTITY, replace(entity(), fields={}, state_size=0, indexed=None)),
        (TIMERS, timer()),
        (TIMERS, timer(raw=LATER, score=DUE, fields={}, event=None, queued=wire.pack_message(signal(DUE)))),
        (TIMERS, fields(timer(raw=timer_member.expiry(7, EXECUTION, ME).encode(), event=None), completed_at=b"7")),
        (
            TIMERS,
            fields(timer(raw=timer_member.scheduled_start(EXECUTION, ME).encode(), event=None), status=b"Pending"),
        ),
        (STREAM, stream),
        (STREAM, replace(stream, role="outbox", last_id=f"{NOW + 10**9}-1", epoch=NOW + 10**9)),
        (CLAIM, claim),
        (MARK, mark),
        (MARK, replace(mark, source=b"c:me", mark=b"0:a:1:1")),
        (MARK, replace(mark, last_id=None)),
        (LEASE, lease),
        (LEASE, replace(lease, fields={})),
        (KEY, key),
        (HUB, hub()),
    ],
)
def test_what_is_sound_breaks_nothing(checks: Any, sound: Any) -> None:
    assert check(sound, checks) == []


@pytest.mark.parametrize(
    ("invariant", "says", "checks", "one"),
    [
        ("S13", "no JSON", OF_ENTITY, fields(entity(), state=b"{")),
        ("S13", "revision", OF_ENTITY, fields(entity(), revision=None)),
        ("S13", "torn", OF_ENTITY, entity(waiting=(QueueEntry(b"1", "torn"),), queue_length=1)),
        ("H4", "limit", OF_ENTITY, entity(state_size=5_000)),
        ("S27", "before it was created", OF_ENTITY, fields(entity(), updated_at=b"1")),
        ("S27", "ahead", OF_ENTITY, fields(entity(), updated_at=b"%d" % (NOW + 10**9))),
        ("S20", "belongs to 3", OF_ENTITY, entity(partition=1)),
        ("S20", "@name@key", OF_ENTITY, entity(entity="none")),
        ("H3", "neither state", OF_ENTITY, fields(entity(), state=None)),
        ("H3", "its record is gone", OF_ENTITY, entity(fields={}, queue_length=2, indexed=None)),
        ("S10", "is not set", OF_ENTITY, entity(waiting=(QueueEntry(b"1", due=DUE),), queue_length=1)),
        ("S10", "is set for 3", OF_ENTITY, entity(waiting=(QueueEntry(b"1", due=DUE, timer=3),), queue_length=1)),
        ("S10", "not locked", OF_ENTITY, entity(waits=2, queue_length=2)),
        ("S24", "has it not", OF_ENTITY, entity(indexed=None)),
        ("S24", "has it at 4", OF_ENTITY, entity(indexed=4.0)),
        ("S24", "there is no record", OF_ENTITY, entity(fields={})),
        ("S24", "hash of locks", OF_ENTITY, entity(locked=b"a\nt.0\n1")),
        ("S24", "locked_at", OF_ENTITY, fields(locked(), locked_at=None)),
        ("S24", "among the stalled", OF_ENTITY, entity(stalled=b"{}")),
        ("S15", "no execution", OF_ENTITY, fields(locked(locked=b"me"), lock=b"me")),
        ("S15", "no release is under way", OF_ENTITY, locked(holder_believes=False)),
        ("S16", "is no timer", TIMERS, timer(raw=b"tick", home=None)),
        ("S16", "never comes", TIMERS, timer(score=float("inf"))),
        ("S16", "belongs to 5", TIMERS, timer(home=5)),
        ("S16", "no such instance", TIMERS, timer(fields={})),
        ("S16", "is Completed", TIMERS, fields(timer(), status=b"Completed")),
        ("S16", "another execution", TIMERS, fields(timer(), execution_id=b"u.0")),
        ("S16", "is no timer", TIMERS, timer(event=ev.TaskCompleted(1, 1, None))),
        ("S16", "was recorded for", TIMERS, timer(event=ev.TimerCreated(1, 77))),
        ("S16", "has not ended", TIMERS, timer(raw=timer_member.expiry(7, EXECUTION, ME).encode())),
        ("S16", "is Running", TIMERS, timer(raw=timer_member.scheduled_start(EXECUTION, ME).encode())),
        ("S16", "nothing stands", TIMERS, timer(raw=LATER, score=DUE)),
        ("S16", "another message", TIMERS, timer(raw=LATER, score=DUE, queued=wire.pack_message(signal(5)))),
        ("L5", "far ahead", STREAM, replace(stream, last_id=f"{NOW + 10**9}-1")),
        ("S24", "set of queues", STREAM, replace(stream, role="activities", listed=False)),
        ("S23", "torn", ENTRY, EntrySnapshot("inbox", "1-1", "torn", "inbox")),
        ("L2", "was not put back", CLAIM, replace(claim, worker_alive=False, idle_ms=10**6)),
        ("H1", "gone too", CLAIM, replace(claim, worker_alive=False, there=False)),
        ("S26b", "counts as none", MARK, replace(mark, mark=b"x")),
        ("S26b", "neither a client", MARK, replace(mark, source=b"p16")),
        ("S26b", "never sent more", MARK, replace(mark, last_id="5-6")),
        ("S26b", "its epoch is 4", MARK, replace(mark, last_id=None, epoch=4)),
        ("S21", "no number", LEASE, replace(lease, fields={**lease.fields, "seq": b""})),
        ("S21", "ahead", LEASE, replace(lease, now=5)),
        ("S21", "every router", ROUTER, RouterSnapshot("routed", b"9" * 15, NOW)),
        ("H3", "no such key", KEY, replace(key, wanted=None)),
        ("H3", "not a stream", KEY, replace(key, kind="list")),
        ("H3", "time to live", KEY, replace(key, ttl_ms=5)),
        ("S24", "is no id", MEMBER, MemberSnapshot("s:Running", "zset", b"\xff")),
        ("F0", "partitions is", HUB, hub(settings={})),
        ("F0", "schema 1", HUB, hub(schema=2)),
        ("F0", "append-only", HUB, hub(server=ServerInfo(NOW, aof=False))),
        ("H3", "list of hubs", HUB, hub(listed=False)),
        ("H3", "never seen", HUB, hub(about={"w", "x"})),
        ("S27", "ahead of the clock", HUB, hub(seen={"w": NOW + 10.0**9})),
        ("H7", "allkeys", HUB, hub(server=ServerInfo(NOW, policy="allkeys-lru"))),
        ("H7", "could not write", HUB, hub(server=ServerInfo(NOW, aof_failing=True))),
    ],
)  # fmt: skip
def test_what_is_broken_is_named(invariant: str, says: str, checks: Any, one: Any) -> None:
    found = check(one, checks)
    assert [violation for violation in found if violation.invariant == invariant and says in violation.text], found


def test_nothing_is_said_of_what_nobody_has_looked_for() -> None:
    assert check(locked(holder_believes=False, carried=None), OF_ENTITY) == []
    assert check(entity(waits=2, queue_length=2, carried=None), OF_ENTITY) == []
