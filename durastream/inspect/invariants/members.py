"""Members of a partition's timer set as `fsck` reads them, whatever stands in them. Their form: `core.timer_member`."""

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
