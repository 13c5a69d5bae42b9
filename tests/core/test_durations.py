from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from durastream.core.durations import Duration, duration_ms, moment_ms, moment_text, span_ms


@pytest.mark.parametrize(
    ("value", "ms"),
    [
        (0, 0),
        (1, 1_000),
        (0.29, 290),
        (0.0001, 1),
        (-1, -1_000),
        (timedelta(days=1), 86_400_000),
        (timedelta(microseconds=1), 1),
    ],
)
def test_spans(value: Duration, ms: int) -> None:
    assert span_ms(value) == ms


def test_what_is_no_duration() -> None:
    for wrong in ("1s", True, None, [1]):
        with pytest.raises(TypeError, match="timeout must be seconds"):
            duration_ms(wrong, "timeout")  # type: ignore[arg-type]
    for value in (float("inf"), float("nan"), 10**12, -1, timedelta(seconds=-1)):
        with pytest.raises(ValueError, match="timeout"):
            duration_ms(value, "timeout")


def test_moments() -> None:
    assert moment_ms(datetime(1970, 1, 1, tzinfo=UTC)) == 0
    assert moment_ms(datetime(1970, 1, 1, 1)) == 3_600_000  # noqa: DTZ001 - a naive one is meant
    assert moment_ms(datetime(1970, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))) == 0
    assert moment_ms(datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=UTC)) == 1
    assert moment_text(1_700_000_000_123) == "2023-11-14T22:13:20.123Z"
