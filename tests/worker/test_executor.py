"""The seam to user code."""

from __future__ import annotations

from typing import Any

import pytest

import durastream as ds
from durastream.payload import Payloads
from durastream.worker.executor import PythonExecutor


def executor() -> PythonExecutor:
    app = ds.App()

    def function(ctx: ds.OrchestrationContext) -> Any:
        yield

    app.orchestrator(name="plain")(function)
    for version in ("1.9", "1.10"):
        app.orchestrator(name="priced", version=version)(_copy(function))
    return PythonExecutor(app, Payloads())


def _copy(function: Any) -> Any:
    def again(ctx: ds.OrchestrationContext) -> Any:
        return function(ctx)

    return again


def test_it_opens_what_it_has() -> None:
    it = executor()
    assert it.names() == ["plain", "priced"]
    assert it.open("plain", None, "i", "t.0") is not None
    assert it.open("priced", "1.9", "i", "t.0") is not None
    for name, version in (("plain", "1"), ("priced", "2"), ("other", None)):
        assert it.open(name, version, "i", "t.0") is None


def test_the_version_of_one_started_without() -> None:
    it = executor()
    assert (it.version("plain"), it.version("priced"), it.version("other")) == (None, "1.10", None)


def test_it_rewinds_only_what_it_has() -> None:
    with pytest.raises(LookupError):
        executor().rewind("other", None, ("i", "t.0"), [], 0)
