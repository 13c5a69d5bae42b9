"""A worker is given the state of a prefix: it must bring everything to its end that had been acknowledged by then."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

import durastream as ds
from durastream.core.status import TERMINAL
from durastream.inspect.fsck import fsck
from durastream.store.redis.repairs import Repairs
from tests.acceptance.oracle import leftovers
from tests.prefixes import app
from tests.prefixes.aof import Unit
from tests.prefixes.exploring import AT_ONCE, apply, hub_begins, scratch
from tests.prefixes.journal import COUNTER, Journal, Known, Outcome, connected
from tests.prefixes.recording import Recording
from tests.prefixes.workloads import HUB
from tests.support import eventually

LEASE_S = 0.4
_END_S = 20.0
_LEDGERS = 10
_TOTAL = 100  # of each account that was opened


async def recover(recording: Recording, count: int, url: str) -> list[str]:
    """What is wrong after a worker has had its time with the first `count` units. The server at `url` is EMPTIED."""
    async with scratch(url) as connection:
        for unit in recording.units[:count]:
            await apply(connection, unit)
    return await finish(recording.journal, url, recording.workload.app)


def recoverable(units: Sequence[Unit]) -> range:
    """Numbers of units that make a hub."""
    return range(hub_begins(units), len(units) + 1)


async def finish(journal: Journal, url: str, code: ds.App | None) -> list[str]:
    """Let a worker end everything on this server, and look at what came of it. Without `code`: somebody else is at work there."""
    known = Known(journal)
    with connected(url) as server:
        known.advance(int(server.get(COUNTER) or 0))
    app.HEALTHY.update(("mended", "family.child"))
    async with AsyncExitStack() as stack:
        if code is not None:
            await stack.enter_async_context(ds.Worker(code, url, lease=LEASE_S, grace=0.2))
        client = await stack.enter_async_context(ds.Client(url))
        try:
            await eventually(lambda: _all_ended(client), _END_S, pause_s=0.02, what="all have ended")
            await eventually(lambda: not under_way(url), _END_S, pause_s=0.02, what="all is quiet")
        except AssertionError as error:
            stuck = [one async for one in client.list(limit=5, status=["Pending", "Running", "Suspended"])]
            return [
                f"L1 {error}; {[(one.id, one.runtime_status, one.problem) for one in stuck]}; left: {under_way(url)}"
            ]
        found = await judged(client, journal, known)
    return found + await still_sound(url)


def under_way(url: str) -> dict[str, int]:
    """What is left over (L11), but for dead letters: rubbish that was sent."""
    return {key: count for key, count in leftovers(url, HUB).items() if not key.endswith(":dead")}


async def still_sound(url: str) -> list[str]:
    hub = await Repairs.open(url, HUB)
    try:
        report = await fsck(hub, patience=AT_ONCE)
    finally:
        await hub.close()
    return [f"{one.invariant} {one.key}: {one.text}" for one in report.violations]


async def _all_ended(client: ds.Client) -> bool:
    """Give those that wait what they wait for."""
    left = [one async for one in client.list(status=["Pending", "Running", "Suspended"])]
    for one in left:
        if one.runtime_status == "Suspended":
            await client.resume(one.id, check=False)
        elif one.runtime_status == "Running":
            await client.raise_event(one.id, "go", "on", check=False)
    return not left


async def judged(client: ds.Client, journal: Journal, known: Known) -> list[str]:
    """What was acknowledged is there; everything that is there came out as it should; nothing was done twice."""
    there = {one.id: one async for one in client.list()}
    found = [f"S9 {one}: its start was acknowledged, it is not there" for one in known.present - there.keys()]
    found += [f"S19 {one}: it was purged, it is there" for one in known.gone & there.keys()]
    for name, status in there.items():
        found += _outcome(name, status, journal, known)
    ledgers = await asyncio.gather(*(_notes(client, number) for number in range(_LEDGERS)))
    found += _once(Counter(label for notes in ledgers for label in notes), there, journal, known)
    return found + await _balanced(client, known)


def _outcome(name: str, status: ds.InstanceStatus, journal: Journal, known: Known) -> list[str]:
    if status.runtime_status not in TERMINAL:
        return [f"L1 {name} is {status.runtime_status}"]
    told = known.ended.get(name)
    if told is not None and told != status.runtime_status:
        return [f"S8 {name}: the client was told that it is {told}, it is {status.runtime_status}"]
    allowed = journal.outcomes.get(name)
    if allowed is None or any(_is(status, one, name in known.events) for one in allowed):
        return []
    return [f"S7 {name}: {status.runtime_status} {status.output!r}, expected {allowed}"]


def _is(status: ds.InstanceStatus, one: Outcome, event: bool) -> bool:
    if status.runtime_status != one.status or (event and one.unless_event):
        return False
    return one.output is None or status.output == one.output


async def _notes(client: ds.Client, number: int) -> list[str]:
    state: Any = await client.read_entity(app.ledger(number))
    return [] if state is None else list(state["notes"])


def _once(counts: Counter[str], there: dict[str, ds.InstanceStatus], journal: Journal, known: Known) -> list[str]:
    """S13: an operation that was acknowledged, or that a finished instance made, is applied; none is applied twice."""
    wanted = {label for label in known.signals if label.startswith(("client", "while"))}
    for name, labels in journal.labels.items():
        if name in there and there[name].runtime_status == "Completed":
            wanted.update(labels)
    found = [f"S13 {label!r} was applied {count} times" for label, count in counts.items() if count > 1]
    found += [f"S13 {label!r} was lost" for label in sorted(wanted - counts.keys())]
    return found + [f"S13 {label!r} is there, though it failed" for label in counts if label.endswith("refused")]


async def _balanced(client: ds.Client, known: Known) -> list[str]:
    """The accounts of `money` hold what was paid in: each deposit that was acknowledged, and none twice."""
    owners = ("ann", "ben", "cid")
    if not known.signals & set(owners):
        return []
    async with asyncio.timeout(_END_S):
        states: list[Any] = [await client.read_entity(ds.EntityId("Account", owner)) for owner in owners]
    total = sum(state["balance"] for state in states if state is not None)
    least = _TOTAL * len(known.signals & set(owners))
    # A deposit that was stored, and not yet acknowledged, may be there as well.
    return (
        [] if total in range(least, 301, _TOTAL) else [f"S7 the accounts sum up to {total}, at least {least} was paid"]
    )
