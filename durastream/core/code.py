"""User code, stepped by hand: coroutines and generators alike, from one task that is not done to the next."""

from __future__ import annotations

from types import CoroutineType, GeneratorType
from typing import Any, Final

from durastream.core.agenda import Agenda, ContinuedAsNew
from durastream.core.definitions import OrchestratorDefinition
from durastream.core.events import ExecutionCompleted, ExecutionFailed, Json
from durastream.core.failure import failure_of
from durastream.core.tasks import DONE, FAILED, PENDING, Settled, Task
from durastream.errors import OrchestratorError

_STEPPED: Final = (CoroutineType, GeneratorType)
_BEGIN: Final[Task[None]] = Settled(None)
_FOREIGN_MAX: Final = 100
"""Foreign awaitables one execution may await before it fails: each is refused, but code may catch that and go on."""
_CLOSE_TRIES: Final = 10


class Code:
    """One run of an orchestrator function. `blocked` is the task it waits for; None before and after the run."""

    __slots__ = ("_agenda", "_definition", "_foreign", "_stepped", "blocked")

    def __init__(self, agenda: Agenda, definition: OrchestratorDefinition) -> None:
        self._agenda = agenda
        self._definition = definition
        self._stepped: Any = None
        self._foreign = 0
        self.blocked: Task[Any] | None = None

    def start(self, context: object, input_: Json | None) -> None:
        """Call the function and run it as far as it goes."""
        definition = self._definition
        try:
            if definition.takes_input and (input_ is not None or not definition.input_optional):
                value = self._agenda.codec.decode(input_, definition.input_type)
                produced = definition.function(context, value)
            else:
                produced = definition.function(context)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # the instance fails, not the worker
            self._raised(error)
            return
        if produced.__class__ in _STEPPED:
            self._stepped = produced
            self.blocked = _BEGIN
            self.advance()
        else:
            self._returned(produced)

    def advance(self) -> None:
        """Resume the code with what it is blocked on, which is done, until it blocks on something that is not."""
        task: Any = self.blocked
        stepped = self._stepped
        while True:
            task._see()
            try:
                if task._state == DONE:
                    task = stepped.send(task._value)
                else:
                    task = stepped.throw(task._value.with_traceback(None))
            except StopIteration as stop:
                value = stop.value
                break
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # also SystemExit: it must not end the worker
                self._raised(error)
                return
            if not isinstance(task, Task):
                task = self._refused(task)
                if self._foreign > _FOREIGN_MAX:
                    self.close()
                    self._raised(task._value)
                    return
            elif task._state == PENDING:
                self.blocked = task
                return
        self._returned(value)  # not within the handler: what goes wrong here was not caused by the end of the code

    def _refused(self, awaited: object) -> Task[Any]:
        """What the code gets for awaiting something that is not durable."""
        self._foreign += 1
        what = "a bare yield or asyncio.sleep(0)" if awaited is None else type(awaited).__name__
        return Settled(
            OrchestratorError(
                f"orchestrator {self._definition.name!r} awaited {what}: only durable tasks can be awaited, those of"
                " the context (call_activity, create_timer, …), when_all and when_any. Use ctx.create_timer instead of"
                " sleep, and do I/O in an activity"
            ),
            state=FAILED,
        )

    # -- how it ends

    def _returned(self, value: object) -> None:
        self._forget()
        agenda = self._agenda
        continuation = agenda.continuation
        if continuation is not None:
            carried = agenda.unconsumed() if continuation.keep_events else []
            agenda.end(ContinuedAsNew(agenda.now, continuation.input, carried))
            return
        try:
            result = agenda.codec.encode(value, self._definition.result_title)
        except Exception as error:  # methods of user types run here
            self._raised(_never_awaited(value, self._definition.name) or error)
        else:
            agenda.end(ExecutionCompleted(agenda.now, result))

    def _raised(self, error: BaseException) -> None:
        self._forget()
        self._agenda.end(ExecutionFailed(self._agenda.now, failure_of(error, skip=1)))

    def _forget(self) -> None:
        self._stepped = None
        self.blocked = None

    def close(self) -> None:
        """Stop it: it may clean up after itself, but finds a context that decides nothing and a silent logger."""
        agenda, stepped = self._agenda, self._stepped
        self._forget()
        if stepped is None:
            return
        running, replaying = agenda.running, agenda.replaying
        agenda.running, agenda.replaying = False, True
        try:
            _close(stepped)
        finally:
            agenda.running, agenda.replaying = running, replaying


def _close(stepped: Any) -> None:
    for _ in range(_CLOSE_TRIES):
        try:
            stepped.close()
        except KeyboardInterrupt:
            raise
        except BaseException:  # RuntimeError if it awaits on its way out: ask again; else closed
            continue
        return


def _never_awaited(value: object, name: str) -> OrchestratorError | None:
    if not isinstance(value, Task):
        return None
    return OrchestratorError(f"orchestrator {name!r} returned {value!r} instead of its result: await it")
