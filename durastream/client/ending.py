"""What a client knows about the end of one instance: shared by all its handles, and gone with the last of them."""

from __future__ import annotations

import asyncio
from typing import Final

from durastream.core.status import TERMINAL
from durastream.notices import End
from durastream.store.protocol import Record

NOT_COVERED: Final = -1


def token_of(execution_id: str) -> str:
    """What all executions of one start have in common: continue-as-new only counts up behind the dot."""
    return execution_id.partition(".")[0]


class Ending:
    """`covered`: the generation of the subscription that is sure to be told; NOT_COVERED if the store must be asked."""

    __slots__ = ("__weakref__", "covered", "execution_id", "instance_id", "notice", "stale", "waiters")

    def __init__(self, instance_id: str, execution_id: str | None = None) -> None:
        self.instance_id = instance_id
        self.execution_id = execution_id  # the last one heard of
        self.covered = NOT_COVERED
        self.stale: str | None = None  # token of an execution that has been put aside: its end no longer counts
        self.notice: End | None = None  # came before anybody waited
        self.waiters: tuple[asyncio.Future[End], ...] = ()  # nearly always none or one, and () costs nothing

    def put_aside(self, execution_id: str | None) -> None:
        """What was known is about an execution that is being replaced."""
        self.stale = None if execution_id is None else token_of(execution_id)
        self.notice = None
        self.covered = NOT_COVERED

    def counts(self, execution_id: str) -> bool:
        return self.stale is None or self.stale != token_of(execution_id)


def ending_told_by(record: Record) -> End | None:
    """The notice that this record stands for; None while the instance goes on."""
    if record.status not in TERMINAL:
        return None
    return End(record.instance_id, record.execution_id, record.status, record.output, record.failure, True)
