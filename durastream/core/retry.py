"""When a failed activity or sub-orchestration is tried again, and after how long."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from durastream.core.durations import Duration, duration_ms
from durastream.core.events import Failure
from durastream.core.limits import TIME_MS_MAX


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and when to try again. Durations are seconds or `timedelta`.

    The pause after attempt n is `first_interval · backoff^(n-1)`, at most `max_interval`. No attempt starts later than
    `retry_timeout` after the first. Failures that are `NonRetryableError`s, whose type is named in `non_retryable` (a
    type stands for its name; subclasses are other names), or for which `retry_if` is false, are final. `retry_if` is
    called by the orchestration and must be deterministic.

    >>> RetryPolicy(max_attempts=5, first_interval=0.5, backoff=2).pause_ms(Failure("OSError", ""), 3, elapsed_ms=0)
    2000
    """

    max_attempts: int = 1
    first_interval: Duration = 1
    backoff: float = 1.0
    max_interval: Duration | None = None
    retry_timeout: Duration | None = None
    retry_if: Callable[[Failure], bool] | None = None
    non_retryable: Sequence[type[BaseException] | str] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.max_attempts, int) or isinstance(self.max_attempts, bool) or self.max_attempts < 1:
            raise ValueError(f"RetryPolicy.max_attempts must be a whole number from 1: {self.max_attempts!r}")
        if not math.isfinite(self.backoff) or self.backoff <= 0:
            raise ValueError(f"RetryPolicy.backoff must be a finite number above 0: {self.backoff!r}")
        duration_ms(self.first_interval, "RetryPolicy.first_interval")
        for name, value in (("max_interval", self.max_interval), ("retry_timeout", self.retry_timeout)):
            if value is not None:
                duration_ms(value, f"RetryPolicy.{name}")
        if isinstance(self.non_retryable, str):
            raise TypeError("RetryPolicy.non_retryable takes a sequence of types or type names, not one string")

    def pause_ms(self, failure: Failure, attempt: int, *, elapsed_ms: int) -> int | None:
        """How long to wait after attempt number `attempt` failed; None to give up.

        `elapsed_ms`: by the turn's clock, since the first attempt was scheduled. Whatever `retry_if` raises passes
        through.
        """
        if attempt >= self.max_attempts or failure.non_retryable or self._excludes(failure):
            return None
        pause = self._interval_ms(attempt)
        if self.retry_timeout is not None and elapsed_ms + pause > duration_ms(self.retry_timeout):
            return None
        return pause

    def _excludes(self, failure: Failure) -> bool:
        names = (one if isinstance(one, str) else one.__name__ for one in self.non_retryable)
        return failure.type in names or (self.retry_if is not None and not self.retry_if(failure))

    def _interval_ms(self, attempt: int) -> int:
        limit = TIME_MS_MAX >> 1 if self.max_interval is None else duration_ms(self.max_interval)
        first = duration_ms(self.first_interval)
        try:
            return min(limit, math.ceil(first * self.backoff ** (attempt - 1)))
        except OverflowError:
            return limit
