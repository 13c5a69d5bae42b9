"""Which commands a Lua script uses, read from its text: access rules, and the proof of them, are made of this.

Redis and Valkey check a script's inner commands against the rules of the user who called it, one by one as they come. A command
that lacks would end a script half way, with what it wrote before left standing. So each script that writes gets a first line that
asks for all its writes before anything else happens: whatever somebody does to the rules while a worker runs, a script is applied
whole or not at all. The question costs 0.1 to 0.4 µs a command, about 3 µs for a whole commit.
"""

from __future__ import annotations

import re
from typing import Final

HANDED_OVER: Final[dict[str, tuple[str, ...]]] = {
    "commit": ("DEL", "HDEL", "HSET", "SADD", "UNLINK", "XADD", "XDEL", "ZADD", "ZREM"),
    "repair": (
        "EXISTS", "HDEL", "HGET", "HLEN", "HSET", "PERSIST", "SADD", "UNLINK", "XACK", "XADD", "XLEN", "XRANGE", "ZADD", "ZREM",
        "ZSCORE",
    ),
}  # fmt: skip
"""Commands that come to a script as arguments, from `redis/ops.py` and `redis/repairs.py`."""

WRITES: Final = frozenset({
    "DEL", "EXPIRE", "HDEL", "HINCRBY", "HSET", "PERSIST", "RPUSH", "SADD", "SREM", "UNLINK", "XACK", "XADD", "XCLAIM", "XDEL",
    "XGROUP CREATE", "XGROUP DELCONSUMER", "XREADGROUP", "ZADD", "ZREM",
})  # fmt: skip

_CONTAINERS: Final = ("XGROUP", "XINFO")
_NO_COMMANDS: Final = frozenset({"CONSUMERS", "COUNT", "DELCONSUMER", "GROUPS", "LIMIT", "STREAM", "WITHSCORES"})
_WORD: Final = re.compile(r"'([A-Z]{3,})'(?:, '([A-Z]{3,})')?")


def commands_of(name: str, text: str) -> frozenset[str]:
    """Commands of the script of this name: every word in capitals and quotes that is no option, and what is handed over.

    >>> sorted(commands_of("any", "redis.call('XINFO', 'STREAM', KEYS[1]) redis.pcall('HGET', KEYS[1], 'a')"))
    ['HGET', 'XINFO STREAM']
    """
    found = set(HANDED_OVER.get(name, ()))
    for word, following in _WORD.findall(text):
        if word in _CONTAINERS:
            found.add(f"{word} {following}")
        elif word not in _NO_COMMANDS:
            found.add(word)
        if following and word not in _CONTAINERS and following not in _NO_COMMANDS:
            found.add(following)
    return frozenset(found)


def guarded(name: str, text: str) -> str:
    """The text of a script with the question in front. Servers that cannot be asked (fakeredis) are not."""
    writes = sorted(commands_of(name, text) & WRITES)
    if not writes:
        return text
    asked = " and ".join(f"may({', '.join(repr(word) for word in command.split())}, KEYS[1])" for command in writes)
    words = ", ".join(command.lower() for command in writes)
    return (
        f"local may = redis.acl_check_cmd if may and not ({asked}) then"
        f" return redis.error_reply('NOPERM the user of this connection may not do all that {name}.lua does: {words}') end\n"
        f"{text}"
    )
