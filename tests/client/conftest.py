"""A hub in memory with four partitions, and a client of it."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import pytest

from durastream.client import Client
from durastream.store.memory import MemoryServer, MemoryStore

from .fakes import EntityWriter, FaultyStore

SEED = 7
NOW = 1_700_000_000_000


@pytest.fixture
def server() -> MemoryServer:
    return MemoryServer(clock=lambda: NOW)


@pytest.fixture
def memory(server: MemoryServer) -> MemoryStore:
    """The worker's connection."""
    return server.store(hub="default", partitions=4)


@pytest.fixture
def store(server: MemoryServer, memory: MemoryStore) -> FaultyStore:
    """The client's connection."""
    return FaultyStore(server.store(hub="default", partitions=4))


@pytest.fixture
async def client(store: FaultyStore) -> AsyncIterator[Client]:
    async with Client(store, rng=random.Random(SEED), retry_for_s=5) as opened:
        yield opened


@pytest.fixture
def writer(memory: MemoryStore) -> EntityWriter:
    return EntityWriter(memory)
