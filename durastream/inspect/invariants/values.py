"""Reading single values that somebody may have spoilt."""

from __future__ import annotations

from typing import Final

import orjson

from durastream.core.events import Parent

AHEAD_MS: Final = 86_400_000
"""A time further ahead of the server's clock than a day was not given by a clock. What is due later is no such time."""

_DIGITS_MAX: Final = 15  # of times and counts: more than any of ours has


def natural(value: bytes | None) -> int | None:
    """A number as we write them; None for anything else."""
    if value is None or not 0 < len(value) <= _DIGITS_MAX or not value.isdigit():
        return None
    return int(value) if value == b"0" or value[:1] != b"0" else None


def text(value: bytes | None) -> str | None:
    """None for what is no UTF-8."""
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


def parent(value: bytes | None) -> Parent | None:
    """`instance\\nexecution\\ntask`; None for anything else."""
    parts = (text(value) or "").split("\n")
    if len(parts) != 3 or not parts[0] or not parts[1]:
        return None
    task = natural(parts[2].encode())
    return None if task is None else Parent(parts[0], parts[1], task)


def shown(holder: Parent) -> str:
    """A holder or parent as it stands in a record."""
    return f"{holder.instance_id}\n{holder.execution_id}\n{holder.task}"


def is_json(value: bytes) -> bool:
    try:
        orjson.loads(value)
    except ValueError:
        return False
    return True


def kind_of(reason: bytes) -> str | None:
    """The kind in a reason for which something stands still; None where it cannot be read."""
    try:
        kind = orjson.loads(reason)["kind"]
    except (ValueError, TypeError, KeyError):
        return None
    return kind if isinstance(kind, str) else None


def quoted(value: bytes | str) -> str:
    """A bounded picture of something foreign."""
    shown_ = ascii(value)
    return shown_ if len(shown_) <= 80 else shown_[:79] + "…"
