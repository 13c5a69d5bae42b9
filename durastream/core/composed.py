"""Tasks that make decisions of their own: a call that is retried, a wait that times out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from durastream.core.leaves import CallTask, EventTask, LeafTask, TimerTask
from durastream.core.retry import RetryPolicy
from durastream.core.tasks import DONE, FAILED, PENDING, T, Task, Watcher
from durastream.errors import OrchestratorError, RemoteError
from durastream.errors import TimeoutError as WaitTimeout

if TYPE_CHECKING:
    from durastream.core.agenda import Agenda


class RetriedCall(Watcher[T]):
    """An activity or sub-orchestration with a retry policy: attempts, with durable timers between them.

    Deadlines are compared with the turn's clock, so that a replay decides what was decided then.
    """

    __slots__ = ("_agenda", "_attempt", "_call", "_current", "_policy", "_started")

    def __init__(self, agenda: Agenda, policy: RetryPolicy, call: Callable[[int], CallTask[T]]) -> None:
        super().__init__()
        self._agenda = agenda
        self._policy = policy
        self._call = call
        self._attempt = 0
        self._started = agenda.now
        self._current: LeafTask[Any]
        self._try()

    def _try(self) -> None:
        self._attempt += 1
        self._current = self._call(self._attempt)
        self._current._watch(self)

    def _on_settled(self, task: Task[Any]) -> None:
        if self._state != PENDING:
            return
        if task.__class__ is TimerTask:
            self._try()
        elif task._state == FAILED and isinstance(task._value, RemoteError):
            self._failed(task, task._value)
        else:
            self._settle(task._state, task._value)

    def _failed(self, task: Task[Any], error: RemoteError) -> None:
        elapsed_ms = self._agenda.now - self._started
        try:
            pause_ms = self._policy.pause_ms(error.failure, self._attempt, elapsed_ms=elapsed_ms)
        except Exception as problem:  # retry_if is user code
            wrong = OrchestratorError(f"retry_if raised {type(problem).__name__} when asked about {error}")
            wrong.__cause__ = problem
            self._settle(FAILED, wrong)
            return
        if pause_ms is None:
            self._settle(FAILED, error)
            return
        task._see()  # it has been acted upon
        self._current = self._agenda.timer(self._agenda.now + pause_ms)
        self._current._watch(self)

    def cancel(self) -> bool:
        cancelled = super().cancel()
        if cancelled:
            self._current.cancel()
        return cancelled

    def _see(self) -> None:
        self._seen = True
        if self._current._state != PENDING:
            self._current._see()

    def _title(self) -> str:
        return f"attempt {self._attempt} of {self._policy.max_attempts}: {self._current._title()}"

    def _pending(self) -> Iterable[Task[Any]]:
        return (self,)


class TimedWait(Watcher[T]):
    """An external event or a timer, whichever comes first; the timer means TimeoutError."""

    __slots__ = ("_event", "_timer")

    def __init__(self, event: EventTask[T], timer: TimerTask) -> None:
        super().__init__()
        self._event = event
        self._timer = timer
        event._watch(self)
        timer._watch(self)

    def _pending(self) -> Iterable[Task[Any]]:
        return (self._event, self._timer)

    def _on_settled(self, task: Task[Any]) -> None:
        if self._state != PENDING:
            return
        if task is self._event:
            self._settle(task._state, task._value)
            self._timer.cancel()
        else:
            text = f"no event {self._event._name!r} arrived in time"
            self._settle(FAILED, WaitTimeout(text))
            self._event.cancel()

    def cancel(self) -> bool:
        cancelled = super().cancel()
        if cancelled:
            self._event.cancel()
            self._timer.cancel()
        return cancelled

    def _see(self) -> None:
        self._seen = True
        if self._event._state == DONE:
            self._event._see()

    def _title(self) -> str:
        return f"{self._event._title()} or {self._timer._title()}"
