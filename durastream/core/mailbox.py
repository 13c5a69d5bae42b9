"""External events of one execution: buffered until somebody waits, first come first served, per name.

Names are compared without regard to case. An event counts as consumed once user code knows of it: what was handed to a
wait that the code never looked at again (the loser of a race, say) is still there for the next execution.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from durastream.core.codec import Codec
from durastream.core.events import Event, EventRaised
from durastream.core.leaves import EventTask
from durastream.core.tasks import DONE, FAILED

_PRUNE_MIN = 16


class Mailbox:
    """Buffers and waiting tasks by folded name. `arrival` is the event's number in the history."""

    __slots__ = ("_buffered", "_codec", "_prune_at", "_served", "_waiting")

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._buffered: dict[str, deque[tuple[int, EventRaised]]] = {}
        self._waiting: dict[str, deque[EventTask[Any]]] = {}
        self._served: list[EventTask[Any]] = []  # may have been seen since; swept when it has doubled
        self._prune_at = _PRUNE_MIN

    def deliver(self, arrival: int, event: EventRaised) -> None:
        """Hand it to the task that has waited longest, or keep it."""
        key = event.name.casefold()
        waiting = self._waiting.get(key)
        if waiting is None:
            self._buffered.setdefault(key, deque()).append((arrival, event))
            return
        task = waiting.popleft()
        if not waiting:
            del self._waiting[key]
        self._serve(task, arrival, event)

    def wait(self, task: EventTask[Any]) -> None:
        """Give it the oldest buffered event of its name, or let it wait."""
        key = task._name.casefold()
        buffered = self._buffered.get(key)
        if buffered is None:
            self._waiting.setdefault(key, deque()).append(task)
            return
        arrival, event = buffered.popleft()
        if not buffered:
            del self._buffered[key]
        self._serve(task, arrival, event)

    def forget(self, task: EventTask[Any]) -> None:
        """It no longer waits."""
        key = task._name.casefold()
        waiting = self._waiting[key]
        waiting.remove(task)
        if not waiting:
            del self._waiting[key]

    def unconsumed(self) -> list[Event]:
        """Events that user code does not know of, in the order they arrived over all names."""
        left = [kept for buffered in self._buffered.values() for kept in buffered]
        left += [(task._arrival, task._event) for task in self._served if not task._seen]
        left.sort(key=_arrival)
        return [event for _, event in left]

    def _serve(self, task: EventTask[Any], arrival: int, event: EventRaised) -> None:
        task._arrival = arrival
        task._event = event
        self._served.append(task)
        if len(self._served) > self._prune_at:
            self._served = [one for one in self._served if not one._seen]
            self._prune_at = max(_PRUNE_MIN, 2 * len(self._served))
        try:
            value = self._codec.decode(event.data, task._type)
        except Exception as error:  # not what was asked for: told to the one who awaits
            task._settle(FAILED, error)
        else:
            task._settle(DONE, value)


def _arrival(entry: tuple[int, EventRaised]) -> int:
    return entry[0]
