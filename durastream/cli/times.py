"""Times and durations as people type them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from durastream.cli.exits import UsageError
from durastream.core.limits import QUOTE_CHARS_MAX

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw])")
_DURATION = re.compile(rf"(?:{_PART.pattern})+")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


def duration(text: str) -> timedelta:
    """`90` (seconds), `90s`, `1h30m`, `7d`.

    >>> duration("1h30m")
    datetime.timedelta(seconds=5400)
    """
    try:
        if _NUMBER.fullmatch(text):
            return timedelta(seconds=float(text))
        if _DURATION.fullmatch(text):
            return timedelta(seconds=sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text)))
    except OverflowError:
        raise _too_far(text) from None
    raise UsageError(f"{text[:QUOTE_CHARS_MAX]!r} is no duration: write 90 (seconds), 90s, 1h30m or 7d")


def moment(text: str, now: datetime | None = None) -> datetime:
    """A point in time: ISO 8601 (local time where no zone is given), or `+5m` from now."""
    if text.startswith("+"):
        return _moved(now, 1, text[1:])
    return _iso(text)


def past(text: str, now: datetime | None = None) -> datetime:
    """A point in the past: ISO 8601, or `2h` ago."""
    if _NUMBER.fullmatch(text) or _DURATION.fullmatch(text):
        return _moved(now, -1, text)
    return _iso(text)


def _moved(now: datetime | None, sign: int, text: str) -> datetime:
    span = duration(text)
    try:
        return (now or datetime.now(UTC)) + sign * span
    except OverflowError:
        raise _too_far(text) from None


def _too_far(text: str) -> UsageError:
    return UsageError(f"{text[:QUOTE_CHARS_MAX]!r} is out of range: times lie within the years 1 to 9999")


def _iso(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except OverflowError:
        raise _too_far(text) from None
    except ValueError:
        raise UsageError(
            f"{text[:QUOTE_CHARS_MAX]!r} is no time: write 2031-05-01T12:00:00Z, or a duration such as 90s or 1h30m"
        ) from None


def clock(then: datetime | None) -> str:
    """Local date and time to the second; `-` where there is none."""
    return "-" if then is None else f"{then.astimezone():%Y-%m-%d %H:%M:%S}"


def short(then: datetime) -> str:
    """Local time of day; for another day the date and the time to the minute. At most 11 characters, within a year."""
    local, today = then.astimezone(), datetime.now(UTC).astimezone()
    if local.date() == today.date():
        return f"{local:%H:%M:%S}"
    return f"{local:%m-%d %H:%M}" if local.year == today.year else f"{local:%Y-%m-%d}"
