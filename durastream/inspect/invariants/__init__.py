"""Invariants as code: each is a small function with an id, of a plain snapshot of one thing. `catalogue` lists all there are.

Nothing here knows a server: `inspect.fsck` reads the snapshots, tests make them up.
"""

from __future__ import annotations

from durastream.inspect.invariants.catalogue import CATALOGUE, CHECKS, Entry
from durastream.inspect.invariants.violation import Check, Found, Repair, Violation, check

__all__ = ["CATALOGUE", "CHECKS", "Check", "Entry", "Found", "Repair", "Violation", "check"]
