from __future__ import annotations

import json

import pytest

from durastream import errors
from tests.cli.fakes import Cli, FakeClient, completed, instance


def test_event(cli: Cli, client: FakeClient) -> None:
    assert cli("event", "x-1", "approved", "--data", "true").exit_code == 0
    assert client.calls == [("raise_event", "x-1", "approved", True)]


def test_suspend_and_resume_do_not_ask(cli: Cli, client: FakeClient) -> None:
    assert cli("suspend", "x-1", "x-2", "--reason", "lunch").exit_code == 0
    assert cli("resume", "x-1").exit_code == 0
    assert client.calls == [("suspend", "x-1", "lunch"), ("suspend", "x-2", "lunch"), ("resume", "x-1", None)]


@pytest.mark.parametrize("verb", ["terminate", "restart", "purge"])
def test_what_destroys_is_refused_where_nobody_can_be_asked(cli: Cli, client: FakeClient, verb: str) -> None:
    result = cli(verb, "x-1")
    assert result.exit_code == 2
    assert "--yes" in result.stderr
    assert client.calls == []
    assert cli(verb, "x-1", "--yes").exit_code == 0
    assert client.calls[0][:2] == (verb, "x-1")


def test_yes_may_come_from_the_environment(cli: Cli, client: FakeClient) -> None:
    assert cli("purge", "x-1", env={"DURASTREAM_YES": "1"}).exit_code == 0


def test_terminate_reaches_children_unless_told_not_to(cli: Cli, client: FakeClient) -> None:
    cli("terminate", "x-1", "--yes", "-r", "why")
    cli("terminate", "x-1", "--yes", "--only-this")
    assert client.calls == [("terminate", "x-1", "why", True), ("terminate", "x-1", None, False)]


def test_ids_or_a_filter_are_needed_and_not_both(cli: Cli) -> None:
    assert "which instances?" in cli("purge").stderr
    assert "not both" in cli("purge", "x-1", "--name", "flow").stderr


def test_a_filter_picks_only_what_the_verb_can_change(cli: Cli, client: FakeClient) -> None:
    client.add(instance("runs"), completed("ended"), completed("failed", runtime_status="Failed"))
    assert cli("rewind", "--name", "flow", "--yes").exit_code == 0
    assert [call[1] for call in client.calls] == ["failed"]


def test_a_status_in_the_filter_takes_the_place_of_those_the_verb_can_change(cli: Cli, client: FakeClient) -> None:
    client.add(instance("runs"), completed("ended"), completed("failed", runtime_status="Failed"))
    assert cli("purge", "--filter", "status:completed", "--yes").exit_code == 0
    assert cli("purge", "-f", "-status:completed", "--yes").exit_code == 0
    assert [call[1] for call in client.calls] == ["ended", "failed"]


def test_no_more_than_the_limit(cli: Cli, client: FakeClient) -> None:
    client.add(*(instance(f"x-{number}") for number in range(5)))
    result = cli("suspend", "--prefix", "x-", "--limit", "3", "--yes")
    assert len(client.calls) == 3
    assert "more instances fit" in result.stderr
    assert "More fit than --limit lets through" in cli("suspend", "--prefix", "x-", "--limit", "3").stderr
    client.calls.clear()
    assert "more" not in cli("suspend", "--prefix", "x-", "--limit", "0", "--yes").stderr
    assert len(client.calls) == 5


def test_a_filter_always_asks_and_tells_the_count(cli: Cli, client: FakeClient) -> None:
    client.add(*(instance(f"x-{number}") for number in range(5)))
    result = cli("suspend", "--prefix", "x-")
    assert result.exit_code == 2
    assert "Suspend 5 instances (x-0, x-1, x-2, …)?" in result.stderr
    assert client.calls == []


def test_many_are_all_changed(cli: Cli, client: FakeClient) -> None:
    client.add(*(completed(f"x-{number}") for number in range(500)))
    result = cli("purge", "--status", "completed", "--yes")
    assert result.exit_code == 0
    assert len({call[1] for call in client.calls}) == 500
    assert "purged: 500 of 500" in result.stderr


def test_nothing_matches(cli: Cli, client: FakeClient) -> None:
    result = cli("purge", "--name", "flow", "--yes")
    assert (result.exit_code, client.calls) == (0, [])
    assert "nothing to purge" in result.stderr
    assert json.loads(cli("purge", "--name", "flow", "--yes", "-o", "json").stdout) == {"done": [], "failed": {}}


def test_those_that_refuse_do_not_stop_the_others(cli: Cli, client: FakeClient) -> None:
    client.refuse["x-2"] = errors.Conflict("x-2 is Running")
    result = cli("purge", "x-1", "x-2", "x-3", "--yes", "-o", "json")
    assert result.exit_code == 4
    assert json.loads(result.stdout) == {"done": ["x-1", "x-3"], "failed": {"x-2": "x-2 is Running"}}
    assert "x-2 is Running" in result.stderr


def test_what_became_of_each_as_json_lines(cli: Cli, client: FakeClient) -> None:
    client.refuse["x-2"] = errors.InstanceNotFound("no x-2")
    result = cli("purge", "x-1", "x-2", "--yes", "-o", "jsonl")
    assert [json.loads(line) for line in result.stdout.splitlines()] == [
        {"id": "x-1", "done": True, "error": None, "exit_code": 0},
        {"id": "x-2", "done": False, "error": "no x-2", "fate": "missing", "exit_code": 3},
    ]
    assert result.exit_code == 3


def test_a_summary_counts_what_was_not_done(cli: Cli, client: FakeClient) -> None:
    client.refuse |= {f"x-{number}": errors.Conflict(f"no {number}") for number in range(12)}
    client.refuse |= {"y": errors.InstanceNotFound("no y"), "z": errors.TimeoutError("slow")}
    result = cli("purge", "a", *client.refuse, "--yes")
    assert "purged: 1 of 15; refused: 12; missing: 1; timed out: 1" in result.stderr
    assert "… and 4 more" in result.stderr
    assert result.exit_code == 4


def test_a_lost_server_stops_the_rest(cli: Cli, client: FakeClient) -> None:
    client.refuse["x-1"] = errors.StoreUnavailable("gone")
    result = cli("suspend", "x-1", "x-2")
    assert result.exit_code == 5
    assert "suspended: 0 of 2; not tried: 2" in result.stderr
