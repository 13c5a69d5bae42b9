"""Critical sections: entities locked for one orchestration, in one global order so that nobody waits in a circle.

From `lock_entities` until it is left, an execution is in a section: first it has asked, then it holds the locks. There
is one at a time, and inside it the rules below keep it from waiting for what waits for it:

- only its own entities are called, each by one call at a time;
- only other entities are signalled: a signal is not part of the section and would wait until its end;
- no further locks, and no sub-orchestrations, which could want the same entities.

The section is left once, whichever way: at the end of the `with` block, by `release`, by cancelling the lock task, or
with the execution (`recording`), whose end releases what history says it has asked for and not released.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from durastream.core.events import EntityUnlockSent, Parent
from durastream.core.leaves import EntityTask, LeafTask
from durastream.core.messages import UnlockEntities
from durastream.core.tasks import DONE, FAILED, PENDING
from durastream.errors import OrchestratorError, TaskCancelled

if TYPE_CHECKING:
    from durastream.core.agenda import Agenda

_LISTED_MAX: Final = 3


def listed(entities: tuple[str, ...]) -> str:
    """The first three of them, and how many more there are."""
    more = len(entities) - _LISTED_MAX
    shown = ", ".join(entities[:_LISTED_MAX])
    return f"{shown} and {more} more" if more > 0 else shown


def unlock_each(entities: tuple[str, ...], holder: Parent) -> list[UnlockEntities]:
    """What gives locks back that were granted: one message each, behind whatever the holder sent to that entity."""
    return [UnlockEntities(entity, (), holder) for entity in entities]


def give_up(entities: tuple[str, ...], holder: Parent) -> UnlockEntities:
    """What takes a lock request back, however far it has come: it follows the request's way."""
    return UnlockEntities(entities[0], entities[1:], holder)


class CriticalSection:
    """What `lock_entities` gives: leaving the `with` block, or `release`, unlocks the entities."""

    __slots__ = ("_agenda", "_calls", "_entities", "_granted", "_number")

    def __init__(self, agenda: Agenda, entities: tuple[str, ...]) -> None:
        self._agenda = agenda
        self._entities = entities  # in the order in which they are locked
        self._number = -1  # of the event that asks for the locks; -1 until that is recorded
        self._granted = False
        self._calls: dict[str, EntityTask[Any]] = {}  # the latest call of each entity

    def release(self) -> None:
        """Leave the section before the end of the `with` block, or without one. Once it is left, this does nothing."""
        agenda = self._agenda
        if agenda.section is self and agenda.running:  # not running: the code is being stopped, and decides nothing
            agenda.section = None
            agenda.queue.append((EntityUnlockSent(agenda.now, self._number), ReleaseTask(agenda, self)))

    def __enter__(self) -> CriticalSection:
        if self._agenda.section is not self:
            raise OrchestratorError(f"{self!r} was left already: ask for the locks anew with ctx.lock_entities")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.release()

    def __repr__(self) -> str:
        return f"the critical section of {listed(self._entities)}"

    # -- for the engine

    def _unlocking(self) -> list[UnlockEntities]:
        holder = Parent(self._agenda.instance_id, self._agenda.execution_id, self._number)
        return unlock_each(self._entities, holder) if self._granted else [give_up(self._entities, holder)]

    # -- the rules; each raises OrchestratorError

    def _check_call(self, entity: str) -> None:
        if entity not in self._entities:
            raise self._broken(
                f"entity {entity} was called",
                "only the entities it locks may be, or two orchestrations could wait for each other. Pass it to"
                " lock_entities too, or signal it, or call it before or after",
            )
        before = self._calls.get(entity)
        if before is not None and before._state == PENDING:
            raise self._broken(f"entity {entity} was called while {before._title()} is under way", "await that first")

    def _check_signal(self, entity: str) -> None:
        if entity in self._entities:
            raise self._broken(
                f"entity {entity} was signalled",
                "it is locked, and the signal would wait for the end of the section. Use call_entity, or signal it"
                " before or after",
            )

    def _check_lock(self) -> None:
        raise self._broken(
            "lock_entities was called", "pass all entities to one lock_entities, or leave this section first"
        )

    def _check_child(self, name: str) -> None:
        raise self._broken(
            f"sub-orchestration {name} was called",
            "it could need what is locked here, and wait for ever. Call it before or after",
        )

    def _broken(self, what: str, why: str) -> OrchestratorError:
        return OrchestratorError(f"{what} in {self!r}: {why}")


class LockTask(LeafTask[CriticalSection]):
    """Waits for the locks. `async with` it; or `await` it (`yield` it, in a generator) and use `with` on the result."""

    __slots__ = ("_section",)

    def __init__(self, agenda: Agenda, section: CriticalSection) -> None:
        LeafTask.__init__(self, agenda)
        self._section = section

    async def __aenter__(self) -> CriticalSection:
        return (await self).__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._section.release()

    def cancel(self) -> bool:
        """Give the request up, and the locks if they were granted meanwhile. False once the section was entered."""
        if self._state == DONE and not self._seen and self._agenda.section is self._section:
            self._settle(FAILED, TaskCancelled(f"{self._title()} was cancelled by Task.cancel()"))
        elif not super().cancel():
            return False
        self._section.release()
        return True

    def _grant(self) -> None:
        self._section._granted = True
        self._settle(DONE, self._section)

    def _recorded(self, number: int) -> None:
        super()._recorded(number)
        self._section._number = number
        self._agenda.unreleased = self._section

    def _what(self) -> str:
        return f"lock of {listed(self._section._entities)}"


class ReleaseTask(LeafTask[None]):
    """Stands for the decision to leave a section. It is done from the start, so nobody waits for it."""

    __slots__ = ("_section",)

    def __init__(self, agenda: Agenda, section: CriticalSection) -> None:
        LeafTask.__init__(self, agenda)
        self._state = DONE
        self._section = section

    def _recorded(self, number: int) -> None:
        super()._recorded(number)
        self._agenda.unreleased = None

    def _what(self) -> str:
        return f"release of {listed(self._section._entities)}"
