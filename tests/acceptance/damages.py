"""What somebody with write access can do to a hub: each damage with the invariant that it breaks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from durastream import wire
from durastream.core import events as ev
from durastream.core.events import Parent
from durastream.core.messages import UnlockEntities
from tests.acceptance.fsck_hub import FREE, LATE, LOCKED, Grown

YEAR_2099 = 4_070_908_800_000
FAR = 9 * 10**14


class Damage(NamedTuple):
    """`key`: part of the key that must be named. `mends`: whether fsck can repair it, so that nothing is left."""

    name: str
    invariant: str
    key: str
    do: Callable[[Grown], object]
    mends: bool = False


def _field(hub: Grown, instance_id: str, name: str, value: object) -> None:
    hub.redis.hset(hub.record(instance_id), name, value)


def _event(hub: Grown, instance_id: str, number: int, event: ev.Event) -> None:
    hub.redis.hset(hub.history(instance_id), number, wire.pack_event(event))


def _events(hub: Grown, instance_id: str, change: Callable[[list[Any]], list[Any]]) -> None:
    """Write a history anew, with a record that says its length."""
    key = hub.history(instance_id)
    found = hub.redis.hgetall(key)
    events = change([wire.unpack_event(found[str(number).encode()]) for number in range(len(found))])
    hub.redis.delete(key)
    for number, event in enumerate(events):
        _event(hub, instance_id, number, event)
    _field(hub, instance_id, "events", len(events))


def _drop_outcome(hub: Grown, instance_id: str) -> None:
    _events(hub, instance_id, lambda old: [*old[:2], old[2], old[2], *old[3:]])


def _entity(hub: Grown, entity: object) -> str:
    return hub.names(str(entity)).entity(str(entity))


def _queue(hub: Grown, entity: object) -> str:
    return hub.names(str(entity)).queue_of(str(entity))


def _move_key(hub: Grown, instance_id: str) -> None:
    home = hub.record(instance_id)
    partition = next(names for names in hub.keys.partitions if names.instance(instance_id) != home)
    hub.redis.restore(partition.instance(instance_id), 0, hub.redis.dump(home))


def _clear_inbox(hub: Grown, of: str) -> None:
    key = hub.names(of).inbox
    hub.redis.xdel(key, *[entry for entry, _ in hub.redis.xrange(key)])


def _end_holder(hub: Grown) -> None:
    """As if it had been terminated by hand: record and history agree, but nobody let its lock go."""
    _events(hub, "locking", lambda old: [*old, ev.ExecutionTerminated(old[-1].at, None, False)])
    record = hub.record("locking")
    hub.redis.hset(record, mapping={"status": "Terminated", "completed_at": hub.redis.hget(record, "updated_at")})
    names = hub.names("locking")
    created = float(hub.redis.hget(record, "created_at"))
    hub.redis.zrem(names.status["Running"], "locking")
    hub.redis.zadd(names.status["Terminated"], {"locking": created})


def _purge_holder(hub: Grown) -> None:
    hub.redis.delete(hub.record("locking"), hub.history("locking"))
    hub.redis.zrem(hub.names("locking").status["Running"], "locking")


def _open_gate(hub: Grown) -> None:
    """Somebody takes the lock away by hand: what waits behind it has no reason to go on."""
    hub.redis.hdel(_entity(hub, LOCKED), "lock", "locked_at")
    hub.redis.hdel(hub.names(str(LOCKED)).locks, str(LOCKED))
    _purge_holder(hub)


def _ahead(hub: Grown, key: str) -> None:
    hub.redis.xadd(key, {"m": b"x"}, id=f"{FAR}-1")
    hub.redis.xdel(key, f"{FAR}-1")


def _timer(hub: Grown, of: str) -> bytes:
    (member,) = hub.members(of)
    return member


def _claim_of_the_dead(hub: Grown) -> None:
    names = hub.names("queued")
    key = names.activities("nobody")
    hub.redis.xgroup_create(key, "workers", "0")
    ((_, entries),) = hub.redis.xreadgroup("workers", "ghost", {key: ">"}, count=1)
    hub.redis.xadd(key, {"m": entries[0][1][b"m"]})
    hub.redis.xdel(key, entries[0][0])


def _release(hub: Grown) -> None:
    """A release for an entity in the wrong partition's outbox to nowhere."""
    blob = wire.pack_message(UnlockEntities(str(FREE), (), Parent("i", "t.0", 0)))
    hub.redis.xadd(hub.keys.partitions[0].outbox, {"to": "99", "m": blob}, id="1-1")


# fmt: off
DAMAGES: list[Damage] = [
    # -- the hub
    Damage("settings gone", "F0", "hub", lambda h: h.redis.delete(h.keys.settings)),
    Damage("partitions unreadable", "F0", "hub", lambda h: h.redis.hset(h.keys.settings, "partitions", "many")),
    Damage("newer schema", "F0", "hub", lambda h: h.redis.hset(h.keys.settings, "schema", "7")),
    Damage("hub not listed", "H3", "hub", lambda h: h.redis.delete("ds:hubs"), True),
    Damage("worker told of, never seen", "H3", "about", lambda h: h.redis.hset(h.keys.about, "w", "{}"), True),
    Damage("worker from the future", "S27", "workers", lambda h: h.redis.zadd(h.keys.workers, {"w": FAR})),
    Damage("memory policy", "H7", "hub", lambda h: h.redis.config_set("maxmemory-policy", "allkeys-lru")),
    # -- keys
    Damage("unknown key", "H3", "stray", lambda h: h.redis.set(h.keys.partitions[3].tag + "stray", 1)),
    Damage("unknown family", "H3", "z:a", lambda h: h.redis.set(h.keys.partitions[3].tag + "z:a", 1)),
    Damage("key without text", "H3", "i:", lambda h: h.redis.hset(h.keys.partitions[3].tag.encode() + b"i:\xff", "a", 1)),
    Damage("key of a partition too many", "H3", ":16}", lambda h: h.redis.set("ds:{default:16}:inbox", 1)),
    Damage("record is a list", "H3", "i:l", lambda h: h.redis.rpush(h.record("l"), 1)),
    Damage("inbox is a string", "H3", "inbox",
           lambda h: (h.redis.delete(h.names("done").inbox), h.redis.set(h.names("done").inbox, 1))),
    Damage("record expires", "H3", "i:waiting", lambda h: h.redis.expire(h.record("waiting"), 9_999), True),
    Damage("timers expire", "H3", "timers", lambda h: h.redis.expire(h.names("sleeping").timers, 9_999), True),
    # -- records
    Damage("no such status", "S28", "i:waiting", lambda h: _field(h, "waiting", "status", "Dancing")),
    Damage("revision gone", "S2", "i:waiting", lambda h: h.redis.hdel(h.record("waiting"), "revision")),
    Damage("execution id unreadable", "S28", "i:waiting", lambda h: _field(h, "waiting", "execution_id", "x")),
    Damage("name gone", "S28", "i:done", lambda h: h.redis.hdel(h.record("done"), "name")),
    Damage("time unreadable", "S28", "i:done", lambda h: _field(h, "done", "created_at", "noon")),
    Damage("parent unreadable", "S28", "i:child", lambda h: _field(h, "child", "parent", "me")),
    Damage("tags no JSON", "S28", "i:done", lambda h: _field(h, "done", "tags", "{")),
    Damage("output no JSON", "S28", "i:done", lambda h: _field(h, "done", "output", "six")),
    Damage("output too large", "H4", "i:done", lambda h: _field(h, "done", "output", b'"' + b"x" * (1 << 20) + b'"')),
    Damage("updated before created", "S27", "i:done", lambda h: _field(h, "done", "updated_at", 5)),
    Damage("updated in the future", "S27", "i:waiting", lambda h: _field(h, "waiting", "updated_at", FAR)),
    Damage("record in another partition", "S20", "i:done", lambda h: _move_key(h, "done")),
    # -- histories
    Damage("event gone", "S1", "i:waiting", lambda h: h.redis.hdel(h.history("waiting"), 0)),
    Damage("event too many", "S1", "i:done",
           lambda h: _event(h, "done", 40, ev.TimerFired(1, 1))),
    Damage("length wrong", "S1", "i:done", lambda h: _field(h, "done", "events", 3), True),
    Damage("history gone", "S1", "i:done", lambda h: h.redis.delete(h.history("done"))),
    Damage("history without record", "S1", "i:lost", lambda h: h.redis.hset(h.history("lost"), 0, b"x"), True),
    Damage("event unreadable", "S28", "i:done", lambda h: h.redis.hset(h.history("done"), 1, b"rubbish")),
    Damage("payload of an event no JSON", "S28", "i:waiting",
           lambda h: _events(h, "waiting", lambda old: [old[0]._replace(input=b"{")])),
    Damage("second outcome", "S4", "i:done", lambda h: _drop_outcome(h, "done")),
    Damage("outcome of nothing", "S4", "i:waiting",
           lambda h: _events(h, "waiting", lambda old: [*old, ev.TaskCompleted(old[-1].at, 0, None)])),
    Damage("two starts", "S12", "i:waiting", lambda h: _events(h, "waiting", lambda old: [*old, old[0]])),
    Damage("no start", "S12", "i:sleeping", lambda h: _events(h, "sleeping", lambda old: [old[1], old[1]])),
    Damage("generation wrong", "S12", "i:waiting",
           lambda h: _events(h, "waiting", lambda old: [old[0]._replace(generation=4)])),
    Damage("timer fired early", "S16", "i:sleeping",
           lambda h: _events(h, "sleeping", lambda old: [*old, ev.TimerFired(old[-1].at, 1)])),
    Damage("times go back", "S27", "i:done", lambda h: _events(h, "done", lambda old: [*old[:-1], old[-1]._replace(at=1)])),
    Damage("sections overlap", "S15", "i:locking",
           lambda h: _events(h, "locking", lambda old: [*old, ev.EntityLockRequested(old[-1].at, ("@A@b",))])),
    # -- status
    Damage("ended, but not in history", "S8", "i:waiting", lambda h: _field(h, "waiting", "status", "Completed")),
    Damage("ended twice", "S8", "i:done", lambda h: _events(h, "done", lambda old: [*old, old[-1]])),
    Damage("running again", "S8", "i:done", lambda h: _field(h, "done", "status", "Running")),
    Damage("failure gone", "S8", "i:failed", lambda h: h.redis.hdel(h.record("failed"), "failure")),
    Damage("completion time gone", "S8", "i:failed", lambda h: h.redis.hdel(h.record("failed"), "completed_at")),
    Damage("resumed by hand", "S18", "i:suspended", lambda h: _field(h, "suspended", "status", "Running")),
    Damage("suspended by hand", "S18", "i:waiting", lambda h: _field(h, "waiting", "status", "Suspended")),
    # -- indexes
    Damage("not indexed", "S24", "i:done", lambda h: h.redis.zrem(h.names("done").status["Completed"], "done"), True),
    Damage("indexed twice", "S24", "i:done", lambda h: h.redis.zadd(h.names("done").status["Failed"], {"done": 1}), True),
    Damage("indexed at another time", "S24", "i:done",
           lambda h: h.redis.zadd(h.names("done").status["Completed"], {"done": 1}), True),
    Damage("indexed, but gone", "S24", "i:ghost",
           lambda h: h.redis.zadd(h.names("ghost").status["Running"], {"ghost": 1}), True),
    Damage("index holds rubbish", "S24", "s:Running",
           lambda h: h.redis.zadd(h.keys.partitions[2].status["Running"], {b"\xff": 1}), True),
    Damage("parked, but gone", "S24", "i:ghost", lambda h: h.redis.hset(h.names("ghost").parked, "ghost", "{}"), True),
    Damage("parked, but sound", "S24", "i:done", lambda h: h.redis.hset(h.names("done").parked, "done", "{}"), True),
    Damage("not parked", "S24", "i:parked", lambda h: h.redis.hdel(h.names("parked").parked, "parked"), True),
    Damage("watched, but ended", "H3", "i:done", lambda h: h.redis.hset(h.names("done").watch, "done", "c"), True),
    Damage("watched, but gone", "H3", "i:ghost", lambda h: h.redis.hset(h.names("ghost").watch, "ghost", "c"), True),
    # -- obligations
    Damage("activity gone", "S10", "i:queued", lambda h: h.redis.xtrim(h.names("queued").activities("nobody"), 0)),
    Damage("timer gone", "S10", "i:sleeping", lambda h: h.redis.zrem(h.names("sleeping").timers, _timer(h, "sleeping")), True),
    Damage("child gone", "S10", "i:parent",
           lambda h: (h.redis.delete(h.record("child"), h.history("child")),
                      h.redis.zrem(h.names("child").status["Running"], "child"))),
    Damage("child of another", "S10", "i:parent", lambda h: _field(h, "child", "parent", "else\nt.0\n1")),
    Damage("call gone", "S10", "i:calling", lambda h: h.redis.delete(_queue(h, LOCKED))),
    Damage("start gone", "S10", "i:parked", lambda h: _clear_inbox(h, "parked")),
    Damage("scheduled start gone", "S10", "i:scheduled",
           lambda h: h.redis.zrem(h.names("scheduled").timers, _timer(h, "scheduled"))),
    Damage("turn left in the middle", "S10", "i:sleeping",
           lambda h: _events(h, "sleeping", lambda old: [*old, ev.TurnSplit(old[-1].at)]), True),
    Damage("retention gone", "S16", "i:done", lambda h: h.redis.zrem(h.names("done").timers, _timer(h, "done")), True),
    # -- timers
    Damage("timer unreadable", "S16", "timers", lambda h: h.redis.zadd(h.keys.partitions[1].timers, {"tick": 1}), True),
    Damage("timer of the gone", "S16", "timers",
           lambda h: h.redis.zadd(h.names("ghost").timers, {"T\n1\nt.0\nghost": YEAR_2099}), True),
    Damage("timer of another execution", "S16", "timers",
           lambda h: h.redis.zadd(h.names("waiting").timers, {"T\n1\nt.0\nwaiting": YEAR_2099}), True),
    Damage("timer due never", "S16", "timers",
           lambda h: h.redis.zadd(h.names("sleeping").timers, {_timer(h, "sleeping"): "inf"}), True),
    Damage("timer moved", "S16", "timers",
           lambda h: h.redis.zadd(h.names("sleeping").timers, {_timer(h, "sleeping"): YEAR_2099 + 1}), True),
    Damage("timer in another partition", "S16", "timers",
           lambda h: h.redis.zadd(next(n for n in h.keys.partitions if n is not h.names("ghost")).timers,
                                  {"T\n1\nt.0\nghost": YEAR_2099})),
    # -- entities
    Damage("state no JSON", "S13", "e:@Counter@free", lambda h: h.redis.hset(_entity(h, FREE), "state", "{")),
    Damage("entity's revision gone", "S13", "e:@Counter@free", lambda h: h.redis.hdel(_entity(h, FREE), "revision")),
    Damage("entity from the future", "S27", "e:@Counter@free", lambda h: h.redis.hset(_entity(h, FREE), "updated_at", FAR)),
    Damage("entity of nothing", "H3", "e:@Counter@free", lambda h: h.redis.hdel(_entity(h, FREE), "state")),
    Damage("entity record gone", "H3", "q:@Counter@late", lambda h: h.redis.delete(_entity(h, LATE))),
    Damage("entity with a bad text", "S20", "e:none",
           lambda h: h.redis.restore(h.names("none").entity("none"), 0, h.redis.dump(_entity(h, FREE)))),
    Damage("entity not indexed", "S24", "e:@Counter@free",
           lambda h: h.redis.zrem(h.names(str(FREE)).entities, str(FREE)), True),
    Damage("entity indexed, but gone", "S24", "e:@Counter@ghost",
           lambda h: h.redis.zadd(h.names("@Counter@ghost").entities, {"@Counter@ghost": 0}), True),
    Damage("entity out of order", "S24", "e:@Counter@free",
           lambda h: h.redis.zadd(h.names(str(FREE)).entities, {str(FREE): 7}), True),
    Damage("queue numbered by hand", "S13", "q:@Counter@late", lambda h: h.redis.hset(_queue(h, LATE), "first", b"x")),
    Damage("queue unreadable", "S13", "q:@Counter@locked", lambda h: h.redis.hset(_queue(h, LOCKED), 9, b"x")),
    Damage("signal's timer gone", "S10", "q:@Counter@late",
           lambda h: h.redis.zrem(h.names(str(LATE)).timers, _timer(h, str(LATE))), True),
    Damage("signal gone", "S16", "timers", lambda h: h.redis.delete(_queue(h, LATE))),
    Damage("lock not listed", "S24", "e:@Counter@locked",
           lambda h: h.redis.hdel(h.names(str(LOCKED)).locks, str(LOCKED)), True),
    Damage("lock listed, but free", "S24", "e:@Counter@free",
           lambda h: h.redis.hset(h.names(str(FREE)).locks, str(FREE), "a\nt.0\n1"), True),
    Damage("lock unreadable", "S15", "e:@Counter@locked", lambda h: h.redis.hset(_entity(h, LOCKED), "lock", "me")),
    Damage("lock taken away", "S15", "i:locking",
           lambda h: (h.redis.hdel(_entity(h, LOCKED), "lock", "locked_at"),
                      h.redis.hdel(h.names(str(LOCKED)).locks, str(LOCKED)))),
    Damage("holder ended", "S15", "e:@Counter@locked", _end_holder, True),
    Damage("holder gone", "S15", "e:@Counter@locked", _purge_holder, True),
    Damage("queue behind an open gate", "S10", "q:@Counter@locked", _open_gate, True),
    Damage("stalled for nothing", "S24", "e:@Counter@free",
           lambda h: h.redis.hset(h.names(str(FREE)).stalled, str(FREE), "{}"), True),
    # -- streams
    Damage("inbox far ahead", "L5", "inbox", lambda h: _ahead(h, h.keys.partitions[5].inbox), True),
    Damage("outbox far ahead", "L5", "outbox", lambda h: _ahead(h, h.keys.partitions[5].outbox), True),
    Damage("ingress far ahead", "L5", "in", lambda h: _ahead(h, h.keys.ingress), True),
    Damage("activities far ahead", "L5", "a:x", lambda h: _ahead(h, h.keys.partitions[5].activities("x")), True),
    Damage("dead letters far ahead", "L5", "dead", lambda h: h.redis.xadd(h.keys.dead, {"reason": "r", "m": b""}, id=f"{FAR}-1")),
    Damage("inbox unreadable", "S23", "inbox", lambda h: h.redis.xadd(h.keys.partitions[5].inbox, {"m": b"rubbish"})),
    Damage("inbox without message", "S23", "inbox", lambda h: h.redis.xadd(h.keys.partitions[5].inbox, {"x": b""})),
    Damage("outbox to nowhere", "S23", "outbox", _release),
    Damage("dead letter unreadable", "S23", "outbox",
           lambda h: h.redis.xadd(h.keys.partitions[5].outbox, {"to": "dead", "m": b"x"}, id="1-1")),
    Damage("activity unreadable", "S23", "a:nobody",
           lambda h: h.redis.xadd(h.names("queued").activities("nobody"), {"m": b"x"})),
    Damage("dead workers unreadable", "S23", "a:nobody",
           lambda h: h.redis.xadd(h.names("queued").activities("nobody"), {"m": b"x", "d": b"\xff"})),
    Damage("queue not listed", "S24", "a:nobody", lambda h: h.redis.delete(h.names("queued").queues), True),
    Damage("claim without entry", "H1", "a:nobody", _claim_of_the_dead, True),
    # -- ownership and transfer
    Damage("lease unreadable", "S21", "lease", lambda h: h.redis.hset(h.keys.partitions[4].lease, "epoch", "x")),
    Damage("lease from the future", "S21", "lease", lambda h: h.redis.hset(h.keys.partitions[4].lease, "until", FAR)),
    Damage("router from the future", "S21", "routed", lambda h: h.redis.hset(h.keys.partitions[4].routed, "epoch", FAR)),
    Damage("mark unreadable", "S26b", "marks", lambda h: h.redis.hset(h.keys.partitions[4].marks, "p1", "x"), True),
    Damage("mark of nobody", "S26b", "marks", lambda h: h.redis.hset(h.keys.partitions[4].marks, "q", "1:a:1:1")),
    Damage("mark above its source", "S26b", "marks",
           lambda h: h.redis.hset(h.keys.partitions[4].marks, "p1", f"{FAR}::1:1")),
]
# fmt: on
