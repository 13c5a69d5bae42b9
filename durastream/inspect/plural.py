"""Counts in sentences: `1 instance`, `12,000 instances`."""

from __future__ import annotations


def plural(count: int, one: str, many: str = "") -> str:
    """
    >>> plural(1, "lock"), plural(2_000, "lock"), plural(0, "entity", "entities")
    ('1 lock', '2,000 locks', '0 entities')
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"
