"""The gate of one entity: in which order what arrives may act on it, and who waits meanwhile.

The lock protocol is the Durable Task Framework's. An orchestration asks the first entity of its sorted set; each entity, when its
turn comes, notes the holder and asks the next one; the last one tells the orchestration. All sets are sorted alike, so nobody
waits in a circle. While an entity is locked only the holder's calls pass, in the order sent; everything else waits in the queue,
in the order it came. Messages of one sender to one entity keep their order on the way, therefore a release can't overtake
what was sent before it, and a request that is given up is followed along its way (`UnlockEntities.rest`).

Rules
- Nothing is taken from the inbox before what came of it is recorded: `take_effects` gives both together.
- A release is kept in the inbox until the queue behind it is empty or locked again, so that whoever owns the partition next
  has a reason to look at the entity.
- A signal for later waits beside the queue, with a timer. When that fires, the signal counts as having arrived then.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias

from durastream.core.events import Parent
from durastream.core.messages import EntityMessage, EntityOperation, LockEntities, LockGranted, Message, UnlockEntities

Source: TypeAlias = Any
"""Where a message came from, as the caller names it: opaque here."""


class Work(NamedTuple):
    """A message whose turn has come. `number`: its place in the stored queue, None if it comes straight from its source."""

    message: EntityMessage
    source: Source | None
    number: int | None


class Fired(NamedTuple):
    """The time of a signal for later has come."""

    number: int


@dataclass(slots=True)
class Effects:
    """What passed since the last time, to be recorded as one."""

    taken: list[Source] = field(default_factory=list)  # done with: may leave the inbox or the timer set
    stored: dict[int, EntityMessage] = field(default_factory=dict)  # into the queue, by number
    removed: list[int] = field(default_factory=list)  # from the queue
    timers: list[tuple[int, int]] = field(default_factory=list)  # (due ms, number) of signals for later
    sends: list[Message] = field(default_factory=list)
    lock_changed: bool = False


class Gate:
    """Give it what arrives, then run what `next` hands out and say `finish`, one by one. Not thread-safe."""

    __slots__ = ("_arrived", "_effects", "_kept", "_later", "_number", "_waiting", "_working", "holder")

    def __init__(self, holder: Parent | None = None, queue: Iterable[tuple[int, EntityMessage]] = ()) -> None:
        self.holder = holder
        # Most gates in memory are open with nothing at all behind them: containers are made when they are needed.
        self._arrived: deque[tuple[EntityMessage | Fired, Source]] | None = None
        self._waiting: deque[tuple[int, EntityMessage]] | None = None
        self._later: dict[int, EntityOperation] = {}
        self._number = -1  # the highest in the queue so far
        self._working = False
        self._kept: list[Source] = []  # releases that stay in the inbox for now
        self._effects: Effects | None = None
        for number, message in queue:
            self._number = number
            if isinstance(message, EntityOperation) and message.due is not None:
                self._later[number] = message
            else:
                self._wait(number, message)

    @property
    def empty(self) -> bool:
        """Whether nothing waits, and nobody holds the lock."""
        return self.holder is None and not (self._waiting or self._later or self._arrived or self._working)

    @property
    def arrived(self) -> int:
        """Messages that have not been looked at yet."""
        return len(self._arrived or ())

    def arrive(self, message: EntityMessage | Fired, source: Source) -> None:
        if self._arrived is None:
            self._arrived = deque()
        self._arrived.append((message, source))

    @property
    def first(self) -> tuple[int, EntityMessage] | None:
        """What the open gate lets through next, before anything that has arrived: its number in the queue, and what it is."""
        return self._waiting[0] if self.holder is None and self._waiting and not self._working else None

    def next(self, now: int, *, queued: bool = True) -> Work | None:
        """The next operation to run. Lock traffic before it is dealt with on the way. None: nothing may run now.

        Without `queued`, what the queue holds is left for later, and with it what has arrived behind it.
        """
        while True:
            if self.holder is None and self._waiting:
                if not queued:
                    return None
                number, message = self._waiting.popleft()
                work = Work(message, None, number)
            elif self._arrived:
                arrival = self._admit(*self._arrived.popleft(), now)
                if arrival is None:
                    continue
                work = arrival
            else:
                self._arrived = None
                return None
            if work.message.__class__ is EntityOperation:
                self._working = True
                return work
            _TRAFFIC[work.message.__class__](self, work)

    def finish(self, work: Work, sends: Iterable[Message]) -> None:
        """What came of the operation is known, and goes with the next effects. `sends`: its answer, and what it sends."""
        self._working = False
        self._leave(work)
        self._changes.sends += sends

    def drop(self, number: int) -> None:
        """Something in the stored queue that cannot be read, and was not given to this gate."""
        self._number = max(self._number, number)
        self._changes.removed.append(number)

    def take_effects(self) -> Effects:
        """What to record. Empties it."""
        effects, self._effects = self._changes, None
        if self._kept and not self._working and (self.holder is not None or not self._waiting):
            effects.taken += self._kept
            self._kept = []
        return effects

    @property
    def _changes(self) -> Effects:
        if self._effects is None:
            self._effects = Effects()
        return self._effects

    # -- what arrives

    def _admit(self, message: EntityMessage | Fired, source: Source, now: int) -> Work | None:
        """The work there is with it now; None when it was put in the queue, or is void."""
        number: int | None = None
        if isinstance(message, Fired):
            number, fired = message.number, self._later.pop(message.number, None)
            if fired is None:
                self._changes.taken.append(source)
                return None
            message = fired._replace(due=None)
        elif isinstance(message, EntityOperation) and message.due is not None:
            if message.due > now:
                self._postpone(message, source)
                return None
            message = message._replace(due=None)
        work = Work(message, source, number)
        if isinstance(message, LockEntities) and message.holder == self.holder:
            self._leave(work)  # it holds the lock: asked twice
            return None
        if self.holder is None or _PASSES[message.__class__](message, self.holder):
            return work
        self._leave(work)
        self._wait(self._store(message), message)
        return None

    def _wait(self, number: int, message: EntityMessage) -> None:
        if self._waiting is None:
            self._waiting = deque()
        self._waiting.append((number, message))

    def _postpone(self, signal: EntityOperation, source: Source) -> None:
        assert signal.due is not None
        number = self._store(signal)
        self._later[number] = signal
        self._changes.timers.append((signal.due, number))
        self._changes.taken.append(source)

    def _store(self, message: EntityMessage) -> int:
        self._number += 1
        self._changes.stored[self._number] = message
        return self._number

    def _leave(self, work: Work) -> None:
        if work.source is not None:
            self._changes.taken.append(work.source)
        if work.number is not None:
            self._changes.removed.append(work.number)

    # -- locks

    def _lock(self, work: Work) -> None:
        message: Any = work.message
        self._leave(work)
        self.holder = message.holder
        self._changes.lock_changed = True
        self._changes.sends.append(_asked_next(message))

    def _unlock(self, work: Work) -> None:
        message: Any = work.message
        if self.holder == message.holder:
            self.holder = None
            self._changes.lock_changed = True
            self._kept.append(work.source)
        else:
            self._changes.taken.append(work.source)
            if self._drop_request(message.holder):
                return  # it never went further than here
        if message.rest:
            first, *rest = message.rest
            self._changes.sends.append(UnlockEntities(first, tuple(rest), message.holder))

    def _drop_request(self, holder: Parent) -> bool:
        waiting = self._waiting or deque()
        for number, message in waiting:
            if isinstance(message, LockEntities) and message.holder == holder:
                waiting.remove((number, message))
                self._changes.removed.append(number)
                return True
        return False


def _asked_next(request: LockEntities) -> Message:
    """What follows when an entity is locked: a request to the next one of the set, or word to the holder."""
    entities, holder = request.entities, request.holder
    following = entities.index(request.entity) + 1
    if following < len(entities):
        return LockEntities(entities[following], entities, holder)
    return LockGranted(holder.instance_id, holder.execution_id, holder.task, entities)


def _is_call_of(operation: EntityOperation, holder: Parent) -> bool:
    caller = operation.caller
    return (
        caller is not None and caller.instance_id == holder.instance_id and caller.execution_id == holder.execution_id
    )


_PASSES: Final[dict[type, Callable[[Any, Parent], bool]]] = {
    EntityOperation: _is_call_of,
    LockEntities: lambda _request, _holder: False,
    UnlockEntities: lambda _release, _holder: True,
}
"""What passes while the entity is locked."""

_TRAFFIC: Final[dict[type, Callable[[Gate, Work], None]]] = {
    LockEntities: Gate._lock,
    UnlockEntities: Gate._unlock,
}
