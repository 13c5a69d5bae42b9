"""Commits of one partition: in order, one in flight, everything that comes up meanwhile in the next one.

An idle partition commits at once; a busy one commits what has queued up while the last commit was on its way. That is all the
batching there is, and nothing ever waits for a batch to fill.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from durastream.errors import Fenced, Refused, StoreUnavailable
from durastream.store.protocol import Commit, EntityChange, InstanceChange, Lease, WorkerStore
from durastream.worker.backoff import Backoff

log = logging.getLogger("durastream.worker.committer")

_WEIGHT_MAX = 2_000  # things in one commit; one script call stays below about 10 ms
_BYTES_MAX = 4 * 1024 * 1024


class Committer:
    """Owns the open commit. `done` hears of each applied commit, and whether it was still wanted or had been discarded while it
    was on its way; `failed` of the error that ended this ownership's order."""

    def __init__(
        self,
        store: WorkerStore,
        lease: Lease,
        *,
        done: Callable[[Commit, bool], None],
        failed: Callable[[Fenced | Refused], None],
    ) -> None:
        self._store = store
        self._lease = lease
        self._done = done
        self._failed = failed
        self._sequence = 0
        self._unforgotten: list[tuple[int, int]] = []  # outbox entries whose removal was in a discarded commit
        self._outbox_next = 1
        self._sealed: deque[Commit] = deque()
        self._weight = 0
        self._bytes = 0
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self.open = Commit()
        self.changes: dict[str, InstanceChange] = {}  # of the open commit
        self.entities: dict[str, EntityChange] = {}  # of the open commit

    @property
    def applied(self) -> int:
        """Commits that the store has told to be applied."""
        return self._sequence

    @property
    def idle(self) -> bool:
        return self._task is None and not self._weight and not self._sealed

    @property
    def crowded(self) -> bool:
        """A whole commit waits behind the one in flight: read no more for now."""
        return len(self._sealed) > 1 or self._weight >= _WEIGHT_MAX // 2

    @property
    def full(self) -> bool:
        return self._weight >= _WEIGHT_MAX or self._bytes >= _BYTES_MAX

    def weigh(self, things: int, size: int) -> None:
        """Say that something was put into the open commit. Who has put in all that belongs together seals it when it is
        full: a turn, what it sends and the inputs it consumes are never spread over two commits."""
        self._weight += things
        self._bytes += size

    def forget(self, numbers: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Have delivered outbox entries removed by the next commit, if one is coming; else those that have to be removed now."""
        if self.idle:
            numbers, self._unforgotten = [*self._unforgotten, *numbers], []
            return numbers
        self.open.forgotten += numbers
        self.weigh(1, 0)
        return []

    def seal(self) -> None:
        """Close the open commit: what follows goes into the next one."""
        commit = self.open
        commit.changes.extend(self.changes.values())
        commit.entities.extend(self.entities.values())
        commit.outbox_first = self._outbox_next
        self._outbox_next += len(commit.outbox)
        self._sealed.append(commit)
        self._begin()

    def _begin(self) -> None:
        self.open = Commit()
        self.changes = {}
        self.entities = {}
        self._weight = self._bytes = 0

    def flush(self) -> None:
        """Send what is there, now or as soon as the commit in flight is back."""
        if self._task is None and (self._weight or self._sealed):
            self._task = asyncio.get_running_loop().create_task(self._send_all())

    async def drain(self) -> None:
        """Return once nothing is waiting to be committed."""
        self.flush()
        while self._task is not None:
            await asyncio.shield(self._task)

    async def _send_all(self) -> None:
        try:
            while self._weight or self._sealed:
                if not self._sealed:
                    self.seal()
                commit = self._sealed[0]
                await self._send(commit)
                wanted = bool(self._sealed) and self._sealed[0] is commit
                if wanted:
                    self._sealed.popleft()
                self._done(commit, wanted)
            self._task = None
        except (Fenced, Refused) as error:
            self._task = None
            self._failed(error)
        except Exception as error:  # not even to be sent: what was decided cannot be told to the store
            self._task = None
            log.error("a commit of partition %d failed", self._lease.partition, exc_info=error)
            self._failed(Refused(f"{type(error).__name__}: {error}"))

    async def _send(self, commit: Commit) -> None:
        backoff = Backoff()
        while not self._closed:
            try:
                await self._store.commit(self._lease, self._sequence + 1, commit)
            except StoreUnavailable:
                await backoff.pause()
            else:
                self._sequence += 1
                return
        raise Fenced(f"partition {self._lease.partition} was given up")

    def close(self) -> None:
        """Send nothing more. What is on its way is not repeated."""
        self._closed = True

    def discard(self) -> None:
        """Drop what was not committed: it was decided on a state that the store does not share."""
        for commit in (*self._sealed, self.open):
            self._unforgotten += commit.forgotten
        self._sealed.clear()
        self._begin()
