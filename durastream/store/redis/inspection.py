"""Verbs that only operators need: finding ids without an index of their own, what waits, and how the server is set up."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from durastream.core.ids import partition_of
from durastream.core.status import Status
from durastream.errors import AccessDenied
from durastream.store.connection import Connection, ReplyError
from durastream.store.keys import GROUP
from durastream.store.protocol import IndexEntry, IndexPage, PartitionLoad, QueueLoad, ServerInfo
from durastream.store.redis import decode
from durastream.store.redis.base import Base
from durastream.store.redis.pages import no_cursor

_STEP: Final = 500  # entries that one ZSCAN goes through: about 0.1 ms
_ABREAST: Final = 8  # scans in one write, so that a hub of many small indexes costs few round trips
_CURSOR: Final = re.compile("[0-9]{1,9}(?: [0-9]{1,9}:[0-9]{1,20})*")
_GLOB: Final = re.compile(rb"([*?\[\]\\])")


class _Scan(NamedTuple):
    """How far one index has been gone through. `cursor` is the server's; "0" stands for the start."""

    place: int
    cursor: str


class InspectionVerbs(Base):
    # -- ids

    async def scan_ids(self, prefix: str, *, statuses: Sequence[Status], cursor: str | None, budget: int) -> IndexPage:
        indexes: list[tuple[str, Status]] = [
            (names.status[status], status) for names in self.keys.partitions for status in statuses
        ]
        under_way, unopened = _read_cursor(cursor)
        pattern, found, seen = _pattern(prefix), list[IndexEntry](), 0
        while seen < budget:
            room = range(unopened, min(unopened + _ABREAST - len(under_way), len(indexes)))
            under_way, unopened = [*under_way, *(_Scan(k, "0") for k in room)], unopened + len(room)
            if not under_way:
                return IndexPage(found, None)
            replies = await self._calls(
                ("ZSCAN", indexes[scan.place][0], scan.cursor, "MATCH", pattern, "COUNT", _STEP) for scan in under_way
            )
            for scan, (_, flat) in zip(under_way, replies, strict=True):
                found += _entries(flat, prefix, indexes[scan.place][1])
            seen += _STEP * len(under_way)
            under_way = _going_on(under_way, replies)
        done = not under_way and unopened == len(indexes)
        return IndexPage(found, None if done else _write_cursor(under_way, unopened))

    # -- what waits

    async def loads(self) -> list[PartitionLoad]:
        queues = await self._calls(("SMEMBERS", names.queues) for names in self.keys.partitions)
        known = (sorted(decode.names(found)) for found in queues)
        return list(await asyncio.gather(*(self._load_of(p, names) for p, names in enumerate(known))))

    async def _load_of(self, partition: int, queues: list[str]) -> PartitionLoad:
        names = self.keys.partitions[partition]
        keys = [names.inbox, names.parked, names.stalled, *(names.activities(queue) for queue in queues)]
        oldest, parked, stalled, *flat = await self._run("loads", keys, [GROUP], reading=True)
        loads = tuple(_queue_load(queue, *flat[3 * k : 3 * k + 3]) for k, queue in enumerate(queues))
        return PartitionLoad(partition, _entry_ms(oldest), parked, stalled, loads)

    async def timers_set(self, instance_id: str, execution_id: str, tasks: Sequence[int]) -> list[bool]:
        if not tasks:
            return []
        timers = self.keys.partitions[partition_of(instance_id, self.hub.partitions)].timers
        members = (f"T\n{task}\n{execution_id}\n{instance_id}" for task in tasks)
        return [due is not None for due in await self._call("ZMSCORE", timers, *members)]

    # -- the server

    async def server_info(self) -> ServerInfo:
        return together([await _told_by(connection) for connection in await self._commands.masters()])


# ---------------------------------------------------------------- ids


def _pattern(prefix: str) -> bytes:
    return _GLOB.sub(rb"\\\1", prefix.encode()) + b"*"


def _entries(flat: list[bytes], prefix: str, status: Status) -> Iterator[IndexEntry]:
    for member, score in zip(flat[::2], flat[1::2], strict=True):
        try:
            instance_id = member.decode()
        except UnicodeDecodeError:
            continue  # written by hand: it names no instance
        if instance_id.startswith(prefix):
            yield IndexEntry(instance_id, status, decode.score(score))


def _going_on(scans: Iterable[_Scan], replies: list[Any]) -> list[_Scan]:
    moved = (_Scan(scan.place, reply[0].decode()) for scan, reply in zip(scans, replies, strict=True))
    return [scan for scan in moved if scan.cursor != "0"]


def _write_cursor(scans: Iterable[_Scan], unopened: int) -> str:
    return " ".join([str(unopened), *(f"{scan.place}:{scan.cursor}" for scan in scans)])


def _read_cursor(cursor: str | None) -> tuple[list[_Scan], int]:
    """Scans under way, and the first index that was not begun."""
    if not _CURSOR.fullmatch(cursor or "0"):
        raise no_cursor(cursor or "")
    unopened, *scans = (cursor or "0").split(" ")
    parts = (scan.partition(":") for scan in scans)
    return [_Scan(int(place), at) for place, _, at in parts], int(unopened)


# ---------------------------------------------------------------- what waits


def _queue_load(queue: str, length: int, claimed: int, oldest: bytes) -> QueueLoad:
    return QueueLoad(queue, max(length - claimed, 0), claimed, _entry_ms(oldest))


def _entry_ms(entry_id: bytes) -> int | None:
    """When the server gave a stream entry its id."""
    return int(entry_id.partition(b"-")[0]) if entry_id else None


# ---------------------------------------------------------------- the server

_ASKED: Final[tuple[tuple[str | int, ...], ...]] = (
    ("TIME",),
    ("INFO",),
    ("CONFIG", "GET", "appendfsync"),
    ("EVAL", "return 1", 0),
    ("EVAL_RO", "return 1", 0),  # all that who may only read needs
)


async def _told_by(connection: Connection) -> ServerInfo:
    asked = [connection.call(*command) for command in _ASKED]
    (seconds, micros), info, fsync, *scripts = [await _tolerant(reply) for reply in asked]
    clock = int(seconds) * 1_000 + int(micros) // 1_000
    known = _info(info)
    return ServerInfo(
        clock=clock,
        kind=_kind(known),
        version=known.get("valkey_version") or known.get("redis_version"),
        uptime_s=_number(known, "uptime_in_seconds"),
        role=known.get("role"),
        clients=_number(known, "connected_clients"),
        used_memory=_number(known, "used_memory"),
        maxmemory=_number(known, "maxmemory"),
        policy=known.get("maxmemory_policy"),
        aof=_flag(known, "aof_enabled", "1"),
        aof_failing=_flag(known, "aof_last_write_status", "err"),
        appendfsync=fsync[1].decode() if isinstance(fsync, list) and len(fsync) == 2 else None,
        scripts=1 in scripts,
    )


def together(servers: Sequence[ServerInfo]) -> ServerInfo:
    """What many servers are as one: sums of what they use, and the worst of how they are set up."""
    first = servers[0]
    if len(servers) == 1:
        return first
    return first._replace(
        uptime_s=_least(one.uptime_s for one in servers),
        clients=_sum(one.clients for one in servers),
        used_memory=_sum(one.used_memory for one in servers),
        maxmemory=_sum(one.maxmemory for one in servers) if all(one.maxmemory for one in servers) else first.maxmemory,
        policy=next((one.policy for one in servers if one.policy not in (None, "noeviction")), first.policy),
        aof=False if any(one.aof is False for one in servers) else first.aof,
        aof_failing=True if any(one.aof_failing for one in servers) else first.aof_failing,
        appendfsync=next(
            (word for word in _WEAKEST if any(one.appendfsync == word for one in servers)), first.appendfsync
        ),
        scripts=all(one.scripts for one in servers),
    )


_WEAKEST: Final = ("no", "everysec", "always")


def _sum(values: Iterable[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _least(values: Iterable[int | None]) -> int | None:
    return min((value for value in values if value is not None), default=None)


async def _tolerant(reply: asyncio.Future[Any]) -> Any:
    """None for a command that this server does not have, or not for us."""
    try:
        return await reply
    except (ReplyError, AccessDenied):
        return None


def _info(reply: bytes | None) -> dict[str, str]:
    text = (reply or b"").decode(errors="replace")
    return dict(re.findall(r"^([a-z_]+):(.*?)\r?$", text, re.MULTILINE))


def _kind(known: dict[str, str]) -> str | None:
    if "valkey_version" in known:
        return "valkey"
    return "redis" if "redis_version" in known else None


def _number(known: dict[str, str], name: str) -> int | None:
    value = known.get(name, "")
    return int(value) if value.isdigit() else None


def _flag(known: dict[str, str], name: str, word: str) -> bool | None:
    value = known.get(name)
    return None if value is None else value == word
