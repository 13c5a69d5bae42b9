"""Replies of the server → values of the protocol."""

from __future__ import annotations

import json
from typing import Any, Final, cast

from durastream.core.status import ALL, Status
from durastream.errors import Refused
from durastream.store.protocol import InboxEntry, Outbound, Record, Started

_DIGITS_MAX: Final = 15  # of times and counts: more than any of ours has, and exact in every language


def pairs(flat: list[bytes]) -> dict[bytes, bytes]:
    """[field, value, field, value, …] as a dict."""
    walk = iter(flat)
    return dict(zip(walk, walk, strict=False))


def text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


def number(value: bytes | None) -> int | None:
    return None if value is None else int(value)


def record(instance_id: str, flat: list[bytes]) -> Record | None:
    """HGETALL of an instance; None where there is none. Raises Refused for one that was spoilt by hand."""
    if not flat:
        return None
    try:
        return _record(instance_id, pairs(flat))
    except ValueError as error:
        raise Refused(f"the record of instance {instance_id!r} cannot be read: {str(error)[:200]}") from None


def _record(instance_id: str, fields: dict[bytes, bytes]) -> Record:
    get = fields.get
    return Record(
        instance_id=instance_id,
        execution_id=get(b"execution_id", b"").decode(),
        name=get(b"name", b"").decode(),
        status=_status(get(b"status", b"")),
        revision=int(get(b"revision", b"0")),
        events=int(get(b"events", b"0")),
        created_at=int(get(b"created_at", b"0")),
        updated_at=int(get(b"updated_at", b"0")),
        completed_at=number(get(b"completed_at")),
        version=text(get(b"version")),
        input=get(b"input"),
        output=get(b"output"),
        failure=get(b"failure"),
        custom_status=get(b"custom_status"),
        tags=get(b"tags"),
        parent=text(get(b"parent")),
        notify=text(get(b"notify")),
        reply=text(get(b"reply")),
        problem=get(b"problem"),
        start_at=number(get(b"start_at")),
    )


def _status(word: bytes) -> Status:
    status = word.decode()
    if status not in ALL:
        raise ValueError(f"no status: {status!a:.40}")
    return status


def started(instance_id: str, reply: list[Any]) -> Started:
    created, execution, status = reply
    return Started(instance_id, execution.decode(), created == 1, cast(Status, status.decode()))


def inbox_entry(entry: list[Any]) -> InboxEntry:
    """[id, [m, blob(, t, ms)]]. Of anything else that was written there by hand, the blob is what can be shown of it."""
    entry_id, fields = entry
    if len(fields) == 2 and fields[0] == b"m":
        return InboxEntry(entry_id.decode(), fields[1], 0)
    known = pairs(fields)
    return InboxEntry(entry_id.decode(), blob(known), count(known.get(b"t")))


def blob(fields: dict[bytes, bytes]) -> bytes:
    """The field `m`; for an entry without it all its fields as JSON, which is no message, but can be read in a dead letter."""
    held = fields.get(b"m")
    if held is not None:
        return held
    return json.dumps(
        {name.decode(errors="replace"): value.decode(errors="replace") for name, value in fields.items()}
    ).encode()


def count(value: bytes | None) -> int:
    """A natural number of at most 15 digits, else 0."""
    return int(value) if value is not None and len(value) <= _DIGITS_MAX and value.isdigit() else 0


def member(value: bytes) -> str:
    """A member of the timer set; bytes that are no UTF-8, written there by hand, are kept as they are."""
    return value.decode("utf-8", "surrogateescape")


def member_bytes(text: str) -> str | bytes:
    return text if text.isascii() else text.encode("utf-8", "surrogateescape")


def outbound(entry: list[Any]) -> Outbound:
    """[epoch-sequence, [to, target, m, blob]]. What is none of ours has the target "?" and what can be shown of it."""
    number, fields = entry
    epoch, _, sequence = number.decode().partition("-")
    known = pairs(fields)
    to = known.get(b"to", b"")
    numbered = to.isdigit() and len(to) <= _DIGITS_MAX
    target: int | str = int(to) if numbered else to.decode() if to in (b"dead", b"reply") else "?"
    return Outbound((int(epoch), int(sequence)), target, blob(known))
