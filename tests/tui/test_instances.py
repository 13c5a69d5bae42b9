"""The tab of instances, driven by keys."""

from __future__ import annotations

from typing import Any

import pytest
from textual.events import Key

from tests.support import eventually
from tests.tui.driving import LARGE, SMALL, driven
from tests.tui.fakes import FakeSource, failed, instance, unreachable

pytestmark = pytest.mark.anyio


def many(count: int, **changes: Any) -> list[Any]:
    """The first is the newest."""
    return [instance(f"order-{number:05}", number, **changes) for number in range(count)]


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_newest_first_with_counts_in_the_header(size: tuple[int, int]) -> None:
    async with driven(FakeSource(*many(5), failed("bad-1", 9)), size) as top:
        text = await top.shows("order-00000", "bad-1", "✘ Failed", "ValueError: car")
        assert text.index("order-00000") < text.index("order-00004") < text.index("bad-1")
        assert "default @ localhost:6379" in text and "● 5" in text and "✘ 1" in text
        assert "6 in all" in text


async def test_pages_are_loaded_as_one_goes_down() -> None:
    source = FakeSource(*many(3_000))
    async with driven(source) as top:
        assert "100 loaded" in await top.shows("order-00000")
        assert source.walked <= 200
        for _ in range(30):
            await top.press("pagedown")
        await top.shows("order-005")
        assert source.walked < 1_500


async def test_a_refresh_reads_a_bounded_number_of_rows() -> None:
    source = FakeSource(*many(3_000))
    async with driven(source, period_s=60) as top:
        for _ in range(20):
            await top.press("pagedown")
        before, rounds = source.read, top.app.rounds
        await top.settled()
        assert 0 < source.read - before <= 24 * (top.app.rounds - rounds)


async def test_the_cursor_stays_on_its_instance() -> None:
    source = FakeSource(*many(50))
    async with driven(source) as top:
        await top.press("down", "down", "down")
        assert top.table.current_key == "order-00003"
        source.add(instance("new-1", -10), instance("new-2", -11))
        await top.shows("new-1")
        assert top.table.current_key == "order-00003"
        assert any("›" in line and "order-00003" in line for line in top.lines())


async def test_the_view_stays_where_it_was_scrolled_to() -> None:
    source = FakeSource(*many(90))
    async with driven(source) as top:
        await top.press("pagedown", "pagedown", "pagedown")
        first = top.lines()[5].split()[0]
        source.add(instance("new-1", -10))
        await eventually(lambda: len(top.table.items) == 91)
        await top.settled()
        assert top.lines()[5].split()[0] == first


async def test_what_ends_changes_and_what_is_purged_goes() -> None:
    source = FakeSource(*many(3))
    async with driven(source) as top:
        source.add(instance("order-00001", 1, runtime_status="Suspended"))
        del source.instances["order-00002"]
        await top.shows("‖ Suspended")
        await top.hides("order-00002")


async def test_filter_by_status_name_and_id() -> None:
    source = FakeSource(*many(20), failed("bad-1", 30), instance("ship-1", 31, name="ship"))
    async with driven(source) as top:
        await top.press("slash")
        await top.fill("name:ship")
        await top.shows("ship-1", "filter name:ship", "1 in all")
        await top.hides("order-00000")
        await top.press("slash", *["backspace"] * 9)
        await top.fill("id:bad")
        await top.shows("bad-1", "filter id:bad")
        await top.hides("ship-1")


async def test_a_wrong_filter_is_pointed_at_and_not_applied() -> None:
    async with driven(FakeSource(*many(3))) as top:
        await top.press("slash")
        await top.write("id:a stat:x")
        text = await top.shows("no field stat:", "status:")
        line = next(line for line in top.lines() if "/ id:a" in line)
        mark = next(line for line in top.lines() if "↑" in line)
        assert line.index("stat") == mark.index("↑"), text
        await top.press("enter")
        assert "no field stat:" in top.text()
        await top.press("escape")
        await top.shows("3 in all")
        assert "filter " not in top.lines()[3]


async def test_tab_completes_a_field_and_its_values() -> None:
    async with driven(FakeSource(failed("bad-1"), *many(3))) as top:
        await top.press("slash")
        await top.write("sta")
        await top.press("tab")
        await top.write("f")
        await top.press("tab", "enter")
        await top.shows("filter status:failed", "1 in all")


async def test_f_shows_failed_ones_and_goes_back() -> None:
    async with driven(FakeSource(failed("bad-1", 3), *many(3))) as top:
        await top.press("f")
        await top.hides("order-00000")
        await top.press("f")
        await top.shows("order-00000", "bad-1")


async def test_s_sorts_what_is_loaded() -> None:
    async with driven(FakeSource(instance("b", 1), instance("a", 2), instance("c", 3))) as top:
        await top.press("s", "s")
        text = await top.shows("by id")
        rows = [line.split()[-6] for line in text.splitlines()[5:8]]
        assert [item.id for item in top.table.items] == ["a", "b", "c"], rows


async def test_g_and_end_and_letters_move() -> None:
    async with driven(FakeSource(*many(100))) as top:
        await top.press("G")
        assert top.table.current_key == "order-00099"
        await top.press("k", "k", "j")
        assert top.table.current_key == "order-00098"
        await top.press("g")
        assert top.table.current_key == "order-00000"


async def test_a_burst_of_new_ones_at_the_top_is_shown_whole() -> None:
    source = FakeSource(*many(150))
    async with driven(source) as top:
        source.add(*(instance(f"new-{number:03}", -1_000 - number) for number in range(250)))
        await top.shows("new-249")
        await top.press("end")
        await eventually(lambda: len(top.table.items) >= 200)
        ids = [item.id for item in top.table.items]
        assert ids == [one.id for one in source._newest_first()][: len(ids)]


# ---------------------------------------------------------------- bulk


async def test_marks_and_a_bulk_action_with_its_count() -> None:
    source = FakeSource(*many(10))
    async with driven(source) as top:
        await top.press("space", "space", "space")
        await top.shows("■ 3 marked")
        await top.press("P")
        await top.shows("Suspend 3 instances?", "order-00002")
        await top.press("y")
        await eventually(lambda: len(source.calls) == 3)
        assert sorted(source.calls) == [("suspend", f"order-{number:05}") for number in range(3)]
        await top.hides("marked")


async def test_a_marks_all_the_filter_finds_loaded_or_not() -> None:
    source = FakeSource(*many(450), failed("bad-1", 1_000))
    async with driven(source) as top:
        await top.press("slash")
        await top.fill("id:order")
        await top.shows("filter id:order")
        await top.press("a")
        await top.shows("■ 450 marked")
        await top.press("T")
        await top.shows("Terminate 450 instances?", "… and 445 more")
        await top.press("n")
        await top.press("a")
        await top.hides("marked")
        assert source.calls == []


async def test_bulk_goes_on_past_those_that_refuse_and_says_so() -> None:
    source = FakeSource(*many(40))
    source.refuse = {"order-00007"}
    async with driven(source) as top:
        await top.press("a", "P")
        await top.shows("Suspend 40 instances?")
        await top.press("y")
        await top.shows("39 done, 1 refused", "order-00007", "cannot be changed now", "esc closes")
        await top.press("escape")
        await top.shows("suspended: 39 of 40")


async def test_the_answer_no_is_under_the_cursor() -> None:
    source = FakeSource(*many(3))
    async with driven(source) as top:
        await top.press("T")
        await top.shows("Terminate this instance?", "order-00000", "runs no more of its code")
        await top.press("enter")
        await top.hides("Terminate this instance?")
        assert source.calls == []


@pytest.mark.parametrize(
    ("key", "verb", "status"),
    [
        ("T", "terminate", "Running"), ("P", "suspend", "Running"), ("U", "resume", "Suspended"),
        ("W", "rewind", "Failed"), ("X", "restart", "Completed"), ("D", "purge", "Terminated"),
    ],
)  # fmt: skip
async def test_each_action_asks_and_then_acts(key: str, verb: str, status: str) -> None:
    source = FakeSource(instance("one", runtime_status=status))
    async with driven(source) as top:
        await top.press(key)
        await top.shows(f"{verb.capitalize()} this instance?")
        await top.press("y")
        await eventually(lambda: source.calls == [(verb, "one")])


async def test_what_cannot_be_done_is_said_before_asking() -> None:
    source = FakeSource(*many(1))
    async with driven(source) as top:
        await top.press("W")
        await top.shows("rewind needs an instance that is Failed")
        assert source.calls == []


async def test_an_event_is_raised_with_its_data() -> None:
    source = FakeSource(*many(1))
    async with driven(source) as top:
        await top.press("E")
        await top.shows("Raise an event", "order-00000")
        await top.fill("approved", "{oops")
        await top.shows("not JSON")
        await top.press(*["backspace"] * 5)
        await top.fill("true")
        await eventually(lambda: source.calls == [("raise_event", "order-00000", "approved", True)])


async def test_read_only_hides_and_refuses_what_changes_things() -> None:
    source = FakeSource(*many(3), failed("bad-1"))
    async with driven(source, read_only=True) as top:
        assert "read-only" in top.lines()[-1] and "change" not in top.lines()[-1]
        for key in "TPUWXDE":
            await top.press(key)
        await top.shows("this session is read-only")
        assert source.calls == []
        await top.press("question_mark")
        assert "terminate" not in await top.shows("Keys")


async def test_what_is_typed_ahead_does_nothing_to_instances() -> None:
    source = FakeSource(*many(3), failed("Dy-1", 9))
    async with driven(source) as top:
        for key in ("slash", "D", "y"):  # all in the queue before the first is looked at
            top.app.post_message(Key(key, None if len(key) > 1 else key))
        await top.shows("status:  name:  id:")
        await top.press("escape")
        await top.hides("status:  name:  id:")
        for key in ("E", "D", "y"):
            top.app.post_message(Key(key, key))
        await top.shows("Raise an event")
        await top.press("escape")
        assert source.calls == []


async def test_y_copies_the_id() -> None:
    async with driven(FakeSource(*many(2))) as top:
        await top.press("down", "y")
        await top.shows("copied order-00001")
        assert top.app.clipboard == "order-00001"


async def test_pause_stops_the_display_and_goes_on() -> None:
    source = FakeSource(*many(2))
    async with driven(source) as top:
        await top.press("p")
        await top.shows("paused")
        rounds = top.app.rounds
        source.add(instance("new-1", -5))
        await top.pilot.pause(0.3)
        assert top.app.rounds <= rounds + 1 and "new-1" not in top.text()
        await top.press("p")
        await top.shows("new-1")


async def test_a_lost_server_is_told_and_comes_back_by_itself() -> None:
    source = FakeSource(*many(2))
    async with driven(source) as top:
        source.lost = unreachable()
        await top.shows("no answer, trying again", "connection refused", "order-00000")
        await top.press("T", "y")
        await top.shows("connection refused")
        source.lost = None
        source.add(instance("new-1", -5))
        await top.shows("new-1")
        await top.hides("trying again")


async def test_a_fault_of_the_display_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    source = FakeSource(*many(2))
    async with driven(source) as top:

        async def broken(*_: Any) -> Any:
            raise RuntimeError("never thought of that")

        monkeypatch.setattr(source, "newest", broken)
        await top.shows("never thought of that")
        monkeypatch.undo()
        await top.hides("never thought of that")
        assert top.app.is_running and isinstance(top.app.fault, RuntimeError)
        top.app.fault = None
