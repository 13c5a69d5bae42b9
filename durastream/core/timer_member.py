"""Members of a partition's timer set: `kind \\n number \\n execution id \\n instance id`. The id is last: it may hold anything
but control characters. Of a signal for later: `D \\n number in the queue \\n due \\n entity`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from durastream.core.entity_id import EntityId
from durastream.core.ids import check_instance_id
from durastream.errors import InvalidId

_NUMBER: Final = re.compile("[0-9]{1,15}")


class TimerDue(NamedTuple):
    """A durable timer of an execution."""

    instance_id: str
    execution_id: str
    task: int


class ScheduledStart(NamedTuple):
    """An instance created with `start_at`."""

    instance_id: str
    execution_id: str
    task: int


class Expiry(NamedTuple):
    """The retention of an ended instance is over. `task` is its completion time, which a later execution does not share."""

    instance_id: str
    execution_id: str
    task: int


class SignalDue(NamedTuple):
    """The time of a signal for later has come: entry `number` of the entity's queue. `due` keeps a number that is used
    again from being taken for this one."""

    entity: str
    due: str
    number: int


TimerItem = TimerDue | ScheduledStart | Expiry | SignalDue
_KINDS: Final[dict[str, Callable[[str, str, int], TimerItem]]] = {
    "T": TimerDue,
    "S": ScheduledStart,
    "X": Expiry,
    "D": SignalDue,
}
_CHECKS: Final[dict[str, Callable[[str], object]]] = {"D": EntityId.parse}


def timer(task: int, execution_id: str, instance_id: str) -> str:
    return f"T\n{task}\n{execution_id}\n{instance_id}"


def scheduled_start(execution_id: str, instance_id: str) -> str:
    """As the start script writes it (`lua/_create.lua`)."""
    return f"S\n0\n{execution_id}\n{instance_id}"


def expiry(completed_at: int, execution_id: str, instance_id: str) -> str:
    return f"X\n{completed_at}\n{execution_id}\n{instance_id}"


def signal(number: int, due: int, entity: str) -> str:
    return f"D\n{number}\n{due}\n{entity}"


def parse(member: str) -> TimerItem | None:
    """None for what was written there by hand and is none of ours."""
    parts = member.split("\n", 3)
    if len(parts) != 4 or parts[0] not in _KINDS or not _NUMBER.fullmatch(parts[1]):
        return None
    try:
        _CHECKS.get(parts[0], check_instance_id)(parts[3])
    except InvalidId:
        return None
    return _KINDS[parts[0]](parts[3], parts[2], int(parts[1]))


def raw(member: str) -> bytes:
    """A member as it stands in the store, whatever somebody wrote there by hand."""
    return member.encode("utf-8", "surrogateescape")
