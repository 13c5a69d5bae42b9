"""Whatever the hub holds: it is shown escaped and cut, runs no action, and reaches no terminal as a control."""

from __future__ import annotations

import re
from typing import Any

import pytest

from durastream.client import QueuedMessage
from durastream.core import events as ev
from durastream.core.entity_id import EntityId
from durastream.store.protocol import WorkerInfo
from tests.tui.driving import LARGE, SMALL, Driven, driven
from tests.tui.fakes import NOW_MS, PROGRAM, FakeSource, entity, failed, instance, unreachable

pytestmark = pytest.mark.anyio

HOSTILE = [
    "[@click=app.quit]x[/]",
    "[bold red]x[/] [link=https://x.example]y[/link] [$primary]z",
    "[/] [unclosed [[ ]] \\[",
    "\x1b[2J\x1b[Hscreen cleared",
    "\x1b]0;title\x07 \x1b]52;c;aGk=\x07 \x1b]8;;http://x.example\x1b\\link",
    "\x9b31m c1 \x90q\x9c \x85",
    "right \u202egnp.exe\u202c \u2066iso\u2069 \u200f",
    "line\r\nbroken\ttab\x00nul\x7f",
    "\u2028sep\u2029 \ufeff \U000e0041tag",
    "e" + "\u0301" * 300,
    "漢字" * 100,
    "👩‍👩‍👧‍👦" * 50,
    "\ud800lone",
    ":warning: :skull:",
    "x" * (1 << 20),
]

_BAD = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb\U000e0000-\U000e007f\ud800-\udfff]"
)


SCROLLING = ("grab", "release", "scroll_up", "scroll_down")
"""What Textual's own scroll bars do."""


def harmless(top: Driven) -> None:
    """Not one control character in what would go to the terminal, no link, no action; and nothing outside the screen."""
    width, height = top.app.size
    strips = top.screen._compositor.render_strips()
    assert len(strips) == height
    for strip in strips:
        text = "".join(segment.text for segment in strip)
        assert not _BAD.search(text), repr(text)
        assert strip.cell_length == width
        for segment in strip:
            assert segment.style is None or segment.style.link is None
            meta = {} if segment.style is None else segment.style.meta
            assert {name: what for name, what in meta.items() if "@" in name and what not in SCROLLING} == {}


async def everywhere(text: str) -> FakeSource:
    """A hub with this text in all places where foreign text can be."""
    short = text[:500]
    shown = failed(
        f"id-{short}", 1, text, name=short, input={short: text}, output=[text], custom_status=text, tags={short: short},
        parent_id=short, version=short,
    )  # fmt: skip
    stuck = instance(f"stuck-{short}", 2, problem={"kind": short, "message": text}, custom_status={short: text})
    source = FakeSource(shown, stuck)
    source.histories = {one.id: told(text) for one in (shown, stuck)}
    source.known_entities = {"@Counter@a": entity("a", state={short: text}, locked_by=short)}
    source.queue = [QueuedMessage(1, "call", short, text, short, None)]
    names: dict[str, Any] = {"running": [short], "activities": [short], "orchestrators": [short], "host": short}
    source.workers = [WorkerInfo(f"worker-{short}", NOW_MS, PROGRAM | names)]
    return source


def told(text: str) -> list[ev.Event]:
    raw = repr(text).encode("utf-8", "replace")
    failure = ev.Failure(text, text, text, (ev.Failure(text, text, text),))
    return [
        ev.ExecutionStarted(NOW_MS - 9_000, text, None, raw, None, 0),
        ev.TaskScheduled(NOW_MS - 8_000, text, raw, text, None, 1),
        ev.TaskFailed(NOW_MS - 7_000, 1, failure),
        ev.EventRaised(NOW_MS - 6_000, text, raw),
        ev.ExecutionFailed(NOW_MS - 5_000, failure),
    ]


ALL_AT_ONCE = " ".join(one[:60] for one in HOSTILE)


@pytest.mark.parametrize(("text", "size"), [*((one, SMALL) for one in HOSTILE), (ALL_AT_ONCE, LARGE)], ids=range(16))
async def test_no_text_does_anything(text: str, size: tuple[int, int]) -> None:
    async with driven(await everywhere(text), size) as top:
        await top.shows("id-")
        harmless(top)
        await top.press("X")
        await top.shows("Restart this instance?")
        harmless(top)
        await top.press("escape", "y", "enter")
        await top.shows("✘ Failed")
        harmless(top)
        await top.press("enter")
        harmless(top)
        await top.press("escape", "tab")
        await top.settled()
        harmless(top)
        await top.press("enter")
        await top.pilot.pause()
        harmless(top)
        await top.press("escape", "tab")
        await top.settled()
        harmless(top)
        await top.press("2")
        await top.shows("@Counter@a")
        harmless(top)
        await top.press("enter")
        await top.shows("locked by")
        harmless(top)
        for key in ("4", "enter", "escape", "3", "exclamation_mark"):
            await top.press(key)
            await top.settled()
            harmless(top)
        assert top.app.is_running


@pytest.mark.parametrize("text", [*HOSTILE[:3], ALL_AT_ONCE], ids=range(4))
async def test_clicking_all_over_runs_nothing(text: str) -> None:
    source = await everywhere(text)
    async with driven(source) as top:
        await top.press("enter")
        await top.shows("✘ Failed")
        for y in range(0, 23, 2):
            await top.pilot.click(offset=(15, y))
        assert top.app.is_running and source.calls == []


@pytest.mark.parametrize("text", [*HOSTILE[:3], ALL_AT_ONCE], ids=range(4))
async def test_errors_and_notes_are_escaped(text: str) -> None:
    source = FakeSource(instance("one"))
    async with driven(source) as top:
        source.lost = type(unreachable())(text)
        await top.shows("trying again")
        harmless(top)
        top.app.tell(text)
        top.app.tell(text, bad=True)
        await top.pilot.pause()
        await top.settled()
        harmless(top)
        await top.press("slash")
        for char in "\u202e[@click=app.quit]x[/]":
            top.screen.query_one("Input").value += char  # type: ignore[attr-defined]
        await top.pilot.pause()
        assert top.app.is_running


async def test_large_values_are_cut_and_hold_nothing_up() -> None:
    """Each screen comes within the time that a screen may take."""
    keys = {f"key-{number}": "v" * 100 for number in range(10_000)}
    source = FakeSource(
        *(
            instance(f"big-{number}", number, input=keys, custom_status=keys, output="x" * (1 << 20))
            for number in range(50)
        )
    )
    source.known_entities = {"@Counter@a": entity("a", state=keys)}
    async with driven(source, LARGE) as top:
        await top.press("enter")
        await top.shows("xxxxxxxx")
        await top.press("tab", "tab", "end")
        await top.shows("more characters", "execution e1")
        await top.press("2")
        await top.shows("@Counter@a")
        await top.press("enter")
        await top.shows('"key-5":')
        assert EntityId("Counter", "a") == source.known_entities["@Counter@a"].id


async def test_ids_are_copied_as_they_are_and_told_escaped() -> None:
    async with driven(FakeSource(instance("a\x1b]0;t\x07b"))) as top:
        await top.press("y")
        await top.shows("copied a\\x1b]0;t\\x07b")
        harmless(top)
