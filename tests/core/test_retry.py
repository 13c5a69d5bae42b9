from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest

from durastream.core.events import Failure
from durastream.core.limits import TIME_MS_MAX
from durastream.core.retry import RetryPolicy

FAILURE = Failure("ValueError", "it broke")


def pauses(policy: RetryPolicy, *, elapsed_ms: int = 0) -> list[int | None]:
    return [policy.pause_ms(FAILURE, attempt, elapsed_ms=elapsed_ms) for attempt in range(1, policy.max_attempts + 1)]


def test_pauses_grow_up_to_the_limit() -> None:
    assert pauses(RetryPolicy()) == [None]
    assert pauses(RetryPolicy(3)) == [1_000, 1_000, None]
    policy = RetryPolicy(6, first_interval=0.5, backoff=3, max_interval=timedelta(seconds=10))
    assert pauses(policy) == [500, 1_500, 4_500, 10_000, 10_000, None]


def test_enormous_pauses_stay_in_range() -> None:
    pause = RetryPolicy(10_000, backoff=10).pause_ms(FAILURE, 9_000, elapsed_ms=0)
    assert pause is not None and pause < TIME_MS_MAX


def test_no_attempt_starts_after_the_timeout() -> None:
    policy = RetryPolicy(10, first_interval=2, retry_timeout=5)
    assert policy.pause_ms(FAILURE, 1, elapsed_ms=3_000) == 2_000
    assert policy.pause_ms(FAILURE, 1, elapsed_ms=3_001) is None


def test_what_is_not_retried() -> None:
    assert RetryPolicy(3).pause_ms(FAILURE._replace(non_retryable=True), 1, elapsed_ms=0) is None
    assert RetryPolicy(3, non_retryable=[ValueError]).pause_ms(FAILURE, 1, elapsed_ms=0) is None
    assert RetryPolicy(3, non_retryable=["ValueError"]).pause_ms(FAILURE, 1, elapsed_ms=0) is None
    assert RetryPolicy(3, non_retryable=["Other", KeyError]).pause_ms(FAILURE, 1, elapsed_ms=0) == 1_000
    policy = RetryPolicy(3, retry_if=lambda failure: failure.message == "transient")
    assert policy.pause_ms(FAILURE, 1, elapsed_ms=0) is None
    assert policy.pause_ms(FAILURE._replace(message="transient"), 1, elapsed_ms=0) == 1_000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_attempts": 0}, "max_attempts must be a whole number from 1: 0"),
        ({"max_attempts": True}, "max_attempts"),
        ({"max_attempts": 1.5}, "max_attempts"),
        ({"first_interval": -1}, "first_interval must not be negative"),
        ({"backoff": 0}, "backoff"),
        ({"backoff": float("nan")}, "backoff"),
        ({"max_interval": float("inf")}, "max_interval must be finite"),
        ({"retry_timeout": -1}, "retry_timeout"),
    ],
)
def test_policies_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        RetryPolicy(**options)


def test_wrong_types() -> None:
    with pytest.raises(TypeError, match="seconds"):
        RetryPolicy(first_interval="1s")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="one string"):
        RetryPolicy(non_retryable="ValueError")
