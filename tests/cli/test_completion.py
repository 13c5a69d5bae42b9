"""What the shell is told, asked for as the shell does: by variables of the environment."""

from __future__ import annotations

import time

import pytest
from typer.testing import CliRunner

from durastream.cli import build, completion
from durastream.store.protocol import HubInfo, WorkerInfo
from durastream.store.redis import hubs
from tests.cli.fakes import FakeClient, instance


@pytest.fixture(autouse=True)
def hub(monkeypatch: pytest.MonkeyPatch, client: FakeClient) -> list[tuple[str, str]]:
    """Where hubs were looked for."""
    asked: list[tuple[str, str]] = []

    async def hub_info(url: str, name: str) -> HubInfo:
        asked.append((url, name))
        return client.hub

    monkeypatch.setattr(hubs, "hub_info", hub_info)
    return asked


def complete(line: str, env: dict[str, str] | None = None) -> list[str]:
    """What follows the last word of `line`."""
    words = line.split(" ")
    variables = {"_DURASTREAM_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    result = CliRunner().invoke(build(), [], prog_name="durastream", env=variables | (env or {}))
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return result.stdout.split("\n")[:-1] if result.stdout.strip() else []


def test_ids_by_what_they_begin_with(client: FakeClient) -> None:
    client.add(instance("order-1"), instance("order-2"), instance("other"))
    for command in ("show", "history", "export", "wait", "terminate", "event"):
        assert complete(f"durastream {command} order") == ["order-1", "order-2"]
    assert complete("durastream show ") == ["order-1", "order-2", "other"]
    assert complete("durastream purge --prefix oth") == ["other"]


def test_names_that_live_workers_told(client: FakeClient) -> None:
    about = {"orchestrators": ["place_order", "approve"], "entities": ["Counter"], "queues": ["default", "gpu"]}
    client.live = [WorkerInfo("w-1", round(time.time() * 1_000), about)]
    assert complete("durastream start p") == ["place_order"]
    assert complete("durastream list --name ") == ["approve", "place_order"]
    assert complete("durastream entity show C") == ["Counter"]
    assert complete("durastream worker --queues default,g") == ["default,gpu"]
    assert complete("durastream list name:pl") == ["name:place_order"]


def test_statuses() -> None:
    assert complete("durastream list --status fa") == ["failed"]
    assert complete("durastream list --status Failed,Ru") == ["Failed,Running"]
    assert complete("durastream list status:run") == ["status:running"]
    assert complete("durastream list sta") == ["status:"]


def test_the_hub_that_is_meant(hub: list[tuple[str, str]]) -> None:
    complete("durastream show x", env={"DURASTREAM_HUB": "env", "DURASTREAM_REDIS_URL": "redis://env"})
    complete("durastream --hub far --redis redis://far show x")
    complete("durastream --hub far show --hub near x")
    assert hub == [("redis://env", "env"), ("redis://far", "far"), ("redis://localhost:6379", "near")]


def test_silent_when_the_server_is_away(client: FakeClient) -> None:
    client.unreachable = True
    assert complete("durastream show x") == []
    assert complete("durastream start x") == []


def test_what_came_in_time_is_kept(monkeypatch: pytest.MonkeyPatch, client: FakeClient) -> None:
    import asyncio

    monkeypatch.setattr(completion, "_SECONDS", 0.05)

    async def slowly(prefix: str, **options: object) -> object:
        yield instance("x-1")
        await asyncio.Event().wait()

    monkeypatch.setattr(client, "find", slowly)
    assert complete("durastream show x") == ["x-1"]


def test_ids_that_would_spoil_the_line_are_left_out(client: FakeClient) -> None:
    client.add(instance("x-1"), instance("x-\u202e2"), instance("x-\x9b2J"))
    assert complete("durastream show x") == ["x-1"]


def test_it_can_be_installed() -> None:
    assert "--install-completion" in CliRunner().invoke(build(), ["--help"]).stdout
