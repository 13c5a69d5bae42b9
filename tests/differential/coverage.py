"""What has occurred: verbs × {ok, each named error}. A run in which something never did is incomplete, not green."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from tests.differential.sides import Failure
from tests.differential.verbs import VERBS

OK = "ok"


class Coverage:
    def __init__(self) -> None:
        self.seen: Counter[tuple[str, str]] = Counter()

    def note(self, verb: str, reply: Any) -> None:
        self.seen[verb, str(reply) if isinstance(reply, Failure) else OK] += 1

    @property
    def calls(self) -> int:
        return self.seen.total()

    def missing(self) -> list[str]:
        """What must have occurred and has not."""
        return [f"{verb}: {what}" for verb, what in self._wanted() if not self.seen[verb, what]]

    def _wanted(self) -> Iterator[tuple[str, str]]:
        for name, verb in VERBS.items():
            if verb.succeeds:
                yield name, OK
            yield from ((name, error.__name__) for error in verb.errors)

    def __str__(self) -> str:
        columns = [OK, *sorted({what for _, what in self.seen} - {OK})]
        rows = [[verb, *(str(self.seen[verb, what] or ".") for what in columns)] for verb in VERBS]
        lines = [["verb", *columns], *rows, ["all", *(str(self._all(what)) for what in columns)]]
        return "\n".join(
            "".join(f"{cell:<18}" if k == 0 else f"{cell:>18}" for k, cell in enumerate(line)) for line in lines
        )

    def _all(self, what: str) -> int:
        return sum(count for (_, found), count in self.seen.items() if found == what)
