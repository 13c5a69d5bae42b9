"""What must hold once everything has ended, besides the books of the workloads."""

from __future__ import annotations

import asyncio
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import redis

import durastream as ds
from durastream.core.events import Event
from durastream.core.execution import Orchestration
from durastream.errors import NonDeterminismError
from durastream.inspect.fsck import Patience, fsck
from durastream.payload import Payloads
from durastream.store.redis.repairs import Repairs
from tests.acceptance import oracle
from tests.chaos.app import app
from tests.chaos.lanes import Fault
from tests.chaos.witness import Seen
from tests.chaos.workers import B_S, LEASE_S

_AT_ONCE = 50
_FSCK_TRIES = 3


async def clean(url: str, hub: str = "default") -> list[str]:
    """fsck until nothing is found; what is still found in the end. Dead letters count: none was deserved (S23)."""
    found: list[str] = []
    for _ in range(_FSCK_TRIES):
        raw = await Repairs.open(url, hub)
        try:
            report = await fsck(raw, patience=Patience())
        finally:
            await raw.close()
        found = [f"{one.invariant} fsck: {one.key}: {one.text}" for one in report.violations]
        if report.dead_letters:
            found.append(f"S23 {report.dead_letters} dead letters")
        if not found:
            return []
        await asyncio.sleep(LEASE_S)  # time must pass: what is under way is no finding
    return found


async def replays(client: ds.Client, statuses: Iterable[ds.InstanceStatus]) -> tuple[int, list[str]]:
    """Run every history against the code (S6): how many, and those that do not fit."""
    todo, found = list(statuses), list[str]()
    for first in range(0, len(todo), _AT_ONCE):
        some = todo[first : first + _AT_ONCE]
        for status, events in zip(some, await asyncio.gather(*(client.history(one.id) for one in some)), strict=True):
            try:
                with replayed(status, events):
                    continue
            except NonDeterminismError as error:
                found.append(f"S6 {status.id} does not replay: {error}")
    return len(todo), found


@contextmanager
def replayed(status: ds.InstanceStatus, events: Sequence[Event]) -> Iterator[Orchestration]:
    """The code where that history has brought it. Raises NonDeterminismError."""
    definition = app.find_orchestrator(status.name, status.version)
    assert definition is not None, status.name
    run = Orchestration(definition, status.id, status.execution_id, codec=Payloads())
    try:
        run.replay(events)
        yield run
    finally:
        run.close()


def executions(
    seen: Mapping[tuple[str, str], Sequence[Seen]], faults: Sequence[Fault]
) -> tuple[Counter[str], list[str]]:
    """Runs of activities beyond the first, by activity; and those that no fault explains (S5)."""
    duplicates: Counter[str] = Counter()
    found = []
    ordered = sorted(faults, key=lambda fault: fault.begin)
    begins = [fault.begin for fault in ordered]
    for (activity, key), runs in seen.items():
        extra = len(runs) - 1
        if not extra:
            continue
        duplicates[activity] += extra
        first, last = min(run.at for run in runs), max(run.at for run in runs)
        near = ordered[: bisect_left(begins, last)]
        blamed = sum(max(1, fault.hits) for fault in near if fault.end + B_S >= first)
        if extra > blamed:
            found.append(f"S5 {activity} {key} ran {len(runs)} times, with {blamed} faults about")
    return duplicates, found


def left_over(urls: Iterable[str], hub: str = "default") -> dict[str, int]:
    """See `oracle.leftovers`; of all masters together."""
    return {key: count for url in urls for key, count in oracle.leftovers(url, hub).items()}


def keys(urls: Iterable[str]) -> frozenset[str]:
    """All names of keys."""
    found: set[str] = set()
    for url in urls:
        with redis.Redis.from_url(url, protocol=2) as connection:
            found.update(key.decode() for key in connection.scan_iter(count=1_000))
    return frozenset(found)


_FOREIGN = re.compile(r"ds:(hubs|\{default(:\d+)?\}:.+)", re.DOTALL)


def foreign(names: Iterable[str]) -> list[str]:
    """Keys that are nobody's (S20)."""
    return [f"S20 the key {name!r} belongs to nothing" for name in names if not _FOREIGN.fullmatch(name)]
