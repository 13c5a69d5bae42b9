"""The page of an instance, driven by keys."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from durastream.cli.recorded import read
from durastream.core import events as ev
from durastream.tui.history import HistoryTable
from durastream.tui.instance_screen import InstanceScreen
from tests.support import eventually
from tests.tui.driving import LARGE, SMALL, driven
from tests.tui.fakes import NOW_MS, FakeSource, a_history, failed, instance

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_why_it_failed_is_on_the_page(size: tuple[int, int]) -> None:
    async with driven(FakeSource(failed("order-7", tags={"env": "prod"})), size) as top:
        await top.press("enter")
        await top.shows(
            "order-7", "✘ Failed", "failed: ValueError: card declined", "partition 1", "env=prod", "reserve"
        )
        await top.shows("✔ done", "✘ failed: Val")


async def test_parts_follow_each_other_where_there_is_little_room() -> None:
    async with driven(FakeSource(failed("order-7"))) as top:
        await top.press("enter")
        await top.shows("TIMELINE")
        await top.press("tab")
        await top.shows("TaskScheduled", "ExecutionFailed")
        await top.hides("TIMELINE")
        await top.press("tab")
        await top.shows("error", 'File "app.py", line 7, in charge', '"sku": "book"')
        await top.press("tab")
        await top.shows("TIMELINE")


async def test_all_parts_stand_side_by_side_where_there_is_room() -> None:
    async with driven(FakeSource(failed("order-7")), LARGE) as top:
        await top.press("enter")
        await top.shows("TIMELINE", "TaskScheduled", 'File "app.py", line 7, in charge')


async def test_what_it_waits_for_is_always_said() -> None:
    async with driven(FakeSource(instance("order-7"))) as top:
        await top.press("enter")
        await top.shows("waits for activity charge in queue default, scheduled 1 h 0 m ago")


async def test_findings_only_when_something_is_wrong() -> None:
    source = FakeSource(instance("order-7", name="unheard_of"))
    async with driven(source) as top:
        await top.press("enter")
        await top.shows("✘ no live worker has the orchestrator unheard_of", "→ start a worker")
        source.add(instance("order-7"))
        await top.hides("no live worker")


async def test_an_event_opens_with_its_payload() -> None:
    async with driven(FakeSource(failed("order-7"))) as top:
        await top.press("enter", "tab")
        await top.shows("ExecutionFailed")
        await top.press("home", "down", "down", "enter")
        await top.shows("2 TaskCompleted", "result", '"reserved"')
        await top.press("escape")
        await top.hides("esc closes")


async def test_a_step_opens_its_child_and_esc_leads_back() -> None:
    source = FakeSource(instance("parent-1"), instance("child-1", 2, parent_id="parent-1"))
    source.histories["parent-1"] = [
        ev.ExecutionStarted(NOW_MS - 9_000, "order", None, None, None, 0),
        ev.SubOrchestrationCreated(NOW_MS - 8_000, "child-1", "order", None, None),
    ]
    async with driven(source) as top:
        await top.press("enter")
        await top.shows("waits for sub-orchestration child-1")
        await top.press("enter")
        await top.shows("parent parent-1")
        await top.press("o")
        await top.shows("waits for sub-orchestration child-1")
        await top.press("escape", "escape", "escape")
        await top.shows("1 instances")


async def test_retries_are_one_line() -> None:
    source = FakeSource(instance("order-7"))
    at = NOW_MS - 60_000
    failure = ev.Failure("ValueError", "busy")
    source.histories["order-7"] = [
        ev.ExecutionStarted(at, "order", None, None, None, 0),
        ev.TaskScheduled(at, "charge", b"1", "default", None, 1),
        ev.TaskFailed(at + 1_000, 1, failure),
        ev.TimerCreated(at + 1_000, at + 5_000),
        ev.TimerFired(at + 5_000, 3),
        ev.TaskScheduled(at + 5_000, "charge", b"1", "default", None, 2),
    ]
    async with driven(source) as top:
        await top.press("enter")
        await top.shows("charge ×2", "attempt 2")
        assert len(top.table.items) == 1
        await top.press("enter")
        await top.shows("pause", "ValueError: busy", "queue default")


async def test_history_is_paged_from_its_end() -> None:
    source = FakeSource(instance("order-7"))
    source.histories["order-7"] = [
        ev.ExecutionStarted(NOW_MS - 9_000, "order", None, None, None, 0),
        *(ev.EventRaised(NOW_MS - 8_000 + number, f"tick-{number}", b"1") for number in range(1, 1_000)),
    ]
    async with driven(source) as top:
        await top.press("enter", "tab")
        await top.shows("tick-999")
        table = top.screen.query_one(HistoryTable)
        assert len(table.items) == 200
        await top.press("home")
        await eventually(lambda: len(table.items) >= 400)
        assert top.table.current_key == "800"
        for _ in range(4):
            await top.press("home")
            await top.pilot.pause()
        await eventually(lambda: len(table.items) == 1_000)


async def test_history_grows_while_one_looks() -> None:
    source = FakeSource(instance("order-7"))
    async with driven(source) as top:
        await top.press("enter", "tab")
        await top.shows("TaskScheduled")
        now = source.instances["order-7"]
        source.histories["order-7"] = [*source._history("order-7"), ev.EventRaised(NOW_MS, "approved", b"true")]
        source.add(replace(now, events=5))
        await top.shows("EventRaised", "approved")


async def test_e_exports_the_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with driven(FakeSource(failed("a/b:\x1b7"))) as top:
        await top.press("enter", "e")
        await top.shows("history of")
        (written,) = tmp_path.iterdir()
        assert written.name == "a_b__7.history.json"
        recorded = read(written)
        assert recorded.instance_id == "a/b:\x1b7" and recorded.orchestrator == "order"
        assert recorded.history == a_history(failed("a/b:\x1b7"))
        await top.press("e")
        await eventually(lambda: len(list(tmp_path.iterdir())) == 2)


async def test_rewind_from_the_page_shows_what_comes_of_it() -> None:
    source = FakeSource(failed("order-7"))
    async with driven(source) as top:
        await top.press("enter")
        await top.shows("✘ Failed")
        await top.press("W")
        await top.shows("Rewind this instance?")
        await top.press("y")
        await eventually(lambda: source.calls == [("rewind", "order-7")])
        source.add(instance("order-7"))
        await top.shows("● Running", "rewound: order-7")
        await top.hides("failed: ValueError")


async def test_one_that_is_purged_says_so() -> None:
    source = FakeSource(instance("order-7"))
    async with driven(source) as top:
        await top.press("enter")
        await top.shows("● Running")
        del source.instances["order-7"]
        await top.shows("does not exist: purged, or never started")


async def test_the_palette_opens_any_instance_and_does_what_keys_do() -> None:
    source = FakeSource(*(instance(f"order-{number}", number) for number in range(9)))
    async with driven(source) as top:
        await top.press("ctrl+p")
        await top.write("order-8")
        await top.shows("open instance order-8")
        await top.press("enter")
        await top.shows("partition 1")
        assert isinstance(top.screen, InstanceScreen) and top.screen.instance_id == "order-8"
        await top.press("ctrl+p")
        await top.write("terminate")
        await top.shows("terminate (T)")
        await top.press("enter")
        await top.shows("Terminate this instance?")


async def test_numbers_lead_back_to_the_tabs() -> None:
    async with driven(FakeSource(instance("order-7"))) as top:
        await top.press("enter")
        await top.shows("partition 1")
        await top.press("4")
        await top.shows("worker-a")
