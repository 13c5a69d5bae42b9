"""The same change for many instances: a few at once, with a progress bar, going on past those that refuse."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TypeAlias

from rich.progress import Progress

from durastream import errors
from durastream.cli.exits import OK, exit_code
from durastream.cli.output import Format, Printer

Change: TypeAlias = Callable[[str], Awaitable[object]]

_AT_ONCE = 64  # enough to hide the round trip to the server, few enough to stop soon
_BAR_FROM = 20  # fewer are done before a bar could be read
_ERRORS_SHOWN = 10


async def apply(printer: Printer, ids: Sequence[str], *, change: Change, done: str) -> int:
    """Change each instance, then say what came of it. Returns the exit code of the first failure, or 0."""
    failures: dict[str, errors.DurastreamError] = {}
    waiting = iter(ids)
    with Progress(console=printer.stderr, transient=True, disable=_no_bar(printer, ids)) as progress:
        task = progress.add_task(done, total=len(ids))

        def advance() -> None:
            progress.advance(task)

        await asyncio.gather(*(_work(waiting, change, failures, advance) for _ in range(min(_AT_ONCE, len(ids)))))
    return _report(printer, ids, failures=failures, done=done)


def _no_bar(printer: Printer, ids: Sequence[str]) -> bool:
    return len(ids) < _BAR_FROM or not printer.stderr.is_terminal


async def _work(
    waiting: Iterator[str], change: Change, failures: dict[str, errors.DurastreamError], advance: Callable[[], None]
) -> None:
    for instance_id in waiting:
        try:
            await change(instance_id)
        except errors.StoreUnavailable:
            raise  # it would fail for all the others too
        except errors.DurastreamError as error:
            failures[instance_id] = error
        advance()


def _report(printer: Printer, ids: Sequence[str], *, failures: dict[str, errors.DurastreamError], done: str) -> int:
    changed = [each for each in ids if each not in failures]
    if printer.format is not Format.TEXT:
        printer.data({"done": changed, "failed": {each: str(error) for each, error in failures.items()}})
    elif changed:
        printer.note(f"{done}: {changed[0] if len(ids) == 1 else f'{len(changed):,} of {len(ids):,}'}")
    for error in list(failures.values())[:_ERRORS_SHOWN]:
        printer.error(str(error))
    if len(failures) > _ERRORS_SHOWN:
        printer.error(f"… and {len(failures) - _ERRORS_SHOWN:,} more")
    return exit_code(next(iter(failures.values()))) if failures else OK
