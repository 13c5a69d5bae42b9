"""What an execution has decided and what it waits for: the table between user code and history.

Decisions queue up in the order they are made. At the end of a turn they are recorded (`recording`); on replay each
recorded decision takes the head of the queue (`replaying`). Either way the decision gets its event number there, and
the task that it belongs to is open from then on.
"""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

from durastream.core.codec import Codec
from durastream.core.events import (
    EntityLockRequested,
    EntityOperationCalled,
    Event,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionTerminated,
    Json,
    Parent,
    SubOrchestrationCreated,
    TaskScheduled,
    TimerCreated,
)
from durastream.core.leaves import ActivityTask, ChildTask, EntityTask, LeafTask, TimerTask
from durastream.core.limits import TIME_MS_MAX
from durastream.core.mailbox import Mailbox
from durastream.core.sections import CriticalSection, LockTask
from durastream.errors import OrchestratorError

DECISIONS_MAX = 100_000
"""Decisions that may wait to be recorded. Only code that schedules in an endless loop gets there."""


class ContinuedAsNew(NamedTuple):
    """The decision to continue as new. It ends the execution and is not recorded in its history, which is dropped."""

    at: int
    input: Json | None
    carried: list[Event]  # grows while decisions made before it are being recorded


class Continuation(NamedTuple):
    """What `continue_as_new` asked for; it takes effect when the orchestrator returns."""

    input: Json | None
    keep_events: bool


Ending = ExecutionCompleted | ExecutionFailed | ContinuedAsNew | ExecutionTerminated


class Agenda:
    """Shared by the context (which decides), the input handlers (which settle tasks) and the recorder of turns."""

    __slots__ = (
        "_mailbox", "cancelled", "codec", "continuation", "custom_status", "custom_status_changed", "ending",
        "execution_id", "generation", "instance_id", "now", "open", "parent", "queue", "replaying", "running",
        "section", "unreleased", "version",
    )  # fmt: skip

    def __init__(self, instance_id: str, execution_id: str, codec: Codec) -> None:
        self.instance_id = instance_id
        self.execution_id = execution_id
        self.codec = codec
        self.generation = 0
        self.version: str | None = None
        self.parent: Parent | None = None
        self.now = 0  # of the turn: ms since the epoch
        self.running = False  # within a turn or a replay
        self.replaying = False
        self.queue: deque[tuple[Any, LeafTask[Any] | None]] = deque()  # decisions that have no number yet
        self.open: dict[int, LeafTask[Any]] = {}  # by number
        self.cancelled: list[int] = []  # timers, since the last turn was recorded
        self.section: CriticalSection | None = None  # what the code has asked for or holds, and not left
        self.unreleased: CriticalSection | None = None  # what history says so of
        self.ending: Ending | None = None
        self.continuation: Continuation | None = None
        self.custom_status: Json | None = None
        self.custom_status_changed = False
        self._mailbox: Mailbox | None = None

    @property
    def mailbox(self) -> Mailbox:
        if self._mailbox is None:
            self._mailbox = Mailbox(self.codec)
        return self._mailbox

    def unconsumed(self) -> list[Event]:
        return [] if self._mailbox is None else self._mailbox.unconsumed()

    # -- deciding

    def admit(self) -> None:
        """Called first by whatever user code calls to decide something. Raises OrchestratorError."""
        if not self.running:
            raise OrchestratorError(
                f"the context of {self.instance_id!r} was used outside its orchestrator: after the end, from a finally"
                " block of one that was stopped, from a thread or an asyncio task. Decide in the orchestrator itself"
            )
        if len(self.queue) >= DECISIONS_MAX:
            raise OrchestratorError(
                f"{self.instance_id!r} has decided {DECISIONS_MAX:,} things without waiting for any: an endless loop"
                " without await? Split larger fan-outs into sub-orchestrations"
            )

    def activity(self, event: TaskScheduled, type_: Any) -> ActivityTask[Any]:
        task: ActivityTask[Any] = ActivityTask(self, event.name, type_)
        self.queue.append((event, task))
        return task

    def timer(self, due: int) -> TimerTask:
        due = min(max(due, 0), TIME_MS_MAX)
        task = TimerTask(self, due)
        self.queue.append((TimerCreated(self.now, due), task))
        return task

    def child(self, event: SubOrchestrationCreated, type_: Any) -> ChildTask[Any]:
        """`event.instance_id` empty: it is derived from the number that the event will get."""
        task: ChildTask[Any] = ChildTask(self, event.name, type_, instance_id=event.instance_id or None)
        self.queue.append((event, task))
        return task

    def operation(self, event: EntityOperationCalled, type_: Any) -> EntityTask[Any]:
        task: EntityTask[Any] = EntityTask(self, event.operation, type_, entity=event.entity)
        if self.section is not None:
            self.section._calls[event.entity] = task
        self.queue.append((event, task))
        return task

    def lock(self, entities: tuple[str, ...]) -> LockTask:
        self.section = CriticalSection(self, entities)
        task = LockTask(self, self.section)
        self.queue.append((EntityLockRequested(self.now, entities), task))
        return task

    def end(self, ending: Ending) -> None:
        self.ending = ending
        self.queue.append((ending, None))
