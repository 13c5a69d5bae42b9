"""The floor: only the Redis work that an orchestration needs, in batches, without any feature. What is left for the engine.

One process runs turns and activities, another one is the client. A start script makes the instance (hash, index entry,
first message). The worker reads the inboxes of all partitions with one XREAD, and commits each partition's batch of turns
with one script: lease and revisions compared, two history events a turn, instance, index, activity entries, inputs
deleted, endings published. Activities are read through a consumer group and completed in batches.

    python -m benchmarks.floor worker URL STEPS
    python -m benchmarks.floor client URL COUNT
"""

from __future__ import annotations

import asyncio
import sys
import zlib
from collections import deque
from collections.abc import Callable, Coroutine
from importlib.util import find_spec
from typing import Any, Final

import msgpack
import redis.asyncio

from benchmarks.harness import Bench, Measurement, begin, end
from durastream.store.connect import Endpoint
from durastream.store.connection import Connection

PARTITIONS: Final = 16
START_BATCH: Final = 200
READ_COUNT: Final = 128  # entries of one stream in one read
BLOCK_S: Final = 1.0
BLOCK_MS: Final = "1000"
IN_FLIGHT_MAX: Final = 32  # script calls sent and not yet answered
COUNT: Final = 40_000
EPOCH, NONCE = "1", "floor"

# KEYS inbox, index of Pending, then instance keys · ARGV per item: id, input, message
START: Final = """
local inbox, pending = KEYS[1], KEYS[2]
local t = redis.call('TIME')
local now = string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000))
for k = 3, #KEYS do
  local at = 3 * (k - 3)
  redis.call('HSET', KEYS[k], 'name', 'hello', 'status', 'Pending', 'revision', '0', 'input', ARGV[at + 2], 'created_at', now)
  redis.call('ZADD', pending, now, ARGV[at + 1])
  redis.call('XADD', inbox, '*', 'm', ARGV[at + 3])
end
return #KEYS - 2
"""

# KEYS lease, inbox, index of Running, index of Completed, index of Pending, activities, then instance and history keys
# ARGV epoch, nonce, channel, c, c consumed ids, then per turn: id, revision, event number, event, event, output, activity
COMMIT: Final = """
local call = redis.call
local held = call('HMGET', KEYS[1], 'epoch', 'nonce')
if held[1] ~= ARGV[1] or held[2] ~= ARGV[2] then return redis.error_reply('FENCED') end
local consumed = tonumber(ARGV[4])
local at, created = 5 + consumed, {}
for k = 7, #KEYS, 2 do
  local found = call('HMGET', KEYS[k], 'revision', 'created_at')
  if found[1] ~= ARGV[at + 1] then return redis.error_reply('REFUSED') end
  created[k] = found[2]
  at = at + 7
end
at = 5 + consumed
local ended = {}
for k = 7, #KEYS, 2 do
  local id, revision, first = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  call('HSET', KEYS[k + 1], first, ARGV[at + 3], first + 1, ARGV[at + 4])
  if ARGV[at + 6] ~= '' then
    call('HSET', KEYS[k], 'revision', revision + 1, 'status', 'Running')
    if revision == 0 then
      call('ZREM', KEYS[5], id)
      call('ZADD', KEYS[3], created[k], id)
    end
    call('XADD', KEYS[6], '*', 'm', ARGV[at + 6])
  else
    call('HSET', KEYS[k], 'revision', revision + 1, 'status', 'Completed', 'output', ARGV[at + 5])
    call('ZREM', KEYS[3], id)
    call('ZADD', KEYS[4], created[k], id)
    ended[#ended + 1] = id
  end
  at = at + 7
end
call('XDEL', KEYS[2], unpack(ARGV, 5, 4 + consumed))
if #ended > 0 then call('PUBLISH', ARGV[3], table.concat(ended, ' ')) end
return 1
"""

# KEYS inbox, activities · ARGV n, n entry ids, n messages
COMPLETE: Final = """
local n = tonumber(ARGV[1])
redis.call('XACK', KEYS[2], 'workers', unpack(ARGV, 2, n + 1))
redis.call('XDEL', KEYS[2], unpack(ARGV, 2, n + 1))
for k = n + 2, 2 * n + 1 do redis.call('XADD', KEYS[1], '*', 'm', ARGV[k]) end
return n
"""

CHANNEL: Final = "floor:ends"


class Keys:
    """Keys of one partition."""

    def __init__(self, partition: int) -> None:
        tag = f"floor:{{{partition}}}:"
        self.tag = tag
        self.lease, self.inbox, self.activities = tag + "lease", tag + "inbox", tag + "a"
        self.pending, self.running, self.completed = tag + "s:Pending", tag + "s:Running", tag + "s:Completed"


KEYS: Final = [Keys(partition) for partition in range(PARTITIONS)]


class Scripts:
    """Scripts by their text, on one connection. Calls that are not awaited are kept to a bounded number."""

    def __init__(self, connection: Connection, shas: dict[str, bytes]) -> None:
        self._connection = connection
        self._shas = shas
        self._sent: deque[asyncio.Future[Any]] = deque()

    @classmethod
    async def open(cls, url: str, name: str, *texts: str) -> Scripts:
        connection = await Connection.open(Endpoint.parse(url), client_name=name)
        return cls(connection, {text: await connection.call("SCRIPT", "LOAD", text) for text in texts})

    def call(self, text: str, keys: list[str], args: list[Any]) -> asyncio.Future[Any]:
        return self._connection.call("EVALSHA", self._shas[text], len(keys), *keys, *args)

    async def send(self, text: str, keys: list[str], args: list[Any]) -> None:
        """Returns before the reply is there; an error comes out of a later call."""
        self._sent.append(self.call(text, keys, args))
        while len(self._sent) > IN_FLIGHT_MAX or (self._sent and self._sent[0].done()):
            await self._sent.popleft()


# ---------------------------------------------------------------- worker


def hello(step: int, steps: int, value: bytes) -> tuple[bytes | None, bytes]:
    """The turn: (input of the next activity or None, output)."""
    return (value, b"") if step < steps else (None, value)


def greet(value: bytes) -> bytes:
    """The activity."""
    return b'"Hello, ' + value[1:]


class Worker:
    """Turns and activities of all partitions."""

    def __init__(self, url: str, steps: int) -> None:
        self._url = url
        self._steps = steps
        self._revisions: dict[str, int] = {}  # of live instances

    async def run(self) -> None:
        self._scripts = await Scripts.open(self._url, "floor", COMMIT, COMPLETE)
        inboxes = await Connection.open(Endpoint.parse(self._url), client_name="floor-inboxes")
        activities = await Connection.open(Endpoint.parse(self._url), client_name="floor-activities")
        for keys in KEYS:
            await activities.call("XGROUP", "CREATE", keys.activities, "workers", "0", "MKSTREAM")
            await activities.call("HSET", keys.lease, "epoch", EPOCH, "nonce", NONCE)
        loops = [asyncio.create_task(self._turns(inboxes)), asyncio.create_task(self._activities(activities))]
        over = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
        print("ready", flush=True)
        done, _ = await asyncio.wait([over, *loops], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        for loop in loops:
            loop.cancel()

    async def _turns(self, connection: Connection) -> None:
        """While commits are in flight, the next entries are read; the cursors tell which those are."""
        at = {keys.inbox.encode(): k for k, keys in enumerate(KEYS)}
        cursors: list[bytes] = [b"0"] * PARTITIONS
        command = ["XREAD", "COUNT", str(READ_COUNT), "BLOCK", BLOCK_MS, "STREAMS", *(keys.inbox for keys in KEYS)]
        while True:
            for stream, entries in await connection.call_blocking(BLOCK_S, *command, *cursors) or ():
                cursors[at[stream]] = entries[-1][0]
                await self._commit(KEYS[at[stream]], entries)

    async def _commit(self, keys: Keys, entries: list[Any]) -> None:
        named = [keys.lease, keys.inbox, keys.running, keys.completed, keys.pending, keys.activities]
        args: list[Any] = [EPOCH, NONCE, CHANNEL, len(entries), *(entry_id for entry_id, _ in entries)]
        for _, fields in entries:
            instance_id, value = msgpack.unpackb(fields[1])
            step = self._revisions.get(instance_id, 0)
            activity, output = hello(step, self._steps, value)
            named += (f"{keys.tag}i:{instance_id}", f"{keys.tag}h:{instance_id}")
            took, decided = msgpack.packb((1, 0, value)), msgpack.packb((2, 0, activity or output))
            task = b"" if activity is None else msgpack.packb((instance_id, activity))
            args += (instance_id, step, 2 * step, took, decided, output, task)
            if activity is None:
                del self._revisions[instance_id]
            else:
                self._revisions[instance_id] = step + 1
        await self._scripts.send(COMMIT, named, args)

    async def _activities(self, connection: Connection) -> None:
        at = {keys.activities.encode(): keys for keys in KEYS}
        command = ["XREADGROUP", "GROUP", "workers", "w", "COUNT", str(READ_COUNT), "BLOCK", BLOCK_MS, "STREAMS"]
        command += [keys.activities for keys in KEYS] + [">"] * PARTITIONS
        while True:
            for stream, entries in await connection.call_blocking(BLOCK_S, *command) or ():
                messages = [_outcome(fields[1]) for _, fields in entries]
                args = [len(entries), *(entry_id for entry_id, _ in entries), *messages]
                await self._scripts.send(COMPLETE, [at[stream].inbox, at[stream].activities], args)


def _outcome(blob: bytes) -> bytes:
    instance_id, value = msgpack.unpackb(blob)
    packed: Any = msgpack.packb((instance_id, greet(value)))
    return bytes(packed)


# ---------------------------------------------------------------- client


async def client(url: str, count: int) -> None:
    """Start `count` orchestrations in bulk and hear of the end of each."""
    scripts = await Scripts.open(url, "floor-client", START)
    shares: list[list[str]] = [[] for _ in KEYS]
    for number in range(count):
        instance_id = f"order-{number}"
        shares[zlib.crc32(instance_id.encode()) % PARTITIONS].append(instance_id)
    async with redis.asyncio.Redis.from_url(url, protocol=2) as other, other.pubsub() as heard:
        await heard.subscribe(CHANNEL)
        began = begin()
        starting = asyncio.gather(*(_start(scripts, *pair) for pair in zip(KEYS, shares, strict=True)))
        left = count
        while left:
            message = await heard.get_message(ignore_subscribe_messages=True, timeout=BLOCK_S)
            left -= len(message["data"].split()) if message else 0
            if starting.done():
                starting.result()
        end(began, count)


async def _start(scripts: Scripts, keys: Keys, ids: list[str]) -> None:
    """Batches of one partition, one after another."""
    for first in range(0, len(ids), START_BATCH):
        batch = ids[first : first + START_BATCH]
        args: list[Any] = []
        for instance_id in batch:
            args += (instance_id, b'"world"', msgpack.packb((instance_id, b'"world"')))
        await scripts.call(START, [keys.inbox, keys.pending, *(f"{keys.tag}i:{one}" for one in batch)], args)


# ---------------------------------------------------------------- benchmarks


def one_step(bench: Bench) -> list[Measurement]:
    """The least an orchestration with one activity costs: bulk start, two turns, one activity."""
    return [_measure(bench, "floor", steps=1, count=bench.count(COUNT))]


def five_steps(bench: Bench) -> list[Measurement]:
    """The same with five activities, one after another; counted in activities."""
    measured = _measure(bench, "floor-sequence", steps=5, count=bench.count(COUNT // 4))
    return [measured._replace(unit="activities", items=measured.items * 5)]


def _measure(bench: Bench, name: str, *, steps: int, count: int) -> Measurement:
    worker = bench.python("-m", "benchmarks.floor", "worker", bench.url, str(steps))
    assert worker.line() == "ready"
    started = bench.python("-m", "benchmarks.floor", "client", bench.url, str(count))
    measured = bench.measure(name, "orchestrations", started, [worker.pid])
    _check(bench, steps, count)
    return measured


def _check(bench: Bench, steps: int, count: int) -> None:
    """All of it was done: a floor that forgets work would be too low."""
    with bench.redis() as server:
        assert sum(int(server.zcard(keys.completed)) for keys in KEYS) == count
        assert not any(server.zcard(keys.pending) or server.zcard(keys.running) for keys in KEYS)
        assert not any(server.xlen(keys.inbox) or server.xlen(keys.activities) for keys in KEYS)
        keys = KEYS[zlib.crc32(b"order-0") % PARTITIONS]
        assert server.hlen(keys.tag + "h:order-0") == 2 * (steps + 1)
        assert server.hget(keys.tag + "i:order-0", "output") == b'"' + b"Hello, " * steps + b'world"'


def run(body: Coroutine[Any, Any, None]) -> None:
    """On uvloop where it is installed, as the engine does."""
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    if find_spec("uvloop"):
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(body)


def main(role: str, url: str, number: str) -> None:
    run(Worker(url, int(number)).run() if role == "worker" else client(url, int(number)))


if __name__ == "__main__":
    main(*sys.argv[1:])
