"""Careful mode: a partition is gone through one message per commit, so that the one that is to blame for trouble can be told.

It is entered when a commit was refused, and when owner after owner died soon after taking over. In the second case each message
is noted in the store before it is tried: the next owner then knows at which message this one fell silent, and does not try it for
ever. Only who has really died counts (`lifeline.the_dead`): one that had lost its lease and lives blames no message.
The instance that a bad message is for is parked, visibly, with the message kept in the inbox: `resume` (after a fixed deploy, or
once the store is mended) goes on where it stopped. A bad entity operation fails: its caller hears of it, a signal becomes a dead
letter, and the entity goes on with the next one.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

from durastream.core import timer_member
from durastream.core.events import Failure
from durastream.core.messages import Start
from durastream.core.status import TERMINAL
from durastream.core.timer_member import SignalDue
from durastream.errors import Refused
from durastream.store.protocol import InboxEntry
from durastream.worker import entities, intake, lifeline
from durastream.worker.backoff import persist
from durastream.worker.live import Item, Live

if TYPE_CHECKING:
    from durastream.worker.partition import Partition

log = logging.getLogger("durastream.worker.recovery")

DEATHS_MAX = 3  # of owners, before what waits in their partition is tried with care
_TRIES_MAX = 2  # deaths of an owner by one message, after that
_ENTRIES_MAX = 5_000  # more than an owner has in hand at any time
_NAMES = {"worker-crashed": "WorkerCrashed", "refused": "Refused"}
_LASTS = {"worker-crashed": " It stays as it is until it is resumed (with fixed code) or terminated."}
_PAGE = 100
_LAST = (1 << 64, 0)  # after every entry
_TIMERS = 1_000


class Recovery:
    """One pass over what an owner had, or may have had, in hand when things went wrong: entries up to `until` (None: all that
    are there now)."""

    def __init__(self, partition: Partition, *, until: str | None, deadly: bool) -> None:
        self._partition = partition
        self._until = None if until is None else _place(until)
        self._deadly = deadly  # whether somebody has died here

    async def run(self) -> None:
        """Ends with an empty memory: what is left in the inbox is read again."""
        partition = self._partition
        await partition.committer.drain()  # the commit in flight was none of those that were discarded
        await partition.mend()
        await self._messages()
        await self._timers()
        partition.reset()
        delivered = partition.committer.forget([])  # their removal was in a commit that was refused
        if delivered:
            await persist(lambda: partition.store.forget(partition.lease, delivered))
        partition.careful = False
        partition.next_due = None
        partition.expect_timer(0)

    async def _messages(self) -> None:
        until = self._until
        if until is None:
            async for entry in self._entries():
                until = _place(entry.entry_id)
        if until is not None:
            async for entry in self._entries(until):
                await self._message(entry)

    async def _entries(self, until: tuple[int, int] = _LAST) -> AsyncIterator[InboxEntry]:
        partition, after, seen = self._partition, "0", 0
        while seen < _ENTRIES_MAX:
            found = await persist(lambda after=after: partition.store.read_inboxes({partition.number: after}, _PAGE, 0))  # type: ignore[misc]
            entries = [entry for entry in found[0][1] if _place(entry.entry_id) <= until] if found else []
            if not entries:
                return
            for entry in entries:
                yield entry
            after = entries[-1].entry_id
            seen += len(entries)

    async def _message(self, entry: InboxEntry) -> None:
        partition = self._partition
        partition.refusal = None
        item = intake.message(partition, entry)
        if item is not None:
            await self._attempt(item, entry.blob)
            return
        await partition.settle()
        if partition.refusal is not None:
            await self._bury((entry.entry_id, False), "malformed message", entry.blob)

    async def _timers(self) -> None:
        partition = self._partition
        members, _ = await persist(lambda: partition.store.due(partition.lease, _TIMERS))
        for member in members:
            timer = timer_member.parse(member)
            if timer is not None:
                await self._attempt((member, True, timer), timer_member.raw(member))

    async def _attempt(self, item: Item, blob: bytes) -> None:
        """With what waits in front of it, and what it lets through, when it is for an entity."""
        entity = item[2][0] if item[2].__class__ in entities.KINDS else None
        # In this process only one is tried: else it could not be told which one it died of.
        async with self._partition.one_at_a_time if self._deadly else nullcontext():
            if entity is not None:
                await self._queue(entity)
            dead = await self._note(item[0])
            if dead:
                await self._set_aside(item, blob, "worker-crashed", _crash(_what(item), item[0], dead))
            else:
                await self._try(item, blob)
            if entity is not None:
                await self._queue(entity)
            await self._note("")

    async def _note(self, entry: str) -> list[str]:
        """Say what is tried next; the owners that have died of it, if they are enough to give it up."""
        if not self._deadly:
            return []
        partition, dead = self._partition, list[str]()
        if entry:
            suspected = await persist(lambda: partition.store.tried(partition.lease, entry))
            dead = await lifeline.the_dead(partition.store, suspected, partition.lease_ms, _TRIES_MAX)
        await persist(lambda: partition.store.attempt(partition.lease, entry))
        return dead

    async def _queue(self, entity: str) -> None:
        """Operations that waited for the lock of an entity, and do so no longer: one after the other."""
        partition = self._partition
        while (queued := await partition.entities.first_queued(entity)) is not None:
            number, message = queued
            place = f"{entity} {number}"
            dead = await self._note(place)
            failure = Failure("WorkerCrashed", _crash(type(message).__name__, place, dead))
            if not dead:
                partition.refusal = None
                partition.entities.step(entity)
                await partition.settle()
                if partition.refusal is None:
                    continue
                failure = Failure("Refused", f"the store refused what came of it: {partition.refusal}")
            if not await self._refuse_queued(entity, number, failure):
                return

    async def _refuse_queued(self, entity: str, number: int, failure: Failure) -> bool:
        partition = self._partition
        partition.reset()
        partition.refusal = None
        try:
            await partition.entities.refuse_queued(entity, number, failure)
        except (Refused, ValueError) as error:
            partition.refusal = Refused(str(error))
        await partition.settle()
        if partition.refusal is not None:
            log.error("entity %s: %d of its queue cannot be removed: %s", entity, number, partition.refusal)
        return partition.refusal is None

    async def _try(self, item: Item, blob: bytes) -> None:
        partition = self._partition
        partition.refusal = None
        partition.take([item])
        await partition.settle()
        if partition.refusal is not None:
            await self._set_aside(
                item, blob, "refused", f"the store refused what came of a message: {partition.refusal}"
            )

    async def _set_aside(self, item: Item, blob: bytes, kind: str, why: str) -> None:
        """Park the instance; where there is none, or not even that can be written, the message becomes a dead letter."""
        partition = self._partition
        partition.reset()
        if item[2].__class__ in entities.KINDS:
            await self._refuse(item, blob, Failure(_NAMES[kind], why))
            return
        live = await self._bare(item)
        if live is not None:
            partition.refusal = None
            partition.keep(live)
            partition.park(live, kind, why + _LASTS.get(kind, ""))
            partition.hold(item)
            await partition.settle()
            if partition.refusal is None:
                return
        await self._bury(item[:2], f"{kind}: {why}", blob)

    async def _refuse(self, item: Item, blob: bytes, failure: Failure) -> None:
        partition = self._partition
        message = item[2]
        if isinstance(message, SignalDue):
            await self._refuse_queued(message.entity, message.number, failure)
            partition.consume(item[:2])
        else:
            partition.refusal = None
            partition.entities.refuse(item, failure, blob)
        await partition.settle()
        if partition.refusal is not None:
            await self._bury(item[:2], f"{failure.type}: {failure.message}", blob)

    async def _bury(self, source: tuple[str, bool], reason: str, blob: bytes) -> None:
        """A dead letter, written before its source is removed, and not by way of the outbox: that may be what is spoilt."""
        partition = self._partition
        partition.reset()
        await persist(lambda: partition.store.dead_letter([(reason, blob)]))
        partition.consume(source)
        await partition.settle()

    async def _bare(self, item: Item) -> Live | None:
        """The instance without running any of its code. None: there is none that could be parked."""
        partition, message = self._partition, item[2]
        try:
            (found,) = await persist(lambda: partition.store.load(partition.lease, [message[0]]))
            if found is not None:
                return None if found[0].status in TERMINAL else Live.loaded(found[0])
        except (Refused, ValueError) as error:
            log.error("partition %d: instance %s cannot be read: %s", partition.number, message[0], error)
            return None
        if isinstance(message, Start) and not message.created:
            return partition.create(Live(message.instance_id), message)
        return None


def _place(entry_id: str) -> tuple[int, int]:
    """Order of entries. Without a sequence: before all of that millisecond."""
    ms, _, sequence = entry_id.partition("-")
    return int(ms), int(sequence or 0)


def _what(item: Item) -> str:
    return "timer" if item[1] else type(item[2]).__name__


def _crash(what: str, place: str, dead: Sequence[str]) -> str:
    names = ", ".join(dead)
    return f"{len(dead)} worker processes ({names:.200}) died one after the other while handling its {what} ({place!a:.80})."
