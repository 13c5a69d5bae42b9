"""Durations in words, for people."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

_UNITS: Final = (("d", 86_400, "h", 3_600), ("h", 3_600, "m", 60), ("m", 60, "s", 1))


def words(span: timedelta) -> str:
    """In at most two units: `850 ms`, `3.2 s`, `5 m 10 s`, `2 h 4 m`, `3 d 1 h`. What is negative counts as nothing.

    >>> words(timedelta(seconds=310))
    '5 m 10 s'
    """
    seconds = span.total_seconds()
    if seconds < 0.9995:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    unit, size, smaller, step = next(row for row in _UNITS if whole >= row[1])
    return f"{whole // size} {unit} {whole % size // step} {smaller}"


def ago(then: datetime, now: datetime) -> str:
    """`5 m 10 s ago`, or `in 5 m 10 s`."""
    return f"in {words(then - now)}" if then > now else f"{words(now - then)} ago"
