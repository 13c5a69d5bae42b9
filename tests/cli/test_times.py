from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from durastream.cli import times
from durastream.cli.exits import UsageError

NOW = datetime(2031, 5, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("0.5", 0.5), ("90s", 90), ("1h30m", 5_400), ("7d", 604_800), ("250ms", 0.25), ("2w", 1_209_600)],
)
def test_duration(text: str, seconds: float) -> None:
    assert times.duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "h", "5x", "-3s", "1h 30m", "1e9"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(UsageError, match="no duration"):
        times.duration(text)


def test_moments_lie_ahead_and_pasts_behind() -> None:
    assert times.moment("+10m", NOW) == NOW + timedelta(minutes=10)
    assert times.past("2h", NOW) == NOW - timedelta(hours=2)


def test_iso_times_keep_their_zone() -> None:
    assert times.moment("2031-05-01T14:00:00+02:00") == NOW
    assert times.past("2031-05-01T12:00:00Z") == NOW


def test_what_is_no_time() -> None:
    with pytest.raises(UsageError, match="no time"):
        times.moment("tomorrow")
