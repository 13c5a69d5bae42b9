"""What clients asked for and what they were told: `ok` is known to have been applied, `fail` not to, `info` is unknown."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Awaitable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import redis
from redis.crc import key_slot

import durastream as ds
from durastream.core.ids import partition_of
from durastream.store.redis.hubs import PARTITIONS
from tests.evidence.report import Outcome

T = TypeVar("T")


class Window(NamedTuple):
    """A time in which what was acknowledged may be lost: a failover took over without it. Seconds, monotonic."""

    begin: float
    end: float
    slots: frozenset[int] | None = None  # of the shard that has lost it; None: all


@dataclass(frozen=True)
class Op:
    """One call. Times in seconds, monotonic."""

    kind: str
    key: str  # what it was about
    value: Any
    begin: float
    end: float
    outcome: Outcome
    error: str = ""


class Log:
    """All calls of a run. `windows` says when acknowledgements did not bind; `confirmed`: those that clients of ours were given
    bind all the same, since a replica had what they were about."""

    def __init__(self, *, confirmed: bool = False) -> None:
        self.confirmed = confirmed
        self.ops: list[Op] = []
        self.windows: list[Window] = []
        self.completions: list[float] = []  # when a client heard of the end of an instance
        self.lost: Counter[str] = Counter()  # acknowledged in a window and gone, by kind
        self.again: Counter[str] = Counter()  # taken once more after a window, by kind

    async def attempt(self, kind: str, key: str, call: Awaitable[T], value: Any = None) -> T | None:
        """Make a call and note what came of it; None where it brought nothing."""
        begin = time.monotonic()
        answer, outcome, error = None, "ok", ""
        try:
            answer = await call
        except (ds.StoreUnavailable, ds.TimeoutError, redis.RedisError, OSError) as caught:
            outcome, error = "info", repr(caught)
        except (ds.InstanceExists, ds.InstanceNotFound, ds.Conflict) as caught:
            outcome, error = "fail", repr(caught)
        self.ops.append(Op(kind, key, value, begin, time.monotonic(), outcome, error))  # type: ignore[arg-type]
        return answer

    def completed(self) -> None:
        self.completions.append(time.monotonic())

    def of(self, kind: str) -> Iterator[Op]:
        return (op for op in self.ops if op.kind == kind)

    def binds(self, op: Op) -> bool:
        """Whether it was acknowledged for good."""
        if op.outcome != "ok":
            return False
        return (self.confirmed and not _plain(op)) or not any(_swallows(window, op) for window in self.windows)

    def untouched(self, op: Op) -> bool:
        """Whether no window of loss lies near it. Else it may have taken effect twice, and the first of them was taken back."""
        return not any(window.begin <= op.end and op.begin <= window.end for window in self.windows)

    def absent(self, op: Op) -> bool:
        """For an operation of which there is no trace: whether that is a violation. Counts what a window has swallowed."""
        if op.outcome == "ok" and not self.binds(op):
            self.lost[op.kind] += 1
        return self.binds(op)

    def comes_back(self, op: Op) -> bool:
        """Whether an entry of the ingress may have been taken twice: the shard of the stream forgot that it had been deleted,
        and the partition had already been told that it need not remember it. Who waits for replicas has not told it yet."""
        return not self.confirmed and any(
            window.slots is not None and _INGRESS in window.slots and window.begin - _ROUTED_S <= op.end <= window.end
            for window in self.windows
        )

    def outcomes(self) -> Counter[tuple[str, str]]:
        return Counter((op.kind, op.outcome) for op in self.ops)

    def write(self, path: Path, more: Iterable[object] = ()) -> None:
        """As JSON lines, in the order they ended."""
        with path.open("w", encoding="utf-8") as file:
            for one in [*map(asdict, self.ops), *more]:
                file.write(json.dumps(one, default=str) + "\n")


def _swallows(window: Window, op: Op) -> bool:
    """Whether what this call was told may have been taken back."""
    if window.slots is None:
        return window.begin <= op.end <= window.end
    plain = _plain(op)
    began = window.begin - (_ROUTED_S if plain else 0)
    return began <= op.end <= window.end and not window.slots.isdisjoint(_slots(op, plain))


def _slots(op: Op, plain: bool) -> set[int]:
    """Of the keys on which the acknowledgement rests: of the partition of what it was about, and of the ingress."""
    address = f"@Tally@{op.key}" if plain and op.kind.endswith("signal") else op.key
    found = {slot_of(address)}
    return found | {_INGRESS} if plain else found


def forgot(windows: Iterable[Window], status: ds.InstanceStatus, other: str) -> bool:
    """Whether the shard of this instance, or of that other one, has lost something at about the time when it last moved."""
    slots, since = {slot_of(status.id), slot_of(other)}, time.time() - time.monotonic()
    created, moved = status.created_at.timestamp() - since, status.updated_at.timestamp() - since
    return any(
        window.slots is not None
        and not window.slots.isdisjoint(slots)
        and created <= window.end
        and window.begin - _AROUND_S <= moved <= window.end + _AROUND_S
        for window in windows
    )


def slot_of(address: str) -> int:
    """Of all that is kept about an instance or an entity."""
    return key_slot(f"{{default:{partition_of(address, PARTITIONS)}}}".encode())


def _plain(op: Op) -> bool:
    """Whether it was a command of any Redis client, which waits for no replica."""
    return op.kind.startswith("ingress:")


_INGRESS = key_slot(b"{default}")
_AROUND_S = 20.0  # a message is on its way so long at most: the shard is replaced, workers are, too
_ROUTED_S = 5.0  # what stands in the ingress goes on to its partition so much later at most
