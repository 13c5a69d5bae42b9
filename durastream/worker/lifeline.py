"""Looks after what dead workers left behind in an owned partition: their claims on activities. Tells who is dead at all."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable

from durastream import environment
from durastream.store.protocol import Lease, WorkerStore
from durastream.worker.backoff import persist

_LIMIT = 200  # claims moved by one script call
_SILENT_LEASES = 3  # after which a worker is not only late


async def rescue(store: WorkerStore, lease: Lease, ttl_ms: int) -> int:
    """Put back every activity of this partition that a silent worker had claimed. Returns how many. Raises Fenced.

    A worker heartbeats before it claims. So whoever is known to the activity streams, and not among the live ones asked for
    *after* that, is silent; in the other order a worker that has just joined would look so.
    """
    claimants = await store.claimants(lease.partition)
    if not claimants:
        return 0
    oldest = await store.now() - ttl_ms
    silent = sorted(claimants - {one.worker_id for one in await store.workers() if one.seen_at >= oldest})
    rescued = 0
    while silent:
        moved = await store.reclaim(lease, silent, _LIMIT)
        rescued += len(moved)
        if len(moved) < _LIMIT:
            break
    return rescued


async def the_dead(store: WorkerStore, suspected: Iterable[str], ttl_ms: int, enough: int) -> list[str]:
    """Those of these workers that have died, if they are `enough` to give up for good what they had; else nobody.

    Who heartbeats lives, whatever it has lost meanwhile: it was cut off, paused or slow. Who has been silent for three lease
    times counts as dead, if it stays so while this looks on for one more: the server's clock may have jumped. Waits while too
    few are alive to say that it never will be enough. No id is ever used by two processes.
    """
    suspects, began = set(suspected), environment.monotonic()
    while len(suspects) >= enough:
        now = await persist(store.now)
        seen = {one.worker_id: now - one.seen_at for one in await persist(store.workers) if one.worker_id in suspects}
        dead = [one for one in sorted(suspects) if seen.get(one, math.inf) > _SILENT_LEASES * ttl_ms]
        alive = sum(silence <= ttl_ms for silence in seen.values())
        if len(suspects) - alive < enough:
            break
        if len(dead) >= enough and environment.monotonic() - began > ttl_ms / 1_000:
            return dead
        await asyncio.sleep(ttl_ms / 4_000)
    return []
