"""Members of a partition's timer set as `fsck` reads them: T timer, S scheduled start, X end of retention, D signal for later."""

from __future__ import annotations

from typing import NamedTuple

from durastream.inspect.invariants.values import natural

KINDS = frozenset("TSXD")


class Member(NamedTuple):
    """`number`: of the event (T), 0 (S), the completion time (X), or the place in the queue (D). `about`: an instance id, or an
    entity (D). `of`: its execution, or when the signal is due (D)."""

    kind: str
    number: int
    of: str
    about: str


def member(raw: bytes) -> Member | None:
    """None for what none of ours wrote."""
    try:
        parts = raw.decode().split("\n", 3)
    except UnicodeDecodeError:
        return None
    if len(parts) != 4 or parts[0] not in KINDS or not parts[3]:
        return None
    number = natural(parts[1].encode())
    return None if number is None else Member(parts[0], number, parts[2], parts[3])


def timer(task: int, execution_id: str, instance_id: str) -> str:
    return f"T\n{task}\n{execution_id}\n{instance_id}"


def scheduled_start(execution_id: str, instance_id: str) -> str:
    return f"S\n0\n{execution_id}\n{instance_id}"


def expiry(completed_at: int, execution_id: str, instance_id: str) -> str:
    return f"X\n{completed_at}\n{execution_id}\n{instance_id}"


def signal(number: int, due: int, entity: str) -> str:
    return f"D\n{number}\n{due}\n{entity}"
