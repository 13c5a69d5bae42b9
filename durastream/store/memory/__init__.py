"""The store in memory: the reference model of `store.protocol`, with an injected clock.

It says in plain dicts what each verb means, is the oracle of differential tests and the store of the test kit.
`MemoryServer` stands for the Redis server, each `MemoryStore` for the connection of one process to it.

    server = MemoryServer(clock=lambda: 1_700_000_000_000)
    store = server.store(hub="default", partitions=4)
"""

from __future__ import annotations

from durastream.store.memory.server import MemoryServer
from durastream.store.memory.store import MemoryStore

__all__ = ["MemoryServer", "MemoryStore"]
