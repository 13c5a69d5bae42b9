"""How the screens look, at 80×24 and 200×60. After a change that is meant: `./scripts/test tests/tui --snapshot-update`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest
from textual.pilot import Pilot

from durastream.client import QueuedMessage
from durastream.tui.app import TopApp
from tests.support import eventually
from tests.tui.driving import LARGE, SMALL
from tests.tui.fakes import NOW, FakeSource, entity, failed, instance

pytestmark = pytest.mark.anyio

SIZES = pytest.mark.parametrize("size", [SMALL, LARGE], ids=["small", "large"])
Compare = Callable[..., bool]


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Local times are part of the picture."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def a_hub() -> FakeSource:
    words = ["Running", "Completed", "Suspended", "Pending", "Terminated"]
    over = {"Completed", "Terminated"}
    source = FakeSource(
        failed("order-7", 3, "card \x1b[31mdeclined"),
        *(
            instance(
                f"order-{number + 10}", number * 7, runtime_status=words[number % 5],
                completed_at=NOW - timedelta(minutes=30) if words[number % 5] in over else None,
                custom_status={"step": number} if number % 3 == 0 else None,
            )
            for number in range(40)
        ),
    )  # fmt: skip
    source.known_entities = {
        "@Counter@apples": entity("apples"),
        "@Counter@pears": entity("pears", locked_by="order-10", locked_at=NOW - timedelta(minutes=2), queued=1),
    }
    source.queue = [QueuedMessage(4, "call", "add", {"by": 2}, "order-12", None)]
    return source


def looked_at(source: FakeSource) -> TopApp:
    """Refreshes when something else is to be seen, and at no other time."""
    return TopApp(source, period_s=3_600)


def after(*keys: str) -> Callable[[Pilot[Any]], Any]:
    async def drive(pilot: Pilot[Any]) -> None:
        app = pilot.app
        assert isinstance(app, TopApp)
        await settled(app)
        for key in keys:
            await pilot.press(key)
            await settled(app)
        await pilot.pause()

    async def settled(app: TopApp) -> None:
        target = app.rounds + 1
        app.look_now()
        await eventually(lambda: app.rounds >= target)

    return drive


@SIZES
@pytest.mark.parametrize(
    "keys",
    [
        pytest.param((), id="instances"),
        pytest.param(("down", "down", "enter"), id="instance"),
        pytest.param(("2", "down", "enter"), id="entity"),
        pytest.param(("3",), id="partitions"),
        pytest.param(("4",), id="workers"),
        pytest.param(("space", "space", "P"), id="confirm"),
    ],
)
def test_screens(snap_compare: Compare, keys: Sequence[str], size: tuple[int, int]) -> None:
    assert snap_compare(looked_at(a_hub()), terminal_size=size, run_before=after(*keys))
