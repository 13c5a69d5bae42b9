"""The loop: take a case, change it, run it, and keep it where it reached new lines. One engine for all Pythons: needs nothing but
the standard library, and is repeatable by its seed."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

from tests.fuzz.found import FOUND
from tests.fuzz.lines import PACKAGE, Line, Lines
from tests.fuzz.mutate import Case
from tests.fuzz.target import Target, check_refusal

HANG_S = 5.0
"""CPU time after which one case counts as a hang. The slowest takes a few hundredths."""

_HANGS = f"more than {HANG_S} s of CPU time"
_FINDINGS_MAX = 20  # of one target: the rest is most likely the same
_CORPUS_MAX = 4_000


class Hang(Exception):
    """A case took more than `HANG_S` of CPU time."""


@dataclass
class Finding:
    """Something that must not be: what, where, and the shortest case that shows it."""

    target: str
    what: str
    case: Case

    def __str__(self) -> str:
        shown = repr(self.case)
        return f"{self.target}: {self.what}; case {shown[:300]}{'…' if len(shown) > 300 else ''}"


@dataclass
class Result:
    """What came of fuzzing one target."""

    target: str
    execs: int = 0
    accepted: int = 0
    rejected: Counter[str] = field(default_factory=Counter)  # by error
    lines: set[Line] = field(default_factory=set)
    findings: dict[str, Finding] = field(default_factory=dict)
    last_new_exec: int = 0  # the one that last reached a new line: long ago means that the curve is flat


class Fuzzer:
    """Fuzzes one target."""

    def __init__(self, target: Target, seed: int) -> None:
        self.target = target
        self.result = Result(target.name)
        self._rng = random.Random(f"{target.name}/{seed}")
        self._lines = Lines(target.files)
        self._corpus: list[Case] = []

    def replay(self) -> None:
        """The real values, which must all be accepted, the rubbish, and what was ever found."""
        for case in self.target.real():
            before = self.result.accepted
            self._add(case)
            if self.result.accepted == before:
                self._found("a real value is refused", "", case)
        for case in (*self.target.rubbish, *FOUND.get(self.target.name, ())):
            self._add(case)

    def spend(self, *, execs: int | None = None, seconds: float | None = None) -> Result:
        """Go on for so many executions, or so long."""
        ends = None if seconds is None else time.monotonic() + seconds
        last = None if execs is None else self.result.execs + execs
        while (last is None or self.result.execs < last) and (ends is None or time.monotonic() < ends):
            case = self.target.mutate(self._rng, self._rng.choice(self._corpus), self._corpus)
            if self._run(case) and len(self._corpus) < _CORPUS_MAX:
                self._corpus.append(case)
        self.result.lines = self._lines.seen
        return self.result

    def _add(self, case: Case) -> None:
        self._run(case)
        self._corpus.append(case)

    def _run(self, case: Case) -> bool:
        """Whether it reached a new line."""
        result, known = self.result, len(self._lines.seen)
        result.execs += 1
        try:
            with deadline(), self._lines:
                self.target.run(case)
            result.accepted += 1
        except self.target.refuses as error:
            result.rejected[type(error).__name__] += 1
            self._check_refusal(error, case)
        except Exception as error:
            self._found(*_told(error), case)
        if len(self._lines.seen) == known:
            return False
        result.last_new_exec = result.execs
        return True

    def _check_refusal(self, error: Exception, case: Case) -> None:
        try:
            check_refusal(error)
        except (AssertionError, UnicodeEncodeError) as problem:
            self._found(*_told(problem, of=error), case)

    def _found(self, key: str, said: str, case: Case) -> None:
        known = self.result.findings.get(key)
        if known is None and len(self.result.findings) >= _FINDINGS_MAX:
            return
        if known is None or _size(case) < _size(known.case):
            self.result.findings[key] = Finding(self.target.name, f"{key}: {said}", case)


def _size(case: Case) -> int:
    return len(case) if isinstance(case, bytes) else sum(map(len, case))


def _told(error: Exception, of: Exception | None = None) -> tuple[str, str]:
    """Where the error, or the refusal that it is about, was raised in the package, and what it says."""
    place, at = "?", (of or error).__traceback__
    while at is not None:
        code = at.tb_frame.f_code
        if place == "?" or str(PACKAGE) in code.co_filename:
            place = f"{code.co_filename.rpartition(os.sep)[2]}:{at.tb_lineno} {code.co_qualname}"
        at = at.tb_next
    return f"{type(error).__name__} at {place}", str(error)[:200]


@contextmanager
def deadline() -> Iterator[None]:
    """`Hang` once what is inside has used up its CPU time, also where somebody in there catches it; time that others take from us
    does not count."""
    fired = False

    def over(number: int, frame: FrameType | None) -> None:
        nonlocal fired
        fired = True
        raise Hang(_HANGS)

    before = signal.signal(signal.SIGVTALRM, over)
    signal.setitimer(signal.ITIMER_VIRTUAL, HANG_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    if fired:
        raise Hang(_HANGS)
