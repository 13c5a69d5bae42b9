from __future__ import annotations

import typing
from datetime import UTC, datetime

from durastream.core import events as ev
from durastream.core.status import ALL
from durastream.inspect.rows import SYMBOLS, HistoryRow, history_rows, when


def only(event: ev.Event) -> HistoryRow:
    (row,) = history_rows([event])
    return row


def test_every_status_has_a_symbol_of_its_own() -> None:
    assert set(SYMBOLS) == set(ALL)
    assert len(set(SYMBOLS.values())) == len(ALL)


def test_rows_are_numbered_from_first() -> None:
    rows = history_rows([ev.TimerFired(0, 3), ev.TimerFired(0, 4)], first=7)
    assert [(row.number, row.answers) for row in rows] == [(7, 3), (8, 4)]


def test_times_are_utc() -> None:
    assert when(1_500) == datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC)


def test_scheduled_activity_tells_name_attempt_and_input() -> None:
    row = only(ev.TaskScheduled(0, "charge", b'{"a":1}', "default", None, 2))
    assert (row.kind, row.label, row.detail) == ("TaskScheduled", "charge (attempt 2)", '{"a":1}')


def test_outcomes_tell_what_they_answer() -> None:
    assert only(ev.TaskCompleted(0, 4, b"1")).answers == 4
    failed = only(ev.TaskFailed(0, 4, ev.Failure("ValueError", "no")))
    assert (failed.answers, failed.detail) == (4, "ValueError: no")


def test_later_execution_of_an_eternal_orchestration() -> None:
    assert only(ev.ExecutionStarted(0, "watch", None, None, None, 2)).label == "watch (execution 3)"


def test_every_kind_of_event_makes_a_row() -> None:
    blanks = {int: 0, str: "x", bool: False, tuple[str, ...]: ("@a@b",)}
    for kind in typing.get_args(ev.Event):
        hints = typing.get_type_hints(kind)
        values = [ev.Failure("T", "m") if hint is ev.Failure else blanks.get(hint) for hint in hints.values()]
        assert only(kind(*values)).kind == kind.__name__


def test_entities_are_told_with_their_operations() -> None:
    called = only(ev.EntityOperationCalled(0, "@Counter@a", "add", b"5"))
    assert (called.label, called.detail) == ("add → @Counter@a", "5")
    later = only(ev.EntityOperationSignaled(0, "@Counter@a", "add", None, 86_400_000))
    assert later.label == "add → @Counter@a at 1970-01-02 00:00:00Z"
    failed = only(ev.EntityOperationFailed(0, 4, ev.Failure("ValueError", "no")))
    assert (failed.answers, failed.detail) == (4, "ValueError: no")
    assert only(ev.EntityOperationCompleted(0, 4, b"7")).detail == "7"
    assert only(ev.EntityLockRequested(0, ("@A@1", "@A@2"))).label == "@A@1, @A@2"
    assert only(ev.EntityLockGranted(0, 6)).answers == only(ev.EntityUnlockSent(0, 6)).answers == 6
