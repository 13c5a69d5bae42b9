"""Time and chance as this process has them: the one place where the engine reads a clock or asks for randomness.

A simulation puts an environment of its own in their place (`using`). It holds for the tasks that are begun inside, so each
simulated process may have its own clock, and its own luck. Timeouts and pauses go by the event loop, which a simulation replaces
as well; what decides ownership or fires timers goes by the server's clock and by nothing here.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class Environment:
    """The real one: the clocks of this host, and its source of randomness."""

    def monotonic_ns(self) -> int:
        """Nanoseconds from some beginning. Never goes back."""
        return time.monotonic_ns()

    def wall_ns(self) -> int:
        """Nanoseconds since the epoch, as far as this host knows. May jump either way."""
        return time.time_ns()

    def entropy(self, size: int) -> bytes:
        """So many bytes that nobody can guess."""
        return os.urandom(size)

    def jitter(self) -> float:
        """A number from 0 up to 1, to keep processes out of step."""
        return random.random()


_current: ContextVar[Environment] = ContextVar("durastream_environment", default=Environment())  # noqa: B039


@contextmanager
def using(environment: Environment) -> Iterator[None]:
    """Code inside, and all tasks begun inside, have this environment."""
    token = _current.set(environment)
    try:
        yield
    finally:
        _current.reset(token)


def monotonic_ns() -> int:
    return _current.get().monotonic_ns()


def monotonic() -> float:
    """Seconds from some beginning. Never goes back."""
    return _current.get().monotonic_ns() / 1e9


def wall_ms() -> int:
    """Milliseconds since the epoch, by this host's clock."""
    return _current.get().wall_ns() // 1_000_000


def token(size: int) -> str:
    """So many random bytes, as twice as many hexadecimal digits."""
    return _current.get().entropy(size).hex()


def seeded() -> random.Random:
    """A generator of random numbers that starts where no other does."""
    return random.Random(_current.get().entropy(32))


def jitter() -> float:
    return _current.get().jitter()
