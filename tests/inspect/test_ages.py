from __future__ import annotations

from datetime import timedelta

import pytest

from durastream.inspect.ages import ago, words
from tests.inspect.made import NOW


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-5, "0 ms"), (0, "0 ms"), (0.0004, "0 ms"), (0.85, "850 ms"), (0.9996, "1.0 s"), (1, "1.0 s"), (59.94, "59.9 s"),
        (59.97, "1 m 0 s"), (60, "1 m 0 s"), (310, "5 m 10 s"), (3_599.9, "1 h 0 m"), (7_440, "2 h 4 m"),
        (86_399.9, "1 d 0 h"), (262_800, "3 d 1 h"), (3_155_760_000, "36525 d 0 h"),
    ],
)  # fmt: skip
def test_durations_in_words(seconds: float, expected: str) -> None:
    assert words(timedelta(seconds=seconds)) == expected


def test_past_and_future() -> None:
    assert ago(NOW - timedelta(seconds=3), NOW) == "3.0 s ago"
    assert ago(NOW + timedelta(minutes=3), NOW) == "in 3 m 0 s"
    assert ago(NOW, NOW) == "0 ms ago"
