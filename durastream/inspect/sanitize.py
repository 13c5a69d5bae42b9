"""The border between stored text and a screen.

Ids, names, payloads and failure messages come from anywhere and may hold terminal escapes (a window title, a cleared
screen, a forged line) or controls that reorder text. Every surface passes what it prints through here: control
characters become visible escapes such as `\\x1b`, and nothing is longer than the caller has room for.
"""

from __future__ import annotations

import re
from itertools import chain

_UNSAFE = tuple(
    chain(
        range(0x20),  # C0, among them ESC
        range(0x7F, 0xA0),  # DEL and C1: 0x9b starts an escape sequence on its own
        (0x061C, 0x200E, 0x200F),  # marks that change the direction of text
        range(0x2028, 0x202F),  # line and paragraph separators, bidi embeddings and overrides
        range(0x2066, 0x206A),  # bidi isolates
        (0xFEFF,),  # invisible
        range(0xFFF9, 0xFFFC),  # interlinear annotations
        range(0xE0000, 0xE0080),  # invisible tag characters
    )
)
_SHORT = {0x09: "\\t", 0x0A: "\\n", 0x0D: "\\r"}
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def _escape(code: int) -> str:
    if code in _SHORT:
        return _SHORT[code]
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _json_escape(code: int) -> str:
    if code < 0x10000:
        return f"\\u{code:04x}"
    high, low = divmod(code - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"


_ONE_LINE = {code: _escape(code) for code in _UNSAFE}
_MANY_LINES = {code: text for code, text in _ONE_LINE.items() if code not in (0x09, 0x0A)}
_IN_JSON = {code: _json_escape(code) for code in _UNSAFE if code >= 0x20}


def line(text: object, limit: int = 200) -> str:
    """`text` as one printable line of at most `limit` characters; what is cut shows as `…`.

    >>> line("red \\x1b[31m alert\\n")
    'red \\\\x1b[31m alert\\\\n'
    """
    # Cut first: escaping a 1 MiB payload to show 200 characters of it would be wasted work.
    raw = str(text)[: limit + 1].translate(_ONE_LINE)
    safe = _LONE_SURROGATE.sub("\ufffd", raw)
    return safe if len(safe) <= limit else safe[: limit - 1] + "…"


def block(text: object, limit: int = 20_000) -> str:
    """`text` with its line breaks and tabs kept and every other control escaped; what is over `limit` is counted."""
    whole = str(text)
    safe = _LONE_SURROGATE.sub("\ufffd", whole[:limit].translate(_MANY_LINES))
    return safe if len(whole) <= limit else f"{safe}\n… {len(whole) - limit:,} more characters"


def json_text(text: str) -> str:
    """JSON text with every control inside its strings as a `\\uXXXX` escape: the same value, harmless on a terminal.

    JSON itself escapes only C0; line breaks between tokens are kept.
    """
    return text.translate(_IN_JSON)
