from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from durastream.cli.output import Format, Printer, payload, table, to_json
from durastream.core.events import Failure, TaskFailed


def test_json_of_events_times_and_payloads() -> None:
    at = datetime(2031, 5, 1, tzinfo=UTC)
    value = {"at": at, "event": TaskFailed(1, 2, Failure("T", "m")), "payload": b'{"a":1}', "names": frozenset("ba")}
    shown = json.loads(to_json(value))
    assert shown["at"] == "2031-05-01T00:00:00Z"
    assert shown["event"]["failure"]["type"] == "T"
    assert shown["payload"] == {"a": 1}
    assert shown["names"] == ["a", "b"]


def test_payload_that_is_no_json_is_shown_as_it_is() -> None:
    assert payload(b"\xffnope") == "\ufffdnope"
    assert payload(None) is None


def test_data_goes_to_stdout_and_the_rest_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    printer = Printer(Format.JSONL)
    printer.data({"a": "\x9b"})
    printer.note("note \x1b[1m")
    printer.error("bad \x9b")
    out, err = capsys.readouterr()
    assert out == '{"a":"\\u009b"}\n'
    assert err == "note \\x1b[1m\nerror: bad \\x9b\n"


def test_markup_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    Printer(Format.TEXT).note("[red]x[/red] :smile:")
    assert capsys.readouterr().err == "[red]x[/red] :smile:\n"


def test_long_lines_stay_whole_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    Printer(Format.TEXT).data(None, text=lambda: "x" * 500)
    assert capsys.readouterr().out == "x" * 500 + "\n"


def test_no_spaces_at_the_end_of_lines_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    Printer(Format.TEXT).rows(["a", "long"], lambda rows: table(("x", "y"), ([row, row] for row in rows)), str)
    assert capsys.readouterr().out == "X     Y\na     a\nlong  long\n"
