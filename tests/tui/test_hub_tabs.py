"""Partitions, workers, findings, help."""

from __future__ import annotations

import pytest

from durastream.store.protocol import WorkerInfo
from tests.tui.driving import LARGE, SMALL, driven
from tests.tui.fakes import NOW_MS, PROGRAM, FakeSource, instance

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_partitions_and_queues(size: tuple[int, int]) -> None:
    async with driven(FakeSource(instance("one")), size) as top:
        await top.press("3")
        await top.shows("3 of 3 partitions are owned", "✔ held", "worker-a", "default", "2/64")


async def test_enter_lists_the_instances_of_a_partition() -> None:
    async with driven(FakeSource(instance("one", partition=1), instance("two", partition=2))) as top:
        await top.press("3")
        await top.shows("✔ held")
        await top.press("down", "enter")
        await top.shows("filter partition:1", "one")
        await top.hides("two ")


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_workers_and_all_one_tells(size: tuple[int, int]) -> None:
    source = FakeSource(instance("one"))
    source.workers.append(WorkerInfo("worker-b", NOW_MS - 60_000, PROGRAM))
    async with driven(source, size) as top:
        await top.press("4")
        await top.shows("1 alive, 2 of 64", "✔ alive", "✘ silent", "1,200")
        await top.press("enter")
        await top.shows("worker worker-a", "host-a, process 7", "charge, ship", "Counter")
        await top.press("escape")
        await top.hides("host-a")


async def test_what_is_wrong_with_the_hub_stands_in_the_header() -> None:
    source = FakeSource(instance("one"))
    source.info = source.info._replace(policy="allkeys-lru", maxmemory=1, used_memory=1, aof=False)
    async with driven(source) as top:
        await top.shows("more: !")
        await top.press("exclamation_mark")
        await top.shows(
            "maxmemory-policy is allkeys-lru", "CONFIG SET maxmemory-policy noeviction", "append-only file is off"
        )


async def test_no_worker_is_an_error_in_the_header() -> None:
    source = FakeSource(instance("one"))
    source.workers.clear()
    async with driven(source) as top:
        await top.shows("no live worker in hub default")


async def test_help_lists_all_keys_and_the_filter_language() -> None:
    async with driven(FakeSource(), LARGE) as top:
        await top.press("question_mark")
        await top.shows("Keys", "terminate (asks first)", "tag:env=prod", "command palette")
        await top.press("question_mark")
        await top.hides("tag:env=prod")


async def test_help_scrolls_where_there_is_little_room() -> None:
    async with driven(FakeSource()) as top:
        await top.press("question_mark")
        await top.shows("Keys")
        await top.press(*["pagedown"] * 6)
        await top.shows("Filter of entities")


async def test_q_quits() -> None:
    async with driven(FakeSource()) as top:
        await top.press("q")
        assert top.app._exit
