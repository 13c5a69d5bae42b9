"""Many clients at once, in a process of their own: each connects, starts one instance, and hangs up; some without a word.

`python -m tests.chaos.storm URL PREFIX COUNT SEED` prints a line of JSON for each start: key, begin and end (monotonic),
outcome, error.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
from typing import Final

import orjson

import durastream as ds

_PATIENCE_S: Final = 15.0  # of each: they all come at once, and faults are about
_AGAIN_S: Final = 0.3
_AT_ONCE: Final = 60  # of them connect at the same time
_TOGETHER_S: Final = 30.0  # after which nobody waits for the rest of them


class Storm:
    """All of them are connected at the same time, if they can be."""

    def __init__(self, url: str, prefix: str, count: int, rng: random.Random) -> None:
        self._url = url
        self._prefix = prefix
        self._count = count
        self._rude = set(rng.sample(range(count), count // 3))  # end without closing their connections
        self._door = asyncio.Semaphore(_AT_ONCE)
        self._missing = count
        self._all_here = asyncio.Event()

    async def run(self) -> None:
        await asyncio.gather(*(self._one(number) for number in range(self._count)))
        sys.stdout.flush()
        os._exit(0)  # those that are left are cut off, as when a process dies

    async def _one(self, number: int) -> None:
        client: ds.Client | None = None
        begin, outcome, error, key = time.monotonic(), "ok", "", f"{self._prefix}-{number:04}"
        try:
            async with self._door:
                client = await self._connect()
            await self._together()
            await client.start("fan_out", 1, instance_id=key)
        except (ds.StoreUnavailable, ds.TimeoutError, OSError) as caught:
            outcome, error = "info", repr(caught)
        except ds.DurastreamError as caught:
            outcome, error = "fail", repr(caught)
        finally:
            self._arrived()
        row = {"key": key, "begin": begin, "end": time.monotonic(), "outcome": outcome, "error": error}
        print(orjson.dumps(row).decode())
        if number not in self._rude and client is not None:
            await client.__aexit__(None, None, None)

    async def _connect(self) -> ds.Client:
        """With patience: a server may be away just now."""
        ends = time.monotonic() + _PATIENCE_S
        while True:
            client = ds.Client(self._url, retry_for_s=_PATIENCE_S)
            try:
                return await client.__aenter__()
            except ds.StoreUnavailable:
                if time.monotonic() > ends:
                    raise
            await asyncio.sleep(_AGAIN_S)  # time must pass: until the next try

    async def _together(self) -> None:
        """Return once all are connected, or have failed to."""
        self._arrived()
        try:
            async with asyncio.timeout(_TOGETHER_S):
                await self._all_here.wait()
        except TimeoutError:
            return

    def _arrived(self) -> None:
        self._missing -= 1
        if self._missing <= 0:
            self._all_here.set()


if __name__ == "__main__":
    address, name, size, seed = sys.argv[1:]
    asyncio.run(Storm(address, name, int(size), random.Random(seed)).run())
