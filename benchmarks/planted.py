"""A hub full of instances, put there without running them: what a month of work leaves behind.

One instance of each kind is run; the others are copies of its record and history with an id, a name and times of their own,
written as a commit writes them: record, history, index of the status, and the timer that ends the retention.

python -m benchmarks.planted plant URL COUNT
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import redis

import durastream as ds
from benchmarks.floor import run
from benchmarks.harness import tell
from durastream.core.ids import partition_of
from durastream.core.status import Status
from durastream.store.keys import PartitionKeys

DAYS: Final = 30
FEW: Final = 30
FEW_PREFIX: Final = "order-77"  # so many ids begin with it, all of the oldest
_FIRST_ORDER: Final = 780_000 - FEW
_BATCH: Final = 2_000
_DAY_MS: Final = 86_400_000
_KEPT_MS: Final = 60 * _DAY_MS
_WITH_HISTORY: Final = 20  # of so many that are over, one has its history


class Kind(NamedTuple):
    """Name of the orchestrator, and the id of instance number …"""

    name: str
    id: Callable[[int], str]


ORDER: Final = Kind("fulfil_order", lambda number: f"order-{_FIRST_ORDER + number // 10 * 5 + number % 10}")
KINDS: Final = (
    *[ORDER] * 5,
    Kind("send_invoice", lambda number: f"invoice-2031-{number:07}"),
    Kind("send_invoice", lambda number: f"invoice-2031-{number:07}"),
    Kind("check_device", lambda number: f"device-{number % 9_973:04}-{number}"),
    Kind("import_prices", lambda number: f"{number * 2_654_435_761 % 2**64:016x}"),
    Kind("nightly_report", lambda number: f"report-eu-west-{number}"),
)
"""In turn: instance number 12 is of kind 2."""

_TAGS: Final = [
    f'{{"env":"{env}","customer":"c{customer}"}}'.encode() for env in ("prod", "test") for customer in range(50)
]


class Template(NamedTuple):
    """An instance that was run: what is in its hashes."""

    record: dict[bytes, bytes]
    history: dict[bytes, bytes]


def status_of(number: int) -> Status:
    """96 % are Completed, 2 % Failed, 1 % Terminated, 1 % Running, without any order."""
    lot = number * 7_919 % 1_000
    return "Completed" if lot < 960 else "Failed" if lot < 980 else "Terminated" if lot < 990 else "Running"


# ---------------------------------------------------------------- what is copied


async def templates(client: ds.Client, keys: list[PartitionKeys], server: redis.Redis) -> dict[Status, Template]:
    """One of each, run by the worker that is there."""
    ended = [await client.start(name, given) for name, given in (("one", "x"), ("steps", "no number"), ("wait", 1))]
    await ended[-1].terminate()
    statuses = [await handle.wait(timeout=30) for handle in ended]
    going_on = await client.start("wait", 1)
    while (status := await going_on.status()).events == 0:  # noqa: ASYNC110 - another process, no event to wait for
        await asyncio.sleep(0.01)
    return {one.runtime_status: _template(keys, server, one.id) for one in (*statuses, status)}


def _template(keys: list[PartitionKeys], server: Any, instance_id: str) -> Template:
    names = keys[partition_of(instance_id, len(keys))]
    return Template(server.hgetall(names.instance(instance_id)), server.hgetall(names.history(instance_id)))


# ---------------------------------------------------------------- copies


class Planting:
    """Commands for the server, gathered: what goes into one sorted set goes there in one command."""

    def __init__(self, keys: list[PartitionKeys], copied: dict[Status, Template]) -> None:
        self._keys = keys
        self._copied = copied

    def commands(self, count: int, now: int) -> Iterator[list[object]]:
        """All that makes `count` instances, the last one created a minute before `now`."""
        step = DAYS * _DAY_MS / count
        sets: defaultdict[str, list[object]] = defaultdict(list)
        for number in range(count):
            yield from self._one(number, int(now - 60_000 - step * (count - 1 - number)), sets)
            if number % _BATCH == _BATCH - 1 or number == count - 1:
                yield from (["ZADD", name, *members] for name, members in sets.items())
                sets.clear()

    def _one(self, number: int, created: int, sets: defaultdict[str, list[object]]) -> Iterator[list[object]]:
        status, kind = status_of(number), KINDS[number % len(KINDS)]
        instance_id, execution_id = kind.id(number), f"{number:016x}.0"
        names, template = self._keys[partition_of(instance_id, len(self._keys))], self._copied[status]
        fields = template.record | {
            b"execution_id": execution_id,
            b"name": kind.name,
            b"created_at": created,
            b"updated_at": created + 40,
            b"tags": _TAGS[number % len(_TAGS)],
        }
        if status != "Running":
            fields[b"completed_at"] = fields[b"updated_at"] = ended = created + 40 + number % 3_000
            sets[names.timers] += (ended + _KEPT_MS, f"X\n{ended}\n{execution_id}\n{instance_id}")
        if status == "Running" or number % _WITH_HISTORY == 0:
            yield ["HSET", names.history(instance_id), *(part for pair in template.history.items() for part in pair)]
        else:
            fields[b"events"] = b"0"
        yield ["HSET", names.instance(instance_id), *(part for pair in fields.items() for part in pair)]
        sets[names.status[status]] += (created, instance_id)


def send(server: redis.Redis, commands: Iterator[list[object]]) -> None:
    """As fast as the server takes them: it is told not to answer."""
    connection: Any = server.connection_pool.get_connection()
    connection.send_command("CLIENT", "REPLY", "OFF")
    for packed in connection.pack_commands(commands):
        connection.send_packed_command([packed], check_health=False)
    connection.send_command("CLIENT", "REPLY", "ON")
    assert connection.read_response() == b"OK"


async def plant(url: str, count: int) -> dict[str, float]:
    """Returns seconds and bytes of server memory it took. The append-only file is made anew at the end."""
    server = redis.Redis.from_url(url, protocol=2)
    async with ds.Client(url) as client:
        keys = [PartitionKeys(client.hub.name, partition) for partition in range(client.hub.partitions)]
        copied = await templates(client, keys, server)
        others, before, began = sum((await client.counts()).values()), _used(server), time.perf_counter()
        server.config_set("appendonly", "no")
        await asyncio.to_thread(send, server, Planting(keys, copied).commands(count, int(time.time() * 1_000)))
        took = time.perf_counter() - began
        assert sum((await client.counts()).values()) == others + count
        used = _used(server) - before
        _write_file(server)
        return {"seconds": took, "bytes": used}


def _used(server: redis.Redis) -> float:
    return float(server.info("memory")["used_memory"])


def _write_file(server: redis.Redis) -> None:
    """And never again while something is measured."""
    server.config_set("auto-aof-rewrite-percentage", 0)
    server.config_set("appendonly", "yes")
    while server.info("persistence")["aof_rewrite_in_progress"]:
        time.sleep(0.1)


def main(_mode: str, url: str, count: str) -> None:
    run(drive(url, int(count)))


async def drive(url: str, count: int) -> None:
    await asyncio.to_thread(tell, await plant(url, count))


if __name__ == "__main__":
    main(*sys.argv[1:])
