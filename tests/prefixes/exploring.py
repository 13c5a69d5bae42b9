"""Unit after unit is applied to a second server, and each state in between is looked at."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from durastream.inspect.fsck import Patience, fsck
from durastream.inspect.invariants.log import UNIT
from durastream.inspect.invariants.violation import check
from durastream.store.connect import Endpoint
from durastream.store.connection import Connection
from durastream.store.keys import HUBS
from durastream.store.redis.repairs import Repairs
from tests.prefixes.aof import Unit
from tests.prefixes.journal import COUNTER, Known
from tests.prefixes.recording import PARTITIONS, Recording
from tests.prefixes.state import State
from tests.prefixes.workloads import HUB

AT_ONCE = Patience(1, 0)
_SHOWN = 3  # violations of one prefix


@dataclass
class Explored:
    """`bad`: prefixes (number of units) with what is wrong there. `looked_at`: how many were."""

    looked_at: int = 0
    units: int = 0
    bad: dict[int, list[str]] = field(default_factory=dict)

    def add(self, number: int, found: Sequence[str]) -> None:
        if found:
            self.bad.setdefault(number, []).extend(found[:_SHOWN])


@asynccontextmanager
async def scratch(url: str) -> AsyncIterator[Connection]:
    """An emptied server to apply units to."""
    connection = await Connection.open(Endpoint.parse(url), client_name="prefixes")
    try:
        await connection.call("FLUSHALL")
        yield connection
    finally:
        await connection.close()


async def apply(connection: Connection, unit: Unit) -> None:
    """As the server itself would at start. A reply that is an error raises."""
    words: tuple[tuple[bytes, ...], ...] = unit.commands
    words = ((b"MULTI",), *words, (b"EXEC",)) if len(unit.commands) > 1 else words
    for reply in [connection.call(*command) for command in words]:
        await reply


def hub_begins(units: Sequence[Unit]) -> int:
    """How many units it takes until the hub is whole: its settings, and its place in the list of hubs."""
    return next(k for k, unit in enumerate(units, 1) if any(words[1] == HUBS.encode() for words in unit.commands))


async def explore(recording: Recording, url: str, *, every: int = 1) -> Explored:
    """Each step is checked, and each `every`th state looked through with `fsck`. The server at `url` is EMPTIED."""
    found = Explored(units=len(recording.units))
    state, known = State(HUB, PARTITIONS), Known(recording.journal)
    first = hub_begins(recording.units)
    async with scratch(url) as connection:
        hub: Repairs | None = None
        try:
            for number, unit in enumerate(recording.units, 1):
                await apply(connection, unit)
                found.add(
                    number, [f"{one.invariant} {one.key}: {one.text}" for one in check(state.apply(number, unit), UNIT)]
                )
                if number < first or _marks_only(unit) or number % every:
                    continue
                hub = hub or await Repairs.open(url, HUB)
                found.add(number, await _findings(hub))
                found.looked_at += 1
                known.advance(state.acked)
                found.add(number, _forgotten(state, known))
        finally:
            if hub is not None:
                await hub.close()
    found.add(len(recording.units), state.differs(url))
    return found


def _marks_only(unit: Unit) -> bool:
    """The state of the hub is the one before."""
    return all(words[1] == COUNTER.encode() for words in unit.commands)


async def _findings(hub: Repairs) -> list[str]:
    report = await fsck(hub, patience=AT_ONCE)
    return [f"{one.invariant} {one.key}: {one.text}" for one in report.violations]


def _forgotten(state: State, known: Known) -> list[str]:
    """S9, S8, S19: what was acknowledged by then is there, and has the end that was told."""
    found = []
    for instance_id in known.present | known.gone | known.ended.keys():
        record = _record(state, instance_id)
        if instance_id in known.present and not record:
            found.append(f"S9 {instance_id}: its start was acknowledged, it is not there")
        if instance_id in known.gone and record:
            found.append(f"S19 {instance_id}: it was purged, it is there")
        told = known.ended.get(instance_id)
        if told is not None and record.get(b"status", b"").decode() != told:
            found.append(f"S8 {instance_id}: the client was told that it is {told}, it is {record.get(b'status')!r}")
    return found


def _record(state: State, instance_id: str) -> dict[bytes, bytes]:
    names = (one.instance(instance_id).encode() for one in state.keys.partitions)
    return next((state.hashes[name] for name in names if state.hashes.get(name)), {})
