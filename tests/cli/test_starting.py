from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from durastream.core.events import Failure
from tests.cli.fakes import Cli, FakeClient, completed, instance
from tests.cli.test_showing import HISTORY


def test_start_prints_the_id_and_nothing_else(cli: Cli, client: FakeClient) -> None:
    result = cli("start", "hello", "--input", '{"a": 1}', "--id", "x-1")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "x-1\n", "")
    verb, instance_id, name, value, options = client.calls[0]
    assert (verb, instance_id, name, value) == ("start", "x-1", "hello", {"a": 1})
    assert options == {"start_at": None, "tags": None, "version": None, "if_exists": "error"}


def test_start_passes_every_option(cli: Cli, client: FakeClient) -> None:
    cli("start", "hello", "--at", "2031-05-01T12:00:00Z", "--tag", "a=b", "--tag", "c=d=e", "--version", "2")
    assert client.calls[0][4] == {
        "start_at": datetime(2031, 5, 1, 12, tzinfo=UTC),
        "tags": {"a": "b", "c": "d=e"},
        "version": "2",
        "if_exists": "error",
    }


def test_start_and_wait_prints_the_output(cli: Cli) -> None:
    result = cli("start", "hello", "--input", '"world"', "--wait")
    assert (result.exit_code, result.stdout, result.stderr) == (0, '"world"\n', "started new-1\n")


def test_the_steps_are_shown_on_stderr(cli: Cli, client: FakeClient) -> None:
    client.record(completed("x-1", output=1), HISTORY)
    result = cli("wait", "x-1")
    assert result.stdout == "1\n"
    lines = [" ".join(line.split()) for line in result.stderr.splitlines()]
    assert lines == ['● started flow {"a":1}', "· charge", "✔ charge 500 ms", "· ship"]


def test_input_from_a_file_and_from_stdin(cli: Cli, client: FakeClient, tmp_path: Path) -> None:
    (tmp_path / "order.json").write_text("[1, 2]")
    cli("start", "hello", "--input", f"@{tmp_path / 'order.json'}")
    cli("start", "hello", "--input", "-", input='"typed"')
    assert [call[3] for call in client.calls] == [[1, 2], "typed"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--input", "world"], "a JSON string needs its own quotes"),
        (["--input", "@/nowhere.json"], "cannot read '/nowhere.json'"),
        (["--tag", "novalue"], "write KEY=VALUE"),
        (["--at", "soon"], "no time"),
        (["--at", "+1m", "--if-exists", "replace"], "leave --at out"),
    ],
)
def test_wrong_flags_are_told_before_anything_is_sent(
    cli: Cli, client: FakeClient, arguments: list[str], words: str
) -> None:
    result = cli("start", "hello", *arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert result.stdout == ""
    assert client.calls == []


def test_wait_prints_the_output(cli: Cli, client: FakeClient) -> None:
    client.add(completed("x-1", output=[1, 2]))
    assert cli("wait", "x-1").stdout == "[1,2]\n"


def test_wait_as_json_prints_the_whole_instance(cli: Cli, client: FakeClient) -> None:
    client.add(completed("x-1", output=7))
    shown = json.loads(cli("wait", "x-1", "-o", "json").stdout)
    assert (shown["id"], shown["runtime_status"], shown["output"]) == ("x-1", "Completed", 7)


def test_wait_for_a_failure(cli: Cli, client: FakeClient) -> None:
    failure = Failure("ValueError", "no stock", "Traceback …")
    client.add(instance("x-1", runtime_status="Failed", failure=failure))
    result = cli("wait", "x-1")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "ValueError: no stock" in result.stderr
    assert "Traceback …" in result.stderr
    shown = json.loads(cli("wait", "x-1", "-o", "json").stdout)
    assert shown["failure"]["type"] == "ValueError"


def test_wait_that_times_out(cli: Cli, client: FakeClient) -> None:
    client.add(instance("x-1"))
    result = cli("wait", "x-1", "--timeout", "0.1")
    assert (result.exit_code, result.stdout) == (6, "")
    assert "still Running" in result.stderr


def test_wait_for_nobody(cli: Cli) -> None:
    result = cli("wait", "ghost")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "'ghost' does not exist" in result.stderr


def test_unreachable_server(cli: Cli, client: FakeClient) -> None:
    client.unreachable = True
    result = cli("wait", "x-1")
    assert result.exit_code == 5
    assert "connection refused" in result.stderr
