"""What the owner of a partition keeps in memory about one entity."""

from __future__ import annotations

from durastream.core.entity_run import EntityCode
from durastream.core.events import Json
from durastream.core.gate import Gate


class LiveEntity:
    """An entity as its owner knows it; the record's fields as the last decided commit leaves them."""

    __slots__ = (
        "busy", "code", "entity", "gate", "queued", "recent", "revision", "state", "touched", "unsaved", "updated_at",
    )  # fmt: skip

    def __init__(self, entity: str, gate: Gate, code: EntityCode) -> None:
        self.entity = entity
        self.gate = gate
        self.code = code
        self.state: Json | None = code.state
        self.revision: int | None = None  # None = no record
        self.updated_at = 0  # ms; 0 = no record
        self.queued = 0  # length of the stored queue
        self.busy = False  # an asynchronous operation is under way: what arrives meanwhile waits
        self.touched = False  # has something to do
        self.recent = True  # used since the last round of eviction
        self.unsaved = 0  # changes on their way to the store

    @property
    def pinned(self) -> bool:
        """Whether it must stay in memory: the store does not know all of it, or something is under way."""
        return self.busy or self.touched or self.unsaved > 0 or self.gate.arrived > 0

    @property
    def vain(self) -> bool:
        """Whether there is nothing to keep: no state, no lock, no queue."""
        return self.revision is None and not self.pinned and self.gate.empty
