"""Messages: what waits in a partition's inbox stream for its owner. Each is addressed to one instance or one entity.

Everything an outsider wants of an instance, and every outcome of work it scheduled, arrives as one of these; timers are
read from the partition's timer set instead. Payload fields are JSON text as bytes, or None. The first field of each class
is whom it is for: an instance id, or an entity as text, `@name@key`.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from durastream.core.events import Failure, Json, Parent


class Start(NamedTuple):
    """Start an execution. `created` says that a start script has made the record already (status Pending)."""

    instance_id: str
    execution_id: str
    name: str
    version: str | None
    input: Json | None
    parent: Parent | None
    tags: Json | None
    notify: str | None  # channel that hears of the end
    reply: str | None  # Redis list that gets the answer
    if_exists: str  # "error" | "ignore" | "replace" | "child": see StartRules in worker
    created: bool


class TaskResult(NamedTuple):
    """Outcome of an activity: `result` when `failure` is None."""

    instance_id: str
    execution_id: str
    task: int
    result: Json | None
    failure: Failure | None


class ChildResult(NamedTuple):
    """Outcome of a sub-orchestration, told by the child to its parent."""

    instance_id: str
    execution_id: str
    task: int
    result: Json | None
    failure: Failure | None


class RaiseEvent(NamedTuple):
    instance_id: str
    name: str
    data: Json | None


class Suspend(NamedTuple):
    instance_id: str
    reason: str | None


class Resume(NamedTuple):
    instance_id: str
    reason: str | None


class Terminate(NamedTuple):
    """`parent`, when set, restricts it to the child that this parent started."""

    instance_id: str
    reason: str | None
    recursive: bool
    parent: Parent | None


class Continue(NamedTuple):
    """Run a turn without a new input: decisions are left over, or an execution was just opened by continue-as-new."""

    instance_id: str
    execution_id: str


class Rewind(NamedTuple):
    """`start`, when set, comes from a parent: the child is started afresh should it no longer exist."""

    instance_id: str
    reason: str | None
    ack: str | None  # "channel request-id" that hears whether it was done
    start: Start | None


class Restart(NamedTuple):
    instance_id: str
    execution_id: str
    ack: str | None


class Purge(NamedTuple):
    instance_id: str
    ack: str | None


class Describe(NamedTuple):
    """Tell `ack` which external events the code waits for: no history says so. Changes nothing."""

    instance_id: str
    ack: str | None


class EntityResult(NamedTuple):
    """Outcome of an entity operation that an orchestration called: `result` when `failure` is None."""

    instance_id: str
    execution_id: str
    task: int
    result: Json | None
    failure: Failure | None


class LockGranted(NamedTuple):
    """All entities of the lock request `task` are locked for this execution. One that is over hands them back."""

    instance_id: str
    execution_id: str
    task: int
    entities: tuple[str, ...]


# ---- to entities. A lock is held by (instance id, execution id, number of the lock request): `Parent`.


class EntityOperation(NamedTuple):
    """A call when `caller` is set, who waits for the answer; else a signal."""

    entity: str
    operation: str
    input: Json | None
    caller: Parent | None
    sender: str | None  # instance id or entity that sent it; None: a client
    due: int | None  # ms: apply it then; None: now


class LockEntities(NamedTuple):
    """Lock `entity`, then ask the one after it in `entities`; the last one tells the holder."""

    entity: str
    entities: tuple[str, ...]
    holder: Parent


class UnlockEntities(NamedTuple):
    """Unlock `entity`, or drop the request that waits there, which then has gone no further; else go on with `rest`.

    A critical section that is left unlocks all at once, each by a message of its own with nothing in `rest`. A request
    that is given up is followed along its way, so that it can't be overtaken.
    """

    entity: str
    rest: tuple[str, ...]
    holder: Parent


EntityMessage: TypeAlias = EntityOperation | LockEntities | UnlockEntities

Message: TypeAlias = (
    Start
    | TaskResult
    | ChildResult
    | RaiseEvent
    | Suspend
    | Resume
    | Terminate
    | Continue
    | Rewind
    | Restart
    | Purge
    | Describe
    | EntityResult
    | LockGranted
    | EntityMessage
)


class ActivityItem(NamedTuple):
    """What waits in an activity stream for any worker that has the activity."""

    instance_id: str
    execution_id: str
    task: int
    name: str
    input: Json | None
    timeout_ms: int | None
    attempt: int
