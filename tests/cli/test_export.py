from __future__ import annotations

import json
from pathlib import Path

from durastream.core import events as ev
from tests.cli.fakes import Cli, FakeClient, completed, instance
from tests.cli.test_showing import AT, HISTORY


def test_it_holds_hub_ids_record_and_events(cli: Cli, client: FakeClient) -> None:
    client.record(instance("x-1", tags={"a": "b"}), HISTORY)
    shown = json.loads(cli("export", "x-1").stdout)
    assert (shown["format"], shown["orchestrator"], shown["instance_id"]) == (1, "flow", "x-1")
    assert shown["hub"]["partitions"] == 16
    assert shown["instance"]["tags"] == {"a": "b"}
    assert [event["kind"] for event in shown["history"]] == [type(event).__name__ for event in HISTORY]
    assert shown["history"][1]["input"] == {"amount": 3}


def test_a_history_without_events(cli: Cli, client: FakeClient) -> None:
    client.record(instance("x-1"), [])
    assert json.loads(cli("export", "x-1").stdout)["history"] == []


def test_a_file_is_whole_or_not_there(cli: Cli, client: FakeClient, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    client.record(instance("x-1"), HISTORY)
    result = cli("export", "x-1", "-f", str(path))
    assert (result.exit_code, result.stdout) == (0, "")
    assert "wrote 4 events" in result.stderr
    before = path.read_text()
    assert cli("export", "x-1", "-f", str(path)).exit_code == 2
    client.instances["x-1"] = instance("x-1", events=9)  # more than there are
    assert cli("export", "x-1", "-f", str(path), "--yes").exit_code == 4
    assert path.read_text() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written(cli: Cli, client: FakeClient, tmp_path: Path) -> None:
    client.record(instance("x-1"), HISTORY)
    result = cli("export", "x-1", "-f", str(tmp_path / "nowhere" / "x.json"))
    assert result.exit_code == 2
    assert "cannot write" in result.stderr


def test_what_was_exported_can_be_replayed(cli: Cli, client: FakeClient, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    client.record(
        completed("x-1", name="approval"),
        [
            ev.ExecutionStarted(AT, "approval", None, None, None, 0),
            ev.TimerCreated(AT, AT + 60_000),
            ev.EventRaised(AT + 1, "approved", b"true"),
            ev.ExecutionCompleted(AT + 1, b'"True"'),
        ],
    )
    cli("export", "x-1", "-f", str(path))
    result = cli("replay", str(path), "tests.histories.programs:app")
    assert (result.exit_code, "fits: 4 events" in result.stdout) == (0, True), result.output


def test_nobody(cli: Cli) -> None:
    assert cli("export", "ghost").exit_code == 3
