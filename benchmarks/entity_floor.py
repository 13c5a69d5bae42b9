"""The floor of entities: only the Redis work that signals need, in batches, without any feature.

The client puts messages into the inboxes of the entities' partitions. The worker reads the inboxes of all partitions with
one XREAD, adds up, and commits each partition's batch with one script: lease and revisions compared, one hash for each entity
of the batch, index entries of new ones, inputs deleted.

    python -m benchmarks.entity_floor worker URL
    python -m benchmarks.entity_floor client URL ENTITIES COUNT
"""

from __future__ import annotations

import asyncio
import sys
import zlib
from typing import Any, Final

import msgpack
import redis.asyncio

from benchmarks.floor import BLOCK_MS, BLOCK_S, EPOCH, KEYS, NONCE, PARTITIONS, Keys, Scripts, run
from benchmarks.harness import Bench, Measurement, begin, end
from durastream.store.connect import Endpoint
from durastream.store.connection import Connection

ENTITIES: Final = 10_000
COUNT: Final = 200_000
HOT: Final = "floor: signals to one entity"
MANY: Final = f"floor: signals to {ENTITIES:,} entities"
_SEND_BATCH: Final = 400  # as the engine's client has it
_READ_COUNT: Final = 512  # entries of one stream in one read
_POLL_S: Final = 0.01

# KEYS inbox · ARGV messages
SIGNAL: Final = """
for k = 1, #ARGV do redis.call('XADD', KEYS[1], '*', 'm', ARGV[k]) end
return #ARGV
"""

# KEYS lease, inbox, index, then entities · ARGV epoch, nonce, now, c, c consumed ids, then per entity: id, revision, state
APPLY: Final = """
local call = redis.call
local held = call('HMGET', KEYS[1], 'epoch', 'nonce')
if held[1] ~= ARGV[1] or held[2] ~= ARGV[2] then return redis.error_reply('FENCED') end
local consumed = tonumber(ARGV[4])
local at = 5 + consumed
for k = 4, #KEYS do
  local revision = ARGV[at + 1]
  if (call('HGET', KEYS[k], 'revision') or '0') ~= revision then return redis.error_reply('REFUSED') end
  at = at + 3
end
at = 5 + consumed
for k = 4, #KEYS do
  local revision = tonumber(ARGV[at + 1])
  call('HSET', KEYS[k], 'revision', revision + 1, 'state', ARGV[at + 2], 'updated_at', ARGV[3])
  if revision == 0 then call('ZADD', KEYS[3], 0, ARGV[at]) end
  at = at + 3
end
call('XDEL', KEYS[2], unpack(ARGV, 5, 4 + consumed))
return 1
"""


def _entity_key(keys: Keys, entity: str) -> str:
    return f"{keys.tag}e:{entity}"


def _home(entity: str) -> Keys:
    return KEYS[zlib.crc32(entity.encode()) % PARTITIONS]


# ---------------------------------------------------------------- worker


class Worker:
    """Applies the signals of all partitions."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._values: dict[str, tuple[int, int]] = {}  # entity → revision, value

    async def run(self) -> None:
        self._scripts = await Scripts.open(self._url, "floor", APPLY)
        inboxes = await Connection.open(Endpoint.parse(self._url), client_name="floor-inboxes")
        for keys in KEYS:
            await inboxes.call("HSET", keys.lease, "epoch", EPOCH, "nonce", NONCE)
        loop = asyncio.create_task(self._loop(inboxes))
        over = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
        print("ready", flush=True)
        done, _ = await asyncio.wait([over, loop], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        loop.cancel()

    async def _loop(self, connection: Connection) -> None:
        at = {keys.inbox.encode(): k for k, keys in enumerate(KEYS)}
        cursors: list[bytes] = [b"0"] * PARTITIONS
        command = ["XREAD", "COUNT", str(_READ_COUNT), "BLOCK", BLOCK_MS, "STREAMS", *(keys.inbox for keys in KEYS)]
        while True:
            for stream, entries in await connection.call_blocking(BLOCK_S, *command, *cursors) or ():
                cursors[at[stream]] = entries[-1][0]
                await self._commit(KEYS[at[stream]], entries)

    async def _commit(self, keys: Keys, entries: list[Any]) -> None:
        sums: dict[str, int] = {}
        for _, fields in entries:
            entity, _operation, amount = msgpack.unpackb(fields[1])
            sums[entity] = sums.get(entity, 0) + int(amount)
        named = [keys.lease, keys.inbox, keys.tag + "entities", *(_entity_key(keys, entity) for entity in sums)]
        args: list[Any] = [EPOCH, NONCE, "0", len(entries), *(entry_id for entry_id, _ in entries)]
        for entity, amount in sums.items():
            revision, value = self._values.get(entity, (0, 0))
            self._values[entity] = (revision + 1, value + amount)
            args += (entity, revision, str(value + amount))
        await self._scripts.send(APPLY, named, args)


# ---------------------------------------------------------------- client


async def client(url: str, entities: int, count: int) -> None:
    """Send `count` signals, to each entity in turn, and wait until none is left in the inboxes."""
    scripts = await Scripts.open(url, "floor-client", SIGNAL)
    homes = [(entity, _home(entity)) for entity in map(_name, range(entities))]
    async with redis.asyncio.Redis.from_url(url, protocol=2) as other:
        await other.ping()
        began = begin()
        await _send_all(scripts, homes, count)
        while await _waiting(other):  # noqa: ASYNC110 - another process, no event to wait for
            await asyncio.sleep(_POLL_S)
        end(began, count)


def _name(number: int) -> str:
    return f"@Counter@{number}"


async def _send_all(scripts: Scripts, homes: list[tuple[str, Keys]], count: int) -> None:
    batches: dict[str, list[bytes]] = {}
    for number in range(count):
        entity, keys = homes[number % len(homes)]
        batch = batches.setdefault(keys.inbox, [])
        batch.append(_packed(entity))
        if len(batch) == _SEND_BATCH:
            await scripts.send(SIGNAL, [keys.inbox], [*batch])
            batch.clear()
    for inbox, batch in batches.items():
        if batch:
            await scripts.call(SIGNAL, [inbox], [*batch])


def _packed(entity: str) -> bytes:
    blob: Any = msgpack.packb((entity, "add", b"1"))
    return bytes(blob)


async def _waiting(server: redis.asyncio.Redis) -> int:
    pipeline = server.pipeline(transaction=False)
    for keys in KEYS:
        pipeline.xlen(keys.inbox)
    return sum(await pipeline.execute())


# ---------------------------------------------------------------- benchmarks


def signals(bench: Bench) -> list[Measurement]:
    """The least that signals cost: to one entity, then to 10,000 in turn."""
    return [_measure(bench, HOT, 1), _measure(bench, MANY, bench.count(ENTITIES))]


def _measure(bench: Bench, name: str, entities: int) -> Measurement:
    with bench.redis() as server:
        server.flushall()
    worker = bench.python("-m", "benchmarks.entity_floor", "worker", bench.url)
    assert worker.line() == "ready"
    count = bench.count(COUNT)
    sender = bench.python("-m", "benchmarks.entity_floor", "client", bench.url, str(entities), str(count))
    measured = bench.measure(name, "signals", sender, [worker.pid])
    worker.stop()
    _check(bench, entities, count)
    return measured


def _check(bench: Bench, entities: int, count: int) -> None:
    """All of it was done: a floor that forgets work would be too low."""
    with bench.redis() as server:
        pipeline = server.pipeline(transaction=False)
        for entity in map(_name, range(entities)):
            pipeline.hget(_entity_key(_home(entity), entity), "state")
        assert {int(state) for state in pipeline.execute()} == {count // entities}
        assert sum(int(server.zcard(keys.tag + "entities")) for keys in KEYS) == entities


def main(role: str, url: str, *numbers: str) -> None:
    run(Worker(url).run() if role == "worker" else client(url, *map(int, numbers)))


if __name__ == "__main__":
    main(*sys.argv[1:])
