"""The whole state of each store as one flat dict, place → value, that compares equal when the two mean the same.

A place is named as in `store/keys.py`, its partition before it: "0 i:order1", "1 s:Running", "hub workers". What is empty has
no place.
A key that nobody knows is an error: the comparison must not go blind when the store learns something new.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from durastream.store.connection import Connection
from durastream.store.keys import GROUP, HUBS, HubKeys
from durastream.store.memory import MemoryServer
from durastream.store.memory.state import Entity, Hub, Instance, LeaseState, Partition, Queued
from durastream.store.memory.stream import Stream
from durastream.store.redis.decode import pairs
from tests.differential.calls import INGRESS, Ranks, inbox_of, queue_of

State: TypeAlias = dict[str, Any]

CLOCK = "differential:clock"
"""Key of the time in ms; see `parts.py`."""

BEGUN = 1_000  # delivery count that `begin` leaves

DUMP = f"""
local function read(kind, key)
  if kind == 'hash' then return redis.call('HGETALL', key) end
  if kind == 'zset' then return redis.call('ZRANGE', key, 0, -1, 'WITHSCORES') end
  if kind == 'set' then return redis.call('SMEMBERS', key) end
  if kind == 'list' then return redis.call('LRANGE', key, 0, -1) end
  if kind == 'string' then return redis.call('GET', key) end
  local pending = redis.pcall('XPENDING', key, '{GROUP}', '-', '+', 10000)
  if pending.err then pending = {{}} end
  return {{ redis.call('XRANGE', key, '-', '+'), pending }}
end
local found = {{}}
for _, key in ipairs(redis.call('KEYS', '*')) do
  found[#found + 1] = key
  found[#found + 1] = read(redis.call('TYPE', key).ok, key)
end
return found
"""

# ---------------------------------------------------------------- the server

Reader: TypeAlias = Callable[[Any, str, Ranks], Any]


def _hash(raw: Any, place: str, ranks: Ranks) -> Any:
    return pairs(raw)


def _scores(raw: Any, place: str, ranks: Ranks) -> Any:
    return {member: int(score) for member, score in pairs(raw).items()}


def _set(raw: Any, place: str, ranks: Ranks) -> Any:
    return set(raw)


def _lease(raw: Any, place: str, ranks: Ranks) -> Any:
    held = pairs(raw)
    died = {name[5:]: names for name, names in held.items() if name.startswith(b"died:")}
    texts = [held.get(name, b"") for name in (b"owner", b"nonce", b"trying")]
    numbers = [int(held.get(name, b"0")) for name in (b"epoch", b"until", b"seq", b"deaths")]
    return texts, numbers, died


def _inbox(raw: Any, place: str, ranks: Ranks) -> Any:
    stream = inbox_of(int(place.split(" ")[0]))
    fields = ((entry, pairs(flat)) for entry, flat in raw[0])
    return [(ranks.learn(stream, entry.decode()), one[b"m"], int(one.get(b"t", 0))) for entry, one in fields]


def _queue(raw: Any, place: str, ranks: Ranks) -> Any:
    partition, _, key = place.partition(" ")
    stream = queue_of(int(partition), key.removeprefix("a:"))
    claims = {entry: (worker, count >= BEGUN) for entry, worker, _, count in raw[1]}
    fields = ((entry, pairs(flat), claims.get(entry, (None, False))) for entry, flat in raw[0])
    return [
        (ranks.learn(stream, entry.decode()), one[b"m"], one.get(b"d", b""), *claim) for entry, one, claim in fields
    ]


def _outbox(raw: Any, place: str, ranks: Ranks) -> Any:
    return {entry: tuple(pairs(flat).values()) for entry, flat in raw[0]}


def _routed(raw: Any, place: str, ranks: Ranks) -> Any:
    held = pairs(raw)
    router = int(held.pop(b"epoch", 0)), int(held.pop(b"turn", 0))
    refs = {ranks.ref(INGRESS, entry.decode()) for entry in held}
    return (router, refs) if router[0] or refs else None


def _ingress(raw: Any, place: str, ranks: Ranks) -> Any:
    return [(ranks.learn(INGRESS, entry.decode()), pairs(flat)) for entry, flat in raw[0]]


def _dead(raw: Any, place: str, ranks: Ranks) -> Any:
    return [tuple(flat[1::2]) for _, flat in raw[0]]


def _about(raw: Any, place: str, ranks: Ranks) -> Any:
    return {worker: json.loads(about) for worker, about in pairs(raw).items()}


_NAMED: Mapping[str, Reader] = {
    "lease": _lease,
    "inbox": _inbox,
    "timers": _scores,
    "outbox": _outbox,
    "marks": _hash,
    "watch": _hash,
    "parked": _hash,
    "routed": _routed,
    "queues": _set,
    "entities": _scores,
    "locks": _hash,
    "stalled": _hash,
}
_PREFIXED: Mapping[str, Reader] = {"i": _hash, "h": _hash, "e": _hash, "q": _hash, "s": _scores, "a": _queue}
_OF_HUB: Mapping[str, Reader] = {
    "hub": _hash,
    "workers": _scores,
    "about": _about,
    "in": _ingress,
    "lease": _lease,
    "dead": _dead,
}
UNCOMPARED = ("stats",)
"""Counters of work done, which the model does not keep."""


class RedisState:
    """Reads the server; what did not change since the last time is not decoded again."""

    def __init__(self, connection: Connection, hub: str, partitions: int, ranks: Ranks) -> None:
        keys = HubKeys(hub, partitions)
        self._tags = {one.tag: str(number) for number, one in enumerate(keys.partitions)} | {keys.tag: "hub"}
        self._connection = connection
        self._ranks = ranks
        self._places: dict[bytes, tuple[str, Reader] | None] = {CLOCK.encode(): None}
        self._before: dict[bytes, tuple[Any, Any]] = {}

    async def read(self) -> State:
        flat = await self._connection.call("EVAL", DUMP, 0)
        raw = dict(zip(flat[::2], flat[1::2], strict=True))
        places = {key: place for key in raw if (place := self._place(key)) is not None}
        # The hub's own first: routed entries are named by their ranks in the ingress.
        order = sorted(places, key=lambda key: not places[key][0].startswith("hub "))
        self._before = {key: (raw[key], self._value(key, raw[key], *places[key])) for key in order}
        return {places[key][0]: value for key, (_, value) in self._before.items() if value}

    def _value(self, key: bytes, raw: Any, place: str, reader: Reader) -> Any:
        before = self._before.get(key)
        return before[1] if before is not None and before[0] == raw else reader(raw, place, self._ranks)

    def _place(self, key: bytes) -> tuple[str, Reader] | None:
        if key not in self._places:
            self._places[key] = self._named(key.decode())
        return self._places[key]

    def _named(self, key: str) -> tuple[str, Reader] | None:
        if key == HUBS or key.startswith("reply:"):
            return key, _set if key == HUBS else lambda raw, place, ranks: list(raw)
        tag, name = next((tag, key.removeprefix(tag)) for tag in self._tags if key.startswith(tag))
        prefix, colon, _ = name.partition(":")
        if name in UNCOMPARED:
            return None
        readers = _OF_HUB if self._tags[tag] == "hub" else _PREFIXED if colon else _NAMED
        return f"{self._tags[tag]} {name}", readers[prefix]


# ---------------------------------------------------------------- the model


def model_state(server: MemoryServer, hub: Hub, ranks: Ranks) -> State:
    """The same of the model."""
    entries = [(ranks.learn(INGRESS, one), fields) for one, fields in hub.ingress.entries.items()]
    settings = {name: value for name, value in hub.info._asdict().items() if name != "name"}
    state: State = {
        HUBS: {name.encode() for name in server.hubs},
        "hub hub": _bytes(settings),
        "hub workers": {worker.encode(): seen for worker, (seen, _) in hub.workers.items()},
        "hub about": {worker.encode(): about for worker, (_, about) in hub.workers.items()},
        "hub in": entries,
        "hub dead": [(reason.encode(), blob) for reason, blob in hub.dead],
        "hub lease": _model_lease(hub.ingress_lease),
    }
    state |= {key: held.answers for key, held in server.lists.items()}
    for place in hub.partitions:
        state.update((f"{place.number} {name}", value) for name, value in _partition(place, ranks))
    return {place: value for place, value in state.items() if value}


def _partition(place: Partition, ranks: Ranks) -> Iterator[tuple[str, Any]]:
    yield "lease", _model_lease(place.lease)
    yield "inbox", [(ranks.learn(inbox_of(place.number), one), *entry) for one, entry in place.inbox.entries.items()]
    yield "timers", {member.encode(): due for member, due in place.timers.items()}
    yield "outbox", {b"%d-%d" % one: (str(sent.target).encode(), sent.blob) for one, sent in place.outbox.items()}
    yield "marks", {source.encode(): _mark(mark) for source, mark in place.marks.items()}
    yield "watch", {one.encode(): "\n".join(channels).encode() for one, channels in place.watch.items()}
    yield "parked", _bytes(place.parked)
    yield "stalled", _bytes(place.stalled)
    yield "routed", _model_routed(place, ranks)
    yield "queues", {name.encode() for name in place.activities}
    for name, stream in place.activities.items():
        yield f"a:{name}", _activities(queue_of(place.number, name), stream, ranks)
    for status, ids in place.index.items():
        yield f"s:{status}", {one.encode(): created_at for one, created_at in ids.items()}
    for one, instance in place.instances.items():
        yield from _instance(one, instance)
    for one, entity in place.entities.items():
        yield from _entity(one, entity)
    yield "entities", {one.encode(): 0 for one in place.entities}
    locks = {one: entity.fields["lock"] for one, entity in place.entities.items() if "lock" in entity.fields}
    yield "locks", _bytes(locks)


def _model_lease(held: LeaseState) -> Any:
    if not held.epoch:
        return None
    texts = [(held.owner or "").encode(), held.nonce.encode(), held.trying.encode("utf-8", "surrogateescape")]
    died = {one.encode("utf-8", "surrogateescape"): "\n".join(names).encode() for one, names in held.died.items()}
    return texts, [held.epoch, held.until, held.sequence, held.deaths], died


def _mark(mark: Any) -> bytes:
    return f"{mark.epoch}:{mark.nonce}:{mark.sequence}:{mark.seen}".encode()


def _model_routed(place: Partition, ranks: Ranks) -> Any:
    if not place.router_epoch and not place.routed:
        return None
    return (place.router_epoch, place.router_turn), {ranks.ref(INGRESS, entry) for entry in place.routed}


def _activities(name: str, stream: Stream[Queued], ranks: Ranks) -> list[Any]:
    return [
        (
            ranks.learn(name, one),
            entry.blob,
            "\n".join(entry.died).encode(),
            entry.worker and entry.worker.encode(),
            entry.begun,
        )
        for one, entry in stream.entries.items()
    ]


def _instance(name: str, held: Instance) -> Iterator[tuple[str, Any]]:
    yield f"i:{name}", _bytes({**held.fields, "revision": held.revision, "events": len(held.history)})
    yield f"h:{name}", {b"%d" % number: event for number, event in held.history.items()}


def _entity(name: str, held: Entity) -> Iterator[tuple[str, Any]]:
    yield f"e:{name}", _bytes({**held.fields, "revision": held.revision})
    yield f"q:{name}", {b"%d" % number: blob for number, blob in held.queue.items()}


def _bytes(fields: Mapping[str, Any]) -> dict[bytes, bytes]:
    return {name.encode(): value if isinstance(value, bytes) else str(value).encode() for name, value in fields.items()}
