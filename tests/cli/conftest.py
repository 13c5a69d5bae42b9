"""The command line with a client that answers from memory."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner, Result

from durastream.cli import build, session
from tests.cli.fakes import Cli, FakeClient


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    fake = FakeClient()
    opened: list[tuple[str, str]] = []
    fake.asked["opened"] = opened

    def open_client(url: str, hub: str) -> FakeClient:
        opened.append((url, hub))
        return fake

    monkeypatch.setattr(session, "open_client", open_client)
    return fake


@pytest.fixture
def cli(client: FakeClient) -> Cli:
    """Run a command line; the environment holds none of our variables."""

    def run(*arguments: str, input: str | None = None, env: dict[str, str] | None = None) -> Result:
        result = CliRunner().invoke(build(), list(arguments), input=input, env=env or {})
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run
