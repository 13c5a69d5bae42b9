"""Which slot of a Cluster a key falls in, and which keys a command is about."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from redis.crc import key_slot

SLOTS: Final = 16_384

_KEY_AT: Final[dict[str, int]] = {
    **dict.fromkeys(("EVALSHA", "EVAL", "EVALSHA_RO", "EVAL_RO"), 3),
    **dict.fromkeys(("XGROUP", "XINFO", "OBJECT", "MEMORY"), 2),
}
"""Where the first key stands; 1 for all others."""

_AFTER: Final[dict[str, str]] = {"XREAD": "STREAMS", "XREADGROUP": "STREAMS"}
_SCRIPTS: Final = frozenset({"EVALSHA", "EVAL", "EVALSHA_RO", "EVAL_RO"})

KEYLESS: Final = frozenset({
    "ACL", "CLIENT", "CLUSTER", "COMMAND", "CONFIG", "DBSIZE", "ECHO", "INFO", "LATENCY", "PING", "ROLE", "SCAN", "SCRIPT",
    "SLOWLOG", "TIME",
})  # fmt: skip
"""Commands about a server. They go to the node that has the keys of the hub itself."""


def slot_of(command: tuple[Any, ...]) -> int | None:
    """The slot that a command is for; None: any node will do."""
    name = command[0]
    if name in KEYLESS:
        return None
    if name in _SCRIPTS and command[2] == 0:
        return None
    place = command.index(_AFTER[name]) + 1 if name in _AFTER else _KEY_AT.get(name, 1)
    return slot(command[place])


def slot(key: str | bytes) -> int:
    """CRC16 of what stands in the first braces, or of the whole key.

    >>> slot("ds:{orders:3}:inbox") == slot("ds:{orders:3}:i:any {id}") == slot("orders:3")
    True
    """
    text = key if isinstance(key, str) else key.decode("utf-8", "surrogateescape")
    _, opened, rest = text.partition("{")
    tag, closed, _ = rest.partition("}")
    return _hashed(tag if opened and closed and tag else text)


@lru_cache(maxsize=8_192)
def _hashed(text: str) -> int:
    return int(key_slot(text.encode("utf-8", "surrogateescape")))
