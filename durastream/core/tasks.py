"""Tasks: what user code awaits. A task is pending, then done with a value or an exception, and stays that way.

A leaf task waits for one thing outside (`leaves`); a composite waits for other tasks. Nothing here runs user code: when
a task is done it tells its watchers, and `code` resumes the orchestrator if that is what it is blocked on.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any, Final, Generic, TypeVar

from durastream.errors import OrchestratorError, TaskCancelled

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

PENDING: Final = 0
DONE: Final = 1
FAILED: Final = 2


class Task(Generic[T_co]):
    """Something that will have a result. `await` it (or `yield` it, in a generator); a done one does not suspend.

    Made by the methods of `OrchestrationContext`, and by `when_all` and `when_any`.
    """

    __slots__ = ("_seen", "_state", "_value", "_watchers")

    def __init__(self) -> None:
        self._state = PENDING
        self._value: Any = None  # the result, or the exception
        self._watchers: list[Watcher[Any]] | None = None
        self._seen = False  # user code knows that it is done: taking that back would be a contradiction

    @property
    def done(self) -> bool:
        """Whether there is a result, an exception or a cancellation."""
        if self._state == PENDING:
            return False
        self._see()
        return True

    def result(self) -> T_co:
        """The result. Raises what went wrong, or OrchestratorError while it is pending."""
        if self._state == DONE:
            self._see()
            return self._value  # type: ignore[no-any-return]
        error = self.exception()
        assert error is not None
        raise error.with_traceback(None)

    def exception(self) -> BaseException | None:
        """What went wrong, or None. Raises OrchestratorError while it is pending."""
        if self._state == PENDING:
            raise OrchestratorError(f"{self._title()} is not done yet: await it first, or look at `done`")
        self._see()
        return self._value if self._state == FAILED else None

    def cancel(self) -> bool:
        """Give it up: whoever awaits it gets TaskCancelled. False, without effect, if it is done already.

        A timer is removed. An activity or sub-orchestration runs on, and its result is ignored. A combination is given
        up without touching the tasks in it.
        """
        if self._state != PENDING:
            return False
        self._settle(FAILED, TaskCancelled(f"{self._title()} was cancelled by Task.cancel()"))
        return True

    def __await__(self) -> Generator[Task[Any], Any, T_co]:
        if self._state == PENDING:
            return (yield self)  # type: ignore[no-any-return]
        return self.result()

    def __repr__(self) -> str:
        return f"<{self._title()}, {('pending', 'done', 'failed')[self._state]}>"

    # -- for the engine

    def _settle(self, state: int, value: object) -> None:
        self._state = state
        self._value = value
        watchers = self._watchers
        if watchers is not None:
            self._watchers = None
            for watcher in watchers:
                watcher._on_settled(self)

    def _see(self) -> None:
        self._seen = True

    def _watch(self, watcher: Watcher[Any]) -> None:
        if self._watchers is None:
            self._watchers = [watcher]
        else:
            self._watchers.append(watcher)

    def _unwatch(self, watcher: Watcher[Any]) -> None:
        if self._watchers is not None and watcher in self._watchers:
            self._watchers.remove(watcher)

    def _title(self) -> str:
        """What it is, in words."""
        raise NotImplementedError

    def _pending(self) -> Iterable[Task[Any]]:
        """The leaves that it waits for."""
        return (self,)


class Watcher(Task[T_co]):
    """A task that is told when the tasks it depends on are done."""

    __slots__ = ()

    def _on_settled(self, task: Task[Any]) -> None:
        raise NotImplementedError


class WhenAll(Watcher[list[T]]):
    """Done when all are; see `when_all`."""

    __slots__ = ("_left", "_tasks")

    def __init__(self, tasks: list[Task[T]]) -> None:
        super().__init__()
        self._tasks = tasks
        self._left = 0
        for task in tasks:
            if task._state == PENDING:
                self._left += 1
                task._watch(self)
        if self._left == 0:
            self._conclude()

    def _on_settled(self, task: Task[Any]) -> None:
        self._left -= 1
        if self._left == 0 and self._state == PENDING:
            self._conclude()

    def _conclude(self) -> None:
        values = []
        for task in self._tasks:
            if task._state == FAILED:
                self._settle(FAILED, task._value)
                return
            values.append(task._value)
        self._settle(DONE, values)

    def _see(self) -> None:
        if not self._seen:
            self._seen = True
            for task in self._tasks:
                if task._state != PENDING:
                    task._see()

    def _title(self) -> str:
        return f"when_all of {len(self._tasks)} tasks"

    def _pending(self) -> Iterable[Task[Any]]:
        return (leaf for task in self._tasks if task._state == PENDING for leaf in task._pending())


class WhenAny(Watcher[Task[T]]):
    """Done when one is; see `when_any`."""

    __slots__ = ("_tasks",)

    def __init__(self, tasks: list[Task[T]]) -> None:
        super().__init__()
        self._tasks = tasks
        winner = next((task for task in tasks if task._state != PENDING), None)
        if winner is not None:
            self._settle(DONE, winner)
            return
        for task in tasks:
            task._watch(self)

    def _on_settled(self, task: Task[Any]) -> None:
        if self._state != PENDING:
            return
        for loser in self._tasks:
            loser._unwatch(self)  # a task that is raced again and again must not collect the finished races
        self._settle(DONE, task)

    def _see(self) -> None:
        self._seen = True
        if self._state == DONE:
            self._value._see()

    def _title(self) -> str:
        return f"when_any of {len(self._tasks)} tasks"

    def _pending(self) -> Iterable[Task[Any]]:
        return (leaf for task in self._tasks for leaf in task._pending())


class Settled(Task[T]):
    """A task that is done from the start."""

    __slots__ = ()

    def __init__(self, value: object, *, state: int = DONE) -> None:
        super().__init__()
        self._state = state
        self._value = value

    def _title(self) -> str:
        return "task"


def when_all(tasks: Iterable[Task[T]]) -> Task[list[T]]:
    """A task that waits for all of `tasks`: their results in the same order, or the first failure in that order.

    It waits for all even when one has failed. Of no tasks it is done at once, with [].
    """
    return WhenAll(_checked(tasks, "when_all"))


def when_any(tasks: Iterable[Task[T]]) -> Task[Task[T]]:
    """A task that waits for the first of `tasks` to be done and has that task as its result, failed or not.

    The others run on. Of several that are done already the first in order wins. Raises OrchestratorError for no tasks.
    """
    several = _checked(tasks, "when_any")
    if not several:
        raise OrchestratorError("when_any of no tasks would wait for ever")
    return WhenAny(several)


def _checked(tasks: Iterable[Task[T]], what: str) -> list[Task[T]]:
    several = list(tasks)
    each: object
    for each in several:
        if not isinstance(each, Task):
            advice = "make a sub-orchestration of what shall run side by side, or pass the tasks that it awaits"
            raise OrchestratorError(f"{what} takes durable tasks, not {type(each).__name__}: {advice}")
    return several
