"""The same app on a deliberately damaged engine: a run with it must end red, or the oracles prove nothing.

DURASTREAM_CHAOS_MUTANT names the damage. It is done when this module is imported: by worker processes, which run
`tests.chaos.program:app`, and by the run itself for its own clients.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from durastream.store import scripts
from durastream.store.redis.owners import OwnerVerbs
from tests.chaos.app import app

VARIABLE: Final = "DURASTREAM_CHAOS_MUTANT"


class Mutant(NamedTuple):
    what: str
    damage: Callable[[], None]
    nemeses: tuple[str, ...]  # that bring it to light
    workloads: tuple[str, ...]


def _lua(part: str, old: str, new: str) -> Callable[[], None]:
    """Another text in the place of one in a script."""

    def damage() -> None:
        shipped = scripts.part

        def spoilt(name: str) -> str:
            text = shipped(name)
            if name != part:
                return text
            if text.count(old) != 1:
                raise ValueError(f"{part}.lua has {old!r} {text.count(old)} times, not once: write this mutant anew")
            return text.replace(old, new)

        scripts.part = spoilt

    return damage


def _acknowledge_first() -> None:
    """Inboxes are emptied as they are read, before anything came of it."""
    read = OwnerVerbs.read_inboxes

    async def spoilt(self: Any, cursors: Any, count: int, block_ms: int) -> Any:
        found = await read(self, cursors, count, block_ms)
        for partition, entries in found:
            await self._call("XDEL", self.keys.partitions[partition].inbox, *(entry.entry_id for entry in entries))
        await asyncio.sleep(0.1)  # time must pass: a kill must have a chance to come in between
        return found

    OwnerVerbs.read_inboxes = spoilt  # type: ignore[method-assign]


MUTANTS: Final[dict[str, Mutant]] = {
    "twice": Mutant(
        "a message that is sent again is taken again",
        _lua("deliver", "if epoch == own_epoch and nonce == own_nonce then from = tonumber(sequence) end", ""),
        ("cut_reply",),
        ("counters", "loops", "bank"),
    ),
    "acknowledged_first": Mutant(
        "messages are acknowledged before their effect is recorded",
        _acknowledge_first,
        ("worker_kill",),
        ("fan_out", "sagas", "counters", "loops"),
    ),
    "claims_forgotten": Mutant(
        "what a dead worker had claimed is dropped, not put back",
        _lua("reclaim", "if entry then", "if false then"),
        ("worker_kill",),
        ("fan_out", "sagas"),
    ),
    "early": Mutant(
        "timers count as due too early",
        _lua("due", "now_ms()", "(now_ms() + 400)"),
        ("worker_hiccup",),
        ("timers",),
    ),
}


def damage(name: str) -> None:
    """Do it, in this process."""
    MUTANTS[name].damage()


if os.environ.get(VARIABLE):
    damage(os.environ[VARIABLE])

__all__ = ["MUTANTS", "app", "damage"]
