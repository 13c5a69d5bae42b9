"""What JSON output holds of instances and events: field names are those of the Python classes."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    from durastream.client.views import InstanceStatus
    from durastream.core.events import Event
    from durastream.inspect.finding import Finding
    from durastream.inspect.rows import HistoryRow
    from durastream.inspect.waiting import Wait


def status_record(status: InstanceStatus) -> dict[str, Any]:
    """The instance with the field names of `InstanceStatus`."""
    return {field.name: getattr(status, field.name) for field in fields(status)}


def history_record(row: HistoryRow, event: Event) -> dict[str, Any]:
    """The event with its number and kind; payloads as values."""
    return {"number": row.number, "kind": row.kind} | event._asdict() | {"at": row.at}


def finding_record(finding: Finding) -> dict[str, str]:
    return {field.name: getattr(finding, field.name) for field in fields(finding)}


def wait_record(wait: Wait, now: datetime) -> dict[str, Any]:
    """The fields of `Wait` that say something, and all of it in words."""
    known = {field.name: getattr(wait, field.name) for field in fields(wait)}
    return {name: value for name, value in known.items() if value not in (None, "")} | {"words": wait.words(now)}
