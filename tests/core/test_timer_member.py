"""Members of the timer set: written, read, and refused."""

from __future__ import annotations

import pytest

from durastream.core import timer_member
from durastream.core.timer_member import Expiry, ScheduledStart, TimerDue

ID = "a{b}:c *?\U0001f600"


def test_each_kind_is_read_as_it_was_written() -> None:
    assert timer_member.parse(timer_member.timer(7, "tok.3", ID)) == TimerDue(ID, "tok.3", 7)
    assert timer_member.parse(timer_member.scheduled_start("tok.0", ID)) == ScheduledStart(ID, "tok.0", 0)
    assert timer_member.parse(timer_member.expiry(1_700_000_000_000, "tok.3", ID)) == Expiry(
        ID, "tok.3", 1_700_000_000_000
    )


@pytest.mark.parametrize("member", ["", "T", "T\n1\nx", "Q\n1\nx\ny", "T\n-1\nx\ny", "T\none\nx\ny", "\n\n\n"])
def test_what_was_written_by_hand_is_none(member: str) -> None:
    assert timer_member.parse(member) is None
