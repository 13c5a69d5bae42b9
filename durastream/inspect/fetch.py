"""The thin part that asks the server: gathers what the read models are made from, in few round trips."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Final

from durastream.client.client import Client
from durastream.client.views import InstanceStatus
from durastream.core import events as ev
from durastream.core.entity_id import EntityId
from durastream.errors import EntityNotFound, InstanceNotFound, InvalidId, StoreError, WireError
from durastream.inspect.diagnose import Finding, diagnose_instance
from durastream.inspect.facts import HubFacts, InstanceFacts
from durastream.inspect.filter import Filter
from durastream.inspect.hub import Overview, overview
from durastream.inspect.waiting import Known, waits

HISTORY: Final = 1_000
"""Events at the end of a history that are looked at unless told otherwise."""

_ENTITIES_MAX: Final = 20
_READS: Final = 3
_ANSWER_S: Final = 0.5  # for an owner to answer


async def fetch_overview(client: Client) -> Overview:
    """Rows and counts of the hub: a few small commands per partition, whatever is in it."""
    server, counts, workers, leases, loads = await asyncio.gather(
        client.now(), client.counts(), client.workers(), client.partitions(), client.loads()
    )
    return overview(client.hub.name, server, counts=counts, workers=workers, leases=leases, loads=loads)


async def fetch_hub(client: Client) -> HubFacts:
    """The hub, its server, the clocks and the latency, for `diagnose_hub`."""
    view, server = await asyncio.gather(fetch_overview(client), client.server_info())
    skew_ms, latency_ms = await _clock(client)
    return HubFacts(view, server, skew_ms, latency_ms)


async def _clock(client: Client, times: int = 3) -> tuple[int, float]:
    """The server's clock minus ours in ms, and the time of a round trip; the quickest of a few."""
    best = (0, float("inf"))
    for _ in range(times):
        sent, begun = time.time(), time.perf_counter()
        answered = await client.now()
        took_s = time.perf_counter() - begun
        if took_s * 1000 < best[1]:
            best = (round(answered - (sent + took_s / 2) * 1000), took_s * 1000)
    return best


async def fetch_instance(
    client: Client, instance_id: str, *, hub: HubFacts | None = None, history: int = HISTORY, ask: bool = True
) -> InstanceFacts:
    """One instance with the last `history` events (at most 1,000), what it waits for, and its hub (asked for unless given).

    `ask`: have the owner say which external events the code waits for, which takes a right to write.
    A history that cannot be read is left out and told of in `unreadable`. Raises InstanceNotFound.
    """
    (status, first, events, unreadable), facts = await asyncio.gather(
        _read(client, instance_id, history), _hub(client, hub)
    )
    known = await _known(client, status, events, first)
    awaited = None
    if ask and not status.ended and facts.overview.live_workers:
        awaited = await _awaited(client, instance_id)
        known = replace(known, events=awaited or ())
    found = waits(status, events, first, known=known)
    return InstanceFacts(status, facts, events, first, found, unreadable=unreadable, awaited=awaited)


async def _read(client: Client, instance_id: str, count: int) -> tuple[InstanceStatus, int, list[ev.Event], str | None]:
    """Record, and the end of the history it belongs to: a new execution may begin between two reads."""
    for _ in range(_READS):
        status = await client.status(instance_id)
        first = max(status.events - count, 0)
        events, unreadable = await _history(client, instance_id, first, count)
        if unreadable is not None or len(events) >= status.events - first:
            break
    return status, first, events, unreadable


async def _history(client: Client, instance_id: str, first: int, count: int) -> tuple[list[ev.Event], str | None]:
    try:
        return (await client.history_page(instance_id, first, count=count)).events, None
    except WireError as error:
        return [], str(error)


async def _hub(client: Client, hub: HubFacts | None) -> HubFacts:
    return HubFacts(await fetch_overview(client)) if hub is None else hub


async def _awaited(client: Client, instance_id: str) -> list[str] | None:
    try:
        return await client.awaited_events(instance_id, timeout=_ANSWER_S)
    except StoreError:  # who may only read asks nobody
        return None


async def _known(client: Client, status: InstanceStatus, events: Sequence[ev.Event], first: int) -> Known:
    """What only the server knows of what is under way: timers that were cancelled, holders of locks."""
    if status.ended:
        return Known()
    under_way = waits(status, events, first)
    timers = [wait.task for wait in under_way if wait.kind == "timer" and wait.task is not None]
    entities = list(dict.fromkeys(one for wait in under_way for one in wait.entities))
    still_set, holders = await asyncio.gather(
        client.timers_set(status, timers), _holders(client, entities[:_ENTITIES_MAX])
    )
    return Known(still_set, holders=holders)


async def _holders(client: Client, entities: Sequence[str]) -> dict[str, str]:
    found = await asyncio.gather(*(_holder(client, entity) for entity in entities))
    return {entity: holder for entity, holder in zip(entities, found, strict=True) if holder is not None}


async def _holder(client: Client, entity: str) -> str | None:
    try:
        return (await client.entity(EntityId.parse(entity))).locked_by
    except (EntityNotFound, InvalidId):  # what was written into a history by hand may be no entity
        return None


async def find(
    client: Client, wanted: Filter, *, limit: int | None = None, payloads: bool = True
) -> AsyncIterator[InstanceStatus]:
    """Instances that fit a filter, at most `limit`, in the cheapest way: by their ids, by the index, or page by page.

    Newest first, but for ids that the filter names one by one: those come in its order. `payloads`: as for `Client.list`.
    """
    left = limit
    async for status in _candidates(client, wanted, payloads):
        if left is not None and left <= 0:
            return
        if wanted.matches(status):
            yield status
            left = left and left - 1


def _candidates(client: Client, wanted: Filter, payloads: bool) -> AsyncIterator[InstanceStatus]:
    if wanted.nothing:
        return _by_ids(client, ())
    if wanted.ids is not None:
        return _by_ids(client, wanted.ids)
    if wanted.prefix:
        return client.find(wanted.prefix, status=wanted.statuses, payloads=payloads)
    return client.list(payloads=payloads, **wanted.listing())


async def _by_ids(client: Client, ids: Sequence[str]) -> AsyncIterator[InstanceStatus]:
    for one in ids:
        try:
            yield await client.status(one)
        except InstanceNotFound:
            continue


async def fetch_findings(client: Client, instance_id: str) -> list[Finding]:
    """What keeps an instance from going on."""
    return diagnose_instance(await fetch_instance(client, instance_id))
