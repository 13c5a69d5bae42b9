"""Reading verbs of `fsck`: what stands under the hub's keys, as it stands there, in bounded steps, whatever somebody did to it.

Every verb is read-only and costs the server a fraction of a millisecond per command. A command that meets a key of another type
answers None in place of its reply: the inventory tells of that key.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, Final, NamedTuple, Self, TypeAlias

from durastream.core.status import ALL, Status
from durastream.errors import HubNotFound
from durastream.store.connection import ReplyError
from durastream.store.keys import GROUP, HUBS, HubKeys
from durastream.store.place import Place
from durastream.store.protocol import HubInfo, ServerInfo
from durastream.store.redis import decode
from durastream.store.redis.hubs import PARTITIONS_MAX
from durastream.store.redis.inspection import InspectionVerbs

_STEP: Final = 500  # entries that one SCAN, HSCAN, ZSCAN or XRANGE goes through
_REPLY_BYTES: Final = 4 << 20  # about what one reply of events or payloads may hold
_EVENTS_MAX: Final = 1_000  # in one reply
_HEAD: Final = (
    "execution_id", "name", "status", "revision", "events", "created_at", "updated_at", "completed_at", "version",
    "failure", "custom_status", "tags", "parent", "notify", "reply", "problem", "start_at",
)  # fmt: skip
_PAYLOADS: Final = ("input", "output")

Command: TypeAlias = tuple[Any, ...]


class FoundKey(NamedTuple):
    """A key of the hub: its type as the server calls it, and milliseconds to live, None = for ever."""

    name: bytes
    kind: str
    ttl_ms: int | None


class InstanceHead(NamedTuple):
    """What stands about an instance beside its history. `fields` without input and output, of which `sizes` tells."""

    fields: dict[str, bytes]
    sizes: dict[str, int]  # of input and output in bytes, 0 where there is none
    history_length: int
    indexed: dict[Status, float]  # created_at under which each index has it
    parked: bytes | None
    watched: bool


class StreamState(NamedTuple):
    """A stream: how many entries, the last id it ever gave, and what its group has handed out and not seen acknowledged."""

    length: int
    last_id: str
    claimed: dict[str, int]  # entries by consumer


class Claim(NamedTuple):
    """An entry that a consumer has claimed, for how long, and whether the entry is still there."""

    entry_id: str
    consumer: str
    idle_ms: int
    there: bool


class RawHub(InspectionVerbs):
    """The hub as it stands. Open it with `RawHub.open`; close it with `close`."""

    _events_at_once = 50  # learnt from what came, so that a reply stays below a few MiB

    @classmethod
    async def open(cls, url: str, name: str) -> Self:
        """Raises HubNotFound where nothing at all tells of such a hub. Settings that are damaged are guessed: `settings` has
        them as they are."""
        hub = cls(Place.parse(url), HubInfo(name, 0, 0, 0, 0, 0))
        try:
            await hub.prove("fsck")
            found = await hub.settings()
            partitions = decode.count(found.get("partitions"))
            if not found and not await hub._any_key():
                raise HubNotFound(f"no hub {name!r} on this server; `durastream hub list` shows those there are")
            if not 1 <= partitions <= PARTITIONS_MAX:
                partitions = await hub._partitions_seen()
        except BaseException:
            await hub.close()
            raise
        hub.hub = HubInfo(
            name,
            partitions,
            decode.count(found.get("retention_ms")),
            decode.count(found.get("payload_bytes_max")),
            decode.count(found.get("created_at")),
            decode.count(found.get("schema")),
        )
        hub.keys = HubKeys(name, partitions)
        return hub

    async def _any_key(self) -> bool:
        async for page in self.key_names():
            if page:
                return True
        return False

    async def _partitions_seen(self) -> int:
        """One more than the highest partition that a key names."""
        highest = 0
        prefix = re.escape(self.keys.partitions_prefix.encode())
        async for page in self.key_names():
            for name in page:
                match = re.match(prefix + rb"([0-9]{1,4})}:", name)
                highest = max(highest, int(match[1]) + 1 if match else 0)
        return min(highest, PARTITIONS_MAX)

    async def ask(self, commands: Iterable[Command]) -> list[Any]:
        """Replies in order; None for a command that the server refused (another type, no such key or group)."""
        connection = self._commands.live or await self._commands.get()
        replies: list[Any] = []
        for reply in [connection.call(*command) for command in commands]:
            try:
                replies.append(await reply)
            except ReplyError:
                replies.append(None)
        return replies

    # -- hub

    async def settings(self) -> dict[str, bytes]:
        (flat,) = await self.ask([("HGETALL", self.keys.settings)])
        return _named(flat)

    async def listed(self) -> bool:
        """Whether the server's list of hubs has this one."""
        (found,) = await self.ask([("SISMEMBER", HUBS, self.hub.name)])
        return bool(found == 1)

    async def server(self) -> ServerInfo:
        return await self.server_info()

    async def now(self) -> int:
        ((seconds, micros),) = await self.ask([("TIME",)])
        return int(seconds) * 1_000 + int(micros) // 1_000

    async def workers(self) -> tuple[dict[str, float], set[str]]:
        """Workers by the time they were last seen, and those of whom something is told."""
        seen, about = await self.ask([("ZRANGE", self.keys.workers, 0, -1, "WITHSCORES"), ("HKEYS", self.keys.about)])
        return _scores(seen), {_text(one) for one in about or ()}

    # -- keys

    async def count_of_keys(self) -> int:
        """On all servers: what a walk through the keys goes past."""
        counts = [await connection.call("DBSIZE") for connection in await self._commands.masters()]
        return sum(int(count) for count in counts)

    async def key_names(self) -> AsyncIterator[list[bytes]]:
        """All keys of the hub, page by page; one that stays is there at least once. In a Cluster, one that is moved to another
        node meanwhile may be missed, or come twice."""
        for connection in await self._commands.masters():
            cursor = b"0"
            while True:
                command = ("SCAN", cursor, "MATCH", self.keys.tag[:-2] + "[:}]*", "COUNT", _STEP)
                cursor, found = await connection.call(*command)
                yield found
                if cursor == b"0":
                    break

    async def describe(self, names: Sequence[bytes]) -> list[FoundKey]:
        """Type and time to live of those keys that (still) exist."""
        replies = await self.ask(command for name in names for command in (("TYPE", name), ("PTTL", name)))
        kinds = (kind.decode() for kind in replies[::2])
        return [
            FoundKey(name, kind, ttl if ttl is not None and ttl >= 0 else None)
            for name, kind, ttl in zip(names, kinds, replies[1::2], strict=True)
            if kind != "none"
        ]

    async def existing(self, names: Sequence[str]) -> list[bool]:
        return [found == 1 for found in await self.ask(("EXISTS", name) for name in names)]

    # -- pages of one key

    async def walk_zset(self, key: str) -> AsyncIterator[list[tuple[bytes, float]]]:
        """(member, score), page by page, in no order; some may come twice."""
        async for flat in self._scan("ZSCAN", key):
            yield [(member, float(score)) for member, score in zip(flat[::2], flat[1::2], strict=True)]

    async def walk_hash(self, key: str) -> AsyncIterator[list[tuple[bytes, bytes]]]:
        """(field, value), like `walk_zset`."""
        async for flat in self._scan("HSCAN", key):
            yield list(zip(flat[::2], flat[1::2], strict=True))

    async def walk_set(self, key: str) -> AsyncIterator[list[bytes]]:
        """Members, like `walk_zset`."""
        async for page in self._scan("SSCAN", key):
            yield page

    async def _scan(self, command: str, key: str) -> AsyncIterator[list[bytes]]:
        cursor = b"0"
        while True:
            (reply,) = await self.ask([(command, key, cursor, "COUNT", _STEP)])
            if reply is None:
                return
            cursor, page = reply
            yield page
            if cursor == b"0":
                return

    async def walk_stream(self, key: str) -> AsyncIterator[list[tuple[str, list[bytes]]]]:
        """(entry id, flat fields), page by page, oldest first."""
        after, count = "-", 20
        while True:
            (page,) = await self.ask([("XRANGE", key, after, "+", "COUNT", count)])
            if not page:
                return
            yield [(entry_id.decode(), fields) for entry_id, fields in page if fields is not None]
            after = f"({page[-1][0].decode()}"
            size = sum(len(part) for _, fields in page for part in fields or ())
            count = _following(len(page), size, _STEP)

    async def stream_states(self, keys: Sequence[str]) -> list[StreamState | None]:
        """None where there is no stream."""
        commands = (
            command for key in keys for command in (("XLEN", key), ("XINFO", "STREAM", key), ("XPENDING", key, GROUP))
        )
        replies = await self.ask(commands)
        return [_state(*replies[at : at + 3]) for at in range(0, len(replies), 3)]

    async def claims(self, key: str) -> AsyncIterator[list[Claim]]:
        """What the group of a stream has handed out, page by page."""
        after = "-"
        while True:
            (page,) = await self.ask([("XPENDING", key, GROUP, after, "+", _STEP)])
            if not page:
                return
            there = await self.ask(("XRANGE", key, entry, entry) for entry, *_ in page)
            yield [
                Claim(entry.decode(), _text(consumer), idle, bool(found))
                for (entry, consumer, idle, _), found in zip(page, there, strict=True)
            ]
            after = f"({page[-1][0].decode()}"

    # -- instances

    async def heads(self, homes: Sequence[tuple[int, str]]) -> list[InstanceHead]:
        """Of (partition, instance id) each."""
        width = 4 + len(_PAYLOADS) + len(ALL)
        flat = await self.ask(command for partition, one in homes for command in self._head(partition, one))
        return [_instance_head(flat[at : at + width]) for at in range(0, len(flat), width)]

    def _head(self, partition: int, instance_id: str) -> list[Command]:
        names = self.keys.partitions[partition]
        key = names.instance(instance_id)
        return [
            ("HMGET", key, *_HEAD),
            ("HLEN", names.history(instance_id)),
            ("HGET", names.parked, instance_id),
            ("HEXISTS", names.watch, instance_id),
            *(("HSTRLEN", key, field) for field in _PAYLOADS),
            *(("ZSCORE", names.status[status], instance_id) for status in ALL),
        ]

    async def revisions(self, keys: Sequence[str]) -> list[bytes | None]:
        """Of instances or entities."""
        return await self.ask(("HGET", key, "revision") for key in keys)

    async def events(self, partition: int, instance_id: str, count: int) -> AsyncIterator[list[bytes | None]]:
        """Events 0 … count-1 in order, None for those that are not there, page by page."""
        key = self.keys.partitions[partition].history(instance_id)
        first = 0
        while first < count:
            numbers = range(first, min(first + self._events_at_once, count))
            (page,) = await self.ask([("HMGET", key, *numbers)])
            if page is None:
                return
            yield page
            first = numbers.stop
            size = sum(len(event) for event in page if event is not None)
            self._events_at_once = _following(len(page), size, _EVENTS_MAX)

    async def histories(self, wanted: Sequence[tuple[int, str, int]]) -> list[list[bytes | None]]:
        """Histories of (partition, instance id, count) each, that are short together: in one go."""
        partitions = self.keys.partitions
        replies = await self.ask(
            ("HMGET", partitions[partition].history(one), *range(count)) for partition, one, count in wanted
        )
        return [reply or [] for reply in replies]

    async def fields(self, keys: Sequence[str], *names: str) -> list[list[bytes | None]]:
        """These fields of each hash."""
        found = await self.ask(("HMGET", key, *names) for key in keys)
        return [values or [None] * len(names) for values in found]

    async def payloads(self, key: str) -> list[bytes | None]:
        """Input and output of one instance."""
        return (await self.fields([key], *_PAYLOADS))[0]

    async def scores(self, pairs: Sequence[tuple[str, str | bytes]]) -> list[float | None]:
        """The score of each (key of a sorted set, member)."""
        found = await self.ask(("ZSCORE", key, member) for key, member in pairs)
        return [None if score is None else float(score) for score in found]

    async def values(self, pairs: Sequence[tuple[str, str]]) -> list[bytes | None]:
        """The value under each (key of a hash, field)."""
        return await self.ask(("HGET", key, field) for key, field in pairs)

    async def entry(self, key: str, entry_id: str) -> list[bytes] | None:
        """Fields of one stream entry, flat; None where it is gone."""
        (found,) = await self.ask([("XRANGE", key, entry_id, entry_id)])
        return found[0][1] if found else None

    async def members(self, key: str) -> list[bytes]:
        """Of a small set."""
        (found,) = await self.ask([("SMEMBERS", key)])
        return list(found or ())

    async def whole(self, key: str) -> dict[str, bytes]:
        """A small hash."""
        (flat,) = await self.ask([("HGETALL", key)])
        return _named(flat)


def _following(count: int, size: int, most: int) -> int:
    """How many of what has just come may come in the next reply."""
    return max(1, min(most, 4 * count, _REPLY_BYTES * count // max(size, 1)))


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def _named(flat: list[bytes] | None) -> dict[str, bytes]:
    return {_text(name): value for name, value in decode.pairs(flat or []).items()}


def _scores(flat: list[bytes] | None) -> dict[str, float]:
    return {_text(name): float(score) for name, score in decode.pairs(flat or []).items()}


def _instance_head(replies: list[Any]) -> InstanceHead:
    fields, length, parked, watched, *rest = replies
    sizes, scores = rest[: len(_PAYLOADS)], rest[len(_PAYLOADS) :]
    return InstanceHead(
        {name: value for name, value in zip(_HEAD, fields or (), strict=False) if value is not None},
        {name: size or 0 for name, size in zip(_PAYLOADS, sizes, strict=True)},
        length or 0,
        {status: float(score) for status, score in zip(ALL, scores, strict=True) if score is not None},
        parked,
        watched == 1,
    )


def _state(length: int | None, info: list[Any] | None, pending: list[Any] | None) -> StreamState | None:
    if length is None or info is None:
        return None
    known = dict(zip(info[::2], info[1::2], strict=False))
    claimed = {_text(name): int(count) for name, count in (pending[3] or ())} if pending else {}
    return StreamState(length, known[b"last-generated-id"].decode(), claimed)
