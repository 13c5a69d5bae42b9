"""Senders of every kind number what they tell some entities, while workers and once the server are killed: each entity hears
every number once, and in the order sent."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import durastream as ds
from durastream.store.embedded import EmbeddedServer
from tests.acceptance import entity_app, oracle
from tests.acceptance.entity_app import Watcher, watcher
from tests.acceptance.planting import garden
from tests.acceptance.processes import WorkerProcess, fleet, seeded
from tests.conftest import NO_SERVER, REAL_SERVERS
from tests.prefixes import aof

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.real_server]

WATCHERS = 7
CLIENTS = 3
BY_CLIENT = 400  # numbers of each client for each watcher
TALKERS, BY_TALKER = 12, 60
HOLDERS, BY_HOLDER = 4, 6
REPEATERS, BY_REPEATER = 3, 300
KILLS = 6
TARGET = "tests.acceptance.entity_app:app"

KINDS: list[Any] = [*REAL_SERVERS.values()]


@pytest.fixture(params=KINDS or [NO_SERVER])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EmbeddedServer]:
    with EmbeddedServer.start(request.param, tmp_path, appendfsync="always") as started:
        yield started


async def test_every_sender_is_heard_in_order(server: EmbeddedServer, tmp_path: Path) -> None:
    rng = seeded()
    with fleet(server.url, TARGET) as workers:
        async with ds.Client(server.url) as client:
            for worker in workers:
                await worker.until_serving()
            killer = asyncio.create_task(_kill(server, tmp_path, workers, rng))
            sending = [_client(server.url, f"client {n}", random.Random(rng.random())) for n in range(CLIENTS)]
            talkers = await client.start_many(entity_app.talker, [(WATCHERS, BY_TALKER)] * TALKERS)
            holders = await client.start_many(entity_app.holder, [(WATCHERS, BY_HOLDER)] * HOLDERS)
            await asyncio.gather(*sending, _repeat(client))
            await killer
            assert await oracle.finish(client, server.url, talkers, timeout=60) == [2 * BY_TALKER] * TALKERS
            assert await oracle.finish(client, server.url, holders, timeout=60) == [BY_HOLDER] * HOLDERS
            await oracle.quiet(server.url)
            wanted = dict.fromkeys((f"client {n}" for n in range(CLIENTS)), BY_CLIENT)
            wanted |= dict.fromkeys((f"talker {handle.id}" for handle in talkers), 2 * BY_TALKER)
            wanted |= dict.fromkeys((f"holder {handle.id}" for handle in holders), BY_HOLDER)
            wanted |= dict.fromkeys((f"repeater {n}" for n in range(REPEATERS)), BY_REPEATER)
            for number in range(WATCHERS):
                heard = await client.read_entity(watcher(number), type=Watcher)
                assert heard is not None
                assert heard.wrong == [], f"watcher {number}"
                assert heard.last == wanted, f"watcher {number}"
            assert await oracle.check_all(client, [handle.id for handle in [*talkers, *holders]]) == []
            with garden(server.url) as plants:
                assert plants.dead() == []


async def _client(url: str, name: str, rng: random.Random) -> None:
    """One client tells all watchers its numbers, one by one, many at a time, and many in one call."""
    async with ds.Client(url) as client:
        told = 0
        while told < BY_CLIENT:
            some = range(told + 1, min(told + rng.randint(1, 20), BY_CLIENT) + 1)
            signals = [(watcher(number), "hear", (name, n)) for n in some for number in range(WATCHERS)]
            match rng.randrange(3):
                case 0:
                    await client.signal_entities(signals)
                case 1:
                    await asyncio.gather(*(client.signal_entity(*one) for one in signals))
                case _:
                    for one in signals:
                        await client.signal_entity(*one)
            told = some[-1]
            await asyncio.sleep(rng.uniform(0, 0.1))  # time must pass: what is sent is spread over the kills


async def _repeat(client: ds.Client) -> None:
    for _ in range(BY_REPEATER):
        await client.signal_entities((ds.EntityId("Repeater", f"{n}"), "tell", WATCHERS) for n in range(REPEATERS))
        await asyncio.sleep(0.01)  # time must pass: as above


async def _kill(server: EmbeddedServer, files: Path, workers: list[WorkerProcess], rng: random.Random) -> None:
    for kill in range(KILLS):
        await asyncio.sleep(rng.uniform(0.2, 1.2))  # time must pass: the moment of each kill is random
        if kill == KILLS // 2:
            server.kill()
            await asyncio.sleep(rng.uniform(0, 0.5))  # time must pass: an outage
            aof.mend(files)
            await asyncio.to_thread(server.restart)
        victim = rng.choice(workers)
        victim.kill()
        await victim.start().until_serving()
