"""Scripts made of other parts than the shipped ones: a clock that is set, and faults put in on purpose."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from unittest import mock

from durastream.store import scripts
from tests.differential.state import CLOCK

CLOCK_PART = f"""-- Included: the time that the test has set, in the place of the server's.
local function now_ms() return tonumber(redis.call('GET', '{CLOCK}')) end
local function text(n) return string.format('%.0f', n) end
"""


@contextmanager
def parts(changed: Mapping[str, str]) -> Iterator[None]:
    """Scripts are made with these texts in the place of the parts of that name, and with the clock of the test."""
    shipped = scripts.part
    other = {"_clock": CLOCK_PART, **changed}
    with mock.patch.object(scripts, "part", lambda name: other.get(name) or shipped(name)):
        scripts.script.cache_clear()
        try:
            yield
        finally:
            scripts.script.cache_clear()
