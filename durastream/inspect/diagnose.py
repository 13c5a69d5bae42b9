"""Why something is stuck or soon will be: tables of small rules over plain facts.

Each rule looks at one thing and yields what it finds. All surfaces show the same findings: `doctor`, the finding strip of
the terminal UI, the dashboard.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from durastream.inspect import rules_hub, rules_instance
from durastream.inspect.facts import HubFacts, InstanceFacts
from durastream.inspect.finding import Finding, Severity

__all__ = ["Finding", "Severity", "diagnose_hub", "diagnose_instance"]

_ORDER: Final[dict[Severity, int]] = {"error": 0, "warning": 1, "info": 2}


def diagnose_instance(facts: InstanceFacts) -> list[Finding]:
    """What keeps this instance from going on, the worst first; [] if nothing does. The hub's own findings are not in it."""
    return _worst_first(finding for rule in rules_instance.RULES for finding in rule(facts))


def diagnose_hub(facts: HubFacts) -> list[Finding]:
    """What is wrong with the hub or its server, the worst first."""
    return _worst_first(finding for rule in rules_hub.RULES for finding in rule(facts))


def _worst_first(found: Iterable[Finding]) -> list[Finding]:
    return sorted(found, key=lambda finding: _ORDER[finding.severity])
