"""What the owner of a partition keeps in memory about one instance."""

from __future__ import annotations

from durastream.core.events import Event, Json, Parent
from durastream.core.messages import Message, Start
from durastream.core.status import PENDING, TERMINAL, Status
from durastream.core.timer_member import TimerItem
from durastream.core.turn import Execution
from durastream.store.protocol import Record

Item = tuple[str, bool, Message | TimerItem]
"""(inbox entry id or timer member, whether it is a timer, what it says)"""


class Live:
    """An instance as its owner knows it. `execution` is None before it starts, once it has ended, and while it is parked."""

    __slots__ = (
        "completed_at", "created_at", "execution", "execution_id", "exists", "input", "inputs", "instance_id", "items",
        "length", "name", "notify", "parent", "problem", "recent", "reply", "revision", "status", "touched", "unsaved",
        "updated_at", "version",
    )  # fmt: skip

    def __init__(self, instance_id: str) -> None:
        self.instance_id = instance_id
        self.execution_id = ""
        self.name = ""
        self.version: str | None = None
        self.input: Json | None = None
        self.parent: Parent | None = None
        self.notify: str | None = None
        self.reply: str | None = None
        self.status: Status | None = None  # as the last decided commit leaves it; None = no record
        self.revision: int | None = None
        self.created_at = 0
        self.updated_at = 0
        self.completed_at: int | None = None
        self.problem = False
        self.exists = False
        self.execution: Execution | None = None
        self.length = 0  # events of the history
        self.inputs: list[Event] = []  # of the turn being put together
        self.items: list[Item] = []  # where those inputs came from
        self.touched = False
        self.recent = True  # used since the last round of eviction
        self.unsaved = (
            0  # changes on their way to the store: while there are any, the store's record is behind this one
        )

    @property
    def ended(self) -> bool:
        return self.status in TERMINAL

    @classmethod
    def created(cls, start: Start, created_at: int) -> Live:
        """As a start script has just written it."""
        live = cls(start.instance_id)
        live.exists = True
        live.status = PENDING
        live.revision = 0
        live.created_at = live.updated_at = created_at
        live.adopt(start)
        return live

    @classmethod
    def loaded(cls, record: Record) -> Live:
        live = cls(record.instance_id)
        live.exists = True
        live.execution_id = record.execution_id
        live.name = record.name
        live.version = record.version
        live.input = record.input
        live.parent = parse_parent(record.parent)
        live.notify = record.notify
        live.reply = record.reply
        live.status = record.status
        live.revision = record.revision
        live.length = record.events
        live.created_at = record.created_at
        live.updated_at = record.updated_at
        live.completed_at = record.completed_at
        live.problem = record.problem is not None
        return live

    def adopt(self, start: Start) -> None:
        """Become the execution that a start message describes."""
        self.execution_id = start.execution_id
        self.name = start.name
        self.version = start.version
        self.input = start.input
        self.parent = start.parent
        self.notify = start.notify
        self.reply = start.reply


def parse_parent(text: str | None) -> Parent | None:
    if text is None:
        return None
    instance_id, execution_id, task = text.split("\n")
    return Parent(instance_id, execution_id, int(task))


def format_parent(parent: Parent | None) -> str | None:
    return None if parent is None else f"{parent.instance_id}\n{parent.execution_id}\n{parent.task}"
