"""From what the hub holds to what a terminal may show: every text of foreign origin becomes one of these.

`rich.text.Text` holds no markup, and `sanitize` leaves no control character; a widget that is given these cannot be made
to run an action or a terminal escape.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

import orjson
from rich.text import Text

from durastream.core.status import Status
from durastream.inspect import sanitize
from durastream.inspect.ages import words
from durastream.inspect.finding import Finding
from durastream.inspect.rows import SYMBOLS

GOOD: Final = "#7fbf7f"
BAD: Final = "bold #ff6b6b"
BUSY: Final = "#6cb6ff"
PENDING: Final = "#d9b36c"

STATUS_STYLES: Final[dict[str, str]] = {
    "Pending": PENDING,
    "Running": BUSY,
    "Completed": GOOD,
    "Failed": BAD,
    "Terminated": "#b294d8",
    "Suspended": "#7aa2c8",
}

OUTCOMES: Final[dict[str, tuple[str, str]]] = {
    "done": ("✔", GOOD),
    "failed": ("✘", BAD),
    "waiting": ("…", BUSY),
    "cancelled": ("–", "dim"),
}
"""Outcome of a step → symbol and style."""

SEVERITIES: Final[dict[str, tuple[str, str]]] = {
    "error": ("✘", BAD),
    "warning": ("▲", PENDING),
    "info": ("·", BUSY),
}


def plain(value: object, limit: int = 200, style: str = "") -> Text:
    """One safe line."""
    return Text(sanitize.line(value, limit), style)


def block(value: object, limit: int = 20_000, style: str = "") -> Text:
    """Safe lines."""
    return Text(sanitize.block(value, limit), style)


def status_text(status: Status) -> Text:
    """Symbol, word and colour."""
    return Text(f"{SYMBOLS.get(status, '?')} {sanitize.line(status, 20)}", STATUS_STYLES.get(status, ""))


def outcome_text(outcome: str) -> Text:
    symbol, style = OUTCOMES[outcome]
    return Text(f"{symbol} {outcome}", style)


def finding_text(finding: Finding, limit: int = 600) -> Text:
    symbol, style = SEVERITIES[finding.severity]
    return Text.assemble((f"{symbol} ", style), plain(finding.text, limit, style), " → ", plain(finding.advice, limit))


def age(then: datetime | None, now: datetime) -> str:
    """`5 m 10 s`; `-` where there is no time. What lies ahead begins with `in`."""
    if then is None:
        return "-"
    return f"in {words(then - now)}" if then > now else words(now - then)


def clock(then: datetime | None) -> str:
    """Local date and time to the second; `-` where there is none."""
    return "-" if then is None else f"{then.astimezone():%Y-%m-%d %H:%M:%S}"


def number(count: int) -> str:
    return f"{count:,}"


def value_text(value: Any, limit: int = 200) -> str:
    """A payload as one line of JSON, not yet sanitized; what is large is not written out in full first."""
    if isinstance(value, str):
        return json_text(value[: limit + 1])
    if isinstance(value, list):
        return json_text(value[: limit + 1])
    if isinstance(value, dict):
        return json_text(dict(_first(value.items(), limit)))
    return json_text(value)


def _first(items: Iterable[tuple[str, Any]], limit: int) -> Iterable[tuple[str, Any]]:
    return (pair for pair, _ in zip(items, range(limit + 1), strict=False))


def json_text(value: Any, *, indent: bool = False) -> str:
    """JSON for people. Surrogates and the like, which JSON cannot hold, are shown as Python does."""
    try:
        return orjson.dumps(value, option=orjson.OPT_INDENT_2 if indent else 0).decode()
    except (TypeError, ValueError):
        return repr(value)


def join(parts: Iterable[Text], gap: str = "  ") -> Text:
    return Text(gap).join(parts)
