"""No script leaves half of its work behind: whatever refuses it does so before its first write, or is taken back.

For each verb: every key it uses is replaced by one of another type, every stream it adds to is made to refuse, and memory runs
out. The verb must fail (or tell of the one item it left out), and everything must stand as before.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
import redis

from durastream.core.status import RUNNING
from durastream.errors import Refused, StoreError, StoreUnavailable
from durastream.store.protocol import Commit, InstanceChange, Lease, NewInstance, Outcome
from durastream.store.redis import RedisStore
from tests.store.conformance.values import AT, LONG_MS, ids_in, new

pytestmark = [pytest.mark.anyio, pytest.mark.real_server]

P = 0
ONE, TWO, THREE = ids_in(P, 3)
QUEUE = "default"
LAST_ID = "18446744073709551615-18446744073709551615"


class Stage:
    """A hub with an owner of partition 0, one instance that runs, and one activity that is claimed."""

    def __init__(self, store: RedisStore, server: Any, lease: Lease) -> None:
        self.store = store
        self.server = server
        self.lease = lease
        self.names = store.keys.partitions[P]
        self.router = Lease(-1, 0, "")
        self.claimed = ""
        self.message = ""

    def state(self) -> dict[bytes, Any]:
        """Contents of all keys; of streams the entries, since ids that were given and taken back do no harm."""
        readers: dict[bytes, Callable[[bytes], Any]] = {
            b"hash": self.server.hgetall,
            b"stream": lambda key: [self.server.xrange(key), _pending(self.server, key)],
            b"zset": lambda key: self.server.zrange(key, 0, -1, withscores=True),
            b"set": self.server.smembers,
            b"string": self.server.get,
        }
        found = {key: readers[self.server.type(key)](key) for key in self.server.keys("*")}
        return {key: content for key, content in found.items() if content not in ([], [[], []], [[], [0]])}


def _pending(server: Any, key: bytes) -> list[int]:
    return [group["pending"] for group in server.xinfo_groups(key)]


@pytest.fixture
async def stage(server_url: str) -> AsyncIterator[Stage]:
    store = await RedisStore.open(server_url, partitions=1)
    with redis.Redis.from_url(server_url, protocol=2) as server:
        lease = await store.acquire(P, "w1", "n1", LONG_MS)
        router = await store.acquire_ingress("w1", "n1", LONG_MS)
        assert lease is not None and router is not None
        made = Stage(store, server, lease)
        made.router = router
        begun = InstanceChange(
            ONE, None, {"status": RUNNING, "execution_id": "t.0"}, (None, RUNNING, AT), 0, [b"event 0"]
        )
        await store.commit(
            lease, 1, Commit([begun], activities=[(QUEUE, b"activity")], timers_add=[(AT, "T\n1\nt.0\n" + ONE)])
        )
        await store.deliver(P, "c:someone", (0, "run"), [(1, b"message")])
        (activity,) = await store.claim_activities("w1", [QUEUE], 5, 0)
        made.claimed = activity.entry_id
        made.message = server.xrange(made.names.inbox)[0][0].decode()
        await store.route(P, router, [], [])  # this router is known, and no earlier one is listened to
        yield made
        await store.close()


# ---------------------------------------------------------------- the verbs, each with all it can do


async def start(at: Stage) -> Any:
    return await at.store.start(P, [new(TWO, "a.0"), new(THREE, "b.0", start_at=AT)])


async def deliver(at: Stage) -> Any:
    await at.store.deliver(P, "p7", (5, ""), [(1, b"x"), (2, b"y")])


async def commit(at: Stage) -> Any:
    more = InstanceChange(ONE, 0, {"status": "Completed"}, (RUNNING, "Completed", AT), 1, [b"event 1"])
    child = InstanceChange(TWO, None, {"status": RUNNING}, (None, RUNNING, AT), 0, [b"event 0"])
    everything = Commit(
        [more, child],
        consumed=[at.message],
        timers_add=[(AT, "T\n2\nt.0\n" + ONE)],
        timers_remove=["T\n1\nt.0\n" + ONE],
        activities=[(QUEUE, b"more"), ("gpu", b"other")],
        inbox=[b"to myself"],
        outbox=[(3, b"to another"), ("dead", b"letter")],
        notices=[(ONE, "channel", b"ended")],
        parked={TWO: b"{}"},
    )
    await at.store.commit(at.lease, 2, everything)


async def complete(at: Stage) -> Any:
    return await at.store.complete(P, "w1", [Outcome(QUEUE, at.claimed, b"outcome")])


async def put_back(at: Stage) -> Any:
    await at.store.put_back(P, "w1", [(QUEUE, at.claimed, "gpu")])


async def reclaim(at: Stage) -> Any:
    return await at.store.reclaim(at.lease, ["w1"], 10)


async def route(at: Stage) -> Any:
    batch: list[tuple[str, NewInstance | bytes]] = [
        ("7-0", new(TWO, "c.0")),
        ("8-0", b"message"),
        ("9-0", new(THREE, "d.0", start_at=AT)),
    ]
    return await at.store.route(P, at.router, batch, ["1-0"])


async def due(at: Stage) -> Any:
    return await at.store.due(at.lease, 10)


async def attempt(at: Stage) -> Any:
    return await at.store.attempt(at.lease, "1-0")


async def mend(at: Stage) -> Any:
    return await at.store.mend(at.lease)


async def tidy(at: Stage) -> Any:
    return await at.store.tidy(at.lease, 0)


async def forget(at: Stage) -> Any:
    await at.store.forget(at.lease, [(1, 1)])


async def renew(at: Stage) -> Any:
    return await at.store.renew([at.lease], "w1", LONG_MS)


async def release(at: Stage) -> Any:
    await at.store.release(at.lease)


async def acquire(at: Stage) -> Any:
    return await at.store.acquire(P, "w2", "n2", LONG_MS)


Verb = Callable[[Stage], Awaitable[Any]]


class Case(NamedTuple):
    verb: Verb
    keys: list[str]  # what it uses of the partition, and must find sound
    streams: list[str]  # those of them it adds to


CASES = [
    Case(start, ["inbox", "timers", "s:Pending"], ["inbox"]),
    Case(deliver, ["inbox", "marks"], ["inbox"]),
    Case(
        commit,
        ["lease", "watch", "inbox", "outbox", "timers", "parked", "queues", "a:default", "a:gpu", "s:Running", "s:Completed",
         "i:" + ONE, "h:" + ONE, "i:" + TWO, "h:" + TWO],
        ["inbox", "outbox", "a:default", "a:gpu"],
    ),
    Case(complete, ["inbox", "stats"], ["inbox"]),
    Case(put_back, ["a:default", "a:gpu", "queues"], ["a:gpu"]),
    Case(reclaim, ["lease"], ["a:default"]),
    Case(route, ["routed", "inbox", "timers", "s:Pending"], ["inbox"]),
    Case(due, ["lease", "timers"], []),
    Case(attempt, ["lease"], []),
    Case(mend, ["lease"], []),
    Case(tidy, ["lease", "marks"], []),
    Case(forget, ["lease", "outbox"], []),
    Case(renew, ["lease"], []),
    Case(release, ["lease"], []),
    Case(acquire, ["lease"], []),
]  # fmt: skip
WRONG_TYPES = [pytest.param(case.verb, key, id=f"{case.verb.__name__}-{key}") for case in CASES for key in case.keys]
FULL_STREAMS = [
    pytest.param(case.verb, key, id=f"{case.verb.__name__}-{key}") for case in CASES for key in case.streams
]
WRITERS = [case.verb for case in CASES if case.verb not in (due, mend, tidy, forget, release)]


@pytest.mark.parametrize(("verb", "key"), WRONG_TYPES)
async def test_a_key_of_another_type(stage: Stage, verb: Verb, key: str) -> None:
    name = stage.names.tag + key
    stage.server.delete(name)
    stage.server.set(name, "something else")
    before = stage.state()
    with pytest.raises(StoreError):
        await verb(stage)
    assert stage.state() == before


@pytest.mark.parametrize(("verb", "key"), FULL_STREAMS)
async def test_a_stream_that_takes_nothing(stage: Stage, verb: Verb, key: str) -> None:
    """Its ids are used up. Of a batch of separate items those before the one that is refused may stand, each of them whole."""
    name = stage.names.tag + key
    stage.server.xadd(name, {"m": "the last one"}, id=LAST_ID)
    stage.server.xdel(name, LAST_ID)
    before = stage.state()
    with pytest.raises(StoreError, match="exhausted"):
        await verb(stage)
    assert stage.state() == before


async def test_outbox_ids_that_are_too_high(stage: Stage) -> None:
    stage.server.xadd(stage.names.outbox, {"m": "x"}, id=f"{stage.lease.epoch + 10**6}-0")
    before = stage.state()
    with pytest.raises(Refused, match="takes nothing"):
        await commit(stage)
    assert stage.state() == before
    assert await stage.store.mend(stage.lease) == (False, [b"x"])
    await commit(stage)
    assert stage.server.xlen(stage.names.outbox) == 2


async def test_an_exhausted_inbox_is_mended_when_it_is_empty(stage: Stage) -> None:
    stage.server.xadd(stage.names.inbox, {"m": "the last one"}, id=LAST_ID)
    assert await stage.store.mend(stage.lease) == (False, []), "what stands in it is not lost"
    stage.server.xtrim(stage.names.inbox, maxlen=0)
    assert await stage.store.mend(stage.lease) == (True, [])
    await deliver(stage)
    assert stage.server.xlen(stage.names.inbox) == 2


async def test_mending_keeps_what_an_owner_has_in_its_outbox(stage: Stage) -> None:
    await commit(stage)
    stage.server.xadd(stage.names.outbox, {"m": "x"}, id=LAST_ID)
    before = stage.server.xrange(stage.names.outbox)[:-1]
    assert (await stage.store.mend(stage.lease))[1] == [b"x"]
    assert stage.server.xrange(stage.names.outbox) == before
    await stage.store.commit(stage.lease, 3, Commit(outbox=[(1, b"next")], outbox_first=3))
    assert stage.server.xlen(stage.names.outbox) == 3


@contextmanager
def no_memory(server: Any) -> Iterator[None]:
    server.config_set("maxmemory", 1)
    try:
        yield
    finally:
        server.config_set("maxmemory", 0)


@pytest.mark.parametrize("verb", WRITERS)
async def test_without_memory(stage: Stage, verb: Verb) -> None:
    if verb is acquire:
        stage.server.hset(stage.names.lease, "until", 0)
    before = stage.state()
    with no_memory(stage.server), pytest.raises(StoreUnavailable, match="out of memory"):
        await verb(stage)
    assert stage.state() == before
    await verb(stage)
    assert stage.state() != before, "with memory it does its work"


async def test_one_bad_key_in_a_batch_of_starts(stage: Stage) -> None:
    stage.server.set(stage.names.instance(TWO), "something else")
    told = await stage.store.start(P, [new(TWO, "a.0"), new(THREE, "b.0")])
    assert [(one.created, one.status) for one in told] == [(False, "of another type"), (True, "Pending")]
    assert stage.server.zrange(stage.names.status["Pending"], 0, -1) == [THREE.encode()]


async def test_outcomes_count_where_claims_were_lost(stage: Stage) -> None:
    """The group is gone, and with it the claims; the entry itself says that nobody has brought the outcome yet."""
    stage.server.xgroup_destroy(stage.names.activities(QUEUE), "workers")
    assert await complete(stage) == 1
    assert await complete(stage) == 0
    assert [blob for _, blob in _messages(stage)] == [b"message", b"outcome"]


async def test_a_late_outcome_leaves_nothing(stage: Stage) -> None:
    assert await reclaim(stage) != []
    before = stage.state()
    assert await complete(stage) == 0
    assert stage.state() == before


def _messages(stage: Stage) -> list[tuple[bytes, bytes]]:
    return [(entry_id, fields[b"m"]) for entry_id, fields in stage.server.xrange(stage.names.inbox)]
