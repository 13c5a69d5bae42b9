"""The tables of rights hold what the verbs and scripts really use: nothing lacks, nothing is too much."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
import redis

from durastream.store import scripts, uses
from durastream.store.rights import FORMS, OPTIONAL, ROLES, rights_of
from tests.acl import deriving

WRITING = {"start", "deliver", "watch"}
"""Verbs of a client that write. The others are there for readers."""

BY_THE_CONNECTION = {
    "CLIENT ID",
    "CLIENT SETNAME",
    "PING",
    "SCRIPT LOAD",
    "EVAL",
    "EVALSHA",
    "EVAL_RO",
    "EVALSHA_RO",
    "WAIT",
}
"""Sent by `connect.py`, `subscribe.py`, `scripts.py` and `replicated.py`."""

NEVER_GRANTED = {"CONFIG GET"}
"""Asked for, and done without: it would tell the passwords of the server."""

TOLERATED = {"EVAL"}
"""`server_info` asks whether scripts may run at all."""

CLIENT = deriving.methods_of("ClientStore")
HUBS = ["create_hub", "delete_hub", "hub_info", "list_hubs", "open_hub"]
CHECKING = [name for name in deriving.methods_of("RawHub") if name != "open"]
VERBS = {
    "worker": [*CLIENT, *deriving.methods_of("WorkerStore"), "open_hub"],
    "client": [*CLIENT, "open_hub"],
    "readonly": [name for name in CLIENT if name not in WRITING],
    "operator": [*CLIENT, *HUBS, *CHECKING, *(name for name in deriving.methods_of("Repairs") if name != "list_hub")],
    "fsck": CHECKING,
}


@pytest.mark.parametrize("role", VERBS)
def test_a_role_sends_what_its_verbs_send(role: str) -> None:
    known = ROLES[role]
    used = deriving.used_by(VERBS[role])
    sent = used.commands - NEVER_GRANTED - TOLERATED
    listed = {*known.plain, *known.keys, *known.replies} - BY_THE_CONNECTION
    assert listed == sent | ({"INFO", "TIME"} & listed), role
    assert {"INFO", "TIME"} <= {*known.plain}


@pytest.mark.parametrize("role", VERBS)
def test_a_role_runs_the_scripts_of_its_verbs(role: str) -> None:
    assert set(ROLES[role].scripts) == deriving.used_by(VERBS[role]).scripts


@pytest.mark.parametrize("role", VERBS)
def test_a_role_does_with_the_list_of_hubs_what_its_verbs_do(role: str) -> None:
    assert set(ROLES[role].hubs) == deriving.used_by(VERBS[role]).hubs


def test_what_is_handed_to_scripts_is_what_the_builders_hand_over() -> None:
    assert set(uses.HANDED_OVER["commit"]) == deriving.used_by(["CommitBuilder"]).handed
    assert set(uses.HANDED_OVER["repair"]) == deriving.used_by(deriving.methods_of("Repairs")).handed


def everything() -> Iterable[str]:
    return (path.stem for path in (deriving.STORE / "lua").glob("*.lua") if not path.stem.startswith("_"))


def test_every_script_belongs_to_a_role() -> None:
    assert set(everything()) == {name for role in ROLES.values() for name in role.scripts} | {"rights"}


def test_every_command_has_a_form_and_every_form_is_used() -> None:
    used = {right.command for role in ROLES for right in rights_of(role)}
    assert used == set(FORMS)
    assert used >= OPTIONAL


def test_what_writes_is_what_the_server_says_writes(server_url: str) -> None:
    with redis.Redis.from_url(server_url, protocol=2) as server:
        flags = {name: _flags(server, name) for name in FORMS}
    assert {name for name, found in flags.items() if "write" in found} == uses.WRITES | {"BLPOP"}


def _flags(server: Any, name: str) -> set[str]:
    """Of `xinfo|stream` for XINFO STREAM."""
    ((_, _, flags, *_),) = server.execute_command("COMMAND INFO", name.lower().replace(" ", "|"))
    return {flag.decode() for flag in flags}


def test_a_script_of_several_writes_asks_for_all_of_them_first() -> None:
    text = scripts.script("start").text
    assert text.startswith(
        "local may = redis.acl_check_cmd if may and not (may('HSET', KEYS[1]) and may('XADD', KEYS[1])"
    )
    assert not scripts.script("due").text.startswith("local may")


def test_no_role_may_do_what_endangers_others() -> None:
    granted = {right.command.partition(" ")[0] for role in ROLES for right in rights_of(role)}
    assert not granted & {
        "ACL",
        "CONFIG",
        "DEBUG",
        "FLUSHALL",
        "FLUSHDB",
        "FUNCTION",
        "KEYS",
        "MIGRATE",
        "MONITOR",
        "RESTORE",
    }
    assert not granted & {"SELECT", "SHUTDOWN", "SLOWLOG", "SORT", "SWAPDB", "SCRIPT FLUSH", "XGROUP DESTROY"}
