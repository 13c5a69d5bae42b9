"""One small generator for each verb but `commit`: arguments mostly valid; at times stale, foreign, repeated or empty."""

from __future__ import annotations

from random import Random
from typing import Any, Final

from durastream.core.status import ALL
from durastream.store.memory.state import Partition
from durastream.store.protocol import Activity, NewInstance, Outcome, Parcel
from tests.differential.calls import INGRESS, Call, queue_of
from tests.differential.sides import HANDLES, PARTITIONS, RETENTION_MS
from tests.differential.world import (
    ENTITIES,
    INGRESS_LEASE,
    INSTANCES,
    QUEUES,
    SOURCES,
    WORKERS,
    World,
    blob,
    channel,
    some,
)

TTLS: Final = (1, 50, 1_000, 60_000, 60_000, 60_000)
TIMES: Final = (0, 1, 1, 5, 49, 50, 51, 999, 1_001, 30_000, 3_600_000)


def _any(rng: Random, names: tuple[tuple[str, ...], ...]) -> list[str]:
    """Some of all partitions, one perhaps twice."""
    flat = [one for part in names for one in part]
    return [*some(rng, flat, 4), *some(rng, flat, 1)]


# ---------------------------------------------------------------- the world around


def pass_time(rng: Random, world: World) -> Call:
    """Often to the very millisecond at which something ends or is due, or the one before."""
    moments = [one for one in world.moments() if one > world.now]
    if moments and rng.random() < 0.4:
        return Call("pass_time", (min(moments) - world.now - rng.randrange(2),))
    return Call("pass_time", (rng.choice(TIMES),))


def opened(rng: Random, world: World) -> Call:
    """Another process, now and then with settings that are not the hub's."""
    settings = rng.choice(((None, None), (PARTITIONS, RETENTION_MS), (PARTITIONS + 1, None), (None, RETENTION_MS - 1)))
    return Call("open", settings, handle=rng.randrange(HANDLES))


def closed(rng: Random, world: World) -> Call:
    return Call("closed", rng.choice((("counts", ()), ("queues", (0,)), ("leave", ("w1",)), ("stalled", (1,)))))


def ingress(rng: Random, world: World) -> Call:
    return Call("ingress", ({b"kind": b"start", b"id": blob(rng, "any")},))


# ---------------------------------------------------------------- clients


def new(rng: Random, world: World, partition: int) -> NewInstance:
    return NewInstance(
        instance_id=rng.choice(INSTANCES[partition]),
        execution_id=rng.choice(("t0.0", "t1.0", "t2.0", "bare")),
        name="order",
        version=rng.choice((None, "1")),
        input=rng.choice((None, b"[1]", "ü".encode())),
        tags=rng.choice((None, b'{"a":"b"}')),
        start_at=world.moment(rng) if rng.random() < 0.3 else None,
        notify=rng.choice((None, channel(rng))),
        reply=rng.choice((None, "reply:1")),
        message=blob(rng, "start"),
    )


def start(rng: Random, world: World) -> Call:
    partition = rng.randrange(PARTITIONS)
    batch = [new(rng, world, partition) for _ in range(rng.choice((0, 1, 1, 2, 3)))]
    if batch and rng.random() < 0.1:
        batch.append(rng.choice(batch))
    return Call("start", (partition, batch))


def parcel(rng: Random, place: Partition) -> Parcel:
    """What follows the mark mostly; else from further back, or of another incarnation of the source."""
    source = rng.choice(SOURCES)
    mark = place.marks.get(source)
    epoch, nonce, last = (1, "a", 0) if mark is None else (mark.epoch, mark.nonce, mark.sequence)
    if rng.random() < 0.3:
        epoch, nonce = epoch + rng.choice((-1, 0, 0, 1)), rng.choice("ab")
        last = rng.choice((last, 0))
    first = max(last + rng.choice((1, 1, 1, 0, -1, 3)), 1)
    numbers = range(first, first + rng.randint(0, 3))
    return Parcel(source, (max(epoch, 0), nonce), [(number, blob(rng, "message")) for number in numbers])


def deliver(rng: Random, world: World) -> Call:
    place = world.partition(rng)
    return Call("deliver", (place.number, *parcel(rng, place)))


def deliver_all(rng: Random, world: World) -> Call:
    place = world.partition(rng)
    return Call("deliver_all", (place.number, [parcel(rng, place) for _ in range(rng.randint(0, 3))]))


def records(rng: Random, world: World) -> Call:
    return Call("records", (_any(rng, INSTANCES),), {"payloads": rng.random() < 0.7})


def history(rng: Random, world: World) -> Call:
    one = rng.choice([one for part in INSTANCES for one in part])
    return Call("history", (one, rng.randrange(4), rng.randint(1, 5)))


def watch(rng: Random, world: World) -> Call:
    partition = rng.randrange(PARTITIONS)
    return Call("watch", (partition, channel(rng), some(rng, INSTANCES[partition], 3)))


def page(rng: Random, world: World) -> Call:
    options: dict[str, Any] = {"limit": rng.randint(1, 4), "payloads": rng.random() < 0.5}
    for bound in some(rng, ("created_after", "created_before"), 2):
        options[bound] = world.now + rng.choice((-60_000, -1, 0))
    statuses = [*some(rng, ALL, 6), *some(rng, ALL, 1)]
    return Call("page", (statuses,), options)


def scan_ids(rng: Random, world: World) -> Call:
    return Call(
        "scan_ids", (rng.choice(("", "i", "i1", "a{", "*", "zz")),), {"statuses": some(rng, ALL, 6), "budget": 500}
    )


def timers_set(rng: Random, world: World) -> Call:
    one = rng.choice([one for part in INSTANCES for one in part])
    return Call("timers_set", (one, "t.0", some(rng, (1, 2, 3), 3)))


def entities(rng: Random, world: World) -> Call:
    return Call("entities", (_any(rng, ENTITIES),))


def entity_page(rng: Random, world: World) -> Call:
    return Call("entity_page", (rng.choice(("", "@", "@Counter@", "@N{", "@Z")),), {"limit": rng.randint(1, 4)})


def entity_queue(rng: Random, world: World) -> Call:
    return Call("entity_queue", (rng.choice(rng.choice(ENTITIES)), rng.randint(1, 4)))


def plain(verb: str) -> Any:
    """A verb without arguments."""
    return lambda rng, world: Call(verb, handle=rng.randrange(HANDLES))


def of_partition(verb: str) -> Any:
    return lambda rng, world: Call(verb, (rng.randrange(PARTITIONS),))


# ---------------------------------------------------------------- workers and owners


def heartbeat(rng: Random, world: World) -> Call:
    return Call("heartbeat", (rng.choice(WORKERS), {"host": "h", "busy": rng.randrange(3)}, rng.choice(TTLS)))


def leave(rng: Random, world: World) -> Call:
    return Call("leave", (rng.choice(WORKERS),))


def acquire(rng: Random, world: World) -> Call:
    partition = rng.randrange(PARTITIONS)
    return Call("acquire", (partition, *_claimant(rng, world, partition)))


def acquire_ingress(rng: Random, world: World) -> Call:
    return Call("acquire_ingress", _claimant(rng, world, INGRESS_LEASE))


def _claimant(rng: Random, world: World, partition: int) -> tuple[str, str, int]:
    """A newcomer mostly; sometimes the holder, repeating a call whose reply was lost."""
    held = world.hub.lease(partition)
    nonce = held.nonce if held.owner is not None and rng.random() < 0.2 else f"n{rng.randrange(1_000)}"
    return rng.choice(WORKERS), nonce, rng.choice(TTLS)


def renew(rng: Random, world: World) -> Call:
    leases = [world.lease(rng, one) for one in some(rng, (0, 1, INGRESS_LEASE), 3)]
    return Call("renew", (leases, rng.choice(WORKERS), rng.choice(TTLS)))


def release(rng: Random, world: World) -> Call:
    return Call("release", (world.lease(rng, rng.choice((0, 1, INGRESS_LEASE))),))


def read_inboxes(rng: Random, world: World) -> Call:
    cursors = {one: world.cursor(rng, f"inbox {one}") for one in some(rng, range(PARTITIONS), PARTITIONS)}
    return Call("read_inboxes", (cursors, rng.choice((1, 3, 100)), 0), handle=rng.randrange(HANDLES))


def _owners(rng: Random, world: World, verb: str, *args: Any) -> Call:
    return Call(verb, (world.lease(rng, world.owned(rng).number), *args))


def load(rng: Random, world: World) -> Call:
    lease = world.lease(rng, rng.randrange(PARTITIONS))
    return Call("load", (lease, some(rng, INSTANCES[lease.partition], 4)))


def load_entities(rng: Random, world: World) -> Call:
    lease = world.lease(rng, rng.randrange(PARTITIONS))
    return Call("load_entities", (lease, some(rng, ENTITIES[lease.partition], 4)))


def deaths(rng: Random, world: World) -> Call:
    return _owners(rng, world, "deaths")


def mend(rng: Random, world: World) -> Call:
    return _owners(rng, world, "mend")


_TRIED = ("1-1", "1-2", "T\n1\nt.0\nü", "T\n1\n\udcff")


def _tried(rng: Random, world: World, verb: str, others: tuple[str, ...]) -> Call:
    """Of an entry at which somebody fell silent, if there is any."""
    place = world.owned(rng)
    suspected = sorted(place.lease.died) if rng.random() < 0.6 else []
    return Call(verb, (world.lease(rng, place.number), rng.choice(suspected or others)))


def tried(rng: Random, world: World) -> Call:
    return _tried(rng, world, "tried", _TRIED)


def attempt(rng: Random, world: World) -> Call:
    return _tried(rng, world, "attempt", ("", *_TRIED))


def due(rng: Random, world: World) -> Call:
    return _owners(rng, world, "due", rng.choice((1, 2, 100)))


def outbox(rng: Random, world: World) -> Call:
    place = world.partition(rng)
    after = rng.choice([(0, 0), *place.outbox])
    return Call("outbox", (world.lease(rng, place.number), after, rng.choice((1, 100))))


def forget(rng: Random, world: World) -> Call:
    place = world.partition(rng)
    return Call("forget", (world.lease(rng, place.number), some(rng, [*place.outbox, (1, 1)], 3)))


def tidy(rng: Random, world: World) -> Call:
    place = world.owned(rng)
    ages = [world.now - mark.seen + rng.choice((-1, 0, 1)) for mark in place.marks.values()]
    silent_ms = max(rng.choice([0, 1_000, 60_000, *ages]), 0)
    return Call("tidy", (world.lease(rng, place.number), silent_ms))


def dead_letter(rng: Random, world: World) -> Call:
    return Call("dead_letter", ([("no such thing", blob(rng, "dead")) for _ in range(rng.randint(0, 2))],))


def reply(rng: Random, world: World) -> Call:
    return Call("reply", ([(f"reply:{rng.randint(1, 2)}", blob(rng, "answer")) for _ in range(rng.randint(0, 2))],))


# ---------------------------------------------------------------- activities


def _claimer(rng: Random, world: World) -> str:
    """Mostly one that has not had the entry that most others had."""
    waiting = [
        entry.died
        for place in world.hub.partitions
        for stream in place.activities.values()
        for entry in stream.entries.values()
        if entry.worker is None
    ]
    had = max(waiting, key=len, default=())
    others = [one for one in WORKERS if one not in had]
    return rng.choice(others if others and rng.random() < 0.7 else WORKERS)


def claim_activities(rng: Random, world: World) -> Call:
    queues = some(rng, QUEUES, 3)
    return Call(
        "claim_activities",
        (_claimer(rng, world), queues, rng.choice((0, 1, 2, 5, 50)), 0),
        handle=rng.randrange(HANDLES),
    )


def claimed(rng: Random, world: World) -> Call:
    return Call("claimed", (rng.choice(WORKERS), some(rng, QUEUES, 3)))


def _activity(rng: Random, world: World, place: Partition) -> tuple[str, Any]:
    """Queue and entry, claimed mostly."""
    queue = rng.choice([*place.activities] or QUEUES)
    stream = place.activities.get(queue)
    entries = {} if stream is None else stream.entries
    held = [one for one, entry in entries.items() if entry.worker is not None]
    present = held if held and rng.random() < 0.85 else [*entries]
    return queue, world.entry(rng, queue_of(place.number, queue), present)


def complete(rng: Random, world: World) -> Call:
    place = world.partition(rng)
    found = [_activity(rng, world, place) for _ in range(rng.choice((0, 1, 1, 2, 3)))]
    return Call("complete", (place.number, rng.choice(WORKERS), [Outcome(*one, blob(rng, "result")) for one in found]))


def put_back(rng: Random, world: World) -> Call:
    place = world.partition(rng)
    found = [(*_activity(rng, world, place), rng.choice(QUEUES)) for _ in range(rng.choice((0, 1, 1, 2)))]
    return Call("put_back", (place.number, rng.choice(WORKERS), found))


def _suspect(rng: Random, world: World, place: Partition) -> tuple[str, Any] | None:
    """Queue and entry of one that several workers had, if there is any."""
    found = {
        queue: [one for one, entry in stream.entries.items() if len(entry.died) > 1]
        for queue, stream in place.activities.items()
    }
    queues = [queue for queue, entries in found.items() if entries]
    if not queues:
        return None
    queue = rng.choice(queues)
    return queue, world.entry(rng, queue_of(place.number, queue), found[queue])


def begin(rng: Random, world: World) -> Call:
    place = world.partition(rng)
    queue, entry = _suspect(rng, world, place) or _activity(rng, world, place)
    return Call("begin", (rng.choice(WORKERS), Activity(place.number, queue, entry, b"")))


def reclaim(rng: Random, world: World) -> Call:
    dead = some(rng, WORKERS, 4) if rng.random() < 0.4 else list(WORKERS)
    return _owners(rng, world, "reclaim", dead, rng.choice((1, 1, 2, 100)))


# ---------------------------------------------------------------- the ingress stream


def read_ingress(rng: Random, world: World) -> Call:
    return Call("read_ingress", (world.cursor(rng, INGRESS), rng.choice((1, 100)), 0))


def route(rng: Random, world: World) -> Call:
    partition, present = rng.randrange(PARTITIONS), [*world.hub.ingress.entries]
    entries = [world.entry(rng, INGRESS, present) for _ in range(rng.choice((0, 1, 2, 3)))]
    batch = [(one, new(rng, world, partition) if rng.random() < 0.6 else blob(rng, "raised")) for one in entries]
    gone = [world.entry(rng, INGRESS, present) for _ in range(rng.choice((0, 0, 1, 2)))]
    turn = max(0, world.hub.partitions[partition].router_turn + rng.choice((-1, 0, 0, 0, 1)))
    return Call("route", (partition, world.lease(rng, INGRESS_LEASE), batch, gone), {"turn": turn})


def drop_ingress(rng: Random, world: World) -> Call:
    present = [*world.hub.ingress.entries]
    return Call("drop_ingress", ([world.entry(rng, INGRESS, present) for _ in range(rng.randint(0, 2))],))
