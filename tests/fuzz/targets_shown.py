"""What goes to a screen, and what comes back from a file that `export` wrote."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any, cast

import orjson

from durastream.cli import recorded
from durastream.cli.exits import UsageError
from durastream.cli.output import to_json
from durastream.cli.replay import Verdict, judge
from durastream.errors import HubMismatch, HubNotFound
from durastream.inspect import sanitize
from durastream.store.connection import Connection
from durastream.store.redis import hubs
from tests.fuzz.mutate import Case, mutated_fields, mutated_json, words
from tests.fuzz.target import Target, check, fields_of, raw, same, text_of
from tests.histories import programs

_HISTORIES = Path(programs.__file__).parent
_RECORDED = tuple(sorted(_HISTORIES.glob("[!r]*.json")))  # without those that are made to be refused
_DEVIANT = tuple(sorted(_HISTORIES.glob("refused_*.json")))

_ALWAYS_BAD = frozenset(("Cc", "Cs"))
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029")


def _harmless(text: str, allowed: str = "") -> None:
    """No C0, C1, ESC, lone surrogate, or control of direction comes out. Told by Unicode's tables, not by the sanitizer's."""
    for char in text:
        bad = unicodedata.category(char) in _ALWAYS_BAD or char in _BIDI
        check(not bad or char in allowed, f"{char!a} gets through")


def _line(case: Case) -> None:
    text = text_of(case)
    for limit in (1, 20, 200):
        shown = sanitize.line(text, limit)
        _harmless(shown)
        check(len(shown) <= limit, f"{len(shown)} characters of {limit}")


def _block(case: Case) -> None:
    text = text_of(case)
    shown = sanitize.block(text, 400, 20)
    _harmless(shown, "\n\t")
    check(len(shown) <= 400 * 10 + 60, f"{len(shown)} characters")  # an escape has at most 10
    check(shown.count("\n") <= 20 + 1, "lines")


def _json(case: Case) -> None:
    value = raw(case).decode("utf-8", "replace")
    for text in (orjson.dumps({value: [value]}).decode(), json.dumps({value: [value]}, ensure_ascii=False)):
        shown = sanitize.json_text(text)
        _harmless(shown, "\n\t")
        same(json.loads(shown), {value: [value]}, "shown")


class _File:
    """In place of a path: a file that is never written."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read_bytes(self) -> bytes:
        return self._data

    def __str__(self) -> str:
        return "history.json"


def _read(case: Case) -> None:
    execution = recorded.read(cast(Path, _File(raw(case))))
    check(execution.orchestrator and isinstance(execution.history, list), "no execution")


def _replayed(case: Case) -> None:
    """Whatever the file says, there is a verdict about it; code that awaits sees the recorded values only."""
    verdict: Verdict = judge(cast(Path, _File(raw(case))), programs.app)
    to_json(vars(verdict))
    check(len(verdict.message) < 5_000, f"{len(verdict.message)} characters")
    if verdict.result == "unreadable":
        raise UsageError("unreadable")


def _recorded() -> list[Case]:
    return [path.read_bytes() for path in _RECORDED]


class _Hub:
    """In place of a connection: answers HGETALL."""

    def __init__(self, flat: list[bytes]) -> None:
        self._flat = flat

    async def call(self, *command: Any) -> list[bytes]:
        return self._flat


def _settings(case: Case) -> None:
    """The settings of a hub, read when it is opened."""
    reading = hubs._read(cast(Connection, _Hub(fields_of(case))), "h")
    try:
        reading.send(None)
    except StopIteration as done:
        info = done.value
    check(1 <= info.partitions <= hubs.PARTITIONS_MAX, f"{info.partitions} partitions")
    check(1 <= info.payload_bytes_max <= 16 << 20, f"payloads of {info.payload_bytes_max} bytes")
    check(0 <= info.retention_ms < 10**15, f"{info.retention_ms} ms of retention")


_SETTINGS = (
    b"schema",
    b"1",
    b"partitions",
    b"16",
    b"retention_ms",
    b"259200000",
    b"payload_bytes_max",
    b"1048576",
    b"created_at",
    b"1900000000000",
)
_NO_SETTINGS: tuple[Case, ...] = (
    (),
    _SETTINGS[:4],
    (*_SETTINGS[:2], b"partitions", b"0", *_SETTINGS[4:]),
    (*_SETTINGS[:2], b"partitions", b"x", *_SETTINGS[4:]),
    (b"schema", b"2", *_SETTINGS[2:]),
    (*_SETTINGS[:6], b"payload_bytes_max", b"0", *_SETTINGS[8:]),
    (*_SETTINGS, b"\xff", b"1"),
    (*_SETTINGS[:6], b"payload_bytes_max", b"9" * 30, *_SETTINGS[8:]),
    (*_SETTINGS[:4], b"retention_ms", b"-1", *_SETTINGS[6:]),
    (*_SETTINGS[:2], b"partitions", b"1" * 5_000, *_SETTINGS[4:]),
)

_CONTROLS = (
    "\x1b[2J",
    "\x1b]0;t\x07",
    "\x9b",
    "\u202e",
    "\u2066",
    "\u200b",
    "\ud800",
    "\r",
    "\n",
    "\t",
    "\x7f",
    "\U000e0041",
    "e" + "\u0301" * 40,
    "🦊",
    "\u2028",
    "\ufeff",
    "\\",
)
_SCREEN = [text.encode("utf-8", "surrogatepass") for text in (*_CONTROLS, "order-7", "東京", "x" * 500, "a\n" * 60)]
_NO_FILES: tuple[Case, ...] = (
    b"",
    b"[]",
    b"{}",
    b'{"orchestrator":"order"}',
    b'{"orchestrator":1,"history":[]}',
    b'{"orchestrator":"order","history":[1]}',
    b'{"format":2}',
    b'{"format":"' + b"x" * 5_000 + b'","orchestrator":"order","history":[]}',
    b'{"orchestrator":"nobody","history":[]}',
    b'{"orchestrator":"order","history":[]}',
    b'{"orchestrator":"order","history":[{"kind":"TimerFired","at":-253402300799999,"task":1}]}',
    b"[" * 5_000,
    b'{"orchestrator":"order","history":{"a":1}}',
    b'{"orchestrator":"order","version":5,"history":[]}',
)

TARGETS: tuple[Target, ...] = (
    Target("screen.line", ("inspect/sanitize.py",), _line, lambda: [*_SCREEN], (), (), words(*_CONTROLS)),
    Target("screen.block", ("inspect/sanitize.py",), _block, lambda: [*_SCREEN], (), (), words(*_CONTROLS)),
    Target("screen.json", ("inspect/sanitize.py",), _json, lambda: [*_SCREEN], (), (), words(*_CONTROLS)),
    Target("replay.read", ("cli/recorded.py", "wire.py"), _read, _recorded, _NO_FILES, (UsageError,), mutated_json),
    Target(
        "replay.judge",
        ("cli/recorded.py", "cli/replay.py", "core/execution.py", "core/replaying.py"),
        _replayed,
        _recorded,
        (*_NO_FILES, *(path.read_bytes() for path in _DEVIANT)),
        (UsageError,),
        mutated_json,
    ),
    Target(
        "hub.settings",
        ("store/redis/hubs.py",),
        _settings,
        lambda: [_SETTINGS],
        _NO_SETTINGS,
        (HubMismatch, HubNotFound),
        mutated_fields,
    ),
)
