"""What a call costs, counted instead of timed: the same on each run and on each machine, however busy it is."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


def work_of(run: Callable[[], object]) -> int:
    """Lines of Python that run, and functions of C that are called. What such a function does inside counts as one."""
    count = 0

    def line(frame: FrameType, event: str, arg: Any) -> Callable[..., Any]:
        nonlocal count
        count += event == "line"
        return line

    def called(frame: FrameType, event: str, arg: Any) -> None:
        nonlocal count
        count += event == "c_call"

    tracer, profiler, collecting = sys.gettrace(), sys.getprofile(), gc.isenabled()
    gc.disable()  # it would run finalisers of what others have left behind
    sys.settrace(line)
    sys.setprofile(called)
    try:
        run()
    finally:
        sys.setprofile(profiler)
        sys.settrace(tracer)
        if collecting:
            gc.enable()
    return count


def check_linear(run: Callable[[int], object], size: int) -> None:
    """Twice as much costs about twice as much."""
    once, twice = work_of(lambda: run(size)), work_of(lambda: run(2 * size))
    assert twice <= 2.2 * once, f"{size:,} take {once:,} steps, and twice as many {twice:,}"
