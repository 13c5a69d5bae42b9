"""The append-only file of a server that was killed, made whole before the server reads it.

A kill in the middle of a write can leave a transaction without its EXEC, cut within a command. Servers up to Redis 7.0.15 and
Valkey 9.1.2 cut off that command only, and keep the open MULTI in the file: what they append later is read as part of it at the
next restart, and half of a script comes to life (valkey-io/valkey#4342). `redis-check-aof --fix` cuts at the MULTI, as this does.
"""

from __future__ import annotations

from pathlib import Path

_MULTI = b"*1\r\n$5\r\nMULTI\r\n"
_EXEC = b"*1\r\n$4\r\nEXEC\r\n"
_TAIL_BYTES = 8 * 1024 * 1024  # more than any transaction of a test


def mend(directory: Path) -> int:
    """Cut off a transaction at the end of the file that has no EXEC. Returns the number of bytes cut off."""
    (path,) = sorted((directory / "appendonlydir").glob("*.incr.aof"))[-1:]
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(max(0, size - _TAIL_BYTES))
        first, tail = file.tell(), file.read()
        begins = tail.rfind(_MULTI)
        if begins < 0 or tail.find(_EXEC, begins) >= 0:
            return 0
        file.truncate(first + begins)
    return size - first - begins
