"""`durastream top` as users of the roles, by its keys: pages open, actions work, and what is refused is told in a line."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

import durastream as ds
from durastream.tui.client_source import RETRY_S, ClientSource
from tests.acceptance.serving import LEASE_S, until_status
from tests.acl.users import add_user, denied
from tests.tui.driving import LARGE, Driven, driven
from tests.tui.test_real import an_app

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.real_server]

ASKED_IN_VAIN = {"config|get", "eval"}
"""What the server says of itself is asked for, and done without, as in `doctor`."""

REFUSED = re.compile(r"NOPERM|access rules|may not", re.I)
PAGES = {
    "1": ("waits", "done"),
    "2": ("@Counter@apples", '{"value":5}'),
    "3": ("16 of 16 partitions are owned",),
    "4": ("1 alive",),
}


@asynccontextmanager
async def top_as(url: str, role: str, *, read_only: bool = False) -> AsyncIterator[Driven]:
    """The screen of a user of this role, over a hub with instances of each kind, an entity and a worker."""
    worker, client = add_user(url, "worker"), add_user(url, "client")
    async with ds.Worker(an_app(), worker, lease=LEASE_S, grace=0.2), ds.Client(client) as maker:
        waits = await maker.start("approval", 1, instance_id="waits")
        done = await maker.start("approval", 2, instance_id="done")
        await done.raise_event("decision", True)
        assert await done.result(timeout=20) is True
        await until_status(waits, "Running")
        await maker.signal_entity(ds.EntityId("Counter", "apples"), "add", 5)
        denied(url)
        async with ds.Client(add_user(url, role), retry_for_s=RETRY_S) as asking:
            source = ClientSource(asking, "here", read_only=read_only)
            async with driven(source, LARGE, read_only=read_only) as top:
                yield top


async def looked_around(top: Driven) -> None:
    """Every page and every part of an instance, an entity, the findings, the keys; nothing may be refused on any of them."""
    for key, words in PAGES.items():
        await top.press(key)
        harmless(await top.shows(*words))
    await top.press("2", "enter")
    harmless(await top.shows("@Counter@apples", "revision"))
    await top.press("escape", "1", "slash")
    await top.fill("id:waits")
    await top.shows("waits")
    await top.press("enter")
    harmless(await top.shows("approval", "decision") if not top.app.read_only else await top.shows("approval"))
    for _ in range(3):
        await top.press("tab")
        await top.settled()
        harmless(top.text())
    await top.press("escape")
    for key in ("exclamation_mark", "question_mark"):
        await top.press(key)
        await top.settled()
        harmless(top.text())
        await top.press("escape")
    await top.shows("waits")


def harmless(shown: str) -> None:
    assert not REFUSED.search(shown), shown


def refusals(url: str) -> list[tuple[str, str]]:
    """(user, what it was refused) since `denied` was asked last."""
    return [(one["username"], one["object"]) for one in denied(url) if one["object"] not in ASKED_IN_VAIN]


@pytest.mark.parametrize(("role", "read_only"), [("readonly", True), ("client", False), ("operator", False)])
async def test_pages_open_and_nothing_is_refused(ruled_url: str, role: str, read_only: bool) -> None:
    async with top_as(ruled_url, role, read_only=read_only) as top:
        await looked_around(top)
    assert refusals(ruled_url) == []


@pytest.mark.parametrize("role", ["client", "operator"])
async def test_actions_work(ruled_url: str, role: str) -> None:
    async with top_as(ruled_url, role) as top:
        await top.press("slash")
        await top.fill("id:waits")
        await top.shows("1 in all")
        for key, question, told in (
            ("P", "Suspend this instance?", "suspended: waits"),
            ("U", "Resume this instance?", "resumed: waits"),
            ("T", "Terminate this instance?", "told to terminate: waits"),
            ("X", "Restart this instance?", "restarted: waits"),
        ):
            await top.press(key)
            await top.shows(question)
            await top.press("y")
            await top.shows(told)
            await top.settled()
        await top.press("E")
        await top.shows("Raise an event")
        await top.fill("decision", "true")
        await top.shows("✔ 2")
        await top.press("D")
        await top.shows("Purge this instance?")
        await top.press("y")
        await top.shows("purged: waits")
        await top.press("2", "S")
        await top.fill("add", "7")
        await top.shows('{"value":12}')
        await top.press("C")
        await top.shows("left behind")
        await top.press("y")
        await top.settled()
        harmless(top.text())
    assert refusals(ruled_url) == []


async def test_who_may_only_look_is_told_so_when_acting(ruled_url: str) -> None:
    """Without --read-only: keys that change things are there, and what comes of them is a refusal in words."""
    async with top_as(ruled_url, "readonly") as top:
        await top.press("slash")
        await top.fill("id:waits")
        await top.shows("1 in all")
        for key, question in (("P", "Suspend this instance?"), ("T", "Terminate this instance?")):
            await top.press(key)
            await top.shows(question)
            await top.press("y")
            await top.hides(question)
            assert "canary" not in await top.shows("access rules")
        await top.press("2", "S")
        await top.fill("add", "7")
        await top.shows("access rules")
        await top.press("1", "enter")  # asks the owner which events it waits for
        await top.shows("approval")
        await top.settled()
        assert top.app.is_running and top.app.fault is None
    async with ds.Client(add_user(ruled_url, "client")) as client:
        assert (await client.status("waits")).runtime_status == "Running"
        assert (await client.entity(ds.EntityId("Counter", "apples"))).state == {"value": 5}
