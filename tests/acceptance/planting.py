"""What somebody with write access puts into a hub by hand, and what can be seen of it afterwards."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count as counted
from itertools import islice
from typing import Any

import msgpack
import redis

from durastream.core.ids import partition_of
from durastream.store.keys import HubKeys, PartitionKeys
from tests.servers.looking import connect

PARTITIONS = 16


class Garden:
    """A plain connection to a hub's keys."""

    def __init__(self, connection: redis.Redis, hub: str) -> None:
        self.redis: Any = connection
        self.keys = HubKeys(hub, PARTITIONS)

    def home(self, instance_id: str) -> PartitionKeys:
        return self.keys.partitions[partition_of(instance_id, PARTITIONS)]

    def inbox(self, instance_id: str, blob: bytes) -> None:
        """A message into the inbox that this instance's messages go to."""
        self.redis.xadd(self.home(instance_id).inbox, {"m": blob})

    def add(self, stream: str, *fields: Mapping[Any, Any]) -> None:
        for one in fields:
            self.redis.xadd(stream, dict(one))

    def dead(self) -> list[tuple[str, bytes]]:
        """Dead letters: reason and what came."""
        entries = self.redis.xrange(self.keys.dead)
        return [(fields[b"reason"].decode(), fields[b"m"]) for _, fields in entries]

    def instances(self) -> set[str]:
        """Ids of all records and histories there are."""
        found = set()
        for key in self.redis.scan_iter(match="ds:{*", count=1_000):
            place, _, instance_id = key.decode(errors="replace").partition("}:")[2].partition(":")
            if place in ("i", "h"):
                found.add(instance_id)
        return found

    def waiting(self) -> dict[str, int]:
        """Entries of streams and of timer sets, but for ends of retention and dead letters."""
        left = {}
        for key in self.redis.scan_iter(match="ds:{*", count=1_000):
            name = key.decode(errors="replace")
            if name == self.keys.dead:
                continue
            kind = self.redis.type(key)
            if kind == b"stream":
                left[name] = self.redis.xlen(key)
            elif name.endswith(":timers"):
                left[name] = sum(1 for member in self.redis.zrange(key, 0, -1) if not member.startswith(b"X\n"))
        return {name: count for name, count in left.items() if count}


def ids_in(partition: int, count: int, prefix: str = "i") -> list[str]:
    """Instance ids that live in a partition."""
    return list(
        islice(
            (one for one in (f"{prefix}{k}" for k in counted()) if partition_of(one, PARTITIONS) == partition), count
        )
    )


@contextmanager
def garden(url: str, hub: str = "default") -> Iterator[Garden]:
    with connect(url) as connection:
        yield Garden(connection, hub)


# ---------------------------------------------------------------- rubbish


def nested(depth: int) -> bytes:
    """msgpack arrays in arrays."""
    return b"\x91" * depth + b"\x90"


# fmt: off
RUBBISH: list[bytes] = [
    b"", b"\x00", b"\xc0", b"\xc1", b"\xff", b"null", b"{}", b"[]", b'{"op":"start"}', b"start", b" ", b"\x80",
    b"\x90", b"\x91", b"\x91\x01", b"\x91\xc0", b"\x91\xcb", b"\x92\x01", b"\x92\x01\x01", b"\x92\x7f\x01",
    b"\x92\xff\x01", b"\xdc\xff\xff", b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff", b"\xd9\x80", b"\xc7\x05\x01hello", b"\xd4\x01\x00", b"\xc9\xff\xff\xff\xff\x01",
    b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00", b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\xd3\x80\x00\x00\x00\x00\x00\x00\x00", b"\x93\x01\x02\x03", b"\x81\x01\x02", b"\x1f\x8b\x08\x00",
    b"PK\x03\x04", b"\x80\x04\x95", b"cos\nsystem\n(S'true'\ntR.", b"\r\n$5\r\n", b"*1\r\n$8\r\nFLUSHALL\r\n",
    b"\xef\xbb\xbf{}", b"\xed\xa0\x80", b"A" * 10_000, bytes(range(256)), nested(50), nested(511), nested(1_023),
    nested(5_000), b"\x91" * 100_000, msgpack.packb([]), msgpack.packb([None]), msgpack.packb(["start"]),
    msgpack.packb([True, "i"]), msgpack.packb([1.0, "i"]), msgpack.packb([0]), msgpack.packb([-1]),
    msgpack.packb([12]), msgpack.packb([99, "i"]), msgpack.packb([2**63]), msgpack.packb({"a": 1}),
    msgpack.packb("text"), msgpack.packb(7), msgpack.packb(b"raw"), msgpack.packb([1] * 1_000),
]
# fmt: on
"""Bytes that are no message, no activity and no event."""


def shapes(code: int, count: int) -> list[bytes]:
    """The right code and number of fields, with wrong types in every place."""
    values: list[Any] = [None, True, -1, 1.5, 2**62, "", "x", "x" * 300, "\n", b"", b"raw", [], [1], {"a": 1}]
    return [msgpack.packb([code, *[value] * count]) for value in values]


def mutations(rng: random.Random, blob: bytes, count: int) -> list[bytes]:
    """A valid message with a few bytes flipped, cut, doubled or put in."""
    return [_mutated(rng, blob) for _ in range(count)]


def _mutated(rng: random.Random, blob: bytes) -> bytes:
    made = bytearray(blob)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(made) + 1)
        match rng.randrange(4):
            case 0:
                made[at:at] = bytes([rng.randrange(256)])
            case 1:
                del made[at : at + rng.randint(1, 5)]
            case 2:
                made[at:at] = made[max(0, at - 6) : at]
            case _:
                made[at : at + 1] = bytes([rng.randrange(256)])
    return bytes(made)
