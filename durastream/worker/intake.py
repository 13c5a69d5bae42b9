"""What stands in a partition's inbox and timer set → what the owner works on. Rubbish becomes a dead letter, with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durastream import wire
from durastream.core import timer_member
from durastream.core.messages import Start
from durastream.errors import InvalidId, WireError
from durastream.store.protocol import InboxEntry
from durastream.worker import admission
from durastream.worker.live import Item

if TYPE_CHECKING:
    from durastream.worker.partition import Partition


def message(partition: Partition, entry: InboxEntry) -> Item | None:
    """None when it asks for nothing more: it then leaves the inbox with the next commit."""
    commit = partition.committer.open
    if not entry.blob and entry.created_at:
        partition.expect_timer(entry.created_at)
        commit.consumed.append(entry.entry_id)
        partition.committer.weigh(1, 0)
        return None
    try:
        read = wire.unpack_message(entry.blob)
        admission.check(read, partition.number, partition.store.hub)
    except (WireError, InvalidId) as error:
        reason = f"malformed message in inbox of partition {partition.number}: {error}"
        partition.recorder.dead_letter(reason, entry.blob)
        commit.consumed.append(entry.entry_id)
        return None
    if type(read) is Start and read.created:
        partition.adopt(read, entry.created_at)
    return entry.entry_id, False, read


def timer(partition: Partition, member: str) -> Item | None:
    """Like `message`."""
    item = timer_member.parse(member)
    if item is None:
        reason = f"malformed timer in partition {partition.number}"
        partition.recorder.dead_letter(reason, timer_member.raw(member))
        partition.committer.open.timers_remove.append(member)
        partition.committer.weigh(1, 0)
        return None
    return member, True, item
