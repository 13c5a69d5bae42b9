"""What users see of an instance, and which instances a listing shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypedDict

from durastream.core.events import Failure
from durastream.core.status import ALL, TERMINAL, Status
from durastream.errors import OrchestrationFailed, OrchestrationTerminated
from durastream.notices import End, failure_from_json
from durastream.payload import Payloads
from durastream.store.protocol import Record


@dataclass(frozen=True, slots=True)
class InstanceStatus:
    """An instance as it was when it was read. Times are aware UTC datetimes by the server's clock.

    Payloads are untyped JSON values; `output` of a terminated instance is the reason. `problem` says why it does not
    move (`{"kind": …, "message": …}`), None while it can. `events` is the length of the history of the present
    execution.
    """

    id: str
    name: str
    runtime_status: Status
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None
    input: Any
    output: Any
    failure: Failure | None
    custom_status: Any
    tags: dict[str, str]
    parent_id: str | None
    version: str | None
    execution_id: str
    problem: Any
    events: int
    partition: int
    start_at: datetime | None

    @property
    def ended(self) -> bool:
        """Completed, Failed or Terminated."""
        return self.runtime_status in TERMINAL


def instance_status(record: Record, payloads: Payloads, partition: int) -> InstanceStatus:
    """The public view of a record. Raises PayloadError for a payload that is no JSON."""
    value = payloads.decode
    return InstanceStatus(
        id=record.instance_id,
        name=record.name,
        runtime_status=record.status,
        created_at=from_ms(record.created_at),
        updated_at=from_ms(record.updated_at),
        completed_at=None if record.completed_at is None else from_ms(record.completed_at),
        input=value(record.input),
        output=value(record.output),
        failure=None if record.failure is None else failure_from_json(record.failure),
        custom_status=value(record.custom_status),
        tags=_tags(value(record.tags)),
        parent_id=None if record.parent is None else record.parent.partition("\n")[0],
        version=record.version,
        execution_id=record.execution_id,
        problem=value(record.problem),
        events=record.events,
        partition=partition,
        start_at=None if record.start_at is None else from_ms(record.start_at),
    )


def _tags(value: Any) -> dict[str, str]:
    """What a worker writes is an object; what was written by hand may be anything."""
    return value if isinstance(value, dict) else {}


def failure_of(end: End, payloads: Payloads) -> OrchestrationFailed:
    """The error that `result` raises for an instance that did not complete."""
    if end.status == "Terminated":
        reason = payloads.decode(end.output)
        failure = Failure("Terminated", "no reason given" if reason is None else str(reason))
        return OrchestrationTerminated(f"orchestration {end.instance_id!r} was terminated", failure)
    failure = Failure("Unknown", "no failure was recorded") if end.failure is None else failure_from_json(end.failure)
    return OrchestrationFailed(f"orchestration {end.instance_id!r} failed", failure)


# ---------------------------------------------------------------- times


def from_ms(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def to_ms(moment: datetime) -> int:
    """Milliseconds since the epoch; a naive datetime is taken as UTC."""
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


# ---------------------------------------------------------------- filters


class Filters(TypedDict, total=False):
    """Which instances `Client.list` shows; what is left out or None does not restrict.

    `status`: one status word or several. `name`: of the orchestrator. `prefix`: of the instance id. `tags`: each of
    these must be there with this value. `created_after`, `created_before`: inclusive; a naive datetime is taken as UTC.
    """

    status: Status | Sequence[Status] | None
    name: str | None
    prefix: str | None
    created_after: datetime | None
    created_before: datetime | None
    tags: Mapping[str, str] | None


class Selection:
    """A listing's filters, checked: some are given to the store, the others tested on what it answers."""

    def __init__(self, filters: Filters) -> None:
        unknown = filters.keys() - Filters.__annotations__.keys()
        if unknown:
            raise TypeError(f"list() has no filter {min(unknown)!r}; known: {', '.join(Filters.__annotations__)}")
        self.statuses = _statuses(filters.get("status"))
        self.after_ms = _bound(filters.get("created_after"))
        self.before_ms = _bound(filters.get("created_before"))
        self._name = filters.get("name")
        self._prefix = filters.get("prefix") or ""
        self._tags = filters.get("tags") or {}

    @property
    def tests_each(self) -> bool:
        """Whether `shows` can refuse anything."""
        return bool(self._name is not None or self._prefix or self._tags)

    def shows(self, record: Record, payloads: Payloads) -> bool:
        if self._name is not None and record.name != self._name:
            return False
        if not record.instance_id.startswith(self._prefix):
            return False
        if not self._tags:
            return True
        tags = _tags(payloads.decode(record.tags))
        return all(tags.get(key) == value for key, value in self._tags.items())


def _statuses(asked: Status | Sequence[Status] | None) -> tuple[Status, ...]:
    if not asked:
        return ALL
    words: tuple[Status, ...] = (asked,) if isinstance(asked, str) else tuple(asked)
    for word in words:
        if word not in ALL:
            raise ValueError(f"{word!r} is no runtime status; known: {', '.join(ALL)}")
    return words


def _bound(moment: datetime | None) -> int:
    return 0 if moment is None else to_ms(moment)
