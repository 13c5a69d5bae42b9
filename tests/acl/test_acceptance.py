"""The acceptance tests of features again, with worker and client as users of their roles. Nothing may be refused."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from tests.acceptance.test_any_client import client, server
from tests.acl.users import denied, under_rules

__all__ = ["client", "server"]  # fixtures

pytestmark = [pytest.mark.anyio, pytest.mark.first_server]

FEATURES = sorted(path.stem for path in (Path(__file__).parents[1] / "acceptance").glob("test_features_*.py"))


@pytest.fixture
def server_url(ruled_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """In place of the one that knows no rules."""
    under_rules(monkeypatch)
    yield ruled_url
    assert denied(ruled_url) == []


LEFT_OUT = {
    "test_a_large_fan_out_does_not_starve_small_instances",  # is about order, which rules do not change
    "test_from_node",  # installs a package
}


def _adopt(module: str) -> None:
    """Its tests, under a name that tells where they come from."""
    for name, test in vars(import_module(f"tests.acceptance.{module}")).items():
        if name.startswith("test_") and callable(test) and name not in LEFT_OUT:
            globals()[f"{module}_{name.removeprefix('test_')}"] = test


for each in [*FEATURES, "test_any_client"]:
    _adopt(each)


def test_all_features_are_here() -> None:
    assert len([name for name in globals() if name.startswith("test_features_")]) > 100
