"""Careful mode: a partition is gone through one message per commit, so that the one that is to blame for trouble can be told.

It is entered when a commit was refused, and when owner after owner died soon after taking over. In the second case each message
is noted in the store before it is tried: the next owner then knows of which message this one died, and does not try it for ever.
The instance that a bad message is for is parked, visibly, with the message kept in the inbox: `resume` (after a fixed deploy, or
once the store is mended) goes on where it stopped.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from durastream.core.messages import Start
from durastream.core.status import TERMINAL
from durastream.errors import Refused
from durastream.store.protocol import InboxEntry
from durastream.worker import timer_member
from durastream.worker.backoff import persist
from durastream.worker.live import Item, Live

if TYPE_CHECKING:
    from durastream.worker.partition import Partition

log = logging.getLogger("durastream.worker.recovery")

DEATHS_MAX = 3  # of owners, before what waits in their partition is tried with care
_TRIES_MAX = 2  # deaths of an owner by one message, after that
_ENTRIES_MAX = 5_000  # more than an owner has in hand at any time
_PAGE = 100
_TIMERS = 1_000


class Recovery:
    """One pass over what an owner had, or may have had, in hand when things went wrong: entries up to `until`."""

    def __init__(self, partition: Partition, *, until: str, deadly: bool) -> None:
        self._partition = partition
        self._until = _place(until)
        self._deadly = deadly  # whether somebody has died here

    async def run(self) -> None:
        """Ends with an empty memory: what is left in the inbox is read again."""
        partition = self._partition
        await partition.committer.drain()  # the commit in flight was none of those that were discarded
        await partition.mend()
        await self._messages()
        await self._timers()
        partition.reset()
        partition.careful = False
        partition.next_due = None
        partition.expect_timer(0)

    async def _messages(self) -> None:
        partition, after, seen = self._partition, "0", 0
        while seen < _ENTRIES_MAX:
            found = await persist(lambda after=after: partition.store.read_inboxes({partition.number: after}, _PAGE, 0))  # type: ignore[misc]
            entries = [entry for entry in found[0][1] if _place(entry.entry_id) <= self._until] if found else []
            if not entries:
                return
            for entry in entries:
                await self._message(entry)
            after = entries[-1].entry_id
            seen += len(entries)

    async def _message(self, entry: InboxEntry) -> None:
        partition = self._partition
        partition.refusal = None
        item = partition.parse(entry)
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
        if not self._deadly:
            await self._try(item, blob)
            return
        partition = self._partition
        async with partition.one_at_a_time:  # in this process: else it could not be told which one it died of
            tries = await persist(lambda: partition.store.attempt(partition.lease, item[0]))
            if tries > _TRIES_MAX:
                await self._set_aside(item, blob, "worker-crashed", _crash(item, tries - 1))
            else:
                await self._try(item, blob)
            await persist(lambda: partition.store.attempt(partition.lease, ""))

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
        live = await self._bare(item)
        if live is not None:
            partition.refusal = None
            partition.keep(live)
            partition.park(live, kind, why)
            partition.hold(item)
            await partition.settle()
            if partition.refusal is None:
                return
        await self._bury(item[:2], f"{kind}: {why}", blob)

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
            (found,) = await persist(lambda: partition.store.load(partition.lease, [message.instance_id]))
            if found is not None:
                return None if found[0].status in TERMINAL else Live.loaded(found[0])
        except (Refused, ValueError) as error:
            log.error("partition %d: instance %s cannot be read: %s", partition.number, message.instance_id, error)
            return None
        if isinstance(message, Start) and not message.created:
            return partition.create(Live(message.instance_id), message)
        return None


def _place(entry_id: str) -> tuple[int, int]:
    """Order of entries. Without a sequence: before all of that millisecond."""
    ms, _, sequence = entry_id.partition("-")
    return int(ms), int(sequence or 0)


def _crash(item: Item, deaths: int) -> str:
    what = "timer" if item[1] else type(item[2]).__name__
    return (
        f"{deaths} worker processes died one after the other while handling its {what} ({item[0]!a:.80}). It stays as it is until"
        " it is resumed (with fixed code) or terminated."
    )
