"""What happened, as seen from outside: which calls were acknowledged, how often activities ran. No crash reaches it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from durastream.errors import DurastreamError, StoreUnavailable


class Ledger:
    """`ops` counts calls by kind: ok (known to be applied), fail (known not to be), info (nobody knows)."""

    def __init__(self) -> None:
        self.ops: dict[str, Counter[str]] = {}
        self.runs: Counter[str] = Counter()  # activity executions, by what makes them one
        self.notes: list[str] = []

    @contextmanager
    def op(self, kind: str) -> Iterator[None]:
        """One call. It counts as info until it comes back: a process that dies meanwhile leaves it so."""
        counts = self.ops.setdefault(kind, Counter())
        counts["info"] += 1
        try:
            yield
        except StoreUnavailable:
            raise
        except DurastreamError:
            counts["info"] -= 1
            counts["fail"] += 1
            raise
        counts["info"] -= 1
        counts["ok"] += 1

    def did(self, kind: str) -> None:
        """Something that needs no reply to be known."""
        self.ops.setdefault(kind, Counter())["ok"] += 1

    def ran(self, what: str) -> int:
        """An activity runs; how often it has, this time included."""
        self.runs[what] += 1
        return self.runs[what]
