from __future__ import annotations

import json

import pytest

from durastream.errors import AccessDenied
from durastream.store.redis import hubs
from durastream.store.rights import ROLES, Right
from tests.cli.fakes import Cli


@pytest.mark.parametrize("role", ROLES)
def test_one_line_for_redis_cli(cli: Cli, role: str) -> None:
    told = cli("acl", "--role", role, "--hub", "orders")
    assert told.exit_code == 0
    assert told.stdout.startswith(f"ACL SETUSER orders-{role} resetkeys resetchannels clearselectors -@all ")
    assert told.stdout.count("\n") == 1
    words = told.stdout.split()
    assert not [
        word for word in words if word in ("on", "nopass", "+@all", "~*", "allkeys", "allchannels") or word[0] in ">#<"
    ]
    assert "has no password and is off" in told.stderr


def test_a_line_of_an_acl_file(cli: Cli) -> None:
    told = cli("acl", "--role", "worker", "--hub", "orders", "--user", "w.1", "--aclfile")
    assert told.stdout.startswith("user w.1 off resetkeys ")
    assert "SHA-256" in told.stderr


def test_reply_lists_and_cluster(cli: Cli) -> None:
    told = cli("acl", "--role", "worker", "--replies", "shop:*", "--replies", "app-?", "--cluster")
    assert told.stdout.rstrip().endswith(
        "+asking +cluster|slots (+sadd %W~ds:hubs) (+expire +rpush %W~shop:* %W~app-?)"
    )
    assert "every one of the cluster" in told.stderr


@pytest.mark.parametrize(
    "pattern", ["*", "d*", "ds:*", "ds:{orders}:in", "?s:x", "[d]s:", "", "a b", "a' on", "my:*)", "~x", "a\n"]
)
def test_patterns_that_would_open_hubs_are_refused(cli: Cli, pattern: str) -> None:
    told = cli("acl", "--role", "worker", "--replies", pattern)
    assert (told.exit_code, told.stdout) == (2, "")


@pytest.mark.parametrize("user", ["a b", "", "x>y", "on\n", "x" * 65])
def test_names_of_users(cli: Cli, user: str) -> None:
    told = cli("acl", "--role", "worker", "--user", user)
    assert told.exit_code == (0 if user == "" else 2)


def test_roles_and_hubs_that_are_none(cli: Cli) -> None:
    assert "roles: worker, client, readonly, operator, fsck, producer" in cli("acl", "--role", "boss").stderr
    assert cli("acl", "--role", "worker", "--hub", "a*").exit_code == 2


def test_for_programs(cli: Cli) -> None:
    record = json.loads(cli("acl", "--role", "producer", "--hub", "orders", "-o", "json").stdout)
    assert record["rules"][-3:] == ["%W~ds:{orders}:in", "+ping", "+xadd"]
    assert record["command"] == f"ACL SETUSER orders-producer {' '.join(record['rules'])}"


def test_check_lists_what_lacks(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = [Right("SADD", "HUBS"), Right("XINFO STREAM", "KEY")]

    async def lacking_rights(url: str, name: str, role: str) -> list[Right]:
        assert (name, role) == ("default", "fsck")
        return lacking

    monkeypatch.setattr(hubs, "lacking_rights", lacking_rights)
    arguments = ("acl", "--role", "fsck", "--check", "--redis", "redis://me:canary@db")
    told = cli(*arguments)
    assert told.exit_code == 1
    assert told.stdout.splitlines()[1:] == ["  +sadd on ds:hubs", "  +xinfo|stream on keys of the hub"]
    assert "canary" not in told.output
    lacking.clear()
    told = cli(*arguments, "-o", "json")
    assert told.exit_code == 0
    assert json.loads(told.stdout) == {
        "role": "fsck", "hub": "default", "url": "redis://me:***@db:6379", "ok": True, "lacking": [],
    }  # fmt: skip


def test_a_check_that_is_not_even_allowed(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    async def lacking_rights(url: str, name: str, role: str) -> list[Right]:
        raise AccessDenied("redis refuses it")

    monkeypatch.setattr(hubs, "lacking_rights", lacking_rights)
    assert cli("acl", "--role", "fsck", "--check").exit_code == 5
