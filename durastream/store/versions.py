"""Releases of Redis and Valkey whose Lua engine has known holes: with scripts one could act as another user, or break out.

CVE-2025-49844, -46817, -46818 and -46819 (October 2025) concern every release before these, older lines included; distributions
mend them without changing the number.
"""

from __future__ import annotations

import re
from typing import Final

_MENDED: Final[dict[str, tuple[tuple[int, int, int], ...]]] = {
    "redis": ((7, 2, 11), (7, 4, 6), (8, 0, 4), (8, 2, 2)),
    "valkey": ((7, 2, 11), (8, 0, 6), (8, 1, 4), (9, 0, 0)),
}
"""The first release of each line without them. Lines after the last one never had them, those before the
first have no such release."""


def unmended(kind: str | None, version: str | None) -> str | None:
    """The release to go to, if this one has the holes; None if it has not, or nothing is known about it.

    >>> unmended("redis", "7.0.15"), unmended("valkey", "8.1.3"), unmended("redis", "8.4.0")
    ('7.2.11', '8.1.4', None)
    """
    numbers = tuple(int(part) for part in re.findall(r"\d+", version or "")[:3])
    if len(numbers) < 3 or kind not in _MENDED:
        return None
    mended = next((one for one in _MENDED[kind] if one[:2] >= numbers[:2]), None)
    return None if mended is None or numbers >= mended else ".".join(map(str, mended))
