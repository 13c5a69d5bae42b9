"""What nemeses are made of: other builds, clocks that step, windows of one shard, storms of clients, and what is torn."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable
from pathlib import Path

import pytest
import redis

import durastream as ds
from durastream.core.ids import partition_of
from durastream.core.status import Status
from durastream.store.embedded import EmbeddedServer
from durastream.store.keys import HubKeys
from durastream.store.slots import slot
from tests.acceptance.processes import ROOT
from tests.chaos import app, builds, clock, torn
from tests.chaos.log import Log, Op, Window, slot_of
from tests.chaos.storm import Storm
from tests.conftest import REAL_SERVERS
from tests.support import eventually

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("name", list(builds.BUILDS))
def test_a_build_lacks_what_it_says_and_nothing_else(name: str) -> None:
    made, lack, whole = builds.build(name), builds.BUILDS[name], app.app
    assert set(whole.activity_names()) - set(made.activity_names()) == set(lack.activities)
    assert set(whole.entity_names()) - set(made.entity_names()) == set(lack.entities)
    assert set(whole.orchestrator_versions()) - set(made.orchestrator_versions()) == set(lack.orchestrators)
    assert any(lack)


def test_the_whole_build_stays_whole() -> None:
    names = app.app.activity_names()
    for name in builds.BUILDS:
        builds.build(name)
    assert builds.build("") is app.app
    assert app.app.activity_names() == names
    assert {version for _, version in app.app.orchestrator_versions()} == {None, "1", "2"}


_READ = """
import sys, threading, time
from tests.chaos import clock, program
from durastream import environment
def look():
    print(round((environment.wall_ms() - time.time() * 1000) / 1000), flush=True)
def both():
    look()
    thread = threading.Thread(target=look)  # as the keeper's: with a context of its own
    thread.start()
    thread.join()
before = environment.monotonic()
both()
clock.step(clock.Path(sys.argv[1]), int(sys.argv[2]))
both()
assert environment.monotonic() - before < 60
"""


@pytest.mark.parametrize("seconds", [3_600, -86_400])
def test_the_wall_clock_of_all_threads_of_a_worker_can_be_set_and_no_other_clock(tmp_path: Path, seconds: int) -> None:
    path = tmp_path / "clock"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), clock.VARIABLE: str(path)}
    said = subprocess.run(
        [sys.executable, "-c", _READ, str(path), str(seconds)],
        env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert said.stdout.split() == ["0", "0", str(seconds), str(seconds)]


def _op(kind: str, key: str, end: float) -> Op:
    return Op(kind, key, 0, end - 1, end, "ok")


def test_a_shard_takes_back_only_what_it_has_acknowledged_itself() -> None:
    log, keys = Log(), HubKeys("default", 16)
    home, away = "order-1", "order-2"
    shard = frozenset({slot(keys.partitions[partition_of(home, 16)].inbox)})
    assert partition_of(home, 16) != partition_of(away, 16)
    log.windows.append(Window(10, 20, shard))
    assert not log.binds(_op("fan_out: start", home, 15))
    assert log.binds(_op("fan_out: start", away, 15))
    assert log.binds(_op("fan_out: start", home, 9)) and log.binds(_op("fan_out: start", home, 21))


def test_an_entry_of_the_ingress_rests_on_two_shards_and_may_be_on_its_way() -> None:
    keys = HubKeys("default", 16)
    for swallowed in (keys.partitions[partition_of("@Tally@99", 16)].inbox, keys.ingress):
        log = Log()
        log.windows.append(Window(10, 20, frozenset({slot(swallowed)})))
        assert not log.binds(_op("ingress: signal", "99", 7))
        assert log.binds(_op("ingress: signal", "99", 2)) and log.binds(_op("ingress: signal", "99", 21))


def test_an_entry_may_be_taken_again_when_the_shard_of_the_stream_has_forgotten_that_it_was_deleted() -> None:
    stream, tally = (slot(key) for key in (HubKeys("default", 16).ingress, HubKeys("default", 16).partitions[0].inbox))
    for swallowed, again in ((stream, True), (tally, False)):
        log = Log()
        log.windows.append(Window(10, 20, frozenset({swallowed})))
        assert log.comes_back(_op("ingress: signal", "99", 7)) is again
        assert not any(log.comes_back(_op("ingress: signal", "99", end)) for end in (2, 21))


def test_only_what_a_lost_message_breaks_is_excused() -> None:
    counted: Counter[str] = Counter()
    assert torn.excuse(["S13 money", "S7 a sum", "S9 gone", "S6 no replay"], counted) == ["S9 gone", "S6 no replay"]
    assert counted == {"S13": 1, "S7": 1}


async def _is(counted: Awaitable[int], wanted: int) -> bool:
    return await counted == wanted


async def _nothing_moves() -> dict[str, int]:
    return {}


@pytest.mark.real_server
@pytest.mark.skipif(not REAL_SERVERS, reason="no server on this machine")
async def test_what_stands_still_must_be_named() -> None:
    """A start is taken out of its inbox: fsck names the instance. One that only waits is named by nobody: that is silence."""
    with EmbeddedServer.start() as server:
        async with ds.Client(server.url) as client:
            await client.start(app.patient, instance_id="lost")
            with redis.Redis.from_url(server.url, protocol=2) as connection:
                for key in connection.scan_iter(match="ds:*inbox"):
                    connection.delete(key)
            await client.start(app.patient, instance_id="waits")
            verdict = await torn.look(server.url, client, _nothing_moves)
    assert verdict.ended == ["lost"]
    assert verdict.named["S10"] >= 1
    assert [text for text in verdict.violations if " waits " in text and "silence" in text]


@pytest.mark.real_server
@pytest.mark.skipif(not REAL_SERVERS, reason="no server on this machine")
async def test_who_waits_for_an_event_of_a_shard_that_forgot_is_counted_and_anybody_else_is_stuck() -> None:
    """Three wait in silence: two that play with each other, one with nobody. The window is of the shard of one of the two."""
    ping, pong, other = "ping_pong-00001", "ping_pong-00001.pong", "alone"
    begin = time.monotonic()
    with EmbeddedServer.start() as server:
        async with ds.Client(server.url) as client, ds.Worker(app.app, server.url):

            async def count(status: Status) -> int:
                return (await client.counts())[status]

            async def both_end() -> dict[str, int]:
                await eventually(lambda: _is(count("Terminated"), 2), 30, what="both are terminated")
                return {}

            for one in (ping, pong, other):
                await client.start(app.patient, instance_id=one)
            await eventually(lambda: _is(count("Running"), 3), 30, what="all wait")
            window = Window(begin, time.monotonic(), frozenset({slot_of(pong)}))
            elsewhere = window._replace(slots=frozenset(range(16_384)) - {slot_of(ping), slot_of(pong)})
            earlier = Window(begin - 3_600, begin - 3_000, window.slots)
            for blameless in (elsewhere, earlier, Window(begin, time.monotonic())):
                verdict = await torn.look(server.url, client, _nothing_moves, [blameless])
                assert verdict.in_flight == [] and len(verdict.violations) == 3
            verdict = await torn.look(server.url, client, both_end, [window])
    assert sorted(verdict.in_flight) == [ping, pong]
    assert "in flight to the rolled back shard, lost: 2" in verdict.note
    (stuck,) = verdict.violations
    assert " alone " in stuck and "silence" in stuck


@pytest.mark.real_server
@pytest.mark.skipif(not REAL_SERVERS, reason="no server on this machine")
async def test_a_storm_starts_one_instance_for_each_client_and_leaves_no_connection(tmp_path: Path) -> None:
    with EmbeddedServer.start() as server, redis.Redis.from_url(server.url, protocol=2) as connection:
        command = [sys.executable, "-m", "tests.chaos.storm", server.url, "storm-1", "30", "7"]
        said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
        rows = [json.loads(line) for line in said.stdout.splitlines()]
        assert {row["outcome"] for row in rows} == {"ok"} and len(rows) == 30
        assert all(row["begin"] < row["end"] <= time.monotonic() for row in rows)
        async with ds.Client(server.url) as client:
            assert {one.id async for one in client.list()} == {row["key"] for row in rows}
        await eventually(lambda: len(connection.client_list()) == 1, 20, what="only this one is left")


def test_a_storm_is_the_same_again_with_the_same_seed() -> None:
    rude = [Storm("redis://nowhere", "storm", 300, random.Random("7"))._rude for _ in range(2)]
    assert rude[0] == rude[1] and len(rude[0]) == 100
