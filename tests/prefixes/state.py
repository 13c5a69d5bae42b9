"""The log as a machine: what each unit does to the hub's keys, and what the invariants of steps want to know of it.

Only what they ask for is kept: hashes and streams. `exploring` compares it with the server at the end, so that it cannot drift
away unnoticed.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from durastream.core.events import EventRewound
from durastream.core.ids import partition_of
from durastream.inspect.invariants.log import LeaseChange, RecordChange, Removed, Role, UnitSnapshot
from durastream.store.keys import HUBS, HubKeys
from durastream.wire import unpack_event
from tests.prefixes.aof import Unit
from tests.prefixes.journal import COUNTER, connected

Words: TypeAlias = tuple[bytes, ...]
Hash: TypeAlias = dict[bytes, bytes]
Stream: TypeAlias = dict[bytes, Words]

_EXTRA: Final = re.compile(rb"(answers \d+|prefixes:.*)")
"""Keys that the workloads write themselves."""


def _pairs(flat: Words) -> Iterator[tuple[bytes, bytes]]:
    return zip(flat[::2], flat[1::2], strict=True)


class State:
    """All keys of a hub after the units that were applied."""

    def __init__(self, hub: str, partitions: int) -> None:
        self.keys = HubKeys(hub, partitions)
        self.hashes: defaultdict[bytes, Hash] = defaultdict(dict)
        self.streams: defaultdict[bytes, Stream] = defaultdict(dict)
        self.acked = 0
        self._roles = self._streams_by_role()
        self._leases = {one.lease.encode() for one in self.keys.partitions} | {self.keys.lease.encode()}
        self._apply: Mapping[bytes, Callable[[bytes, Words], None]] = {
            b"HSET": self._hset,
            b"HDEL": self._hdel,
            b"HINCRBY": self._hincrby,
            b"XADD": self._xadd,
            b"XDEL": self._xdel,
            b"DEL": self._del,
            b"UNLINK": self._del,
            b"INCRBY": self._incrby,
            **dict.fromkeys((b"ZADD", b"ZREM", b"SADD", b"SREM", b"XACK", b"XCLAIM", b"XGROUP"), self._nothing),
            **dict.fromkeys((b"RPUSH", b"LPOP", b"PEXPIREAT", b"XSETID"), self._nothing),
        }

    def _streams_by_role(self) -> dict[bytes, Role]:
        roles: dict[bytes, Role] = {self.keys.ingress.encode(): "ingress"}
        for one in self.keys.partitions:
            roles[one.inbox.encode()] = "inbox"
            roles[one.outbox.encode()] = "outbox"
        return roles

    # -- commands

    def _hset(self, key: bytes, rest: Words) -> None:
        self.hashes[key] |= dict(_pairs(rest))

    def _hdel(self, key: bytes, rest: Words) -> None:
        for field in rest:
            self.hashes[key].pop(field, None)

    def _hincrby(self, key: bytes, rest: Words) -> None:
        field, by = rest
        self.hashes[key][field] = b"%d" % (int(self.hashes[key].get(field, b"0")) + int(by))

    def _xadd(self, key: bytes, rest: Words) -> None:
        at = 3 if rest[0].upper() == b"MAXLEN" else 0  # MAXLEN ~ n
        self.streams[key][rest[at]] = rest[at + 1 :]

    def _xdel(self, key: bytes, rest: Words) -> None:
        for entry in rest:
            self.streams[key].pop(entry, None)

    def _del(self, key: bytes, rest: Words) -> None:
        for one in (key, *rest):
            self.hashes.pop(one, None)
            self.streams.pop(one, None)

    def _incrby(self, key: bytes, rest: Words) -> None:
        if key == COUNTER.encode():
            self.acked += int(rest[0])

    def _nothing(self, key: bytes, rest: Words) -> None:
        """It changes neither hashes nor entries of streams."""

    # -- units

    def apply(self, number: int, unit: Unit) -> UnitSnapshot:
        """Take one step. Raises KeyError for a command that is not known here."""
        touched = {_key(words) for words in unit.commands}
        hashes = {key: dict(self.hashes.get(key, {})) for key in self._and_records(touched)}
        streams = {
            words[1]: dict(self.streams.get(words[1], {})) for words in unit.commands if words[0].upper() == b"XDEL"
        }
        for words in unit.commands:
            self._apply[words[0].upper()](words[1], words[2:])
        return UnitSnapshot(
            f"unit {number}",
            tuple(self._records(unit, hashes)),
            tuple(self._lease(key, hashes[key]) for key in touched & self._leases),
            tuple(self._removals(unit, streams, hashes)),
            tuple(key.decode(errors="replace") for key in sorted(touched) if self._strange(key)),
        )

    def differs(self, url: str) -> list[str]:
        """Keys that hold something else on this server: hashes by content, streams by their entries."""
        with connected(url) as server:
            names: list[bytes] = list(server.scan_iter(count=1_000))
            kinds = {key: server.type(key) for key in names}
            hashes = {key: server.hgetall(key) for key in names if kinds[key] == b"hash"}
            streams = {key: [one for one, _ in server.xrange(key)] for key in names if kinds[key] == b"stream"}
        found = _unlike(hashes, {key: value for key, value in self.hashes.items() if value})
        found += _unlike(
            {key: entries for key, entries in streams.items() if entries},
            {key: list(entries) for key, entries in self.streams.items() if entries},
        )
        return [f"harness: {key!r} differs from the server's" for key in found]

    def _strange(self, key: bytes) -> bool:
        prefixes = (self.keys.tag.encode(), self.keys.partitions_prefix.encode())
        return not key.startswith(prefixes) and key != HUBS.encode() and not _EXTRA.fullmatch(key)

    def _and_records(self, touched: set[bytes]) -> set[bytes]:
        """With the record of each history, and the history of each record."""
        both = set(touched)
        for key in touched:
            both |= {_with(key, b"i"), _with(key, b"h")} if _family(key) else set()
        return both

    def _records(self, unit: Unit, before: Mapping[bytes, Hash]) -> Iterator[RecordChange]:
        for key in sorted({_with(words[1], b"i") for words in unit.commands if _family(words[1])}):
            name, history = key.split(b"}:i:", 1)[1].decode(), _with(key, b"h")
            number = partition_of(name, len(self.keys.partitions))
            yield RecordChange(
                name,
                key.decode(),
                _named(before[key]),
                _named(self.hashes.get(key, {})),
                _numbered(before[history]),
                _numbered(self.hashes.get(history, {})),
                revisions=_times(unit, key, b"revision"),
                committed=self._commits(unit, self.keys.partitions[number].lease.encode()),
                rewound=_rewinds(unit, history, before[history]),
            )

    def _commits(self, unit: Unit, lease: bytes) -> bool:
        return _times(unit, lease, b"seq") == 1 and _times(unit, lease, b"epoch") == 0

    def _lease(self, key: bytes, before: Hash) -> LeaseChange:
        return LeaseChange(key.decode(), _named(before), _named(self.hashes.get(key, {})))

    # -- what left a stream

    def _removals(self, unit: Unit, before: Mapping[bytes, Stream], hashes: Mapping[bytes, Hash]) -> Iterator[Removed]:
        for word, key, *rest in unit.commands:
            role = self._role(key)
            if word.upper() != b"XDEL" or role is None:
                continue
            for entry in rest:
                fields = before[key].get(entry)
                if fields is not None:
                    yield Removed(key.decode(), role, entry.decode(), self._effect(role, unit, (key, entry, fields)))

    def _role(self, key: bytes) -> Role | None:
        return "activities" if b"}:a:" in key else self._roles.get(key)

    def _effect(self, role: Role, unit: Unit, entry: tuple[bytes, bytes, Words]) -> bool:
        key, entry_id, fields = entry
        tag = key[: key.index(b"}:") + 2]
        if role == "inbox":
            return self._commits(unit, tag + b"lease")
        if role == "activities":
            adds = [words[1] for words in unit.commands if words[0].upper() == b"XADD"]
            return any(one == tag + b"inbox" or b"}:a:" in one for one in adds)
        if role == "outbox":
            return self._delivered(tag, entry_id, dict(_pairs(fields)))
        taken = any(entry_id in self.hashes.get(one.routed.encode(), {}) for one in self.keys.partitions)
        return taken or bool(self.streams.get(self.keys.dead.encode()))

    def _delivered(self, tag: bytes, entry_id: bytes, fields: Hash) -> bool:
        """The target's mark of this partition is at this entry or further."""
        target = fields[b"to"]
        if target == b"dead":
            return bool(self.streams.get(self.keys.dead.encode()))
        if target == b"reply":
            return True  # lists are not kept here; the workload looks at them
        source = b"p" + tag[len(self.keys.partitions_prefix) : -2]
        mark = self.hashes.get(self.keys.partitions[int(target)].marks.encode(), {}).get(source, b"")
        epoch, _, sequence, _ = mark.split(b":") if mark else (b"0", b"", b"0", b"")
        wanted = tuple(int(part) for part in entry_id.split(b"-"))
        return (int(epoch), int(sequence)) >= wanted


def _unlike(one: Mapping[bytes, Any], other: Mapping[bytes, Any]) -> list[bytes]:
    return sorted(key for key in one.keys() | other.keys() if one.get(key) != other.get(key))


def _key(words: Words) -> bytes:
    return words[2] if words[0].upper() == b"XGROUP" else words[1]


def _family(key: bytes) -> bool:
    return b"}:i:" in key or b"}:h:" in key


def _with(key: bytes, letter: bytes) -> bytes:
    """The key of the record (i) or history (h) that goes with one or the other."""
    if not _family(key):
        return key
    tag, rest = key.split(b"}:", 1)
    return tag + b"}:" + letter + rest[1:]


def _named(fields: Hash) -> dict[str, bytes]:
    return {name.decode(): value for name, value in fields.items()}


def _numbered(fields: Hash) -> dict[int, bytes]:
    return {int(name): value for name, value in fields.items()}


def _times(unit: Unit, key: bytes, field: bytes) -> int:
    return sum(words[2::2].count(field) for words in unit.commands if words[1] == key and words[0].upper() == b"HSET")


def _rewinds(unit: Unit, history: bytes, before: Hash) -> bool:
    written = {
        field: value
        for words in unit.commands
        if words[1] == history and words[0].upper() == b"HSET"
        for field, value in _pairs(words[2:])
    }
    changed = [value for field, value in written.items() if field in before]
    return any(isinstance(unpack_event(value), EventRewound) for value in changed)
