"""All targets by name, and the lines of each decoder, of which a run must reach most."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from tests.fuzz import (
    targets_entries,
    targets_places,
    targets_records,
    targets_shown,
    targets_texts,
    targets_values,
    targets_wire,
)
from tests.fuzz.lines import Line, lines_of
from tests.fuzz.target import Target

TARGETS: Final[dict[str, Target]] = {
    target.name: target
    for module in (
        targets_wire,
        targets_values,
        targets_records,
        targets_entries,
        targets_texts,
        targets_places,
        targets_shown,
    )
    for target in module.TARGETS
}

COVERED_MIN: Final = 0.9
"""The part of the lines of each decoder that a run over all targets must reach, else it is incomplete."""

_WHOLE: Final[dict[str, tuple[str, ...]]] = {
    # file → functions in it that read nothing foreign
    "wire.py": (  # run once, when the module is loaded: what they generate is what decodes
        "_sized",
        "_several",
        "_Field.__init__",
        "_Field.__init__.<locals>.<genexpr>",
        "_Field.value",
        "_fields",
        "_fields.<locals>.<listcomp>",
        "_compile",
        "_builder",
        "_builder.<locals>.<listcomp>",
        "_builder.<locals>.<genexpr>",
        "_packer",
        "_packer.<locals>.<genexpr>",
        "_Family.__init__",
        "_Family.__init__.<locals>.<dictcomp>",
        "_make_pack",
        "_make_unpack",
    ),
    "payload.py": (  # from values of users to JSON: they are ours, or the user's own
        "Payloads.__init__",
        "_no_form",
        "_decimal",
        "_elements",
        "_converter",
        "_converter.<locals>.<lambda>",
        "_converter.<locals>.<genexpr>",
        "_Walk.enum",
        "_Walk.array",
        "_Walk.number",
        "_plain_form",
        "_new_decoder",
        "_foreign",
        "_may_hide_numbers",
        "_Walk.plain",
        "_Walk.object",
        "<lambda>",
    ),
    "notices.py": (),
    "core/ids.py": (),
    "core/entity_id.py": (),
    "cli/times.py": (),
    "inspect/filter.py": (),
    "inspect/filter_fields.py": (),
    "inspect/filter_tokens.py": (),
    "inspect/rows.py": (),
    "store/redis/decode.py": (
        "flat",
        "started",
        "member_bytes",
    ),  # answers of our own scripts, and what was read before
    "store/place.py": (),
    "worker/admission.py": (),
    "worker/entries.py": (),
}
_PARTS: Final[dict[str, tuple[str, ...]]] = {
    # file → the functions in it that read what is foreign
    "cli/inputs.py": ("read_input", "read_tags"),
    "cli/recorded.py": ("read", "_text", "_object", "_events"),
    "cli/replay.py": ("judge", "_run", "_around", "_row"),
    "client/entity_views.py": ("entity_status", "queued_message", "_operation", "_lock", "_unreadable"),
    "client/locks.py": ("parse_holder",),
    "client/views.py": ("instance_status", "_tags", "from_ms"),
    "core/timer_member.py": ("parse", "raw"),
    "inspect/sanitize.py": ("line", "block", "_tamed", "json_text"),
    "store/connect.py": (
        "Endpoint.parse",
        "split",
        "_check_scheme",
        "_port",
        "_seconds",
        "_natural",
        "_flag",
        "_verification",
        "_options",
        "_option",
    ),
    "store/keys.py": (
        "PartitionKeys.__init__",
        "PartitionKeys.instance",
        "PartitionKeys.history",
        "PartitionKeys.entity",
        "PartitionKeys.queue_of",
    ),
    "store/redis/clients.py": ("worker_info", "_known"),
    "store/redis/hubs.py": ("_read", "_check_settings"),
    "store/redis/inspection.py": ("_read_cursor", "_write_cursor"),
    "store/redis/pages.py": ("Position.parse", "Position.of", "Position.instance_id", "Position.__str__", "no_cursor"),
    "worker/live.py": ("Live.loaded", "parse_parent"),
    "worker/sharing.py": ("told", "desired_owners", "_told_of", "_owner", "_runs", "_weight"),
}


class Covered(NamedTuple):
    """Lines of one decoder."""

    file: str
    seen: int
    all: int
    missing: list[int]

    @property
    def enough(self) -> bool:
        return self.seen >= COVERED_MIN * self.all


def covered(seen: Iterable[Line], files: Iterable[str] = (*_WHOLE, *_PARTS)) -> list[Covered]:
    """How much of each decoder has run."""
    found = set(seen)
    return [_covered(file, found) for file in sorted(files)]


def _covered(file: str, seen: set[Line]) -> Covered:
    lines = lines_of(file, only=_PARTS.get(file, ()), without=_WHOLE.get(file, ()))
    return Covered(file, len(lines & seen), len(lines), sorted(number for _, number in lines - seen))
