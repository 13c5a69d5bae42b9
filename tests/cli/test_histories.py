from __future__ import annotations

import json

from tests.cli.fakes import Cli, FakeClient, instance
from tests.cli.test_showing import HISTORY


def test_history_as_rows_and_as_json_lines(cli: Cli, client: FakeClient) -> None:
    client.record(instance("x-1"), HISTORY)
    text = cli("history", "x-1").stdout
    assert "TaskScheduled" in text
    assert '{"amount":3}' in text
    lines = [json.loads(line) for line in cli("history", "x-1", "-o", "jsonl").stdout.splitlines()]
    assert [line["number"] for line in lines] == [0, 1, 2, 3]
    assert lines[1]["kind"] == "TaskScheduled"
    assert lines[1]["input"] == {"amount": 3}
    assert lines[2]["result"] == "paid"


def test_only_some_of_the_events(cli: Cli, client: FakeClient) -> None:
    client.record(instance("x-1"), HISTORY)
    for arguments, numbers in (
        (("--last", "2"), [2, 3]),
        (("--first", "3"), [0, 1, 2]),
        (("--first", "99"), [0, 1, 2, 3]),
    ):
        result = cli("history", "x-1", "-o", "json", *arguments)
        assert [each["number"] for each in json.loads(result.stdout)] == numbers
    assert "events 0 to 2 of 4" in cli("history", "x-1", "--first", "3").stderr
    assert cli("history", "x-1", "--first", "3", "--last", "3").exit_code == 2


def test_a_long_history_is_read_page_by_page(cli: Cli, client: FakeClient) -> None:
    client.record(instance("x-1"), HISTORY * 400)
    lines = cli("history", "x-1").stdout.splitlines()
    assert len(lines) == 1_601
    assert [line for line in lines if line.startswith("#")] == lines[:1]
    assert client.pages == [(0, 500), (500, 500), (1_000, 500), (1_500, 100)]
    client.pages.clear()
    cli("history", "x-1", "--last", "10")
    assert client.pages == [(1_590, 10)]


def test_the_pages_of_a_history_stand_in_line(cli: Cli, client: FakeClient) -> None:
    client.record(instance("x-1"), HISTORY * 400)
    lines = cli("history", "x-1").stdout.splitlines()
    scheduled = {line.index("TaskScheduled") for line in lines if "TaskScheduled" in line}
    assert len(scheduled) == 1
