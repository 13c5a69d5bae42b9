from __future__ import annotations

import pytest

from durastream.core.events import Failure
from durastream.core.failure import LEVELS_MAX, TEXT_CHARS_MAX, failure_of
from durastream.core.limits import CAUSES_DEPTH_MAX
from durastream.errors import ActivityFailed, NonRetryableError


def caught(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as raised:
        return raised


def depth(failure: Failure) -> int:
    return 1 + max((depth(cause) for cause in failure.causes), default=0)


def test_type_message_and_stack() -> None:
    failure = failure_of(caught(ValueError("bad sku")))
    assert failure[:2] == ("ValueError", "bad sku") and failure.causes == () and not failure.non_retryable
    assert "raise error" in failure.stack and "test_failure.py" in failure.stack
    assert failure_of(caught(ValueError("x")), skip=1).stack == ""


def test_causes_are_what_raised_from_or_what_was_being_handled() -> None:
    def chained(*, explicit: bool) -> None:
        try:
            raise KeyError("inner")
        except KeyError as inner:
            if explicit:
                raise RuntimeError("outer") from inner
            raise RuntimeError("outer")  # noqa: B904

    for explicit in (True, False):
        with pytest.raises(RuntimeError) as outer:
            chained(explicit=explicit)
        assert [cause.type for cause in failure_of(outer.value).causes] == ["KeyError"]
    with pytest.raises(RuntimeError) as outer:
        try:
            raise KeyError("hidden")
        except KeyError:
            raise RuntimeError("outer") from None
    assert failure_of(outer.value).causes == ()


def test_members_of_a_group_are_causes() -> None:
    failure = failure_of(ExceptionGroup("several", [ValueError("a"), KeyError("b")]))
    assert [cause.type for cause in failure.causes] == ["ValueError", "KeyError"]
    assert len(failure_of(ExceptionGroup("many", [ValueError()] * 100)).causes) == 10


def test_the_remote_failure_is_the_cause_of_a_failed_activity() -> None:
    remote = Failure("CardDeclined", "no", "stack", (), True)
    failure = failure_of(ActivityFailed("activity charge", remote))
    assert failure.type == "ActivityFailed" and failure.causes == (remote,) and not failure.non_retryable


def test_non_retryable() -> None:
    class CardDeclined(NonRetryableError):
        pass

    assert failure_of(CardDeclined()).non_retryable


def test_everything_is_bounded() -> None:
    failure = failure_of(ValueError("x" * 10**6))
    assert len(failure.message) == TEXT_CHARS_MAX

    def recurse() -> None:
        recurse()

    with pytest.raises(RecursionError) as deep:
        recurse()
    assert len(failure_of(deep.value).stack) <= TEXT_CHARS_MAX

    error = ValueError("0")
    for i in range(100):
        outer = ValueError(str(i))
        outer.__cause__ = error
        error = outer
    assert depth(failure_of(error)) == LEVELS_MAX + 1 < CAUSES_DEPTH_MAX
    remote = Failure("E", "")
    for _ in range(100):
        remote = Failure("E", "", "", (remote,))
    assert depth(failure_of(ActivityFailed("a", remote))) == LEVELS_MAX + 1


def test_a_loop_of_causes_ends() -> None:
    one, two = ValueError("1"), ValueError("2")
    one.__cause__, two.__cause__ = two, one
    assert depth(failure_of(one)) == LEVELS_MAX + 1


def test_messages_are_always_storable() -> None:
    class Mean(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert failure_of(ValueError("\ud800")).message == "\\ud800"
    assert failure_of(Mean()).message == "(its message cannot be shown: RuntimeError)"
