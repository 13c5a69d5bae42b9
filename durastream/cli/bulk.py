"""The same change for many instances: a few at once, with a progress bar, going on past those that refuse."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, TypeAlias

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from durastream import errors
from durastream.cli.exits import OK, exit_code
from durastream.cli.output import Format, Printer

Change: TypeAlias = Callable[[str], Awaitable[object]]

_AT_ONCE = 64  # enough to hide the round trip to the server, few enough to stop soon
_BAR_FROM = 20  # fewer are done before a bar could be read
_ERRORS_SHOWN = 10

_FATES: Final[dict[type[errors.DurastreamError], str]] = {
    errors.Conflict: "refused",
    errors.InstanceNotFound: "missing",
    errors.TimeoutError: "timed out",
    errors.DurastreamError: "failed",
}


def fate(error: errors.DurastreamError) -> str:
    """What became of an instance that was not changed, in a word."""
    return next(_FATES[kind] for kind in type(error).__mro__ if kind in _FATES)


async def apply(printer: Printer, ids: Sequence[str], *, change: Change, done: str) -> int:
    """Change each instance, then say what came of all. Returns the exit code of the first one that was not changed, or 0.

    Raises StoreUnavailable when the server is lost, after telling how far it came.
    """
    run = _Run(printer, ids, change)
    try:
        with bar(printer, done, len(ids)) as advance:
            await run.all(advance)
    finally:
        _report(run, done)
    if run.lost is not None:
        raise run.lost
    return next((exit_code(run.failures[each]) for each in ids if each in run.failures), OK)


@contextmanager
def bar(printer: Printer, what: str, total: int) -> Iterator[Callable[[], None]]:
    """A progress bar on a terminal; nothing elsewhere, and none for what is done before it could be read."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    hidden = total < _BAR_FROM or not printer.lively
    with Progress(*columns, console=printer.stderr, transient=True, disable=hidden) as progress:
        task = progress.add_task(what, total=total)
        yield lambda: progress.advance(task)


class _Run:
    def __init__(self, printer: Printer, ids: Sequence[str], change: Change) -> None:
        self.printer = printer
        self.ids = ids
        self.changed: set[str] = set()
        self.failures: dict[str, errors.DurastreamError] = {}
        self.lost: errors.StoreUnavailable | None = None
        self._change = change
        self._waiting = iter(ids)

    async def all(self, advance: Callable[[], None]) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(_AT_ONCE, len(self.ids))):
                group.create_task(self._work(advance))

    async def _work(self, advance: Callable[[], None]) -> None:
        for instance_id in self._waiting:
            if self.lost is not None:
                return
            await self._one(instance_id)
            advance()

    async def _one(self, instance_id: str) -> None:
        try:
            await self._change(instance_id)
        except errors.StoreUnavailable as error:
            self.lost = error  # it would fail for all the others too
        except errors.DurastreamError as error:
            self.failures[instance_id] = error
            self._line(instance_id, error)
        else:
            self.changed.add(instance_id)
            self._line(instance_id, None)

    def _line(self, instance_id: str, error: errors.DurastreamError | None) -> None:
        if self.printer.format is Format.JSONL:
            told = {"error": None, "exit_code": OK} if error is None else _why(error)
            self.printer.data({"id": instance_id, "done": error is None} | told)


def _why(error: errors.DurastreamError) -> dict[str, object]:
    return {"error": str(error), "fate": fate(error), "exit_code": exit_code(error)}


def _report(run: _Run, done: str) -> None:
    printer, ids = run.printer, run.ids
    changed = [each for each in ids if each in run.changed]
    failed = {each: str(run.failures[each]) for each in ids if each in run.failures}
    if printer.format is Format.JSON:
        printer.data({"done": changed, "failed": failed})
    if printer.format is Format.TEXT or failed or len(changed) < len(ids):
        printer.note(_summary(run, done, changed))
    for text in list(failed.values())[:_ERRORS_SHOWN]:
        printer.error(text)
    if len(failed) > _ERRORS_SHOWN:
        printer.error(f"… and {len(failed) - _ERRORS_SHOWN:,} more")


def _summary(run: _Run, done: str, changed: Sequence[str]) -> str:
    """`purged: 97 of 100; refused: 2; missing: 1`."""
    total, fates = len(run.ids), [fate(error) for error in run.failures.values()]
    counts = [f"{word}: {fates.count(word):,}" for word in _FATES.values() if word in fates]
    left = total - len(changed) - len(fates)
    first = f"{done}: {run.ids[0] if total == 1 and changed else f'{len(changed):,} of {total:,}'}"
    return "; ".join([first, *counts, *([f"not tried: {left:,}"] if left else [])])
