from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from tests.cli.fakes import Cli, FakeClient, completed, instance


def test_list_as_table_json_and_json_lines(cli: Cli, client: FakeClient) -> None:
    long_id = "x" * 200
    client.add(instance(long_id), completed("x-2"))
    assert long_id in cli("list").stdout
    assert [each["id"] for each in json.loads(cli("list", "-o", "json").stdout)] == [long_id, "x-2"]
    assert [json.loads(line)["id"] for line in cli("list", "-o", "jsonl").stdout.splitlines()] == [long_id, "x-2"]


def test_list_of_nothing(cli: Cli) -> None:
    assert json.loads(cli("list", "-o", "json").stdout) == []
    assert cli("list", "-o", "jsonl").stdout == ""


def test_list_passes_what_the_server_can_select(cli: Cli, client: FakeClient) -> None:
    cli("list", "--status", "failed,RUNNING", "--name", "flow", "--since", "2h", "--limit", "7")
    created_after = client.asked["created_after"]
    assert abs(datetime.now(UTC) - created_after - timedelta(hours=2)) < timedelta(minutes=1)
    assert client.asked["status"] == ("Running", "Failed")


def test_options_and_filters_must_all_fit(cli: Cli, client: FakeClient) -> None:
    client.add(
        instance("order-1", name="place_order", tags={"env": "prod"}),
        instance("order-2", name="place_order"),
        completed("order-3", name="place_order", tags={"env": "prod"}),
        instance("other-1", name="ship_order", tags={"env": "prod"}),
    )

    def ids(*arguments: str) -> list[str]:
        result = cli("list", "-o", "jsonl", *arguments)
        assert result.exit_code == 0, result.output
        return [json.loads(line)["id"] for line in result.stdout.splitlines()]

    assert ids("status:running tag:env=prod") == ["order-1", "other-1"]
    assert ids("status:running", "tag:env=prod", "--name", "place_*") == ["order-1"]
    assert ids("--filter", "-tag:env", "--name", "place_order") == ["order-2"]
    assert ids("--prefix", "order-", "--status", "ended") == ["order-3"]
    assert ids("status:failed", "--status", "running") == []


def test_a_prefix_is_no_pattern(cli: Cli, client: FakeClient) -> None:
    client.add(instance("a*b"), instance("axb"), instance("=a"), instance("?a"))
    for prefix, found in (("a*", ["a*b"]), ("=", ["=a"]), ("?", ["?a"])):
        assert [
            json.loads(line)["id"] for line in cli("list", "-o", "jsonl", "--prefix", prefix).stdout.splitlines()
        ] == found


def test_the_newest_of_those_found_by_prefix(cli: Cli, client: FakeClient) -> None:
    client.add(*(instance(f"x-{hour}", created_at=datetime(2031, 5, 1, hour, tzinfo=UTC)) for hour in (3, 9, 1)))
    shown = cli("list", "--prefix", "x-", "--limit", "2", "-o", "json")
    assert [each["id"] for each in json.loads(shown.stdout)] == ["x-9", "x-3"]


def test_a_filter_that_cannot_be_read_is_pointed_at(cli: Cli) -> None:
    result = cli("list", "name:a statsu:failed")
    assert result.exit_code == 2
    message, typed, mark = result.stderr.splitlines()
    assert "did you mean status:?" in message
    assert typed[mark.index("^") :].startswith("statsu")


def test_nothing_fits(cli: Cli) -> None:
    assert "no instance fits status:failed" in cli("list", "status:failed").stderr
    assert "no instance yet" in cli("list").stderr


def test_list_says_when_there_is_more(cli: Cli, client: FakeClient) -> None:
    client.add(*(instance(f"x-{number}") for number in range(5)))
    result = cli("list", "--limit", "2", "-o", "jsonl")
    assert len(result.stdout.splitlines()) == 2
    assert "--limit 0 for all" in result.stderr
    assert len(cli("list", "--limit", "0", "-o", "jsonl").stdout.splitlines()) == 5


def test_unknown_status_word(cli: Cli) -> None:
    result = cli("list", "--status", "done")
    assert result.exit_code == 2
    assert "--status: 'done' is no status" in result.stderr
    assert "completed" in result.stderr
