"""Deliberate faults. Each must yield prefixes that are bad, or the exploration proves nothing.

Those of `store.commit` are what an engine that is not atomic would do; the others stand in the scripts. Faults that need a race
to show (no fence, no compare of revisions) are not for this oracle: the simulation and the differential test have them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias
from unittest import mock

from durastream.store import scripts
from durastream.store.protocol import Commit, Lease
from durastream.store.redis import RedisStore
from tests.differential.mutants import MUTANTS as IN_SCRIPTS
from tests.prefixes.exploring import explore
from tests.prefixes.recording import record
from tests.prefixes.workloads import WORKLOADS

Committing: TypeAlias = Callable[[RedisStore, Lease, int, Commit], Awaitable[None]]

_commit: Final = RedisStore.commit
_EMPTY: Final = Commit()


async def two_steps(store: RedisStore, lease: Lease, sequence: int, commit: Commit) -> None:
    """The records first, what they need afterwards."""
    first = replace(commit, consumed=[], timers_add=[], activities=[], inbox=[], outbox=[])
    second = replace(
        _EMPTY,
        consumed=commit.consumed,
        timers_add=commit.timers_add,
        activities=commit.activities,
        inbox=commit.inbox,
        outbox=commit.outbox,
        outbox_first=commit.outbox_first,
    )
    await _commit(store, lease, 2 * sequence - 1, first)
    await _commit(store, lease, 2 * sequence, second)


async def acknowledges_first(store: RedisStore, lease: Lease, sequence: int, commit: Commit) -> None:
    """The messages are gone before it is written what came of them."""
    await _commit(store, lease, 2 * sequence - 1, replace(_EMPTY, consumed=commit.consumed))
    await _commit(store, lease, 2 * sequence, replace(commit, consumed=[]))


async def timers_later(store: RedisStore, lease: Lease, sequence: int, commit: Commit) -> None:
    """Timers are set and removed in a step of their own."""
    await _commit(store, lease, 2 * sequence - 1, replace(commit, timers_remove=[], timers_add=[]))
    await _commit(
        store, lease, 2 * sequence, replace(_EMPTY, timers_remove=commit.timers_remove, timers_add=commit.timers_add)
    )


class Mutant(NamedTuple):
    """`commits`: in the place of the store's; or `script`: the name of a fault of `tests.differential.mutants`. `workload`: which
    one shows it."""

    name: str
    workload: str
    commits: Committing | None = None
    script: str = ""


MUTANTS: Final = (
    Mutant("commit in two steps", "results", two_steps),
    Mutant("messages are deleted before the commit", "results", acknowledges_first),
    Mutant("timers in a step of their own", "results", timers_later),
    *(
        Mutant(name, workload, script=name)
        for name, workload in (
            ("the old place in the index stays", "results"),
            ("the new place in the index is missing", "results"),
            ("the old history stays at continue-as-new", "generations"),
            ("fields without a value stay", "administration"),
            ("a purge leaves the record", "administration"),
            ("a delivery leaves no mark", "entities"),
            ("a scheduled start sets no timer", "results"),
            ("a start has no place in the index", "results"),
        )
    ),
)


async def bad_prefixes(mutant: Mutant, binary: str, url: str, directory: Path) -> tuple[int, int]:
    """(prefixes that are bad, all that were looked at) of its workload. The server at `url` is EMPTIED."""
    workload = next(one for one in WORKLOADS if one.name == mutant.workload)
    with _faulty(mutant):
        recording = await record(workload, binary, directory, gives_up_s=2.0)
    explored = await explore(recording, url)
    return len(explored.bad), explored.looked_at


@contextmanager
def _faulty(mutant: Mutant) -> Iterator[None]:
    if mutant.commits is not None:
        with mock.patch.object(RedisStore, "commit", mutant.commits):
            yield
        return
    fault = next(one for one in IN_SCRIPTS if one.what == mutant.script)
    shipped, text = scripts.part, fault.text()
    with mock.patch.object(scripts, "part", lambda name: text if name == fault.part else shipped(name)):
        scripts.script.cache_clear()
        try:
            yield
        finally:
            scripts.script.cache_clear()
