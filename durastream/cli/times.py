"""Times and durations as people type them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from durastream.cli.exits import UsageError

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw])")
_DURATION = re.compile(rf"(?:{_PART.pattern})+")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


def duration(text: str) -> timedelta:
    """`90` (seconds), `90s`, `1h30m`, `7d`.

    >>> duration("1h30m")
    datetime.timedelta(seconds=5400)
    """
    if _NUMBER.fullmatch(text):
        return timedelta(seconds=float(text))
    if not _DURATION.fullmatch(text):
        raise UsageError(f"{text!r} is no duration: write 90 (seconds), 90s, 1h30m or 7d")
    return timedelta(seconds=sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text)))


def moment(text: str, now: datetime | None = None) -> datetime:
    """A point in time: ISO 8601 (local time where no zone is given), or `+5m` from now."""
    if text.startswith("+"):
        return (now or datetime.now(UTC)) + duration(text[1:])
    return _iso(text)


def past(text: str, now: datetime | None = None) -> datetime:
    """A point in the past: ISO 8601, or `2h` ago."""
    if _NUMBER.fullmatch(text) or _DURATION.fullmatch(text):
        return (now or datetime.now(UTC)) - duration(text)
    return _iso(text)


def _iso(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        raise UsageError(
            f"{text!r} is no time: write 2031-05-01T12:00:00Z, or a duration such as 90s or 1h30m"
        ) from None


def words(span: timedelta) -> str:
    """A duration in at most two units: `850 ms`, `3.2 s`, `5 m 10 s`, `2 h 4 m`, `3 d 1 h`.

    >>> words(timedelta(seconds=310))
    '5 m 10 s'
    """
    seconds = span.total_seconds()
    if seconds < 1:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    for unit, size, smaller, step in (("d", 86_400, "h", 3_600), ("h", 3_600, "m", 60), ("m", 60, "s", 1)):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit} {seconds % size // step:.0f} {smaller}"
    raise AssertionError("unreachable: every duration over a minute has a unit")


def ago(then: datetime, now: datetime) -> str:
    return f"{words(now - then)} ago"


def clock(then: datetime | None) -> str:
    """Local date and time to the second; `-` where there is none."""
    return "-" if then is None else f"{then.astimezone():%Y-%m-%d %H:%M:%S}"
