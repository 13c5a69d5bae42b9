"""What must hold of a hub after everything in it has ended, read with the client and a plain connection."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import durastream as ds
from durastream.inspect.invariants import check
from durastream.inspect.invariants.history import open_tasks, unmatched
from durastream.inspect.invariants.instance import times_go_forward
from durastream.inspect.invariants.snapshots import InstanceSnapshot
from tests.servers.looking import connect
from tests.support import eventually

R = TypeVar("R")

_WAITING = re.compile(rb"}:(locks$|stalled$|q:@)")
_AT_ONCE = 100  # histories read in parallel


def check_history(events: list[Any]) -> list[str]:
    """Findings in one history of an orchestration that awaited all it began (S4, S27): what it schedules has an outcome, one,
    and of its kind."""
    found = [*unmatched(events)]
    found += [f"event {number} {type(event).__name__} has no outcome" for number, event in open_tasks(events).items()]
    snapshot = InstanceSnapshot("", 0, 0, "", events=events, history_length=len(events))
    return found + [one.text for one in check(snapshot, [times_go_forward])]


async def check_all(client: ds.Client, ids: Iterable[str]) -> list[str]:
    """Findings in the histories of these instances."""
    todo, found = list(ids), list[str]()
    for first in range(0, len(todo), _AT_ONCE):
        for findings in await asyncio.gather(*(_check(client, one) for one in todo[first : first + _AT_ONCE])):
            found += findings
    return found


async def _check(client: ds.Client, instance_id: str) -> list[str]:
    history, status = await asyncio.gather(client.history(instance_id), client.status(instance_id))
    found = check_history(history)
    if status.events != len(history):
        found.append(f"{len(history)} events, the record says {status.events}")
    return [f"{instance_id}: {finding}" for finding in found]


async def finish(client: ds.Client, url: str, handles: Sequence[ds.Handle[R]], timeout: float) -> list[R]:
    """The results of all. When they do not come in time, what the store holds about the first ones that are stuck."""
    try:
        return await client.wait_all(handles, timeout)
    except ds.TimeoutError:
        print("left over:", leftovers(url, client.hub.name))
        stuck = [status async for status in client.list(limit=5, status=["Pending", "Running", "Suspended"])]
        for status in stuck:
            print(status, *await client.history(status.id), sep="\n    ")
        raise


def leftovers(url: str, hub: str = "default") -> dict[str, int]:
    """Entries in any stream of the hub, claims, timers but for ends of retention, locks of entities and what waits for
    them; empty when all is quiet (L11)."""
    left: dict[str, int] = {}
    with connect(url) as connection:
        for key in connection.scan_iter(match=f"ds:{{{hub}*", count=1_000):
            kind = connection.type(key)
            count = 0
            if kind == b"stream":
                count = connection.xlen(key)
                count += sum(group["pending"] for group in connection.xinfo_groups(key))
            elif key.endswith(b":timers"):
                count = sum(1 for member in connection.zscan_iter(key) if not member[0].startswith(b"X"))
            elif kind == b"hash" and _WAITING.search(key):
                count = connection.hlen(key)
            if count:
                left[key.decode()] = count
    return left


async def quiet(url: str, deadline_s: float = 20) -> None:
    """Return once nothing is left over; AssertionError with what is."""
    try:
        await eventually(lambda: not leftovers(url), deadline_s, pause_s=0.05)
    except AssertionError:
        left = leftovers(url)
        for key in left:
            print(key, *_content(url, key), sep="\n    ")
        raise AssertionError(f"left over after {deadline_s} s: {left}") from None


def _content(url: str, key: str) -> list[Any]:
    """What stands in a stream or timer set, the first of it."""
    with connect(url) as connection:
        kind = connection.type(key)
        if kind == b"hash":
            return list(connection.hgetall(key).items())[:20]
        if kind != b"stream":
            return list(connection.zrange(key, 0, 20, withscores=True))
        pending = [connection.xpending_range(key, one["name"], "-", "+", 20) for one in connection.xinfo_groups(key)]
        return [*connection.xrange(key, count=20), *pending]
