"""The wall clock of a worker process, which somebody else can set: it reads by how much it is wrong from a file.

Only what this host believes the time to be is wrong. Monotonic clocks do not step; the server and the witness have the true time.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

from durastream.environment import Environment

VARIABLE: Final = "DURASTREAM_CHAOS_CLOCK"


def install() -> None:
    """In a worker: from now on each of its threads reads the clock that can be set. Nothing is done where no file is named."""
    if path := os.environ.get(VARIABLE):
        clock = _Settable(Path(path))
        # The keeper's thread begins with an empty context, so that `environment.using` would not reach it.
        Environment.wall_ns = lambda self: clock.wall_ns()  # type: ignore[method-assign]


class _Settable:
    """Seconds in the file are added; no file: the clock is right."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def wall_ns(self) -> int:
        try:
            text = self._path.read_text("ascii")
        except FileNotFoundError:
            text = "0"
        return time.time_ns() + int(text) * 1_000_000_000


def step(path: Path, seconds: int) -> None:
    """Set the clock forward, or back; at once for who reads it, never by half."""
    new = path.with_suffix(".new")
    new.write_text(f"{seconds}", "ascii")
    new.replace(path)
