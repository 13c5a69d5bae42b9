from __future__ import annotations

import json
import time

from durastream.core import events as ev
from durastream.core.events import Failure
from durastream.store.protocol import LeaseInfo, WorkerInfo
from tests.cli.fakes import Cli, FakeClient, completed, instance

AT = 1_935_403_200_000
HISTORY: list[ev.Event] = [
    ev.ExecutionStarted(AT, "flow", None, b'{"a":1}', None, 0),
    ev.TaskScheduled(AT, "charge", b'{"amount":3}', "default", None, 1),
    ev.TaskCompleted(AT + 500, 1, b'"paid"'),
    ev.TaskScheduled(AT + 500, "ship", None, "default", None, 1),
]


def test_show_tells_state_steps_and_what_it_waits_for(cli: Cli, client: FakeClient) -> None:
    shown = instance("x-1", input={"a": 1}, tags={"shop": "berlin"}, custom_status="shipping", parent_id="p-1")
    client.record(shown, HISTORY)
    text = cli("show", "x-1").stdout
    for words in (
        "● Running",
        "activity ship in queue default",
        "charge",
        "✔",
        "shop=berlin",
        '"shipping"',
        "p-1",
        '{"a":1}',
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
    assert "no worker has flow" in text
    assert "waits for" in text


def test_show_as_json_has_the_names_of_the_python_class(cli: Cli, client: FakeClient) -> None:
    client.add(completed("x-1", output={"b": 2}))
    shown = json.loads(cli("show", "x-1", "-o", "json").stdout)
    assert shown["output"] == {"b": 2}
    assert shown["runtime_status"] == "Completed"
    assert shown["created_at"] == "2031-05-01T12:00:00Z"


def test_the_finding_strip_says_what_to_do(cli: Cli, client: FakeClient) -> None:
    client.record(instance("x-1"), HISTORY)
    client.leases = [LeaseInfo(number, None, 0, 0, 0, 0, 0, 0) for number in range(16)]
    lines = cli("show", "x-1").stdout.splitlines()
    assert lines[1].startswith("✘ ")
    assert lines[2].startswith("  → ")
    shown = json.loads(cli("show", "x-1", "-o", "json").stdout)
    assert shown["findings"][0]["advice"]
    assert [(wait["kind"], wait["what"], wait["queue"]) for wait in shown["waits"]] == [("activity", "ship", "default")]


def test_only_the_end_of_a_large_history_is_read(cli: Cli, client: FakeClient) -> None:
    client.record(instance("x-1"), HISTORY * 1_000)
    text = cli("show", "x-1").stdout
    assert client.pages == [(3_600, 400)]
    assert "the last 40 steps; all of it: durastream history x-1" in text
    assert len(text.splitlines()) < 60
    client.record(instance("x-1"), [HISTORY[2]] * 4_000)
    assert "no step began in the last 400 events" in cli("show", "x-1").stdout


def test_as_a_diagram(cli: Cli, client: FakeClient) -> None:
    client.record(instance("x-1"), HISTORY)
    assert cli("show", "x-1", "--graph", "mermaid").stdout.startswith("flowchart TD\n")
    assert cli("show", "x-1", "--graph", "dot").stdout.startswith("digraph")
    assert json.loads(cli("show", "x-1", "--graph", "dot", "-o", "json").stdout)["graph"].startswith("digraph")
    client.record(instance("x-1"), HISTORY * 1_000)
    assert "the last 1,000 events only" in cli("show", "x-1", "--graph", "mermaid").stderr


def test_the_event_its_code_waits_for(cli: Cli, client: FakeClient) -> None:
    client.record(instance("x-1"), HISTORY[:3])
    client.live = [WorkerInfo("w-1", round(time.time() * 1_000), {"runs": ["flow"]})]
    client.awaited = ["approved"]
    assert "event approved" in cli("show", "x-1").stdout
