"""The append-only file of a server: its units, and what a power loss leaves of it.

Format: https://redis.io/docs/latest/operate/oss_and_stack/management/persistence/ (multi-part, since Redis 7.0). Each command
stands as the server would read it from a client; a script or transaction that wrote more than once stands between MULTI and EXEC.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

FOLDER = "appendonlydir"
OPTIONS = ("--aof-use-rdb-preamble", "no", "--auto-aof-rewrite-percentage", "0")
"""Of a server whose file is to be read here: commands only, and from the beginning."""

_MULTI = b"*1\r\n$5\r\nMULTI\r\n"
_EXEC = b"*1\r\n$4\r\nEXEC\r\n"
_TAIL_BYTES = 8 * 1024 * 1024  # more than any transaction of a test


class Unit(NamedTuple):
    """What was applied at once: bytes `begin` to `end` of the file."""

    begin: int
    end: int
    commands: tuple[tuple[bytes, ...], ...]  # without MULTI and EXEC


class _Torn(Exception):
    """The file ends within a command."""


def units(data: bytes) -> list[Unit]:
    """Whole units in order. What is cut at the end is left out, as a server does (`aof-load-truncated yes`).

    Raises ValueError for what is no such file.
    """
    found: list[Unit] = []
    begin, inside = 0, list[tuple[bytes, ...]]()
    opened = False
    for end, command in _commands(data):
        word = command[0].upper() if command else b""
        if word == b"SELECT":
            begin = begin if opened else end
        elif word == b"MULTI":
            opened, inside = True, []
        elif word == b"EXEC":
            found.append(Unit(begin, end, tuple(inside)))
            opened, begin = False, end
        elif opened:
            inside.append(command)
        else:
            if command:
                found.append(Unit(begin, end, (command,)))
            begin = end
    return found


def _commands(data: bytes) -> Iterator[tuple[int, tuple[bytes, ...]]]:
    """(where it ends, command) up to where the file is cut; an annotation line counts as an empty command."""
    at = 0
    while at < len(data):
        try:
            at, command = _command(data, at)
        except _Torn:
            return
        yield at, command


def _command(data: bytes, at: int) -> tuple[int, tuple[bytes, ...]]:
    line, at = _line(data, at)
    if line[:1] == b"#":
        return at, ()
    if line[:1] != b"*":
        raise ValueError(f"no append-only file: byte {at} holds {line[:20]!r}")
    words = []
    for _ in range(int(line[1:])):
        size, at = _line(data, at)
        end = at + int(size[1:])
        if end + 2 > len(data):
            raise _Torn
        words.append(data[at:end])
        at = end + 2
    return at, tuple(words)


def _line(data: bytes, at: int) -> tuple[bytes, int]:
    end = data.find(b"\r\n", at)
    if end < 0:
        raise _Torn
    return data[at:end], end + 2


def paths(directory: Path) -> list[Path]:
    """Files that the manifest of a server's directory names, in the order in which they are read."""
    folder = directory / FOLDER
    (manifest,) = folder.glob("*.manifest")
    rows = (line.split() for line in manifest.read_text().splitlines() if line.startswith("file "))
    named = [(row[row.index("type") + 1], int(row[row.index("seq") + 1]), folder / row[1]) for row in rows]
    return [path for kind, _, path in sorted(named) if kind in "bi"]  # base before increments


def read(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in paths(directory))


def cut(directory: Path, size: int) -> int:
    """Lose so many bytes at the end, as a power loss does. How many bytes are left."""
    path = paths(directory)[-1]
    left = max(0, path.stat().st_size - size)
    with path.open("r+b") as file:
        file.truncate(left)
    return left


def mend(directory: Path) -> int:
    """Cut off a transaction at the end that has no EXEC. Returns the number of bytes cut off.

    A kill in the middle of a write can leave one, cut within a command. Servers up to Redis 7.0.15 and Valkey 9.1.2 cut off that
    command only, and keep the open MULTI in the file: what they append later is read as part of it at the next restart, and half
    of a script comes to life (valkey-io/valkey#4342). `redis-check-aof --fix` cuts at the MULTI, as this does.
    """
    path = paths(directory)[-1]
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(max(0, size - _TAIL_BYTES))
        first, tail = file.tell(), file.read()
        begins = tail.rfind(_MULTI)
        if begins < 0 or tail.find(_EXEC, begins) >= 0:
            return 0
        file.truncate(first + begins)
    return size - first - begins
