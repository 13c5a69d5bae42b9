"""Hubs: created once, opened by everybody, listed and deleted by operators; and whether the server is fit for one."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from durastream.core.ids import check_hub
from durastream.core.limits import PAYLOAD_BYTES_HARD_MAX, PAYLOAD_BYTES_MAX
from durastream.errors import Conflict, HubMismatch, HubNotFound, InvalidId, ServerUnsuitable
from durastream.store import scripts
from durastream.store.connect import Endpoint
from durastream.store.connection import Connection, ReplyError
from durastream.store.keys import HUBS, SCHEMA, HubKeys
from durastream.store.protocol import HubInfo
from durastream.store.redis import decode

log = logging.getLogger("durastream.store")

PARTITIONS = 16
PARTITIONS_MAX = 1_024
RETENTION_S = 72 * 3_600
_OLDEST = (7, 0)
_SCAN_COUNT = 500


class ServerReport(NamedTuple):
    """What matters of a server's configuration; None where the server does not tell."""

    version: str | None
    eviction: str | None  # maxmemory-policy
    aof: bool | None


@asynccontextmanager
async def _connected(endpoint: Endpoint) -> AsyncIterator[Connection]:
    connection = await Connection.open(endpoint, client_name="durastream-hub")
    try:
        yield connection
    finally:
        await connection.close()


async def open_hub(
    endpoint: Endpoint, name: str, *, partitions: int | None = None, retention_ms: int | None = None
) -> HubInfo:
    """Read the hub's settings, creating it with the given ones (or defaults) when it is new."""
    check_hub(name)
    _check_partitions(partitions)
    async with _connected(endpoint) as connection:
        _refuse_old(await server_report(connection))
        wanted = {"partitions": partitions, "retention_ms": retention_ms}
        info = await _create_or_read(connection, name, wanted)
        for field, value in wanted.items():
            if value is not None and getattr(info, field) != value:
                raise HubMismatch(
                    f"hub {name!r} exists with {field}={getattr(info, field)}, not {value}. Settings are fixed when a hub"
                    f" is created: leave {field} out, or use another hub."
                )
        return info


def _check_partitions(partitions: int | None) -> None:
    if partitions is not None and not 1 <= partitions <= PARTITIONS_MAX:
        raise InvalidId(f"a hub has 1 to {PARTITIONS_MAX} partitions, not {partitions}")


async def _create_or_read(connection: Connection, name: str, wanted: dict[str, int | None]) -> HubInfo:
    settings = {"partitions": PARTITIONS, "retention_ms": RETENTION_S * 1_000, "payload_bytes_max": PAYLOAD_BYTES_MAX}
    settings |= {field: value for field, value in wanted.items() if value is not None}
    flat = [x for item in settings.items() for x in item]
    keys = HubKeys(name, 0)
    await scripts.run(connection, "hub", [keys.settings], ["schema", SCHEMA, *flat])
    await connection.call("SADD", HUBS, name)
    return await _read(connection, name)


async def _read(connection: Connection, name: str) -> HubInfo:
    flat = await connection.call("HGETALL", HubKeys(name, 0).settings)
    if not flat:
        raise HubNotFound(f"no hub {name!r} on this server; `durastream hub list` shows those there are")
    try:
        known = {field.decode(): int(value) for field, value in decode.pairs(flat).items()}
        _check_partitions(known["partitions"])
    except (ValueError, KeyError, InvalidId) as error:
        raise HubMismatch(
            f"the settings of hub {name!r} have been spoilt ({error}): put back {HubKeys(name, 0).settings} as it was, or"
            " delete the hub"
        ) from None
    if known.get("schema") != SCHEMA:
        raise HubMismatch(
            f"hub {name!r} was written with schema {known.get('schema')}; this release reads schema {SCHEMA}. Use the release"
            " that wrote it, or another hub."
        )
    return HubInfo(name, **{field: known[field] for field in HubInfo._fields[1:]})


async def create_hub(
    url: str,
    name: str,
    *,
    partitions: int = PARTITIONS,
    retention_s: float = RETENTION_S,
    payload_bytes_max: int = PAYLOAD_BYTES_MAX,
) -> HubInfo:
    """Create a hub with these settings. HubMismatch when it exists with other ones."""
    check_hub(name)
    _check_partitions(partitions)
    if not 1 <= payload_bytes_max <= PAYLOAD_BYTES_HARD_MAX:
        raise InvalidId(f"payload_bytes_max is 1 to {PAYLOAD_BYTES_HARD_MAX}, not {payload_bytes_max}")
    wanted: dict[str, int | None] = {
        "partitions": partitions,
        "retention_ms": int(retention_s * 1_000),
        "payload_bytes_max": payload_bytes_max,
    }
    async with _connected(Endpoint.parse(url)) as connection:
        _refuse_old(await server_report(connection))
        info = await _create_or_read(connection, name, wanted)
    different = {field: getattr(info, field) for field, value in wanted.items() if getattr(info, field) != value}
    if different:
        raise HubMismatch(f"hub {name!r} exists with other settings: {different}")
    return info


async def list_hubs(url: str) -> list[str]:
    async with _connected(Endpoint.parse(url)) as connection:
        return sorted(name.decode() for name in await connection.call("SMEMBERS", HUBS))


async def hub_info(url: str, name: str) -> HubInfo:
    async with _connected(Endpoint.parse(url)) as connection:
        return await _read(connection, name)


async def delete_hub(url: str, name: str) -> int:
    """Delete a hub with everything in it, in small steps. Returns the number of keys. Conflict while a worker is alive."""
    check_hub(name)
    async with _connected(Endpoint.parse(url)) as connection:
        keys = HubKeys(name, (await _read(connection, name)).partitions)
        seconds, _ = await connection.call("TIME")
        alive = await connection.call("ZCOUNT", keys.workers, (int(seconds) - 30) * 1_000, "+inf")
        if alive:
            raise Conflict(f"hub {name!r} has {alive} live workers; stop them first")
        deleted = 0
        for prefix in (keys.tag, keys.partitions_prefix):
            deleted += await _delete_all(connection, prefix + "*")
        await connection.call("SREM", HUBS, name)
        return deleted


async def _delete_all(connection: Connection, pattern: str) -> int:
    cursor, deleted = b"0", 0
    while True:
        cursor, found = await connection.call("SCAN", cursor, "MATCH", pattern, "COUNT", _SCAN_COUNT)
        if found:
            deleted += await connection.call("UNLINK", *found)
        if cursor == b"0":
            return deleted


async def server_report(connection: Connection) -> ServerReport:
    """From INFO. A server that does not know or forbids the command (fakeredis, some hosts) leaves None."""
    try:
        info = (await connection.call("INFO")).decode(errors="replace")
    except ReplyError:
        return ServerReport(None, None, None)
    known = dict(re.findall(r"^([a-z_]+):(.*?)\r?$", info, re.MULTILINE))
    aof = known.get("aof_enabled")
    version = known.get("valkey_version") or known.get("redis_version")
    return ServerReport(version, known.get("maxmemory_policy"), None if aof is None else aof == "1")


def _refuse_old(report: ServerReport) -> None:
    if report.version is None:
        return
    numbers = tuple(int(part) for part in re.findall(r"\d+", report.version)[:2])
    if numbers < _OLDEST:
        raise ServerUnsuitable(f"the server is version {report.version}; durastream needs Redis or Valkey 7.0 or newer")


def warn_of_settings(report: ServerReport) -> None:
    """Log what will lose work on this server, and what to set instead."""
    if report.eviction not in (None, "noeviction"):
        log.error(
            "maxmemory-policy is %s: the server will DELETE orchestrations when memory runs short."
            " Set it: CONFIG SET maxmemory-policy noeviction",
            report.eviction,
        )
    if report.aof is False:
        log.warning(
            "the append-only file is off: a restart of the server loses everything since its last snapshot."
            " Set it: CONFIG SET appendonly yes"
        )
