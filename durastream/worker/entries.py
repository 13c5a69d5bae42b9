"""Entries of the hub's ingress stream → what they ask for. One parser per `op`; every refusal says which field and why."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

import orjson

from durastream import wire
from durastream.core.durations import moment_ms
from durastream.core.entity_id import EntityId
from durastream.core.ids import check_instance_id, check_name, check_reason, check_tags, check_version
from durastream.core.limits import QUOTE_CHARS_MAX, TIME_MS_MAX
from durastream.core.messages import EntityOperation, RaiseEvent, Resume, Start, Suspend, Terminate
from durastream.errors import InvalidId
from durastream.payload import Payloads
from durastream.store.keys import PREFIX
from durastream.store.protocol import NewInstance

_REPLY_BYTES_MAX = 512
_MS_DIGITS_MAX = len(str(TIME_MS_MAX))


class Routed(NamedTuple):
    """For which instance or entity (as text), and what: a start, or a packed message."""

    address: str
    what: NewInstance | bytes


class _Entry:
    """Fields of one entry, asked for by name."""

    def __init__(self, entry_id: str, fields: dict[bytes, bytes], payloads: Payloads) -> None:
        self.entry_id = entry_id
        self._fields = fields
        self._payloads = payloads

    def text(self, name: str) -> str | None:
        value = self._fields.get(name.encode())
        if value is None:
            return None
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise InvalidId(f"field {name!r} is not UTF-8") from None

    def need(self, name: str) -> str:
        value = self.text(name)
        if not value:
            raise InvalidId(f"field {name!r} is missing; op {self.text('op')!r} needs it")
        return value

    def time(self, name: str) -> int | None:
        """A moment in ms since the epoch."""
        text = self.text(name)
        return None if text is None else _moment(text, name)

    def json(self, name: str) -> bytes | None:
        value = self._fields.get(name.encode())
        return None if value is None else self._payloads.check_json(value, name)


def _moment(text: str, name: str) -> int:
    """ISO 8601 with an offset, or a whole number of ms since the epoch."""
    try:
        if text.isascii() and text.isdigit() and len(text) <= _MS_DIGITS_MAX:
            due = int(text)
        else:
            moment = datetime.fromisoformat(text)
            due = moment_ms(moment) if moment.tzinfo is not None else -1
    except ValueError:
        due = -1
    if not 0 <= due <= TIME_MS_MAX:
        shown = ascii(text[:QUOTE_CHARS_MAX])
        rule = "1935403200000 (ms since 1970) or 2031-05-01T12:00:00Z (ISO 8601 with an offset), to the year 9999"
        raise InvalidId(f"field {name!r} is no time: {shown}; write {rule}")
    return due


def parse_entry(entry_id: str, fields: dict[bytes, bytes], payloads: Payloads) -> Routed:
    """Raises InvalidId or PayloadError for what cannot be routed."""
    entry = _Entry(entry_id, fields, payloads)
    op = entry.need("op")
    parser = _PARSERS.get(op)
    if parser is None:
        raise InvalidId(f"unknown op {op[:80]!r}; known: {', '.join(_PARSERS)}")
    return parser(entry)


def reply_list(fields: dict[bytes, bytes]) -> str | None:
    """The list an entry wants its answer on, if it names a usable one."""
    name = fields.get(b"reply", b"").decode(errors="replace")
    return name if 0 < len(name.encode()) <= _REPLY_BYTES_MAX and not name.startswith(PREFIX) else None


def _start(entry: _Entry) -> Routed:
    name = check_name(entry.need("name"), "orchestrator")
    # Left out, the id follows from the entry's own, so that a repeated delivery is the same start.
    instance_id = check_instance_id(entry.text("id") or f"in-{entry.entry_id}")
    version, tags = check_version(entry.text("version")), entry.json("tags")
    if tags is not None:
        check_tags(orjson.loads(tags), len(tags))
    token = hashlib.blake2b(f"{entry.entry_id}|{instance_id}".encode(), digest_size=8).hexdigest()
    execution_id = f"{token}.0"
    reply = _reply(entry)
    payload = entry.json("input")
    message = Start(instance_id, execution_id, name, version, payload, None, tags, None, reply, "error", True)
    blob = wire.pack_message(message)
    return Routed(
        instance_id,
        NewInstance(
            instance_id,
            execution_id,
            name,
            version,
            payload,
            tags,
            start_at=None,
            notify=None,
            reply=reply,
            message=blob,
        ),
    )


def _reply(entry: _Entry) -> str | None:
    """A list of the caller's own: nothing of this project's keys, or anyone could be made to write there."""
    name = entry.text("reply")
    if name is None:
        return None
    if not name or len(name.encode()) > _REPLY_BYTES_MAX or name.startswith(PREFIX):
        raise InvalidId(f"field 'reply' names a list of 1 to {_REPLY_BYTES_MAX} bytes outside {PREFIX!r}")
    return name


def _event(entry: _Entry) -> Routed:
    instance_id = check_instance_id(entry.need("id"))
    name = check_name(entry.need("name"), "event")
    return Routed(instance_id, wire.pack_message(RaiseEvent(instance_id, name, entry.json("data"))))


def _terminate(entry: _Entry) -> Routed:
    instance_id = check_instance_id(entry.need("id"))
    return Routed(
        instance_id, wire.pack_message(Terminate(instance_id, check_reason(entry.text("reason")), True, None))
    )


def _suspend(entry: _Entry) -> Routed:
    instance_id = check_instance_id(entry.need("id"))
    return Routed(instance_id, wire.pack_message(Suspend(instance_id, check_reason(entry.text("reason")))))


def _resume(entry: _Entry) -> Routed:
    instance_id = check_instance_id(entry.need("id"))
    return Routed(instance_id, wire.pack_message(Resume(instance_id, check_reason(entry.text("reason")))))


def _signal(entry: _Entry) -> Routed:
    entity = str(EntityId(entry.need("entity"), entry.need("key")))
    operation = check_name(entry.need("operation"), "operation")
    message = EntityOperation(entity, operation, entry.json("input"), None, None, entry.time("at"))
    return Routed(entity, wire.pack_message(message))


_PARSERS: dict[str, Callable[[_Entry], Routed]] = {
    "start": _start,
    "event": _event,
    "signal": _signal,
    "terminate": _terminate,
    "suspend": _suspend,
    "resume": _resume,
}
