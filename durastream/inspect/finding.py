"""What a rule of diagnosis says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Severity: TypeAlias = Literal["error", "warning", "info"]
"""error: something does not go on, or will be lost. warning: it may. info: worth knowing."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found, and what to do about it. `rule` is its name, the same in every release.

    Texts hold ids and names as they are: pass them through `sanitize` before they go to a screen.
    """

    rule: str
    severity: Severity
    text: str
    advice: str
