"""Power loss and failover: the end of the file is lost, anywhere in it, and the server starts on what is left.

A replica that is promoted has a prefix of the same sequence, so to the hub it is the same loss. What a cut adds to `exploring`:
the server's own loading, torn units (N6), and workers that live on and remember more than the store does (S26).
"""

from __future__ import annotations

import shutil
from pathlib import Path
from random import Random

from durastream.store.embedded import EmbeddedServer
from tests.prefixes import aof
from tests.prefixes.exploring import hub_begins
from tests.prefixes.recording import PARTITIONS, Recording
from tests.prefixes.recovering import finish, still_sound
from tests.prefixes.state import State
from tests.prefixes.workloads import HUB

LOST_MAX = 64 * 1024


def sizes(recording: Recording, rng: Random, count: int) -> list[int]:
    """How many bytes to lose each time: from one byte to 64 KiB, as many small ones as large, at least the hub is left."""
    most = min(LOST_MAX, len(recording.data) - recording.units[hub_begins(recording.units) - 1].end)
    return [max(1, min(most, int(2 ** rng.uniform(0, most.bit_length())))) for _ in range(count)]


def is_torn(recording: Recording, size: int) -> bool:
    """Whether the cut falls within a unit."""
    left = len(recording.data) - size
    return all(unit.end != left for unit in recording.units)


def start_on(recording: Recording, binary: str, directory: Path, size: int) -> EmbeddedServer:
    """A server that was given the file without its last `size` bytes."""
    folder = directory / aof.FOLDER
    shutil.rmtree(directory, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "appendonly.aof.1.incr.aof").write_bytes(recording.data[: len(recording.data) - size])
    (folder / "appendonly.aof.manifest").write_text("file appendonly.aof.1.incr.aof seq 1 type i\n")
    options = (*aof.OPTIONS, "--aof-load-truncated", "yes")
    return EmbeddedServer.start(binary, directory, extra_args=options)


async def survive(recording: Recording, binary: str, directory: Path, size: int) -> list[str]:
    """Lose so much, start again, look, and let a worker bring everything to its end. What is wrong."""
    server = start_on(
        recording, binary, directory, size
    )  # in this thread: a server dies with the thread that started it
    try:
        found = _loaded_differently(recording, server.url, size)
        found += await still_sound(server.url)
        return found + await finish(recording.journal, server.url, recording.workload.app)
    finally:
        server.stop()


def _loaded_differently(recording: Recording, url: str, size: int) -> list[str]:
    """The server must have kept exactly the whole units."""
    state = State(HUB, PARTITIONS)
    for number, unit in enumerate(aof.units(recording.data[: len(recording.data) - size]), 1):
        state.apply(number, unit)
    return state.differs(url)
