"""Keys of another type, fields and members that no worker writes, and streams that were bent: of the hub and of one partition."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from durastream.core.status import ALL
from tests.hostile.ground import Ground, Plant, Stops

_MAX_ID = "18446744073709551615-18446744073709551615"
_FAR_ID = "100000000000000000-0"
_RUBBISH: tuple[bytes, ...] = (
    b"",
    b"x",
    b"\xff\xfe",
    b"{",
    b"[]",
    b"\x1b[2J\x9b",
    b"9" * 5_000,
    b"[" * 2_000,
    b"x" * 200_000,
)

Key = Callable[[Ground], str]


def _put(ground: Ground, key: str, *, kind: str) -> None:
    ground.redis.delete(key)
    makers: dict[str, Callable[[], object]] = {
        "string": lambda: ground.redis.set(key, "x"),
        "list": lambda: ground.redis.rpush(key, "x"),
        "hash": lambda: ground.redis.hset(key, "x", "y"),
        "zset": lambda: ground.redis.zadd(key, {"x": 1}),
        "stream": lambda: ground.redis.xadd(key, {"x": "y"}),
        "set": lambda: ground.redis.sadd(key, "x"),
    }
    makers[kind]()


def _home(part: str) -> Key:
    return lambda ground: ground.home.tag + part


def _hub(part: str) -> Key:
    return lambda ground: ground.hub.tag + part


def _kept(name: str, key: Key, change: Callable[[Ground, str], object], stops: Stops) -> Plant:
    """What stood there before is put back."""
    kept: dict[str, bytes | None] = {}

    def plant(ground: Ground) -> None:
        kept["dump"] = ground.redis.dump(key(ground))
        change(ground, key(ground))

    def mend(ground: Ground) -> None:
        if kept["dump"] is None:
            ground.redis.delete(key(ground))
        else:  # in one step: the worker is at work
            ground.redis.restore(key(ground), 0, kept["dump"], replace=True)

    return Plant(name, plant, mend, stops)


# part of a partition → its own type, and what may stand still meanwhile
_PARTS: dict[str, tuple[str, Stops]] = {
    "marks": ("hash", "partition"),
    "outbox": ("stream", "partition"),
    "lease": ("hash", "partition"),
    "routed": ("hash", "nothing"),
    "stalled": ("hash", "nothing"),
    "locks": ("hash", "nothing"),
}
_HUB_PARTS: dict[str, tuple[str, Stops]] = {
    "workers": ("zset", "hub"),
    "about": ("hash", "hub"),
    "in": ("stream", "nothing"),
    "lease": ("hash", "nothing"),
    "dead": ("stream", "nothing"),
}


def types() -> Iterator[Plant]:
    """Those keys whose types tests/acceptance/test_bad_input_types.py leaves alone."""
    for where, parts in ((_home, _PARTS), (_hub, _HUB_PARTS)):
        of = "" if where is _home else "hub's "
        for part, (own, stops) in parts.items():
            for kind in ("string", "zset" if own != "zset" else "list"):
                yield _kept(f"{of}{part} is a {kind}", where(part), partial(_put, kind=kind), stops)


def _field(name: str, key: Key, field: bytes, value: bytes, stops: Stops = "nothing") -> Plant:
    return _kept(name, key, lambda ground, at: ground.redis.hset(at, field, value), stops)


def fields() -> Iterator[Plant]:
    """Fields of hashes that workers read."""
    for field in (b"owner", b"nonce", b"epoch", b"until", b"seq"):
        for value in (b"", b"x", b"-1", b"9" * 30):
            yield _field(f"lease.{field!a}={value[:12]!a}", _home("lease"), field, value, "partition")
    for value in (b"", b"x", b"-1", b"\xff"):
        yield _field(f"routed.epoch={value!a}", _home("routed"), b"epoch", value, "nothing")
    for part in ("parked", "stalled", "watch", "locks", "about"):
        for value in _RUBBISH:
            where = _hub(part) if part == "about" else _home(part)
            yield _field(f"{part}[strange]={value[:12]!a}", where, b"str\xffange", value)
    for value in (b"n1\n\n\n", b"ds:{default}:hub\nx y z", b"\n" * 1_000):
        yield _field(f"watch[n]={value[:12]!a}", _home("watch"), b"n", value)
    for about in (
        b"7",
        b'{"parked":{"x":["a"]},"runs":7}',
        b'{"parked":{"5":[{}]},"kept":{"5":7}}',
        b'{"queues":[[]],"lease_ms":"x"}',
    ):
        yield _told(f"about={about!a}", about)


def _told(name: str, about: bytes) -> Plant:
    """Somebody who pretends to be a worker, and is too old to be given partitions."""

    def plant(ground: Ground) -> None:
        ground.redis.hset(ground.hub.about, "ghost", about)
        ground.redis.zadd(ground.hub.workers, {"ghost": 1})

    def mend(ground: Ground) -> None:
        ground.redis.hdel(ground.hub.about, "ghost")
        ground.redis.zrem(ground.hub.workers, "ghost")

    return Plant(name, plant, mend)


def _members(name: str, key: Key, members: dict[bytes, float | str]) -> Plant:
    return _kept(name, key, lambda ground, at: ground.redis.zadd(at, members), "nothing")


def _sadd(ground: Ground, key: str, *, member: bytes) -> None:
    ground.redis.sadd(key, member)


def members() -> Iterator[Plant]:
    """Members of sorted sets and sets."""
    for status in ALL:
        for member, score in (
            (b"\xff\xfe", 5),
            (b"nobody", "inf"),
            (b"a\nb\x1b[2J", "-inf"),
            (b"", 1e300),
            (b"x" * 100_000, 1.5),
        ):
            yield _members(f"s:{status} holds {member[:8]!a} at {score}", _home(f"s:{status}"), {member: score})
    for member, score in ((b"\xff\xfe", 5), (b"no entity", "inf"), (b"@a@b", 7), (b"@" + b"x" * 5_000, 0)):
        yield _members(f"entities holds {member[:8]!a} at {score}", _home("entities"), {member: score})
    for member, score in ((b"\xff\xfe", 5), (b"ghost", "inf"), (b"ghost", "-inf"), (b"a\nb\x1b[2J", 1e300), (b"", 0)):
        yield _members(f"workers holds {member[:8]!a} at {score}", _hub("workers"), {member: score})
    for queue in (b"\xff\xfe", b"", b"a/b", b"x" * 5_000, b"a\r\nb", b"{other}", b"*", b"../inbox"):
        name = f"queues holds {queue[:8]!a}"
        yield _kept(name, _home("queues"), partial(_sadd, member=queue), "nothing")


# ---------------------------------------------------------------- streams

_STREAMS: dict[str, tuple[Key, Stops]] = {
    "activities": (_home("a:default"), "partition"),
    "outbox": (_home("outbox"), "nothing"),
    "ingress": (_hub("in"), "nothing"),
    "dead letters": (_hub("dead"), "nothing"),
    "inbox": (_home("inbox"), "partition"),
}


def streams() -> Iterator[Plant]:
    """Ids that are used up or far ahead, streams that were emptied, groups that were moved or destroyed."""
    for name, (key, stops) in _STREAMS.items():
        if name == "inbox":  # its owner mends it
            yield Plant("inbox: an id far ahead", lambda g: g.redis.xadd(g.home.inbox, {"m": "x"}, id=_FAR_ID))
            yield Plant(
                "inbox: the largest id", lambda g: g.redis.xadd(g.home.inbox, {"m": "x"}, id=_MAX_ID), None, stops
            )
        else:
            yield _kept(
                f"{name}: an id far ahead", key, lambda g, at: g.redis.xadd(at, {"m": "x"}, id=_FAR_ID), "nothing"
            )
            yield _kept(f"{name}: the largest id", key, lambda g, at: g.redis.xadd(at, {"m": "x"}, id=_MAX_ID), stops)
        for what, change in _BENT.items():
            yield Plant(f"{name}: {what}", partial(_bend, key=key, change=change))
    activities = _home("a:default")
    for what, change in _GROUPS.items():
        yield Plant(f"activities: {what}", partial(_bend, key=activities, change=change))
    yield Plant(
        "activities: the group stands far ahead",
        lambda g: g.redis.xgroup_setid(activities(g), "workers", "9999999999999-0"),
        lambda g: g.redis.xgroup_setid(activities(g), "workers", "0"),
        "partition",
    )


Change = Callable[[Any, str], object]

_BENT: dict[str, Change] = {
    "emptied by XADD MAXLEN 0": lambda server, key: server.xadd(key, {"m": "x"}, maxlen=0, approximate=False),
    "trimmed": lambda server, key: server.xtrim(key, maxlen=0, approximate=False),
    "deleted": lambda server, key: server.delete(key),
}
_GROUPS: dict[str, Change] = {
    "the group is destroyed": lambda server, key: server.xgroup_destroy(key, "workers"),
    "the group stands at the end": lambda server, key: server.xgroup_setid(key, "workers", "$"),
    "the group stands at the start": lambda server, key: server.xgroup_setid(key, "workers", "0"),
    "another group": lambda server, key: server.xgroup_create(key, "x\x1b[2J", "0"),
    "another consumer": lambda server, key: server.xgroup_createconsumer(key, "workers", b"\xff\xfe"),
}


def _bend(ground: Ground, *, key: Key, change: Change) -> None:
    change(ground.redis, key(ground))


def settings() -> Iterator[Plant]:
    """The hub's settings, changed while a worker runs: it goes on with those that it has read."""
    for field, value in (
        ("partitions", "0"),
        ("partitions", "x"),
        ("payload_bytes_max", "-1"),
        ("schema", "99"),
        ("retention_ms", ""),
    ):
        yield _field(f"{field}={value}", _hub("hub"), field.encode(), value.encode())


PLANTS: dict[str, list[Plant]] = {make.__name__: list(make()) for make in (types, fields, members, streams, settings)}
