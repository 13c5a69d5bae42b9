"""What a stream entry must be, by the role of its stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgpack

from durastream import wire
from durastream.core.entity_id import EntityId
from durastream.errors import InvalidId, WireError
from durastream.inspect.invariants.values import natural, quoted
from durastream.store.redis import decode


def problem(role: str, fields: list[bytes], partitions: int) -> str | None:
    """Why it is not what belongs there; None when it is. `role`: inbox, outbox or activities."""
    return _PROBLEMS[role](decode.pairs(fields), partitions)


def _inbox(fields: dict[bytes, bytes], _partitions: int) -> str | None:
    if fields.get(b"m") == b"" and natural(fields.get(b"t")) is not None:
        return None  # word of an instance that starts later
    return _unreadable(fields, wire.unpack_message)


def _outbox(fields: dict[bytes, bytes], partitions: int) -> str | None:
    to = fields.get(b"to", b"")
    if to in (b"dead", b"reply"):
        return _pair(fields.get(b"m", b""))
    target = natural(to)
    if target is None or target >= partitions:
        return f"it is for {quoted(to)}, which is no partition of this hub"
    return _unreadable(fields, wire.unpack_message)


def _activity(fields: dict[bytes, bytes], _partitions: int) -> str | None:
    if not _is_text(fields.get(b"d", b"")):
        return f"its list of workers that had it is {quoted(fields[b'd'])}"
    return _unreadable(fields, wire.unpack_activity)


def _unreadable(fields: dict[bytes, bytes], unpack: Callable[[bytes], Any]) -> str | None:
    if b"m" not in fields:
        return "it has no field m"
    try:
        message = unpack(fields[b"m"])
        if isinstance(message[0], str) and message[0].startswith("@") and hasattr(message, "entity"):
            EntityId.parse(message[0])
    except (WireError, InvalidId) as error:
        return str(error)
    return None


def _pair(blob: bytes) -> str | None:
    try:
        read = msgpack.unpackb(blob)
    except (ValueError, msgpack.exceptions.UnpackException):
        return "it cannot be read"
    sound = isinstance(read, list) and len(read) == 2 and isinstance(read[0], str) and isinstance(read[1], bytes)
    return None if sound else "it is no pair of text and bytes"


_PROBLEMS: Final[dict[str, Callable[[dict[bytes, bytes], int], str | None]]] = {
    "inbox": _inbox,
    "outbox": _outbox,
    "activities": _activity,
}


def _is_text(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True
