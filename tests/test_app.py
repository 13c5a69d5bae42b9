from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest

from durastream.app import App
from durastream.core.context import OrchestrationContext
from durastream.core.retry import RetryPolicy
from durastream.errors import DurastreamError, InvalidId

Ctx = OrchestrationContext


async def flow(ctx: Ctx) -> None: ...


def test_decorated_functions_stay_as_they_are() -> None:
    app = App()

    @app.activity
    def double(n: int) -> int:
        return 2 * n

    @app.activity(name="three times", queue="gpu", timeout=timedelta(seconds=3), retry=RetryPolicy(2))
    def triple(n: int) -> int:
        return 3 * n

    assert double(2) == 4 and triple(2) == 6
    plain, full = app.find_activity("double"), app.find_activity("three times")
    assert plain is not None and (plain.queue, plain.timeout_ms, plain.retry) == ("default", None, None)
    assert full is not None and (full.queue, full.timeout_ms, full.retry) == ("gpu", 3_000, RetryPolicy(2))
    assert full.function is triple and app.find_activity("triple") is None
    assert app.activity_names() == ["double", "three times"] and app.queues() == ["default", "gpu"]


def test_versions_of_an_orchestrator() -> None:
    app = App()
    for version in ("1.9", "1.10", "1.2-beta"):
        app.orchestrator(name="flow", version=version)(flow)

    def found(version: str | None) -> Any:
        definition = app.find_orchestrator("flow", version)
        return definition and definition.version

    assert found(None) == "1.10" and found("1.9") == "1.9" and found("2") is None
    app.orchestrator(flow)
    assert found(None) is None and app.find_orchestrator("flow") is not None
    assert app.find_orchestrator("other") is None and app.orchestrator_names() == ["flow"]
    text = str(app.missing_orchestrator("flow", "2"))
    assert text == "there is no version '2' of orchestrator 'flow'; registered: 1.10, 1.2-beta, 1.9, without version."


def test_names_are_taken_once() -> None:
    app = App()
    app.orchestrator(flow)
    app.orchestrator(version="2")(flow)
    app.activity(name="a")(lambda: None)
    with pytest.raises(DurastreamError, match="orchestrator 'flow' is registered already"):
        app.orchestrator(flow)
    with pytest.raises(DurastreamError, match="orchestrator 'flow' version 2 is registered already"):
        app.orchestrator(version="2")(flow)
    with pytest.raises(DurastreamError, match="activity 'a' is registered already"):
        app.activity(name="a")(lambda: None)


def test_another_app_can_be_included() -> None:
    library, app = App(), App()

    @library.activity(queue="gpu")
    def resize(path: str) -> str:
        return path

    library.orchestrator(flow)
    app.activity(name="more", queue="cpu")(lambda: None)
    app.include(library)
    assert app.activity_names() == ["more", "resize"] and app.orchestrator_names() == ["flow"]
    definition = app.find_orchestrator("flow")
    assert definition is not None and definition.registry is not None
    assert definition.registry.find_activity("more") is not None
    assert library.find_activity("more") is None
    with pytest.raises(DurastreamError, match="registered already"):
        app.include(library)


def test_missing_names_come_with_the_closest() -> None:
    app = App()
    app.orchestrator(name="place_order")(flow)
    app.activity(name="charge")(lambda: None)
    expected = "there is no orchestrator 'place_ordr'; registered: place_order. Did you mean 'place_order'?"
    assert str(app.missing_orchestrator("place_ordr")) == expected
    assert "Did you mean 'charge'?" in str(app.missing_activity("chagre"))


def test_options_are_checked_where_they_are_written() -> None:
    app = App()
    with pytest.raises(InvalidId, match="queue name"):
        app.activity(queue="")
    with pytest.raises(InvalidId, match="activity name"):
        app.activity(name="bad\nname")(lambda: None)
    with pytest.raises(InvalidId, match="version name"):
        app.orchestrator(version="")
    with pytest.raises(ValueError, match=re.escape("timeout must not be negative")):
        app.activity(timeout=-1)
