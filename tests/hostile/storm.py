"""Thousands of generated entries at once, into the ingress, the inboxes, an activity stream and the timers of one hub."""

from __future__ import annotations

from random import Random
from typing import Any

from durastream.core.ids import partition_of
from tests.acceptance.planting import PARTITIONS
from tests.hostile import entries
from tests.hostile.ground import HOME, Scene, check_lines
from tests.support import eventually


async def storm(at: Scene, seed: int, count: int) -> dict[str, int]:
    """Plant so many entries, a quarter of each kind, and see the hub take them. Returns how many of each were planted."""
    rng, ground = Random(seed), at.ground
    before, known = len(ground.plants.dead()), ground.plants.instances()
    piece = count // 4
    blobs, rows = entries.messages(rng, 2 * piece), entries.ingress(rng, piece)
    timers = entries.members(rng, piece)
    pipe: Any = ground.redis.pipeline(transaction=False)
    for number, blob in enumerate(blobs[:piece]):
        rightly = entries.made_by(blob)
        home = number % PARTITIONS if rightly is None else partition_of(rightly, PARTITIONS)
        pipe.xadd(ground.hub.partitions[home].inbox, {"m": blob})
    for blob in blobs[piece:]:
        pipe.xadd(ground.home.tag + "a:default", {"m": blob})
    for fields in rows:
        pipe.execute_command("XADD", ground.hub.ingress, "*", *fields[: len(fields) // 2 * 2])
    pipe.zadd(ground.home.timers, dict.fromkeys(timers, 1.0))
    pipe.execute()
    at.worker.host.owned[HOME].expect_timer(0)
    await at.complete(at.ids(home=True, number=3) + at.ids(home=False, number=3), 30)
    await eventually(lambda: at.worker.host.failure or not _left(at), 60, pause_s=0.05, what="all is taken")
    assert at.worker.host.failure is None, repr(at.worker.host.failure)
    await at.complete(at.ids(home=True, number=3) + at.ids(home=False, number=3), 30)
    made = {entries.made_by(blob) for blob in blobs} | {entries.started_by(fields) for fields in rows}
    strange = {one for one in ground.plants.instances() - known - made if not one.startswith(("n", "in-"))}
    assert not strange, f"seed {seed}: made of nothing: {strange}"
    assert len(ground.plants.dead()) > before, "nothing was refused"
    check_lines(f"seed {seed}", at.lines, lines_max=4 * count)
    return {"inbox": piece, "activities": piece, "ingress": len(rows), "timers": len(set(timers))}


def _left(at: Scene) -> list[str]:
    """Streams that hold something. What waits for an activity or entity that nobody has stays there, and so do timers to come."""
    ground = at.ground
    streams = [ground.hub.ingress, ground.home.tag + "a:default", *(one.inbox for one in ground.hub.partitions)]
    waiting = {key for key in streams if ground.redis.xlen(key)}
    stalled = {
        one.inbox for one in ground.hub.partitions if ground.redis.hlen(one.stalled) or ground.redis.hlen(one.parked)
    }
    return sorted(waiting - stalled)
