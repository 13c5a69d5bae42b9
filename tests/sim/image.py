"""The model as Redis would hold it, and the reading commands over that: enough for `fsck` to run on a simulation, unchanged.

Taken at one go between two verbs, so each look is at an atomic boundary: what is under way is in the state, or nowhere.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping
from typing import Any, Final, TypeAlias, TypeVar

from durastream.inspect.fsck import Patience, Report, fsck
from durastream.store.keys import HUBS, HubKeys, PartitionKeys
from durastream.store.memory.state import Hub, LeaseState, Partition, Queued
from durastream.store.memory.stream import Stream
from durastream.store.protocol import ServerInfo
from durastream.store.redis.fsck import RawHub
from tests.sim.server import SimServer

T = TypeVar("T")


class Set(set[bytes]):
    """A set."""


class Hash(dict[bytes, bytes]):
    """A hash."""


class Scores(dict[bytes, float]):
    """A sorted set."""


class Entries(list[tuple[bytes, list[bytes]]]):
    """A stream: entries in order, the last id it gave, and who claimed what."""

    last: bytes = b"0-0"
    claims: Mapping[bytes, bytes] = {}


Image: TypeAlias = dict[bytes, Any]

_KINDS: Final[dict[Any, bytes]] = {Set: b"set", Hash: b"hash", Scores: b"zset", Entries: b"stream"}


def image_of(server: SimServer) -> Image:
    """Keys that hold nothing do not exist."""
    hub = server.hub
    keys = HubKeys(hub.info.name, hub.info.partitions)
    settings = {name: value for name, value in hub.info._asdict().items() if name != "name"}
    found: dict[str, Any] = {
        HUBS: Set([hub.info.name.encode()]),
        keys.settings: _hash(settings),
        keys.workers: Scores({one.encode(): float(seen) for one, (seen, _) in hub.workers.items()}),
        keys.about: Hash({one.encode(): b"{}" for one in hub.workers}),
        keys.ingress: _entries(hub.ingress, lambda fields: [x for item in fields.items() for x in item]),
        keys.lease: _lease(hub.ingress_lease),
        keys.dead: _dead(hub),
    }
    for place, names in zip(hub.partitions, keys.partitions, strict=True):
        found |= _partition(place, names)
    return {name.encode(): value for name, value in found.items() if value or getattr(value, "last", b"0-0") != b"0-0"}


def _partition(place: Partition, names: PartitionKeys) -> dict[str, Any]:
    routed: dict[str, Any] = dict.fromkeys(place.routed, "1") | (
        {"epoch": place.router_epoch, "turn": place.router_turn} if place.router_epoch else {}
    )
    locks = {one: held.fields["lock"] for one, held in place.entities.items() if "lock" in held.fields}
    marks = {one: f"{m.epoch}:{m.nonce}:{m.sequence}:{m.seen}" for one, m in place.marks.items()}
    found: dict[str, Any] = {
        names.lease: _lease(place.lease),
        names.inbox: _entries(place.inbox, lambda entry: [b"m", entry[0], *_created(entry[1])]),
        names.timers: Scores({member.encode(): float(due) for member, due in place.timers.items()}),
        names.outbox: _outbox(place),
        names.marks: _hash(marks),
        names.watch: _hash({one: "\n".join(channels) for one, channels in place.watch.items()}),
        names.parked: _hash(place.parked),
        names.stalled: _hash(place.stalled),
        names.routed: _hash(routed),
        names.queues: Set(name.encode() for name in place.activities),
        names.entities: Scores({one.encode(): 0.0 for one in place.entities}),
        names.locks: _hash(locks),
    }
    for status, ids in place.index.items():
        found[names.status[status]] = Scores({one.encode(): float(at) for one, at in ids.items()})
    for name, stream in place.activities.items():
        found[names.activities(name)] = _activities(stream)
    for one, held in place.instances.items():
        found[names.instance(one)] = _hash({**held.fields, "revision": held.revision, "events": len(held.history)})
        found[names.history(one)] = Hash({b"%d" % number: event for number, event in held.history.items()})
    for one, entity in place.entities.items():
        found[names.entity(one)] = _hash({**entity.fields, "revision": entity.revision})
        found[names.queue_of(one)] = Hash({b"%d" % number: blob for number, blob in entity.queue.items()})
    return found


def _created(at: int) -> list[bytes]:
    return [b"t", b"%d" % at] if at else []


def _hash(fields: Mapping[str, Any]) -> Hash:
    return Hash(
        {name.encode(): value if isinstance(value, bytes) else str(value).encode() for name, value in fields.items()}
    )


def _lease(held: LeaseState) -> Hash:
    if not held.epoch:
        return Hash()
    texts = {"owner": held.owner or "", "nonce": held.nonce}
    return _hash({**texts, "epoch": held.epoch, "until": held.until, "seq": held.sequence})


def _entries(stream: Stream[T], fields: Callable[[T], list[bytes]]) -> Entries:
    """Ids of the model are numbers; those of a server have two parts."""
    made = Entries((b"0-" + entry_id.encode(), fields(value)) for entry_id, value in stream.entries.items())
    made.last = b"0-%d" % stream.last
    return made


def _outbox(place: Partition) -> Entries:
    made = Entries(
        (b"%d-%d" % number, [b"to", str(one.target).encode(), b"m", one.blob])
        for number, one in sorted(place.outbox.items())
    )
    if place.lease.sent:
        made.last = b"%d-%d" % (place.lease.epoch, place.lease.sent)
    return made


def _activities(stream: Stream[Queued]) -> Entries:
    made = _entries(stream, lambda one: [b"m", one.blob, b"d", "\n".join(one.died).encode()])
    made.claims = {
        b"0-" + entry_id.encode(): one.worker.encode()
        for entry_id, one in stream.entries.items()
        if one.worker is not None
    }
    return made


def _dead(hub: Hub) -> Entries:
    made = Entries(
        (b"0-%d" % (k + 1), [b"reason", reason.encode(), b"m", blob]) for k, (reason, blob) in enumerate(hub.dead)
    )
    made.last = b"0-%d" % len(hub.dead)
    return made


# ---------------------------------------------------------------- commands


def _flat(pairs: Iterable[tuple[bytes, Any]]) -> list[bytes]:
    return [part if isinstance(part, bytes) else b"%d" % part for pair in pairs for part in pair]


def _number(text: Any) -> tuple[int, int]:
    ms, _, sequence = (text.decode() if isinstance(text, bytes) else str(text)).partition("-")
    return int(ms), int(sequence or 0)


class _Commands:
    """Those that `RawHub` sends, over one image."""

    def __init__(self, image: Image, clock: int) -> None:
        self._image = image
        self._clock = clock

    def run(self, command: tuple[Any, ...]) -> Any:
        name, *args = command
        method: Callable[..., Any] = getattr(self, f"_{name.lower()}")
        return method(*(one.encode() if isinstance(one, str) else one for one in args))

    def _time(self) -> list[int]:
        return [self._clock // 1_000, self._clock % 1_000 * 1_000]

    def _type(self, key: bytes) -> bytes:
        return _KINDS[type(self._image[key])] if key in self._image else b"none"

    def _pttl(self, key: bytes) -> int:
        return -1

    def _exists(self, key: bytes) -> int:
        return int(key in self._image)

    def _of(self, key: bytes) -> Any:
        return self._image.get(key, {})

    def _hget(self, key: bytes, field: bytes) -> bytes | None:
        return self._of(key).get(field)  # type: ignore[no-any-return]

    def _hmget(self, key: bytes, *fields: Any) -> list[bytes | None]:
        held = self._of(key)
        return [held.get(b"%d" % one if isinstance(one, int) else one) for one in fields]

    def _hgetall(self, key: bytes) -> list[bytes]:
        return _flat(self._of(key).items())

    def _hlen(self, key: bytes) -> int:
        return len(self._of(key))

    def _hexists(self, key: bytes, field: bytes) -> int:
        return int(field in self._of(key))

    def _hstrlen(self, key: bytes, field: bytes) -> int:
        return len(self._of(key).get(field, b""))

    def _hkeys(self, key: bytes) -> list[bytes]:
        return list(self._of(key))

    def _hscan(self, key: bytes, cursor: bytes, *options: Any) -> tuple[bytes, list[bytes]]:
        return b"0", _flat(self._of(key).items())

    _zscan = _hscan

    def _sscan(self, key: bytes, cursor: bytes, *options: Any) -> tuple[bytes, list[bytes]]:
        return b"0", sorted(self._of(key))

    def _smembers(self, key: bytes) -> list[bytes]:
        return sorted(self._of(key))

    def _sismember(self, key: bytes, member: bytes) -> int:
        return int(member in self._of(key))

    def _zscore(self, key: bytes, member: bytes) -> float | None:
        return self._of(key).get(member)  # type: ignore[no-any-return]

    def _zrange(self, key: bytes, *options: Any) -> list[bytes]:
        return _flat(sorted(self._of(key).items(), key=lambda one: one[1]))

    def _zcard(self, key: bytes) -> int:
        return len(self._of(key))

    def _xlen(self, key: bytes) -> int:
        return len(self._of(key))

    def _xrange(self, key: bytes, low: bytes, high: bytes, *options: Any) -> list[tuple[bytes, list[bytes]]]:
        count = int(options[1]) if options else 1 << 30
        above = low.startswith(b"(")
        first = (0, 0) if low == b"-" else _number(low.lstrip(b"("))
        last = (1 << 62, 0) if high == b"+" else _number(high)
        within = [
            entry for entry in self._of(key)
            if (_number(entry[0]) > first if above else _number(entry[0]) >= first) and _number(entry[0]) <= last
        ]  # fmt: skip
        return within[:count]

    def _xinfo(self, what: bytes, key: bytes) -> list[Any] | None:
        held = self._image.get(key)
        return None if held is None else [b"last-generated-id", held.last]

    def _xpending(self, key: bytes, group: bytes, *options: Any) -> list[Any] | None:
        held = self._image.get(key)
        claims: Mapping[bytes, bytes] = {} if held is None else held.claims
        if not options:
            return [len(claims), None, None, []]
        low = options[0]
        return [
            [entry, worker, 0, 1]
            for entry, worker in claims.items()
            if low == b"-" or _number(entry) > _number(low[1:])
        ]


class SimHub(RawHub):
    """The hub of a simulation, as it is now."""

    def __init__(self, server: SimServer) -> None:
        """Without the connections that the real one has."""
        self.hub = server.hub.info
        self.keys = HubKeys(self.hub.name, self.hub.partitions)
        self._clock = server.clock()
        self._image = image_of(server)
        self._answers = _Commands(self._image, self._clock)

    async def ask(self, commands: Iterable[tuple[Any, ...]]) -> list[Any]:
        return [self._answers.run(command) for command in commands]

    async def count_of_keys(self) -> int:
        return len(self._image)

    async def key_names(self) -> AsyncIterator[list[bytes]]:
        yield [name for name in self._image if name != HUBS.encode()]

    async def server_info(self) -> ServerInfo:
        return ServerInfo(self._clock)


def checked(server: SimServer) -> Report:
    """What `fsck` says of the state between two verbs."""
    return at_once(fsck(SimHub(server), patience=Patience(1, 0)))


def at_once(coroutine: Coroutine[Any, Any, T] | Awaitable[T]) -> T:
    """The result of a coroutine that awaits nothing but turns of the loop."""
    steps: Any = coroutine
    try:
        while True:
            steps.send(None)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
