"""Replies of the server → values of the protocol."""

from __future__ import annotations

from typing import Any, cast

from durastream.core.status import Status
from durastream.store.protocol import InboxEntry, Record, Started


def pairs(flat: list[bytes]) -> dict[bytes, bytes]:
    """[field, value, field, value, …] as a dict."""
    walk = iter(flat)
    return dict(zip(walk, walk, strict=False))


def text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


def number(value: bytes | None) -> int | None:
    return None if value is None else int(value)


def record(instance_id: str, flat: list[bytes]) -> Record | None:
    """HGETALL of an instance; None where there is none."""
    if not flat:
        return None
    get = pairs(flat).get
    return Record(
        instance_id=instance_id,
        execution_id=get(b"execution_id", b"").decode(),
        name=get(b"name", b"").decode(),
        status=cast(Status, get(b"status", b"").decode()),
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


def started(instance_id: str, reply: list[Any]) -> Started:
    created, execution, status = reply
    return Started(instance_id, execution.decode(), created == 1, cast(Status, status.decode()))


def inbox_entry(entry: list[Any]) -> InboxEntry:
    """[id, [m, blob(, t, ms)]]. Anything else that was written there by hand becomes an entry with an empty blob."""
    entry_id, fields = entry
    if len(fields) == 2 and fields[0] == b"m":
        return InboxEntry(entry_id.decode(), fields[1], 0)
    known = pairs(fields)
    created = known.get(b"t", b"0")
    return InboxEntry(entry_id.decode(), known.get(b"m", b""), int(created) if created.isdigit() else 0)
