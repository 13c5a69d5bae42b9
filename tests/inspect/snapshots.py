"""Sound snapshots of everything, for tests of the invariants to break."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from durastream.core import events as ev
from durastream.core import timer_member
from durastream.core.events import Event
from durastream.core.messages import EntityOperation
from durastream.inspect.invariants.snapshots import EntitySnapshot, HubSnapshot, InstanceSnapshot, TimerSnapshot
from durastream.store.protocol import ServerInfo

NOW = 1_935_403_200_000
AT = NOW - 60_000
ME = "order-7"
EXECUTION = "t.0"
ENTITY = "@Counter@a"
HOLDER = f"{ME}\n{EXECUTION}\n1"

STARTED = ev.ExecutionStarted(AT, "place_order", None, None, None, 0)
SCHEDULED = ev.TaskScheduled(AT, "charge", None, "default", None, 1)
DONE = ev.TaskCompleted(AT, 1, None)
COMPLETED = ev.ExecutionCompleted(AT, None)


def history(*events: Event, **changes: Any) -> InstanceSnapshot:
    """A running instance with this history."""
    fields = {
        "execution_id": EXECUTION.encode(),
        "name": b"place_order",
        "status": b"Running",
        "revision": b"3",
        "events": b"%d" % len(events),
        "created_at": b"%d" % AT,
        "updated_at": b"%d" % AT,
    }
    sound = InstanceSnapshot(
        ME,
        3,
        3,
        f"i:{ME}",
        fields=fields,
        sizes={"input": 2, "output": 0},
        events=events,
        history_length=len(events),
        indexed={"Running": float(AT)},
        carried=frozenset(),
        now=NOW,
        retention_ms=1_000,
        payload_bytes_max=1_024,
    )
    return replace(sound, **changes)


def running(**changes: Any) -> InstanceSnapshot:
    """One that waits for an external event."""
    return history(STARTED, **changes)


def ended(**changes: Any) -> InstanceSnapshot:
    one = history(STARTED, SCHEDULED, DONE, COMPLETED)
    fields = {**one.fields, "status": b"Completed", "completed_at": b"%d" % AT}
    timers = {timer_member.expiry(AT, EXECUTION, ME): float(AT + 1_000)}
    return replace(one, fields=fields, indexed={"Completed": float(AT)}, timers=timers, **changes)


def fields(one: Any, **changes: bytes | None) -> Any:
    """The same with other fields in its record; None: without it."""
    changed = {**one.fields, **changes}
    return replace(one, fields={name: value for name, value in changed.items() if value is not None})


def entity(**changes: Any) -> EntitySnapshot:
    """One at rest."""
    record = {"state": b"5", "revision": b"2", "created_at": b"%d" % AT, "updated_at": b"%d" % AT}
    sound = EntitySnapshot(
        ENTITY,
        3,
        3,
        f"e:{ENTITY}",
        f"q:{ENTITY}",
        fields=record,
        state_size=1,
        indexed=0.0,
        carried=frozenset(),
        now=NOW,
        payload_bytes_max=1_024,
    )
    return replace(sound, **changes)


def locked(**changes: Any) -> EntitySnapshot:
    one: EntitySnapshot = fields(
        entity(locked=HOLDER.encode(), holder_believes=True), lock=HOLDER.encode(), locked_at=b"%d" % AT
    )
    return replace(one, **changes)


def timer(**changes: Any) -> TimerSnapshot:
    raw = timer_member.timer(1, EXECUTION, ME).encode()
    record = {"execution_id": EXECUTION.encode(), "status": b"Running", "revision": b"3"}
    sound = TimerSnapshot("timers", 3, raw, NOW + 5, 3, fields=record, event=ev.TimerCreated(AT, NOW + 5))
    return replace(sound, **changes)


def signal(due: int | None) -> EntityOperation:
    return EntityOperation(ENTITY, "add", None, None, None, due)


def hub(**changes: Any) -> HubSnapshot:
    numbers = ("partitions", "retention_ms", "payload_bytes_max", "created_at")
    settings = {**dict.fromkeys(numbers, b"16"), "schema": b"1"}
    server = ServerInfo(NOW, policy="noeviction", aof=True)
    sound = HubSnapshot("hub", "default", settings, True, server, 1, "workers", "about", {"w": NOW}, {"w"}, NOW)
    return replace(sound, **changes)
