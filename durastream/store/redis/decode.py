"""Replies of the server → values of the protocol."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final, cast

from durastream.core.limits import TIME_MS_MAX, TIME_MS_MIN
from durastream.core.status import ALL, Status
from durastream.errors import Refused
from durastream.store.protocol import EntityRecord, InboxEntry, Outbound, Record, Started

_DIGITS_MAX: Final = 15  # of times and counts: more than any of ours has, and exact in every language

_PLACE = re.compile(rb"0|[1-9][0-9]{0,11}")


def pairs(flat: list[bytes]) -> dict[bytes, bytes]:
    """[field, value, field, value, …] as a dict."""
    walk = iter(flat)
    return dict(zip(walk, walk, strict=False))


def flat(fields: Sequence[str], values: Sequence[bytes | None]) -> list[bytes]:
    """[field, value, field, value, …] of those fields that have a value: HMGET as HGETALL would answer."""
    found = ((field.encode(), value) for field, value in zip(fields, values, strict=True) if value is not None)
    return [part for pair in found for part in pair]


def text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


def integer(value: bytes) -> int:
    """A time or a count. Raises ValueError for one that no worker writes: it could be neither shown nor written again."""
    found = int(value)
    if not TIME_MS_MIN <= found <= TIME_MS_MAX:
        raise ValueError(f"{value[:40]!a} is out of range")
    return found


def score(value: bytes) -> int:
    """A time by which a sorted set is ordered. One that was put there by hand and is out of range counts as the first or last."""
    return int(max(TIME_MS_MIN, min(TIME_MS_MAX, float(value))))


def names(found: Iterable[bytes]) -> list[str]:
    """Those that are text, without what somebody wrote there by hand."""
    return [text for one in found if (text := one.decode(errors="ignore")).encode() == one]


def number(value: bytes | None) -> int | None:
    return None if value is None else integer(value)


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
        revision=integer(get(b"revision", b"0")),
        events=integer(get(b"events", b"0")),
        created_at=integer(get(b"created_at", b"0")),
        updated_at=integer(get(b"updated_at", b"0")),
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


def entity(name: str, flat: list[bytes], queued: int) -> EntityRecord | None:
    """HGETALL of an entity; None where there is none. Raises Refused for one that was spoilt by hand."""
    if not flat:
        return None
    get = pairs(flat).get
    try:
        return EntityRecord(
            entity=name,
            revision=integer(get(b"revision", b"0")),
            state=get(b"state"),
            created_at=integer(get(b"created_at", b"0")),
            updated_at=integer(get(b"updated_at", b"0")),
            lock=text(get(b"lock")),
            locked_at=number(get(b"locked_at")),
            queued=queued,
        )
    except ValueError as error:
        raise Refused(f"the record of entity {name!r} cannot be read: {str(error)[:200]}") from None


def queue(name: str, flat: list[bytes]) -> list[tuple[int, bytes]]:
    """HGETALL of the queue of an entity, oldest first. Raises Refused for one that was spoilt by hand."""
    return sorted((place, blob) for place, blob in zip(places(name, flat[::2]), flat[1::2], strict=True))


def places(name: str, fields: list[bytes]) -> list[int]:
    """The numbers by which the queue of an entity is kept. Raises Refused for one that was spoilt by hand."""
    strange = next((one for one in fields if not _PLACE.fullmatch(one)), None)
    if strange is not None:
        raise Refused(f"the queue of entity {name!r} cannot be read: {strange[:80]!a} is no number that a worker gives")
    return [int(one) for one in fields]


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


def workers(value: bytes | None) -> tuple[str, ...]:
    """A list of workers, one a line, as `_names.lua` makes it."""
    return tuple(member(value).split("\n")) if value else ()


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
