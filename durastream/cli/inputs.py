"""Values that are given on the command line: JSON, from a file or stdin if so wished, and tags."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import orjson

from durastream.cli.exits import UsageError
from durastream.core.limits import QUOTE_CHARS_MAX


def read_input(text: str | None) -> Any:
    """The value of `--input` / `--data`: JSON, `@FILE` or `-` for stdin; None where it was left out."""
    if text is None:
        return None
    source = _read(text)
    try:
        return orjson.loads(source)
    except ValueError as error:
        hint = "a JSON string needs its own quotes: '\"text\"'" if text == source else f"read from {text}"
        raise UsageError(f"not JSON ({error}): {source[:QUOTE_CHARS_MAX]!r}; {hint}") from None


def _read(text: str) -> str:
    if text == "-":
        return sys.stdin.read()
    if not text.startswith("@"):
        return text
    try:
        return Path(text[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {text[1:]!r}: {error}") from None


def read_tags(pairs: list[str]) -> dict[str, str]:
    """`KEY=VALUE` pairs as a dictionary."""
    for pair in pairs:
        if not pair.partition("=")[0] or "=" not in pair:
            raise UsageError(f"--tag {pair[:QUOTE_CHARS_MAX]!r}: write KEY=VALUE")
    return dict(pair.split("=", 1) for pair in pairs)
