from __future__ import annotations

import json
import time
from typing import Any

import pytest

from durastream import errors
from durastream.store.protocol import HubInfo, LeaseInfo, PartitionLoad, QueueLoad, ServerInfo, WorkerInfo
from durastream.store.redis import hubs
from tests.cli.fakes import Cli, FakeClient, instance

LATER = 9_999_999_999_999
GOOD = ServerInfo(
    clock=0, kind="valkey", version="9.1.2", uptime_s=90, role="master", clients=3, used_memory=1_572_864, maxmemory=0,
    policy="noeviction", aof=True, aof_failing=False, appendfsync="everysec", scripts=True,
)  # fmt: skip


@pytest.fixture(autouse=True)
def server(monkeypatch: pytest.MonkeyPatch, client: FakeClient) -> None:
    async def hub_info(url: str, name: str) -> HubInfo:
        if client.unreachable:
            raise errors.StoreUnavailable("no server at localhost:6379: connection refused")
        if name != "default":
            raise errors.HubNotFound(f"no hub {name!r}")
        return client.hub

    async def list_hubs(url: str) -> list[str]:
        return ["default", "orders"]

    monkeypatch.setattr(hubs, "hub_info", hub_info)
    monkeypatch.setattr(hubs, "list_hubs", list_hubs)
    about: dict[str, Any] = {"orchestrators": ["flow"], "runs": ["flow"], "queues": ["default"], "concurrency": 10}
    client.live = [WorkerInfo("w-1", round(time.time() * 1_000), about)]
    client.leases = [LeaseInfo(0, "w-1", 1, LATER, 0, 0, 0, 0)]
    client.load = [PartitionLoad(0, None, 0, 0, ())]
    client.server = GOOD


def rules(cli: Cli) -> tuple[int, set[str]]:
    result = cli("doctor", "-o", "json")
    shown = json.loads(result.stdout)
    assert shown["ok"] == (result.exit_code == 0)
    assert all(finding["text"] and finding["advice"] for finding in shown["findings"])
    return result.exit_code, {finding["rule"] for finding in shown["findings"]}


def test_nothing_wrong(cli: Cli) -> None:
    result = cli("doctor")
    assert result.exit_code == 0
    for words in (
        "Valkey 9.1.2, up 1 m 30 s",
        "appendfsync everysec",
        "1.5 MiB of no limit, policy noeviction",
        "scripts      allowed",
        "16 partitions",
        "1 of 1 owned",
        "1 alive",
        "0 messages, 0 activities",
        "nothing was found",
    ):
        assert words in result.stdout, words
    assert rules(cli) == (0, set())


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"aof": False}, "aof-off"),
        ({"policy": "allkeys-lru", "maxmemory": 10_000_000}, "eviction"),
        ({"maxmemory": 1_600_000}, "memory"),
        ({"version": "6.2.1"}, "old-server"),
        ({"scripts": False}, "no-scripts"),
    ],
)
def test_what_is_wrong_with_the_server(cli: Cli, client: FakeClient, changes: dict[str, Any], rule: str) -> None:
    client.server = GOOD._replace(**changes)
    assert rules(cli) == (1, {rule})
    text = cli("doctor").stdout
    assert "  → " in text
    assert "nothing was found" not in text


def test_hints_are_no_failure(cli: Cli, client: FakeClient) -> None:
    client.server = ServerInfo(0)
    assert rules(cli) == (0, {"no-info"})


def test_nobody_works(cli: Cli, client: FakeClient) -> None:
    client.leases = [LeaseInfo(0, None, 1, 0, 4, 0, 0, 0)]
    assert rules(cli) == (1, {"unowned-partition"})
    client.live = []
    assert rules(cli) == (1, {"no-worker"})


def test_a_queue_that_nobody_serves(cli: Cli, client: FakeClient) -> None:
    client.load = [PartitionLoad(0, None, 0, 0, (QueueLoad("gpu", 5, 0, 0),))]
    assert rules(cli) == (1, {"unserved-queue"})


def test_stuck_instances_are_named_with_the_reason(cli: Cli, client: FakeClient) -> None:
    client.load = [PartitionLoad(0, None, 1, 2, ())]
    client.record(instance("x-1", name="gone", partition=0, problem={"kind": "unknown-orchestrator"}), [])
    code, found = rules(cli)
    assert (code, found) == (1, {"parked", "stalled", "unknown-orchestrator"})
    assert "x-1: no live worker has the orchestrator gone" in cli("doctor").stdout


def test_no_such_hub(cli: Cli, client: FakeClient) -> None:
    result = cli("doctor", "--hub", "ordres")
    assert result.exit_code == 3
    assert "hubs on this server: default, orders" in result.stderr
    assert client.asked["opened"] == []  # looking creates none


def test_no_server(cli: Cli, client: FakeClient) -> None:
    client.unreachable = True
    assert cli("doctor").exit_code == 5


def test_no_password_is_shown(cli: Cli) -> None:
    for form in ("text", "json"):
        assert "secret" not in cli("doctor", "--redis", "redis://me:secret@localhost:6379", "-o", form).output
