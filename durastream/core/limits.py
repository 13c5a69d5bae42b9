"""Every fixed limit, with its unit last in the name. One place, so that each door refuses the same things.

The doors (client, ingress, command line) refuse what breaks a limit; wire and payload check again wherever it is cheap,
so that what was accepted can always be stored, replayed and shown.
"""

from __future__ import annotations

from typing import Final

# ---- payloads: one JSON value given by a user (input, result, event data, custom status)

PAYLOAD_BYTES_MAX: Final = 1 << 20
"""Default limit of one encoded payload; a hub may set another one."""

PAYLOAD_BYTES_HARD_MAX: Final = 16 << 20
"""No hub may allow more: one payload must fit a command, a commit and a reply without stalling the others."""

DEPTH_MAX: Final = 100
"""Nesting of arrays and objects in a payload; `1` is depth 0, `[1]` depth 1. orjson encodes about 250."""

ITEMS_MAX: Final = 100_000
"""Array elements plus object members in one payload, over all levels."""

INT_MAX: Final = (1 << 63) - 1
"""Integers in payloads lie within ±INT_MAX: what every JSON codec in use keeps exactly."""

# ---- names

ID_BYTES_MAX: Final = 256
"""Instance id: 1 to 256 bytes of UTF-8 without control characters."""

NAME_BYTES_MAX: Final = 256
"""Orchestrator, activity, entity, event and queue names: 1 to 256 bytes of UTF-8 without control characters."""

ENTITY_BYTES_MAX: Final = ID_BYTES_MAX + NAME_BYTES_MAX + 2
"""An entity id as text: `@name@key`."""

LOCK_ENTITIES_MAX: Final = 100
"""Entities in one critical section: each is asked in turn, so time to enter grows with their number."""

HUB_CHARS_MAX: Final = 64
"""Hub name: [A-Za-z0-9_-]{1,64}."""

TAG_BYTES_MAX: Final = 256
"""Each tag's name and each tag's value."""

TAGS_BYTES_MAX: Final = 4096
"""All tags of an instance as JSON."""

REASON_BYTES_MAX: Final = 8_192
"""Why somebody suspends, resumes, terminates or rewinds: it is kept in the history, and is the output of what was terminated."""

# ---- fields of events and messages

TIME_MS_MAX: Final = 253_402_300_799_999
"""The last millisecond of the year 9999: what `datetime` can show. Bounds every integer of an event or message."""

TIME_MS_MIN: Final = -62_135_596_800_000
"""The first millisecond of the year 1: the same at the other end, for the times of events and signals."""

CAUSES_DEPTH_MAX: Final = 50
"""Nesting of `Failure.causes`. Who builds a Failure cuts longer chains."""

# ---- texts in error messages

QUOTE_CHARS_MAX: Final = 80
"""Foreign bytes quoted in an error message are escaped and cut to this."""
