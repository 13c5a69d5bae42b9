"""Hubs: created once, opened by everybody, listed and deleted by operators; and whether the server is fit for one."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from durastream.core.ids import check_hub
from durastream.core.limits import PAYLOAD_BYTES_HARD_MAX, PAYLOAD_BYTES_MAX, TIME_MS_MAX
from durastream.errors import AccessDenied, Conflict, HubMismatch, HubNotFound, InvalidId, ServerUnsuitable
from durastream.store import rights, scripts, topology, versions
from durastream.store.connection import Caller, Connection, ReplyError
from durastream.store.keys import HUBS, SCHEMA, HubKeys
from durastream.store.place import Place
from durastream.store.protocol import HubInfo
from durastream.store.redis import decode
from durastream.store.slots import slot

log = logging.getLogger("durastream.store")

PARTITIONS = 16
PARTITIONS_MAX = 1_024
RETENTION_S = 72 * 3_600
_OLDEST = (7, 0)
_RANGES = {
    "partitions": (1, PARTITIONS_MAX),
    "payload_bytes_max": (1, PAYLOAD_BYTES_HARD_MAX),
    "retention_ms": (0, TIME_MS_MAX),
    "created_at": (0, TIME_MS_MAX),
}
_SCAN_COUNT = 500


class ServerReport(NamedTuple):
    """What matters of a server's configuration; None where the server does not tell."""

    version: str | None
    eviction: str | None  # maxmemory-policy
    aof: bool | None
    mended_in: str | None = None  # release without the known holes that this one has


class Servers(NamedTuple):
    """Connected for a moment. `all`: one connection to each server that holds keys of its own, or to those that answer."""

    any: Caller  # leads each command to the server of its key
    all: list[Connection]

    async def prove(self, role: str, hub: str) -> None:
        for connection in self.all:
            await rights.prove(connection, role, hub)

    async def may_write(self, role: str, hub: str) -> bool:
        if role == "client":
            return all([await rights.prove_client(connection, hub) for connection in self.all])
        await self.prove(role, hub)
        return True

    async def refuse_old(self) -> None:
        for connection in self.all:
            _refuse_old(await server_report(connection))


@asynccontextmanager
async def _connected(place: Place, hub: str = "", *, whole: bool = True) -> AsyncIterator[Servers]:
    """`whole`: whether all servers have to be there."""
    home = slot(HubKeys(hub, 0).settings)
    commands = topology.commands(place, client_name="durastream-hub", home=home, patient=False)
    try:
        yield Servers(await commands.get(), await (commands.masters() if whole else commands.reachable()))
    finally:
        await commands.close()


async def open_hub(
    place: Place, name: str, *, partitions: int | None = None, retention_ms: int | None = None, role: str = "client"
) -> HubInfo:
    """Read the hub's settings, creating it with the given ones (or defaults) when it is new.

    Before that it is proved that our user may do what the role does, so that nothing is ever written by half. One who may only
    read can open as a client, but creates no hub.

    In a Cluster it is proved at the masters that can be reached, and nobody waits for the others: their work does, as it would
    if they went later. One that refuses our user once it is back says so when it is first asked for something.
    """
    check_hub(name)
    _check_partitions(partitions)
    async with _connected(place, name, whole=False) as servers:
        await servers.refuse_old()
        may_write = await servers.may_write(role, name)
        wanted = {"partitions": partitions, "retention_ms": retention_ms}
        info = await (_create_or_read(servers.any, name, wanted) if may_write else _read(servers.any, name))
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


def _check_settings(settings: Mapping[str, int]) -> None:
    """Raises InvalidId; KeyError for one that is missing."""
    for field, (least, most) in _RANGES.items():
        if not least <= settings[field] <= most:
            raise InvalidId(f"{field} of a hub is {least} to {most}, not {settings[field]}")


async def _create_or_read(connection: Caller, name: str, wanted: dict[str, int | None]) -> HubInfo:
    settings = {"partitions": PARTITIONS, "retention_ms": RETENTION_S * 1_000, "payload_bytes_max": PAYLOAD_BYTES_MAX}
    settings |= {field: value for field, value in wanted.items() if value is not None}
    flat = [x for item in settings.items() for x in item]
    _check_settings({"created_at": 0, **settings})
    keys = HubKeys(name, 0)
    await scripts.run(connection, "hub", [keys.settings], ["schema", SCHEMA, *flat])
    await connection.call("SADD", HUBS, name)
    return await _read(connection, name)


async def _read(connection: Caller, name: str) -> HubInfo:
    flat = await connection.call("HGETALL", HubKeys(name, 0).settings)
    if not flat:
        raise HubNotFound(f"no hub {name!r} on this server; `durastream hub list` shows those there are")
    try:
        known = {field.decode(): int(value) for field, value in decode.pairs(flat).items()}
        if known.get("schema") == SCHEMA:
            _check_settings(known)
    except (ValueError, KeyError, InvalidId) as error:
        raise HubMismatch(
            f"the settings of hub {name!r} have been spoilt ({str(error)[:200]}): put back"
            f" {HubKeys(name, 0).settings} as it was, or delete the hub"
        ) from None
    if known.get("schema") != SCHEMA:
        raise HubMismatch(
            f"hub {name!r} was written with schema {str(known.get('schema'))[:20]}; this release reads"
            f" schema {SCHEMA}. Use the release that wrote it, or another hub."
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
    async with _connected(Place.parse(url), name) as servers:
        await servers.refuse_old()
        await servers.prove("client", name)
        info = await _create_or_read(servers.any, name, wanted)
    different = {field: getattr(info, field) for field, value in wanted.items() if getattr(info, field) != value}
    if different:
        raise HubMismatch(f"hub {name!r} exists with other settings: {different}")
    return info


async def list_hubs(url: str) -> list[str]:
    async with _connected(Place.parse(url), whole=False) as servers:
        return sorted(name.decode() for name in await servers.any.call("SMEMBERS", HUBS))


async def hub_info(url: str, name: str) -> HubInfo:
    async with _connected(Place.parse(url), name, whole=False) as servers:
        return await _read(servers.any, name)


async def lacking_rights(url: str, name: str, role: str) -> list[rights.Right]:
    """What the user of this URL lacks for a role of a hub, for who only wants to know."""
    check_hub(name)
    async with _connected(Place.parse(url), name) as servers:
        return sorted({one for each in servers.all for one in await rights.missing_rights(each, role, name)})


async def delete_hub(url: str, name: str) -> int:
    """Delete a hub with everything in it, in small steps. Returns the number of keys. Conflict while a worker is alive."""
    check_hub(name)
    async with _connected(Place.parse(url), name) as servers:
        await servers.prove("operator", name)
        keys = HubKeys(name, (await _read(servers.any, name)).partitions)
        seconds, _ = await servers.any.call("TIME")
        alive = await servers.any.call("ZCOUNT", keys.workers, (int(seconds) - 30) * 1_000, "+inf")
        if alive:
            raise Conflict(f"hub {name!r} has {alive} live workers; stop them first")
        deleted = 0
        for prefix in (keys.tag, keys.partitions_prefix):
            for connection in servers.all:
                deleted += await _delete_all(connection, servers.any, prefix + "*")
        await servers.any.call("SREM", HUBS, name)
        return deleted


async def _delete_all(connection: Connection, anywhere: Caller, pattern: str) -> int:
    """What one server has. Keys are deleted where they are by then."""
    cursor, deleted = b"0", 0
    while True:
        cursor, found = await connection.call("SCAN", cursor, "MATCH", pattern, "COUNT", _SCAN_COUNT)
        for gone in [anywhere.call("UNLINK", key) for key in found]:
            deleted += int(await gone)
        if cursor == b"0":
            return deleted


async def server_report(connection: Connection) -> ServerReport:
    """From INFO. A server that does not know or forbids the command (fakeredis, some hosts) leaves None."""
    try:
        info = (await connection.call("INFO")).decode(errors="replace")
    except (ReplyError, AccessDenied):
        return ServerReport(None, None, None)
    known = dict(re.findall(r"^([a-z_]+):(.*?)\r?$", info, re.MULTILINE))
    aof = known.get("aof_enabled")
    kind = "valkey" if "valkey_version" in known else "redis"
    version = known.get(f"{kind}_version")
    mended_in = versions.unmended(kind, version)
    return ServerReport(version, known.get("maxmemory_policy"), None if aof is None else aof == "1", mended_in)


def worst(reports: Sequence[ServerReport]) -> ServerReport:
    """Of several servers: a hub is as safe as the least safe of them."""
    evictions = [one.eviction for one in reports]
    return ServerReport(
        min((one.version for one in reports if one.version is not None), key=_numbers, default=None),
        next((one for one in evictions if one not in (None, "noeviction")), evictions[0]),
        False if any(one.aof is False for one in reports) else reports[0].aof,
        next((one.mended_in for one in reports if one.mended_in is not None), None),
    )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


def _refuse_old(report: ServerReport) -> None:
    if report.version is None:
        return
    if _numbers(report.version) < _OLDEST:
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
    if report.mended_in is not None:
        log.warning(
            "the server is version %s, whose Lua engine has known security holes unless your distribution has mended them"
            " (CVE-2025-49844 and others): go to %s or newer",
            report.version,
            report.mended_in,
        )
