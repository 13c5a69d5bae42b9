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

import durastream as ds
from tests.evidence.report import Outcome

T = TypeVar("T")


class Window(NamedTuple):
    """A time in which what was acknowledged may be lost: a failover took over without it. Seconds, monotonic."""

    begin: float
    end: float


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
    """All calls of a run. `windows` says when acknowledgements did not bind."""

    def __init__(self) -> None:
        self.ops: list[Op] = []
        self.windows: list[Window] = []
        self.completions: list[float] = []  # when a client heard of the end of an instance
        self.lost: Counter[str] = Counter()  # acknowledged in a window and gone, by kind

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
        return op.outcome == "ok" and not any(begin <= op.end <= end for begin, end in self.windows)

    def absent(self, op: Op) -> bool:
        """For an operation of which there is no trace: whether that is a violation. Counts what a window has swallowed."""
        if op.outcome == "ok" and not self.binds(op):
            self.lost[op.kind] += 1
        return self.binds(op)

    def outcomes(self) -> Counter[tuple[str, str]]:
        return Counter((op.kind, op.outcome) for op in self.ops)

    def write(self, path: Path, more: Iterable[object] = ()) -> None:
        """As JSON lines, in the order they ended."""
        with path.open("w", encoding="utf-8") as file:
            for one in [*map(asdict, self.ops), *more]:
                file.write(json.dumps(one, default=str) + "\n")
