"""The texts of an instance's page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from rich.text import Text

from durastream.client.views import InstanceStatus
from durastream.core.events import Failure
from durastream.inspect.facts import InstanceFacts
from durastream.inspect.finding import Finding
from durastream.inspect.rows import failure_line
from durastream.inspect.waiting import summary
from durastream.tui.text import BAD, age, block, clock, finding_text, join, json_text, plain, status_text, value_text

_PAYLOAD_MAX: Final = 8_000
_CAUSES_MAX: Final = 5
_FINDINGS_MAX: Final = 3


def head_text(facts: InstanceFacts, now: datetime) -> Text:
    """Who it is, and how it is."""
    status = facts.status
    title = join([plain(status.id, 300, "bold"), status_text(status.runtime_status)])
    lines = [title, join(_facts(status, now), " · ")]
    if status.custom_status is not None:
        lines.append(Text.assemble(("says ", "dim"), plain(value_text(status.custom_status), 300)))
    if status.failure is not None:
        lines.append(Text.assemble(("failed: ", BAD), plain(failure_line(status.failure), 300)))
    return Text("\n").join(lines)


def _facts(status: InstanceStatus, now: datetime) -> Iterator[Text]:
    version = f" {status.version}" if status.version else ""
    yield plain(status.name + version, 120)
    yield Text(f"{age(status.created_at, now)} old")
    if status.completed_at is not None:
        yield Text(f"took {age(status.created_at, status.completed_at)}")
    yield Text(f"partition {status.partition}")
    yield Text(f"{status.events:,} events")
    if status.parent_id is not None:
        yield Text.assemble("parent ", plain(status.parent_id, 120))
    if status.tags:
        yield plain(" ".join(f"{key}={value}" for key, value in status.tags.items()), 200, "dim")


def findings_text(facts: InstanceFacts, findings: Sequence[Finding], now: datetime) -> Text:
    """What is wrong, if anything is, and what it waits for, if it does."""
    lines = [finding_text(finding) for finding in findings[:_FINDINGS_MAX]]
    if len(findings) > _FINDINGS_MAX:
        lines.append(Text(f"… and {len(findings) - _FINDINGS_MAX} more", "dim"))
    if facts.waits:
        lines.append(Text.assemble(("waits for ", "bold"), plain(summary(facts.waits, now), 500)))
    return Text("\n").join(lines)


def payloads_text(status: InstanceStatus) -> Text:
    """Error with stack, output, input, custom status, tags: what is there of them."""
    parts: list[Text] = []
    if status.failure is not None:
        parts.append(Text.assemble(("error\n", BAD), failure_text(status.failure)))
    for name, value in (("output", status.output), ("input", status.input), ("custom status", status.custom_status)):
        if value is not None:
            parts.append(Text.assemble((f"{name}\n", "bold"), block(json_text(value, indent=True), _PAYLOAD_MAX)))
    if status.tags:
        parts.append(Text.assemble(("tags\n", "bold"), block(json_text(status.tags, indent=True), _PAYLOAD_MAX)))
    parts.append(Text.assemble(("times\n", "bold"), _times(status)))
    return Text("\n\n").join(parts)


def failure_text(failure: Failure) -> Text:
    """Type, message, stack, and the causes below it."""
    text = block(f"{failure.type}: {failure.message}\n{failure.stack}".rstrip(), _PAYLOAD_MAX)
    for cause in failure.causes[:_CAUSES_MAX]:
        text.append("\ncaused by ", "bold").append_text(
            block(f"{failure_line(cause)}\n{cause.stack}".rstrip(), _PAYLOAD_MAX)
        )
    return text


def _times(status: InstanceStatus) -> Text:
    times = {
        "created": status.created_at, "updated": status.updated_at, "completed": status.completed_at,
        "starts": status.start_at,
    }  # fmt: skip
    lines = [f"{name} {clock(moment)}" for name, moment in times.items() if moment is not None]
    return plain("  ".join([*lines, f"execution {status.execution_id}"]), 300)
