from __future__ import annotations

import json
from typing import Any

import pytest

from durastream import errors
from durastream.store.protocol import HubInfo, LeaseInfo, WorkerInfo
from durastream.store.redis import hubs
from tests.cli.fakes import Cli, FakeClient

DAY_MS = 86_400_000


def info(name: str, **changes: Any) -> HubInfo:
    return HubInfo(name, 16, 3 * DAY_MS, 1_048_576, 1_935_403_200_000, 1)._replace(**changes)


@pytest.fixture(autouse=True)
def server(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    known: dict[str, Any] = {"default": info("default"), "asked": []}

    async def create_hub(url: str, name: str, **settings: Any) -> HubInfo:
        known["asked"].append((url, name, settings))
        return info(name, partitions=settings["partitions"])

    async def list_hubs(url: str) -> list[str]:
        return ["default"]

    async def hub_info(url: str, name: str) -> HubInfo:
        if name not in known:
            raise errors.HubNotFound(f"no hub {name!r}")
        hub: HubInfo = known[name]
        return hub

    async def delete_hub(url: str, name: str) -> int:
        known["asked"].append(("delete", name))
        return 1

    for function in (create_hub, list_hubs, hub_info, delete_hub):
        monkeypatch.setattr(hubs, function.__name__, function)
    return known


def test_create_passes_only_what_was_chosen(cli: Cli, server: dict[str, Any]) -> None:
    assert cli("hub", "create", "orders").exit_code == 0
    cli("hub", "create", "orders", "--partitions", "32", "--retention", "7d", "--payload-bytes", "1000")
    url = "redis://localhost:6379"
    assert server["asked"] == [
        (url, "orders", {"partitions": 16}),
        (url, "orders", {"partitions": 32, "retention_s": 604_800.0, "payload_bytes_max": 1000}),
    ]


def test_list(cli: Cli) -> None:
    assert "3 d 0 h" in cli("hub", "list").stdout
    assert json.loads(cli("hub", "list", "-o", "json").stdout)[0]["partitions"] == 16


def test_show_counts_instances_of_that_hub(cli: Cli, client: FakeClient) -> None:
    client.hub_counts = {"Running": 7}
    shown = json.loads(cli("hub", "show", "default", "-o", "json").stdout)
    assert shown["instances"] == {"Running": 7}
    assert client.asked["opened"][-1][1] == "default"
    assert "7" in cli("hub", "show", "default").stdout


def test_delete_asks_and_knows_what_is_not_there(cli: Cli, server: dict[str, Any]) -> None:
    assert cli("hub", "delete", "ghost", "--yes").exit_code == 3
    assert cli("hub", "delete", "default").exit_code == 2
    assert server["asked"] == []
    assert cli("hub", "delete", "default", "--yes").exit_code == 0
    assert server["asked"] == [("delete", "default")]


def test_partitions(cli: Cli, client: FakeClient) -> None:
    client.leases = [LeaseInfo(0, "w-1", 4, 9_999_999_999_999, 2, 0, 0, 1), LeaseInfo(1, None, 0, 0, 0, 0, 0, 0)]
    _, first, second = cli("partitions").stdout.splitlines()
    assert first.split() == ["0", "w-1", "4", "held", "2", "0", "0", "1"]
    assert second.split() == ["1", "nobody", "0", "free", "0", "0", "0", "0"]
    assert json.loads(cli("partitions", "-o", "json").stdout)[0]["owner"] == "w-1"


def test_workers(cli: Cli, client: FakeClient) -> None:
    about = {"host": "h", "pid": 7, "queues": ["default", "gpu"], "owned": [1, 2], "busy": 3, "concurrency": 10}
    client.live = [WorkerInfo("w-1", 0, about)]
    text = cli("workers").stdout
    assert "default, gpu" in text
    assert "3 of 10" in text
    assert json.loads(cli("workers", "-o", "json").stdout)[0]["about"]["pid"] == 7


def test_no_workers_says_how_to_start_one(cli: Cli, client: FakeClient) -> None:
    result = cli("workers")
    assert (result.exit_code, "durastream worker module:app" in result.stderr) == (0, True)
