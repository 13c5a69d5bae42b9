"""Obligations and their carriers (S10): what something that is under way waits for, and which message brings it.

A need is satisfied by any one message that is on its way, wherever it is: in an inbox, an outbox, an activity stream or the queue
of an entity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from durastream.core.events import Parent
from durastream.core.messages import (
    ActivityItem,
    ChildResult,
    Continue,
    EntityOperation,
    EntityResult,
    LockEntities,
    LockGranted,
    Message,
    Restart,
    Rewind,
    Start,
    TaskResult,
    UnlockEntities,
)
from durastream.inspect.invariants.values import shown

Kind: TypeAlias = Literal["answer", "start", "turn", "release", "wake"]


class Need(NamedTuple):
    """answer: of `execution`'s event `task`. start, turn: of that execution. release: of entity `about`, held by `execution`.
    wake: any message for entity `about`."""

    kind: Kind
    about: str  # instance id or entity
    execution: str = ""
    task: int = -1


def answer(parent: Parent) -> Need:
    return Need("answer", *parent)


def _outcome(message: Any) -> Iterator[Need]:
    yield Need("answer", message.instance_id, message.execution_id, message.task)


def _start(message: Start) -> Iterator[Need]:
    yield Need("start", message.instance_id, message.execution_id)
    if message.parent is not None:
        yield answer(message.parent)


def _restart(message: Restart) -> Iterator[Need]:
    yield Need("start", message.instance_id, message.execution_id)


def _rewind(message: Rewind) -> Iterator[Need]:
    if message.start is not None:
        yield from _start(message.start)


def _continue(message: Continue) -> Iterator[Need]:
    yield Need("turn", message.instance_id, message.execution_id)


def _operation(message: EntityOperation) -> Iterator[Need]:
    yield Need("wake", message.entity)
    if message.caller is not None:
        yield answer(message.caller)


def _lock(message: LockEntities) -> Iterator[Need]:
    yield Need("wake", message.entity)
    yield answer(message.holder)


def _unlock(message: UnlockEntities) -> Iterator[Need]:
    yield Need("wake", message.entity)
    for entity in (message.entity, *message.rest):
        yield Need("release", entity, shown(message.holder))


def _granted(message: LockGranted) -> Iterator[Need]:
    """One that its execution no longer wants is handed back."""
    holder = Parent(message.instance_id, message.execution_id, message.task)
    yield answer(holder)
    for entity in message.entities:
        yield Need("release", entity, shown(holder))


_CARRIES: Final[dict[type, Callable[[Any], Iterator[Need]]]] = {
    ActivityItem: _outcome,
    TaskResult: _outcome,
    ChildResult: _outcome,
    EntityResult: _outcome,
    Start: _start,
    Restart: _restart,
    Rewind: _rewind,
    Continue: _continue,
    EntityOperation: _operation,
    LockEntities: _lock,
    UnlockEntities: _unlock,
    LockGranted: _granted,
}


def carried_by(message: Message | ActivityItem) -> Iterator[Need]:
    """The needs that this message satisfies."""
    carries = _CARRIES.get(type(message))
    if carries is not None:
        yield from carries(message)
