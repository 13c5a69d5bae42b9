"""Looks after what dead workers left behind in an owned partition: their claims on activities."""

from __future__ import annotations

from durastream.store.protocol import Lease, WorkerStore

_LIMIT = 200  # claims moved by one script call


async def rescue(store: WorkerStore, lease: Lease, ttl_ms: int) -> int:
    """Put back every activity of this partition that a dead worker had claimed. Returns how many. Raises Fenced.

    A worker heartbeats before it claims. So whoever is known to the activity streams, and not among the live ones asked for
    *after* that, is dead; in the other order a worker that has just joined would look so.
    """
    claimants = await store.claimants(lease.partition)
    if not claimants:
        return 0
    oldest = await store.now() - ttl_ms
    dead = sorted(claimants - {one.worker_id for one in await store.workers() if one.seen_at >= oldest})
    rescued = 0
    while dead:
        moved = await store.reclaim(lease, dead, _LIMIT)
        rescued += len(moved)
        if len(moved) < _LIMIT:
            break
    return rescued
