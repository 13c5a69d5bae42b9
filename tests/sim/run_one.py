"""Runs one case from its beginning to its end."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from durastream.errors import DurastreamError
from tests.sim import knobs
from tests.sim.loop import PROCESS
from tests.sim.world import Case, Outcome, World


def simulate(case: Case) -> Outcome:
    """The same case gives the same outcome, always. Not for use inside of a running event loop."""
    with _no_collection():
        world = World(case)
        with _listening(world), knobs.applied(world.knobs):
            try:
                world.loop.run_until_complete(world.run())
            except (AssertionError, RuntimeError) as error:
                world.violations.append(f"X3 at {world.loop.time():.3f} s: {type(error).__name__}: {error}")
            outcome = world.outcome()
            world.loop.bury()
            world.loop.close()
    return outcome


class _Errors(logging.Handler):
    """An error that the engine logs with the traceback of an exception that is none of its own is a bug."""

    def __init__(self, world: World) -> None:
        super().__init__(logging.ERROR)
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        process, error = PROCESS.get(None), record.exc_info[1] if record.exc_info else None
        if process is not None and process.alive and error is not None and not isinstance(error, DurastreamError):
            self._world.violated("X2", f"{process.name}: {record.getMessage()}: {type(error).__name__}: {error}", error)


@contextmanager
def _listening(world: World) -> Iterator[None]:
    logger, handler = logging.getLogger("durastream"), _Errors(world)
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.ERROR)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])  # which the loggers below have to hear of
        logger.propagate = before[1]


@contextmanager
def _no_collection() -> Iterator[None]:
    """What a killed process left behind is collected after the run, not during it, when it would run code."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
