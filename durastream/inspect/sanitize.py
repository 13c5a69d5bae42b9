"""The border between stored text and a screen.

Ids, names, payloads and failure messages come from anywhere and may hold terminal escapes (a window title, a cleared
screen, a forged line) or controls that reorder text. Every surface passes what it prints through here: control
characters become visible escapes such as `\\x1b`, and nothing is longer than the caller has room for.
"""

from __future__ import annotations

import re
from itertools import chain

_RANGES = (
    (0x00, 0x1F),  # C0, among them ESC
    (0x7F, 0x9F),  # DEL and C1: 0x9b starts an escape sequence on its own
    (0x061C, 0x061C),  # marks that change the direction of text
    (0x200E, 0x200F),
    (0x2028, 0x202E),  # line and paragraph separators, bidi embeddings and overrides
    (0x2060, 0x206F),  # bidi isolates; invisible operators and formats
    # Invisible, so that ids that differ look the same. The joiners U+200C and U+200D stay: scripts and emoji need them.
    *((code, code) for code in (0x00AD, 0x034F, 0x17B4, 0x17B5, 0x200B, 0x3164, 0xFEFF, 0xFFA0)),
    (0x115F, 0x1160),  # Hangul fillers
    (0x180B, 0x180F),  # Mongolian selectors
    (0xFFF0, 0xFFFB),  # unassigned, and interlinear annotations
    (0xFFFE, 0xFFFF),  # no characters
    (0x1BCA0, 0x1BCA3),  # shorthand formats
    (0x1D173, 0x1D17A),  # musical formats
    (0xE0000, 0xE0FFF),  # tags and selectors
)
"""First and last code of what is never sent to a screen as it is."""

_UNSAFE = tuple(chain.from_iterable(range(first, last + 1) for first, last in _RANGES))
_SHORT = {0x09: "\\t", 0x0A: "\\n", 0x0D: "\\r"}
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_MARKS = "\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
_PILE = re.compile(
    f"([{_MARKS}]{{4}})[{_MARKS}]+"
)  # more marks on one letter than any script has: they cover other lines
_REPLACED = "\ufffd"
LINES_MAX = 2_000


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
_IN_JSON = {chr(code): _json_escape(code) for code in _UNSAFE if code >= 0x20}
_UNSAFE_IN_JSON = re.compile(f"[{''.join(f'{chr(a)}-{chr(b)}' for a, b in _RANGES[1:])}]")


def line(text: object, limit: int = 200) -> str:
    """`text` as one printable line of at most `limit` characters; what is cut shows as `…`.

    >>> line("red \\x1b[31m alert\\n")
    'red \\\\x1b[31m alert\\\\n'
    """
    # Cut first: escaping a 1 MiB payload to show 200 characters of it would be wasted work.
    safe = _tamed(str(text)[: limit + 1].translate(_ONE_LINE))
    return safe if len(safe) <= limit else safe[: limit - 1] + "…"


def block(text: object, limit: int = 20_000, lines: int = LINES_MAX) -> str:
    """`text` with its line breaks and tabs kept and every other control escaped.

    What is over `limit` characters or `lines` lines is left out and counted.
    """
    whole = str(text)
    shown = whole[:limit]
    parts = shown.split("\n", lines)
    if len(parts) > lines:
        shown = "\n".join(parts[:lines])
    safe, left = _tamed(shown.translate(_MANY_LINES)), len(whole) - len(shown)
    return safe if not left else f"{safe}\n… {left:,} more characters"


def _tamed(text: str) -> str:
    return _PILE.sub(rf"\1{_REPLACED}", _LONE_SURROGATE.sub(_REPLACED, text))


def json_text(text: str) -> str:
    """JSON text with every control inside its strings as a `\\uXXXX` escape: the same value, harmless on a terminal.

    JSON itself escapes only C0; line breaks between tokens are kept.
    """
    return _UNSAFE_IN_JSON.sub(lambda found: _IN_JSON[found[0]], text)
