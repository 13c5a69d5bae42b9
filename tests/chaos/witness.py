"""What activities really did, told to a file outside the store: one line for each run, appended in one write.

A line is `monotonic wall activity key`: seconds of CLOCK_MONOTONIC (the same for all processes of a machine), ms since the epoch.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

VARIABLE = "DURASTREAM_CHAOS_WITNESS"


class Seen(NamedTuple):
    """One run of an activity."""

    at: float  # seconds, monotonic
    wall_ms: float
    activity: str
    key: str  # what was to be done, once


_file = -1


def note(activity: str, key: str) -> None:
    """In a worker: say that this is done now. Lines of processes do not mix: each is one short write to the end."""
    global _file
    if _file < 0:
        _file = os.open(os.environ[VARIABLE], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(_file, f"{time.monotonic():.6f} {time.time() * 1000:.3f} {activity} {key}\n".encode())


def read(path: Path) -> list[Seen]:
    if not path.exists():
        return []
    found = []
    for line in path.read_text("utf-8").splitlines():
        at, wall, activity, key = line.split(" ", 3)
        found.append(Seen(float(at), float(wall), activity, key))
    return found


def by_key(seen: list[Seen]) -> dict[tuple[str, str], list[Seen]]:
    """The runs of each (activity, key)."""
    runs: defaultdict[tuple[str, str], list[Seen]] = defaultdict(list)
    for one in seen:
        runs[one.activity, one.key].append(one)
    return dict(runs)
