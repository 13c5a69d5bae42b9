"""Waiting for servers, without an event loop."""

from __future__ import annotations

import time
from collections.abc import Callable

from redis.exceptions import RedisError


def until(condition: Callable[[], object], what: str, deadline_s: float = 30.0) -> None:
    """Ask again until it is true; a server that does not answer counts as "not yet". AssertionError at the deadline."""
    ends = time.monotonic() + deadline_s
    while True:
        last: object
        try:
            if condition():
                return
            last = "it said no"
        except (RedisError, OSError) as error:
            last = error
        assert time.monotonic() < ends, f"not within {deadline_s} s: {what} ({last})"
        time.sleep(0.03)
