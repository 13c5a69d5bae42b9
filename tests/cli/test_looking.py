from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from durastream.core import events as ev
from durastream.core.events import Failure
from tests.cli.fakes import Cli, FakeClient, completed, instance

AT = 1_935_403_200_000
HISTORY: list[ev.Event] = [
    ev.ExecutionStarted(AT, "flow", None, b'{"a":1}', None, 0),
    ev.TaskScheduled(AT, "charge", b'{"amount":3}', "default", None, 1),
    ev.TaskCompleted(AT + 500, 1, b'"paid"'),
    ev.TaskScheduled(AT + 500, "ship", None, "default", None, 1),
]


def test_show_tells_state_steps_and_what_it_waits_for(cli: Cli, client: FakeClient) -> None:
    client.add(instance("x-1", input={"a": 1}, tags={"shop": "berlin"}, custom_status="shipping", parent_id="p-1"))
    client.histories["x-1"] = HISTORY
    text = cli("show", "x-1").stdout
    for words in (
        "● Running",
        "activity ship (event 3)",
        "charge",
        "done",
        "shop=berlin",
        '"shipping"',
        "p-1",
        '"a": 1',
    ):
        assert words in text


def test_show_of_a_failed_one(cli: Cli, client: FakeClient) -> None:
    client.add(completed("x-1", runtime_status="Failed", failure=Failure("ValueError", "no", "Traceback\n  line 1")))
    text = cli("show", "x-1").stdout
    assert "✘ Failed" in text
    assert "ValueError: no\nTraceback\n  line 1" in text
    assert "waits for" not in text


def test_show_of_a_stuck_one(cli: Cli, client: FakeClient) -> None:
    problem = {"kind": "unknown-orchestrator", "message": "no worker has flow"}
    client.add(instance("x-1", runtime_status="Pending", problem=problem))
    text = cli("show", "x-1").stdout
    assert "stuck: no worker has flow" in text
    assert "a worker that has the orchestrator flow" in text


def test_show_as_json_has_the_names_of_the_python_class(cli: Cli, client: FakeClient) -> None:
    client.add(completed("x-1", output={"b": 2}))
    shown = json.loads(cli("show", "x-1", "-o", "json").stdout)
    assert shown["output"] == {"b": 2}
    assert shown["runtime_status"] == "Completed"
    assert shown["created_at"] == "2031-05-01T12:00:00Z"


def test_terminal_escapes_are_shown_not_sent(cli: Cli, client: FakeClient) -> None:
    bad = "\x1b]0;owned\x07\x9b2J\u202e"
    client.add(instance(f"id{bad}", input=bad, custom_status=bad, tags={bad: bad}, name=bad))
    client.histories[f"id{bad}"] = [ev.TaskScheduled(AT, bad, bad.encode(), "default", None, 1)]
    for command in ("show", "history", "list"):
        for form in ("text", "json", "jsonl"):
            arguments = [command, "-o", form] + ([] if command == "list" else [f"id{bad}"])
            output = cli(*arguments).output
            assert not any(char in output for char in "\x1b\x07\x9b\u202e"), (command, form)


def test_history_as_rows_and_as_json_lines(cli: Cli, client: FakeClient) -> None:
    client.add(instance("x-1"))
    client.histories["x-1"] = HISTORY
    text = cli("history", "x-1").stdout
    assert "TaskScheduled" in text
    assert '{"amount":3}' in text
    lines = [json.loads(line) for line in cli("history", "x-1", "-o", "jsonl").stdout.splitlines()]
    assert [line["number"] for line in lines] == [0, 1, 2, 3]
    assert lines[1]["kind"] == "TaskScheduled"
    assert lines[1]["input"] == {"amount": 3}
    assert lines[2]["result"] == "paid"


def test_list_as_table_json_and_json_lines(cli: Cli, client: FakeClient) -> None:
    long_id = "x" * 200
    client.add(instance(long_id), completed("x-2"))
    assert long_id in cli("list").stdout
    assert [each["id"] for each in json.loads(cli("list", "-o", "json").stdout)] == [long_id, "x-2"]
    assert [json.loads(line)["id"] for line in cli("list", "-o", "jsonl").stdout.splitlines()] == [long_id, "x-2"]


def test_list_of_nothing(cli: Cli) -> None:
    assert json.loads(cli("list", "-o", "json").stdout) == []
    assert cli("list", "-o", "jsonl").stdout == ""


def test_list_passes_its_filters(cli: Cli, client: FakeClient) -> None:
    cli("list", "--status", "failed,RUNNING", "--name", "flow", "--prefix", "x", "--since", "2h", "--limit", "7")
    created_after = client.asked.pop("created_after")
    assert abs(datetime.now(UTC) - created_after - timedelta(hours=2)) < timedelta(minutes=1)
    assert client.asked == {"status": ["Failed", "Running"], "name": "flow", "prefix": "x", "limit": 7}


def test_list_says_when_there_is_more(cli: Cli, client: FakeClient) -> None:
    client.add(*(instance(f"x-{number}") for number in range(5)))
    result = cli("list", "--limit", "2", "-o", "jsonl")
    assert len(result.stdout.splitlines()) == 2
    assert "--limit 0 for all" in result.stderr
    assert len(cli("list", "--limit", "0", "-o", "jsonl").stdout.splitlines()) == 5


def test_unknown_status_word(cli: Cli) -> None:
    result = cli("list", "--status", "done")
    assert result.exit_code == 2
    assert "Completed" in result.stderr
