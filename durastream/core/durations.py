"""Durations and moments as whole milliseconds. Users give seconds or `timedelta`, and aware `datetime`s."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

from durastream.core.limits import TIME_MS_MAX

Duration: TypeAlias = int | float | timedelta
"""Seconds, or a timedelta."""

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)


def span_ms(value: Duration, what: str = "duration") -> int:
    """A duration in ms, rounded up to a whole one; may be negative. Raises ValueError, TypeError.

    >>> span_ms(1.5), span_ms(timedelta(minutes=1))
    (1500, 60000)
    """
    if isinstance(value, timedelta):
        ms = -(-value // _MS)
    elif isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{what} must be seconds (int or float) or a timedelta, not {type(value).__name__}")
    elif not math.isfinite(value):
        raise ValueError(f"{what} must be finite, not {value}")
    else:
        ms = math.ceil(round(value * 1_000, 3))  # 0.29 s is 290 ms, not 291: its product is 290.00000000000006
    if not -TIME_MS_MAX <= ms <= TIME_MS_MAX:
        raise ValueError(f"{what} of {value} is out of range: the latest moment is the end of the year 9999")
    return ms


def duration_ms(value: Duration, what: str = "duration") -> int:
    """Like `span_ms`, for durations that must not be negative."""
    ms = span_ms(value, what)
    if ms < 0:
        raise ValueError(f"{what} must not be negative: {value}")
    return ms


def moment_ms(value: datetime) -> int:
    """A moment in ms since the epoch, rounded up. A naive datetime counts as UTC, as in Durable Functions."""
    aware = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    return -(-(aware - EPOCH) // _MS)


def moment_text(ms: int) -> str:
    """`2026-01-31T12:00:00.000Z`."""
    return (EPOCH + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
