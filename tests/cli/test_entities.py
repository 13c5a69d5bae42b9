from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from durastream import errors
from durastream.client import QueuedMessage
from durastream.core.entity_id import EntityId
from durastream.core.ids import partition_of
from durastream.store.protocol import LeaseInfo
from tests.cli.fakes import CREATED, Cli, FakeClient, entity

FAR = datetime(2131, 5, 1, tzinfo=UTC)


def unowned(backlog: int) -> list[LeaseInfo]:
    return [LeaseInfo(p, None, 0, 0, backlog, 0, 0, 0) for p in range(4)]


def owned(backlog: int) -> list[LeaseInfo]:
    return [LeaseInfo(p, "w", 1, 1 << 50, backlog, 0, 0, 0) for p in range(4)]


@pytest.fixture(autouse=True)
def _owned(client: FakeClient) -> None:
    client.leases = owned(0)


# ---------------------------------------------------------------- list


def test_list_as_table_json_and_json_lines(cli: Cli, client: FakeClient) -> None:
    long_key = "k" * 200
    client.add_entities(entity("Counter", long_key), entity("Counter", "b", locked_by="order-7", queued=1_200))
    text = cli("entity", "list").stdout
    for words in (long_key, "order-7", '{"value":5}', "1,200"):
        assert words in text
    shown = json.loads(cli("entity", "list", "-o", "json").stdout)
    assert [one["key"] for one in shown] == [long_key, "b"]
    line = json.loads(cli("entity", "list", "-o", "jsonl").stdout.splitlines()[1])
    assert (line["id"], line["name"], line["state"], line["locked_by"]) == (
        "@Counter@b",
        "Counter",
        {"value": 5},
        "order-7",
    )


def test_list_passes_its_filters(cli: Cli, client: FakeClient) -> None:
    cli("entity", "list", "Counter", "--prefix", "shop-", "--locked", "--limit", "7")
    assert client.asked == {"name": "Counter", "prefix": "shop-", "locked": True, "limit": 7}
    cli("entity", "list", "--limit", "0")
    assert client.asked == {"name": None, "prefix": None, "locked": None, "limit": None}


def test_a_prefix_needs_a_name(cli: Cli, client: FakeClient) -> None:
    result = cli("entity", "list", "--prefix", "shop-")
    assert result.exit_code == 2
    assert "entity list Counter --prefix" in result.stderr


def test_list_says_when_there_is_more(cli: Cli, client: FakeClient) -> None:
    client.add_entities(*(entity("Counter", str(k)) for k in range(5)))
    result = cli("entity", "list", "-n", "2", "-o", "jsonl")
    assert len(result.stdout.splitlines()) == 2
    assert "--limit 0 for all" in result.stderr


def test_list_of_nothing(cli: Cli) -> None:
    assert json.loads(cli("entity", "list", "-o", "json").stdout) == []


# ---------------------------------------------------------------- show


def test_show_tells_state_lock_and_what_waits(cli: Cli, client: FakeClient) -> None:
    client.add_entities(entity("Counter", "a", locked_by="order-7", locked_at=CREATED, queued=90))
    client.queue = [
        QueuedMessage(1, "signal", "add", {"n": 1}, None, FAR),
        QueuedMessage(2, "call", "get", None, "order-8", None),
        QueuedMessage(3, "lock", None, None, "order-9", None),
    ]
    for arguments in (("Counter", "a"), ("@Counter@a",)):
        text = cli("entity", "show", *arguments).stdout
        for words in ('"value": 5', "order-7, since", "add", '{"n":1}', "a client", "2131-0", "order-8", "the lock",
                      "and 87 more"):  # fmt: skip
            assert words in text
        assert "stuck" not in text


def test_show_as_json(cli: Cli, client: FakeClient) -> None:
    client.add_entities(entity("Counter", "a", queued=1))
    client.queue = [QueuedMessage(1, "signal", "add", 1, "@Counter@b", FAR)]
    shown = json.loads(cli("entity", "show", "Counter", "a", "-o", "json").stdout)
    assert (shown["id"], shown["state"], shown["revision"], shown["problem"]) == ("@Counter@a", {"value": 5}, 3, None)
    assert shown["created_at"] == "2031-05-01T12:00:00Z"
    assert shown["queue"] == [
        {
            "number": 1,
            "kind": "signal",
            "operation": "add",
            "input": 1,
            "sender": "@Counter@b",
            "due": "2131-05-01T00:00:00Z",
        }
    ]


def test_show_says_why_operations_wait_and_what_to_do(cli: Cli, client: FakeClient) -> None:
    client.add_entities(entity("Counter", "a", state=None))
    client.problems[EntityId("Counter", "a")] = {"kind": "unknown-entity", "message": "no worker has Counter"}
    text = cli("entity", "show", "Counter", "a").stdout
    assert "stuck: operations wait: no worker has Counter" in text
    assert "durastream worker module:app" in text


def test_show_says_when_nobody_works_on_its_partition(cli: Cli, client: FakeClient) -> None:
    client.add_entities(entity("Counter", "a"))
    home = partition_of("@Counter@a", 4)
    for leases, said in ((unowned(3), True), (unowned(0), False), (owned(3), False)):
        client.leases = leases
        text = cli("entity", "show", "Counter", "a").stdout
        assert (f"nobody works on partition {home}" in text) is said


def test_one_that_is_not_there(cli: Cli, client: FakeClient) -> None:
    result = cli("entity", "show", "Counter", "a")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "@Counter@a" in result.stderr
    client.problems[EntityId("Counter", "a")] = {"message": "no worker has Counter"}
    result = cli("entity", "show", "Counter", "a")
    assert result.exit_code == 3
    assert "no worker has Counter" in result.stderr


def test_ids_that_are_none(cli: Cli) -> None:
    for arguments in (("Counter",), ("@Counter",), ("@Counter@a", "b"), ("", "a"), ("Counter", "a\nb")):
        assert cli("entity", "show", *arguments).exit_code == 2
    assert "@name@key" in cli("entity", "show", "Counter").stderr


# ---------------------------------------------------------------- signal


def test_signal(cli: Cli, client: FakeClient) -> None:
    assert cli("entity", "signal", "Counter", "a", "add", "--input", "5").exit_code == 0
    assert cli("entity", "signal", "Counter", "@b@{c}", "delete").exit_code == 0
    assert client.calls == [
        ("signal_entity", "@Counter@a", "add", 5, None),
        ("signal_entity", "@Counter@@b@{c}", "delete", None, None),
    ]


def test_signal_for_later(cli: Cli, client: FakeClient) -> None:
    cli("entity", "signal", "Counter", "a", "add", "--at", "+10m")
    cli("entity", "signal", "Counter", "a", "add", "--at", "2031-05-01T12:00:00Z")
    assert [call[-1] for call in client.calls] == [timedelta(minutes=10), CREATED]
    assert cli("entity", "signal", "Counter", "a", "add", "--at", "soon").exit_code == 2


def test_signal_that_is_none(cli: Cli, client: FakeClient) -> None:
    assert cli("entity", "signal", "Co@unter", "a", "add").exit_code == 2
    assert cli("entity", "signal", "Counter", "a", "add", "--input", "{oops").exit_code == 2
    assert cli("entity", "signal", "Counter", "a").exit_code == 2
    client.refuse["@Counter@a"] = errors.InvalidId("operation name '' is not valid")
    assert cli("entity", "signal", "Counter", "a", "").exit_code == 2
    assert client.calls == []


# ---------------------------------------------------------------- clean


def test_clean(cli: Cli, client: FakeClient) -> None:
    result = cli("entity", "clean", "-o", "json")
    assert json.loads(result.stdout) == {"released": []}
    assert "no lock was left behind" in result.stderr
    client.left_behind = (EntityId("A", "1"), EntityId("A", "2"))
    result = cli("entity", "clean", "-o", "json")
    assert json.loads(result.stdout) == {"released": ["@A@1", "@A@2"]}
    assert "2 locks left behind" in result.stderr
    assert "@A@1" in cli("entity", "clean").stdout


# ---------------------------------------------------------------- what others wrote


def test_terminal_escapes_are_shown_not_sent(cli: Cli, client: FakeClient) -> None:
    bad, key = "\x1b]0;owned\x07\x9b2J\u202e", "k\u202e\u200e"
    client.add_entities(entity("Na\u202eme", key, state={bad: bad}, locked_by=bad, queued=2, locked_at=CREATED))
    client.queue = [QueuedMessage(1, "signal", bad, bad, bad, None)]
    client.problems[EntityId("Na\u202eme", key)] = {"message": bad}
    client.left_behind = (EntityId("Na\u202eme", key),)
    for form in ("text", "json", "jsonl"):
        for arguments in (("list",), ("show", "Na\u202eme", key), ("signal", "n", key, "op"), ("clean",)):
            result = cli("entity", *arguments, "-o", form)
            assert result.exit_code == 0
            assert not any(char in result.output for char in "\x1b\x07\x9b\u202e\u200e"), (arguments, form)
    assert not any(char in cli("entity", "show", "none", key).output for char in "\x1b\u202e")
