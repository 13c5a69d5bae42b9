"""F7: what is left of ids that were purged. Every name and value under the hub is searched for their bytes, page by page.

Where an id addresses something (a key, an index, a timer, a message) it is a violation. Where it is only spoken of (the history
or the payload of somebody who lives, a dead letter) it may stand there with good reason, and is a doubt.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Final

from durastream.inspect.fsck.layout import Layout
from durastream.inspect.fsck.report import Progress
from durastream.inspect.invariants.values import quoted
from durastream.inspect.invariants.violation import Violation
from durastream.store.redis.fsck import RawHub

_SPEAKING: Final = ("instance", "history", "entity", "queue_of")
"""Families of keys that hold what users gave: payloads may name any id."""
_MSGPACK_SHORT_MAX: Final = 31  # bytes of a text whose length stands in its first byte
_BREAKS: Final = rb"[\x00-\x20\"':,;{}\[\]()<>=|]"
"""Where a name in a text ends. What follows without any of these is another, longer name."""


def _pattern(one: str) -> bytes:
    """The id as a whole: as msgpack text of just this length, or set off by something that no name is expected to go on with."""
    raw = one.encode()
    size = len(raw)
    header = bytes((0xA0 | size,)) if size <= _MSGPACK_SHORT_MAX else bytes((0xD9, size)) if size < 256 else b"\xda"
    whole = re.escape(raw)
    return b"(?:" + re.escape(header) + whole + b"|(?:^|(?<=" + _BREAKS + b"))" + whole + b"(?=" + _BREAKS + b"|$))"


class Residue:
    """Looks for some ids at once, in one walk."""

    def __init__(self, hub: RawHub, ids: Iterable[str]) -> None:
        self._hub = hub
        self._layout = Layout(hub.keys)
        self._found = {one: re.compile(_pattern(one), re.DOTALL) for one in dict.fromkeys(ids)}
        self._pages: dict[str, Callable[[str], AsyncIterator[Iterable[bytes]]]] = {
            "hash": self._hash,
            "zset": self._zset,
            "set": self._set,
            "stream": self._stream,
        }

    async def run(self, progress: Progress = lambda what, done, of: None) -> list[Violation]:
        """Nobody works with these ids any more, so one look is enough. One violation for each key and id."""
        total, done, found = await self._hub.count_of_keys(), 0, list[Violation]()
        async for names in self._hub.key_names():
            for key in await self._hub.describe(names):
                found += await self._key(key.name, key.kind)
            done += len(names)
            progress("purged", min(done, total), total)
        return found

    async def _key(self, name: bytes, kind: str) -> list[Violation]:
        text = name.decode("utf-8", "surrogateescape")
        place = self._layout.place(name)
        named = [one for one in self._found if place is not None and place.of == one]
        found = [_violation(text, one, "it is the key of this id", certain=True) for one in named]
        if named or kind not in self._pages:
            return found
        certain = (place is None or place.family not in _SPEAKING) and text != self._hub.keys.dead
        seen: dict[str, bytes] = {}
        async for page in self._pages[kind](text):
            for value in page:
                seen |= {one: value for one, where in self._found.items() if one not in seen and where.search(value)}
        return found + [
            _violation(text, one, f"it holds {quoted(value)}", certain=certain) for one, value in seen.items()
        ]

    # -- every name and value of a key, page by page

    async def _hash(self, key: str) -> AsyncIterator[Sequence[bytes]]:
        async for page in self._hub.walk_hash(key):
            yield [part for pair in page for part in pair]

    async def _zset(self, key: str) -> AsyncIterator[Sequence[bytes]]:
        async for page in self._hub.walk_zset(key):
            yield [member for member, _ in page]

    async def _set(self, key: str) -> AsyncIterator[Sequence[bytes]]:
        async for page in self._hub.walk_set(key):
            yield page

    async def _stream(self, key: str) -> AsyncIterator[Sequence[bytes]]:
        async for page in self._hub.walk_stream(key):
            yield [part for _, fields in page for part in fields]


def _violation(key: str, one: str, what: str, *, certain: bool) -> Violation:
    return Violation("S19", key, f"{one!a} was purged, but {what}", certain=certain)
