"""One live execution of an orchestrator written in Python: the `Execution` that decides turns in this process.

The parts: `code` steps the user's function, `context` is what it is given, `agenda` holds what it has decided and waits
for, `inputs` applies what comes from outside, `recording` turns decisions into history, `replaying` holds them against
it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from durastream.core.agenda import Agenda
from durastream.core.code import Code
from durastream.core.codec import Codec
from durastream.core.definitions import OrchestratorDefinition
from durastream.core.events import Event, TimerFired
from durastream.core.inputs import INPUTS
from durastream.core.leaves import TimerTask
from durastream.core.recording import record
from durastream.core.replaying import Replay, first_unlived
from durastream.core.turn import MAX_DECISIONS, Turn
from durastream.core.words import awaited, awaited_events


class Orchestration:
    """Implements `core.turn.Execution`. Keeps open tasks and undelivered events, never its history."""

    __slots__ = ("agenda", "code", "definition", "execution_id", "held", "instance_id", "length", "max_decisions")

    def __init__(
        self,
        definition: OrchestratorDefinition,
        instance_id: str,
        execution_id: str,
        *,
        codec: Codec,
        max_decisions: int = MAX_DECISIONS,
    ) -> None:
        self.definition = definition
        self.instance_id = instance_id
        self.execution_id = execution_id
        self.max_decisions = max_decisions
        self.length = 0
        self.agenda = Agenda(instance_id, execution_id, codec)
        self.code = Code(self.agenda, definition)
        self.held: list[tuple[Callable[[Orchestration, Any], None], Any]] | None = None  # inputs; None = not suspended

    def turn(self, now: int, inputs: Sequence[Event]) -> Turn:
        """Apply inputs one by one, each followed by the code as far as it goes, then record what it decided.

        With no inputs, what an earlier turn had to leave is recorded. `now` never runs backwards: an earlier time than
        the last one counts as that one.
        """
        agenda = self.agenda
        if now > agenda.now:
            agenda.now = now
        else:
            now = agenda.now
        turn = Turn(self.length)
        agenda.running = True
        try:
            for event in inputs:
                if isinstance(event, TimerFired):
                    now = self._not_before_due(event.task)
                stamped = event if event.at == now else event._replace(at=now)
                if INPUTS[event.__class__](self, stamped):
                    turn.events.append(stamped)
                    self.length += 1
                else:
                    turn.dropped += 1
        finally:
            agenda.running = False
        record(self, turn)
        return turn

    def _not_before_due(self, task: int) -> int:
        """The time of a turn in which a timer fires: the server found it due, so its due time has come for the code too."""
        agenda = self.agenda
        timer = agenda.open.get(task)
        if isinstance(timer, TimerTask) and timer._due > agenda.now:
            agenda.now = timer._due
        return agenda.now

    def replay(self, history: Sequence[Event]) -> None:
        """Bring a fresh execution to the state its history describes. Raises NonDeterminismError."""
        agenda = self.agenda
        unlived = first_unlived(history)
        replay = Replay(self)
        agenda.running, agenda.replaying = True, True
        try:
            for number, event in enumerate(history):
                if number == unlived:
                    agenda.replaying = agenda.custom_status_changed = False
                replay.feed(event)
            replay.finish()
        finally:
            agenda.running = agenda.replaying = False
        if unlived == len(history):
            agenda.custom_status_changed = False
        agenda.cancelled.clear()  # the turns that did it have also recorded it

    def waiting_on(self) -> list[str]:
        """What the code waits for, in words. Empty when it has ended or not begun."""
        return awaited(self.code.blocked)

    def awaited_events(self) -> list[str]:
        """Names of the external events that the code waits for."""
        return awaited_events(self.code.blocked)

    def close(self) -> None:
        """Forget it."""
        self.code.close()
        self.agenda.queue.clear()
        self.agenda.open.clear()
        self.agenda.section = self.agenda.unreleased = None
