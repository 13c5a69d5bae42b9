"""Looks after what dead workers left behind in an owned partition: their claims on activities."""

from __future__ import annotations

from durastream.store.protocol import Lease, WorkerStore

_LIMIT = 200  # claims moved by one script call


async def rescue(store: WorkerStore, lease: Lease, live: list[str]) -> int:
    """Put back every activity of this partition that a dead worker had claimed. Returns how many. Raises Fenced."""
    rescued = 0
    while True:
        moved = await store.reclaim(lease, live, _LIMIT)
        rescued += len(moved)
        if len(moved) < _LIMIT:
            return rescued
